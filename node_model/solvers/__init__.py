"""Explicit Runge-Kutta solvers in which every lane has its own time, step size, tolerance and status."""

from node_model.solvers.advance import advance
from node_model.solvers.lanes import Lanes
from node_model.solvers.solve import Solution, solve_fixed, solve_ivp
from node_model.solvers.tableaus import ADAPTIVE, FIXED_STEP, ButcherTableau, tableau_of

__all__ = [
    "ADAPTIVE",
    "FIXED_STEP",
    "ButcherTableau",
    "Lanes",
    "Solution",
    "advance",
    "solve_fixed",
    "solve_ivp",
    "tableau_of",
]
