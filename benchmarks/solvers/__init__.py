"""Solvers of the table, each in a process of its own: ours and the rivals."""
