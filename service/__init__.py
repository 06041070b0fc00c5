"""The server: HTTP in front, a solver loop behind, artifacts read through torch-free code."""
