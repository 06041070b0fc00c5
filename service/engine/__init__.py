"""Solving: everything between numbers in and numbers out. Knows neither HTTP nor Prometheus."""
