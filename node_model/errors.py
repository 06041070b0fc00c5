"""Caller mistakes and failed solves, raised at the edge of the library."""


class SolverArgumentError(ValueError):
    """An argument of a solve is wrong: shape, unknown method, tolerance not above zero."""


class SolveFailedError(RuntimeError):
    """A solve whose answer was asked for as a plain tensor did not reach its end."""


class ArtifactError(ValueError):
    """An artifact directory is incomplete, altered or not understood; the message names the file."""


class ExportError(ValueError):
    """A program cannot be made into graphs; the message names the graph and what in it."""
