"""Solved rows as the outputs of a signature: one array each, item by item."""

import numpy as np

from service.api.answers import STATUS_LABELS, Solved, winners
from service.api.tightening import Try
from service.api.v2.signature import STD_ERROR, Signature
from service.engine.stepper import Array

Columns = dict[str, Array]


def columns(signature: Signature, solved: Solved) -> Columns:
    """Every output that the signature has, and no other. Of items that failed numbers are NaN, labels empty.

    Shapes: -> each [item, ...].
    """
    ok, count = solved.ok, len(solved)
    found: Columns = {
        "nfe": solved.solution.nfe.astype(np.int32),
        "tol": np.full(count, solved.loosest),
        "status": np.array([STATUS_LABELS[status] for status in solved.status.tolist()], object),
    }
    names = [spec.name for spec in signature.spec.outputs]
    if signature.classes:
        index, probabilities = winners(solved.logits)
        labels = np.array([*signature.classes, ""], object)
        found |= {
            "probabilities": _where_ok(ok, probabilities),
            "label": labels[np.where(ok, index, -1)],
            "index": np.where(ok, index, -1).astype(np.int32),
            "stable": ok & (False if solved.stable is None else solved.stable),
        }
    if signature.estimated:
        names = [names[0], f"{names[0]}_{STD_ERROR}"]
    return found | {name: _where_ok(ok, output) for name, output in zip(names, solved.outputs, strict=True)}


def tightened_columns(signature: Signature, tries: tuple[Try, ...]) -> Columns:
    """The same of tol=auto: each item from its last try that went well, `nfe` over all of them."""
    result, *later = [columns(signature, tried.solved) for tried in tries]
    nfe = result["nfe"].copy()
    for tried, tightened in zip(tries[1:], later, strict=True):
        fine = tried.solved.ok
        nfe[tried.items] += tightened["nfe"]
        for name, column in tightened.items():
            result[name][tried.items[fine]] = column[fine]
    return result | {"nfe": nfe}


def _where_ok(ok: Array, values: Array) -> Array:
    return np.where(ok.reshape(-1, *(1,) * (values.ndim - 1)), values, values.dtype.type(np.nan))
