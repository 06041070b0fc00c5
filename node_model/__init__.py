"""The mathematics of odeserve: solvers, models and artifacts.

This file imports nothing, so that `node_model.manifest` and `node_model.status` load without PyTorch.
"""
