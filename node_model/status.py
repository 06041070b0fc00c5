"""How a lane of the solver ends: a closed set, shared by the exported graphs, the solver and the service.

Torch-free on purpose: the service reads these integers out of an ONNX graph.
"""

from enum import IntEnum


class Status(IntEnum):
    """Life of one lane; the integer is what a step (PyTorch or ONNX) returns."""

    RUNNING = 0
    OK = 1
    MAX_NFE = 2
    DT_MIN = 3
    NON_FINITE = 4
    DEADLINE = 5
    CANCELLED = 6

    @property
    def label(self) -> str:
        """The name used in answers and metrics, for instance `max_nfe`."""
        return self.name.lower()


ADVICE: dict[Status, str] = {
    Status.RUNNING: "the lane is still being solved",
    Status.OK: "every stop was reached",
    Status.MAX_NFE: (
        "the budget of field evaluations ran out before the end of the interval; raise max_nfe or loosen tol"
    ),
    Status.DT_MIN: (
        "the step size fell to the rounding level of t, so the problem is stiff or singular at this point; loosen tol"
    ),
    Status.NON_FINITE: "the state or the field became NaN or infinite; check that the input is like the training data",
    Status.DEADLINE: "the deadline passed while the lane was running; raise deadline_ms or loosen tol",
    Status.CANCELLED: "the caller left before the lane was finished",
}
"""What each status means and what a caller can change."""
