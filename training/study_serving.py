"""A trained classifier as it is served: every image takes its own steps, the first one as calibration finds it."""

from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from node_model.odenet import ODENet
from node_model.program import Program
from node_model.solvers import solve_ivp
from node_model.status import Status
from training.data import ImageSet
from training.evaluate import wilson_interval
from training.measure import FIRST_ACCEPTED, least_true
from training.records import rounded

METHODS = ("bosh3", "dopri5", "tsit5")
LADDER = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
REFERENCE_METHOD, REFERENCE_TOL = "dopri5", 1e-6
SERVED_TOL = 1e-2
"""Tolerance that the test set is solved at."""
ITEMS = 1_000
BATCH = 250


def study_serving(model: ODENet, data: ImageSet) -> dict[str, Any]:
    """`serving`: cost and error of held-back images over methods and tolerances; `served`: of the test set, at one."""
    (program,) = model.programs()
    y0 = _encoded(program, data.held_images[-ITEMS:])
    reference, _, _ = _solved(program, y0, REFERENCE_METHOD, REFERENCE_TOL, dt=1.0)
    rows, first_dts = [], {}
    for method in METHODS:
        cuts = 1
        for tol in track(LADDER, f"{method}, lane by lane"):
            cuts = least_true(partial(_is_accepted, program, y0, method, tol), cuts)
            logits, nfe, failed = _solved(program, y0, method, tol, dt=1 / cuts)
            off = (logits - reference).abs().amax(-1)
            rows.append(
                {
                    "method": method,
                    "tol": tol,
                    "first_dt": rounded(1 / cuts),
                    "nfe": rounded(nfe),
                    "logit_error_rms": rounded(float(off.square().mean().sqrt()), 3),
                    "logit_error_p99": rounded(float(np.percentile(off.numpy(), 99)), 3),
                    "failed": failed,
                }
            )
            first_dts[method, tol] = 1 / cuts
    y0, labels = _encoded(program, data.test_images), torch.from_numpy(data.test_labels)
    served = []
    for method in METHODS:
        logits, nfe, failed = _solved(program, y0, method, SERVED_TOL, dt=first_dts[method, SERVED_TOL])
        row = {"method": method, "tol": SERVED_TOL, "nfe": rounded(nfe), "failed": failed}
        served.append(row | score(logits, labels))
    return {"serving": rows, "served": served}


def score(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Share of wrong labels with its 95 % interval."""
    wrong = int((logits.argmax(-1) != labels).sum())
    low, high = wilson_interval(wrong, len(labels))
    return {"items": len(labels), "error": wrong / len(labels), "low": rounded(low), "high": rounded(high)}


def _encoded(program: Program, images: Any) -> Tensor:
    with torch.no_grad():
        return torch.cat([program.encode(part) for part in torch.from_numpy(images).split(BATCH)])


def _is_accepted(program: Program, y0: Tensor, method: str, tol: float, cuts: int) -> bool:
    """Whether as many images as calibration asks for accept the first of so many equal steps."""
    dt = 1 / cuts
    with torch.no_grad():
        tried = [
            solve_ivp(program.field, part, 0.0, [dt], rtol=tol, atol=tol, method=method, dt0=dt)
            for part in y0.split(BATCH)
        ]
    accepted = torch.cat([one.steps_rejected == 0 for one in tried])
    return float(accepted.double().mean()) >= FIRST_ACCEPTED


def _solved(program: Program, y0: Tensor, method: str, tol: float, *, dt: float) -> tuple[Tensor, float, int]:
    """Logits, mean NFE and failures of a solve in which every image takes its own steps."""
    with torch.no_grad():
        solved = [
            solve_ivp(program.field, part, 0.0, [1.0], rtol=tol, atol=tol, method=method, dt0=dt)
            for part in y0.split(BATCH)
        ]
        logits = torch.cat([program.decode(one.ys[-1])[0] for one in solved])
    nfe = float(torch.cat([one.nfe for one in solved]).double().mean())
    return logits, nfe, sum(int((one.status != Status.OK).sum()) for one in solved)
