"""The queue before the thread that reads requests and answers them."""

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


def waits(begun: Seconds, ended: Seconds, seconds: float) -> Seconds:
    """How long requests wait for the event loop, which is there for each of them twice, when it comes and when it is
    solved, for so many seconds each time, first come first served.

    Shapes: begun, ended [request] -> [request]. Units: seconds.
    Source: Lindley 1952, The theory of queues with a single server; the recursion, written out.
    """
    times = np.concatenate((begun, ended))
    order = np.argsort(times, kind="stable")
    before = seconds * np.arange(len(times))
    starts = np.empty_like(times)
    starts[order] = before + np.maximum.accumulate(times[order] - before)
    waited: Seconds = (starts - times).reshape(2, -1).sum(0)
    return waited
