"""What a trained classifier is measured on: the row of Table 1 and, with a differential equation, Figure 3.

Solves are joint, as in training and in the paper, but for `serving`, where each image takes its own steps.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

from node_model.adjoint import odeint, odeint_adjoint
from node_model.odenet import ODENet, ScalarTime
from training.config import RunConfig
from training.data import ImageSet
from training.kept import KeptBytes
from training.records import rounded
from training.solves import Counted, EvaluationCount
from training.study_serving import score, study_serving
from training.tasks import ClassifyTask

METHOD = "dopri5"
TABLE_TOL = 1e-3
LADDER = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EULER_STEPS = (1, 2, 4, 8, 16, 32)
BATCH, REPEATS = 128, 3
PRECISIONS, TIMED_STEPS = ("float32", "bfloat16"), 9
TIMES = torch.tensor([0.0, 1.0], dtype=torch.float64)


def study_classifier(task: ClassifyTask, ladder: tuple[float, ...] = LADDER, *, brief: bool = False) -> dict[str, Any]:
    """Every figure of trained weights, for a record; `brief`: of Figure 3 only Table 1's tolerance, no Euler steps."""
    config = task.config
    metrics: dict[str, Any] = {
        "family": config.family,
        "data": config.data,
        "epochs": config.epochs,
        "last_epochs": config.last_epochs,
        "solvers": [f"{method} {tol:g}" for method, tol in _solvers(config)],
        "regularize": config.regularize,
        "regularize_weight": config.regularize_weight,
        "activation": config.activation,
        "precision": [config.precision_at(0), config.precision_at(config.epochs - 1)],
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "held_items": len(task.data.held_labels),
    }
    if isinstance(task.model, ODENet):
        metrics["step_seconds"] = _step_seconds(task)
        return metrics | _Solved(task.model, task.data, config).measure(
            (TABLE_TOL,) if brief else ladder, () if brief else EULER_STEPS
        )
    model = task.model
    logits = _in_batches(model, torch.from_numpy(task.data.test_images))
    images = torch.from_numpy(task.data.train_images[:BATCH])
    labels = torch.from_numpy(task.data.train_labels[:BATCH])
    return metrics | {
        "test": score(logits, torch.from_numpy(task.data.test_labels)),
        "gradient": _gradient(lambda: model(images), labels, model),
    }


def _solvers(config: RunConfig) -> list[tuple[str, float]]:
    return [config.solver_at(0), config.solver_at(config.epochs - 1)]


def _step_seconds(task: ClassifyTask) -> dict[str, float]:
    """A training step with its networks in either precision: medians of steps taken in turn. Units: seconds."""
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    tasks = {}
    for precision in PRECISIONS:
        config = replace(task.config, precision=precision, last_precision=precision)
        tasks[precision] = ClassifyTask(config, task.data)
        tasks[precision].model.load_state_dict(task.model.state_dict())
    for step in range(min(TIMED_STEPS, task.steps_per_epoch)):
        for precision, one in tasks.items():
            began = time.perf_counter()
            one.loss(step).backward()
            seconds[precision].append(time.perf_counter() - began)
            one.model.zero_grad()
    return {precision: rounded(statistics.median(taken), 3) for precision, taken in seconds.items()}


def _in_batches(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(250)])


def _gradient(forward: Callable[[], Tensor], labels: Tensor, model: nn.Module) -> dict[str, float]:
    """Seconds of a batch's forward and backward pass, least of some, and bytes kept between the two."""
    seconds: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        kept = KeptBytes(model.parameters())
        began = time.perf_counter()
        with kept.counting():
            loss = nn.functional.cross_entropy(forward(), labels)
        halfway = time.perf_counter()
        loss.backward()
        seconds.append((halfway - began, time.perf_counter() - halfway))
        model.zero_grad()
    there, back = (rounded(min(column), 3) for column in zip(*seconds, strict=True))
    return {"batch": len(labels), "seconds_forward": there, "seconds_backward": back, "bytes_kept": kept.total}


class _Solved:
    """A classifier whose middle is a solve: the stem's features are computed once for all of them."""

    def __init__(self, model: ODENet, data: ImageSet, config: RunConfig) -> None:
        self._model = model
        self._data = data
        self._labels = torch.from_numpy(data.test_labels)
        self._config = config
        self._field = ScalarTime(model.field)
        self._features = _in_batches(model.features, torch.from_numpy(data.test_images))

    def measure(self, ladder: tuple[float, ...], euler_steps: tuple[int, ...]) -> dict[str, Any]:
        """Figure 3's points over the ladder, and the same network by Euler's method and as it is served."""
        rows, logits = [], {}
        for tol in track(ladder, "tolerances"):
            row, logits[tol] = self._at(tol)
            rows.append(row)
        reference = logits[min(logits)]
        for row in rows:
            row["logit_error_rms"] = _rms_of_largest(logits[row["tol"]] - reference)
        euler = []
        for steps in track(euler_steps, "Euler steps"):
            found = self._logits(partial(self._euler, steps=steps))
            off = _rms_of_largest(found - reference)
            euler.append({"steps": steps, **score(found, self._labels), "logit_error_rms": off})
        return {"tolerances": rows, "euler": euler, **study_serving(self._model, self._data)}

    def _logits(self, solve: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._model.head(solve(part)) for part in self._features.split(BATCH)])

    def _euler(self, y: Tensor, steps: int) -> Tensor:
        end: Tensor = odeint(self._field, y, TIMES, method="euler", step_size=1 / steps)[-1]
        return end

    def _at(self, tol: float) -> tuple[dict[str, Any], Tensor]:
        """One tolerance: test error, evaluations and seconds of both passes, bytes kept; and the test logits."""
        count = EvaluationCount()
        counted = Counted(self._field, count)

        def solve(y: Tensor) -> Tensor:
            end: Tensor = odeint(counted, y, TIMES, rtol=tol, atol=tol, method=METHOD)[-1]
            return end

        began = time.perf_counter()
        logits = self._logits(solve)
        batches = -(-len(self._features) // BATCH)
        row: dict[str, Any] = {"tol": tol, **score(logits, self._labels), "nfe": rounded(count.take() / batches)}
        row["seconds_per_batch"] = rounded((time.perf_counter() - began) / batches, 3)
        images = torch.from_numpy(self._data.train_images[:BATCH])
        labels = torch.from_numpy(self._data.train_labels[:BATCH])
        for name, integrate in (("adjoint", odeint_adjoint), ("through", odeint)):
            features = self._model.features(images).detach().requires_grad_()
            kept = KeptBytes(self._model.parameters())
            with kept.counting():
                end = integrate(counted, features, TIMES, rtol=tol, atol=tol, method=METHOD)[-1]
            forward = count.take()
            began = time.perf_counter()
            nn.functional.cross_entropy(self._model.head(end), labels).backward()
            row[name] = {
                "nfe_forward": forward,
                "nfe_backward": count.take(),
                "seconds_backward": rounded(time.perf_counter() - began, 3),
                "solve_bytes_kept": kept.total,
            }
            self._model.zero_grad()
        through_steps = self._config.family == "rknet" or self._config.regularize == "ernode"
        whole = odeint if through_steps else odeint_adjoint
        row["gradient"] = _gradient(
            lambda: self._model(images, lambda f, y, t: whole(f, y, t, rtol=tol, atol=tol, method=METHOD)),
            labels,
            self._model,
        )
        return row, logits


def _rms_of_largest(difference: Tensor) -> float:
    return rounded(float(difference.abs().amax(-1).square().mean().sqrt()), 3)
