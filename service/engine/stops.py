"""The stops of a request: how far each of its rows has come on their list, and the answers there."""

from collections.abc import Sequence

import numpy as np

from node_model.manifest import TensorSpec
from service.engine.stepper import Array


class Stops:
    """Rows land on each time exactly. Rows of one request may be under way on several shards, each row on one.

    Shapes: times [stop], in the direction of the interval.
    """

    def __init__(self, times: Array, rows: int, outputs: Sequence[TensorSpec]) -> None:
        self._times = times
        self._reached = np.zeros(rows, np.int64)
        self._answers = tuple(np.full((rows, len(times), *spec.shape), np.nan, spec.dtype) for spec in outputs)

    def landed(self, rows: Array, outputs: tuple[Array, ...]) -> Array:
        """Note answers of rows that are on their next stop: where they go from there, NaN for the last stop.

        Shapes: rows [n]; outputs each [n, *output.shape] -> [n].
        """
        stop = self._reached[rows]
        for kept, output in zip(self._answers, outputs, strict=True):
            kept[rows, stop] = output
        self._reached[rows] = stop + 1
        onward = np.append(self._times, np.nan)
        return np.asarray(onward[stop + 1])

    def answers(self, rows: Array) -> tuple[Array, ...]:
        """At every stop, NaN where a row did not come to. Shapes: rows [n] -> each [n, stop, *output.shape]."""
        return tuple(kept[rows] for kept in self._answers)
