"""Benchmarks: each answers one question and names its rival and hardware."""
