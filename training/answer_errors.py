"""How wrong answers are, beside those of a reference."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def answer_error(values: Array, reference: Array, unit: str) -> Array:
    """Error of each answer: max |logit difference|, |log-density difference|, or RMS of a point.

    Shapes: values, reference [item, ...] -> [item].
    """
    difference = np.abs(values.astype(np.float64) - reference).reshape(len(values), -1)
    if unit == "output":
        return np.asarray(np.sqrt(np.square(difference).mean(-1)))
    return np.asarray(difference.max(-1))


def margin_error(logits: Array, reference: Array) -> Array:
    """How far the answer's top-1 minus top-2 logit is from the reference's difference of the same two classes.

    Where an answer's margin exceeds this, the reference ranks the two alike.

    Shapes: logits, reference [item, class] -> [item].
    """
    rows = np.arange(len(logits))
    second, first = np.argsort(logits, -1)[:, -2:].T
    margin = logits[rows, first].astype(np.float64) - logits[rows, second]
    return np.asarray(np.abs(margin - (reference[rows, first] - reference[rows, second])))
