"""/trajectory: how items were solved, attempt by attempt, with what was found at every time on the way."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from node_model.manifest import ProgramSpec
from service.api.answers import Solved, winners
from service.api.asked import Asked
from service.api.errors import invalid
from service.api.predict import named
from service.api.solving import Job
from service.engine.stepper import Array, Lanes, Stepper
from service.engine.trace import Attempts
from service.models import LoadedModel

MOST_ITEMS = 256
MOST_ATTEMPTS = 100_000
"""Of all items together: each is an entry of the answer."""
AT_ONCE = 4
FIELDS = {
    "image": "classify",
    "images": "classify",
    "point": "log_density",
    "points": "log_density",
    "n": "sample",
    "input": "predict",
    "inputs": "predict",
}
"""Which program a body is for, by a field that only such bodies have."""
POSITION, LOG_DET = "x", "log_det"
"""Parts of a flow's state."""
POINTS = "sample"
"""The program whose decode turns positions of a flow into points as its users know them."""

_NAMES = re.compile(rb'"(\w{1,20})"\s*:')


def program_of(body: bytes) -> str:
    """The program that a body is for. Errors: ApiError for a body that is for none."""
    names = [name.decode() for name in _NAMES.findall(body)]
    # Arguments beside an input may have any names, those of other bodies too.
    for name in sorted(names, key=lambda name: FIELDS.get(name) != "predict"):
        if name in FIELDS:
            return FIELDS[name]
    raise invalid("body", f"expected one of {', '.join(FIELDS)}")


def decoded(stepper: Stepper, lanes: Lanes) -> tuple[Array, ...]:
    """Answers, had the solve ended here. Shapes: -> each [lane, *output.shape]."""
    return stepper.decode(lanes.y)


def motion(stepper: Stepper, lanes: Lanes) -> tuple[Array, ...]:
    """State and field. Shapes: -> each [lane, dim]."""
    return stepper.peek(lanes, ("y", "f"))


@dataclass(frozen=True)
class Frame:
    """How states of a flow are told: as points of the input where `points` can decode them, else as they are."""

    spec: ProgramSpec
    points: Stepper | None

    @classmethod
    def of(cls, model: LoadedModel, spec: ProgramSpec) -> "Frame":
        """By what the manifest says of parts and programs."""
        place, program = _part(spec, POSITION), model.programs.get(POINTS)
        fits = program is not None and place is not None and program.spec.dim == place.stop - place.start
        return cls(spec, program.stepper if program is not None and fits else None)

    @property
    def units(self) -> str:
        """Of positions and velocities."""
        return "state" if self.points is None else "input"

    def told(self, y: Array, f: Array) -> list[dict[str, Any]]:
        """Position, velocity (by the field's time) and, where the state has it, log-det. Shapes: y, f [n, dim]."""
        place, log_det = _part(self.spec, POSITION) or slice(None), _part(self.spec, LOG_DET)
        position, velocity = y[:, place], f[:, place]
        if self.points is not None and len(y):
            position, velocity = _decoded_motion(self.points, position, velocity)
        columns = {"position": position, "velocity": velocity}
        if log_det is not None:
            columns["log_det"] = y[:, log_det.start]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _part(spec: ProgramSpec, name: str) -> slice | None:
    """Where a part lies in the state."""
    start = 0
    for part in spec.parts:
        if part.name == name:
            return slice(start, start + part.size)
        start += part.size
    return None


def _decoded_motion(points: Stepper, x: Array, v: Array) -> tuple[Array, Array]:
    """Points, and their velocity as the central difference of decode along v. Shapes: x, v [n, dim] -> each [n, ...].

    The step is the cube root of the rounding error, where truncation and rounding are about equally small.
    """
    size = np.maximum(np.abs(x).max(1, keepdims=True), 1) / np.maximum(np.abs(v).max(1, keepdims=True), 1e-30)
    step = (np.cbrt(np.finfo(x.dtype).eps) * size).astype(x.dtype)
    here, ahead, behind = (points.decode(np.ascontiguousarray(at))[0] for at in (x, x + step * v, x - step * v))
    return here, (ahead - behind) / (2 * step.reshape(-1, *[1] * (here.ndim - 1)))


def watched(job: Job, asked: Asked, program: str) -> Asked:
    """The same request with every attempt told of. Errors: ApiError for a budget whose attempts would be too many."""
    plan = job.plan
    spec, items = plan.program.spec, len(asked)
    least = min((spec.methods[way.method] for way in plan.wishes.ways), key=lambda method: method.nfe_attempt)
    most = least.nfe_start + MOST_ATTEMPTS // items * least.nfe_attempt
    if plan.wishes.max_nfe is not None and plan.wishes.max_nfe > most:
        raise invalid("max_nfe", f"expected at most {most} for {items} items, whose attempts are all in the answer")
    if program in ("log_density", "sample"):
        frame = Frame.of(plan.model, spec)
        show, told, extra = motion, frame.told, asked.extra | {"units": frame.units}
    else:
        labels, names = plan.model.manifest.labels or (), tuple(output.name for output in spec.outputs)
        entries = _labelled(labels) if program == "classify" else _outputs(names)
        show, told, extra = decoded, entries, asked.extra
    return replace(
        asked,
        told=lambda solved: _with_steps(solved, asked.told(solved), told),
        listed="items",
        content=None,
        array=None,
        extra=extra,
        show=show,
        most_nfe=most,
        at_once=AT_ONCE,
    )


def _labelled(labels: tuple[str, ...]) -> Callable[..., list[dict[str, Any]]]:
    def told(logits: Array, *_: Array) -> list[dict[str, Any]]:
        index, probabilities = winners(logits)
        return [
            {"label": labels[winner], "index": winner, "probabilities": row}
            for winner, row in zip(index.tolist(), probabilities, strict=True)
        ]

    return told


def _outputs(names: tuple[str, ...]) -> Callable[..., list[dict[str, Any]]]:
    def told(*outputs: Array) -> list[dict[str, Any]]:
        return [{"output": named(names, row)} for row in zip(*outputs, strict=True)]

    return told


def _with_steps(
    solved: Solved, items: list[dict[str, Any]], told: Callable[..., list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Items with `start` and `steps`."""
    assert solved.trace is not None and solved.rows is not None  # noqa: S101, PT018 - it was asked for
    seen = solved.trace.of(solved.rows)
    begun = [attempts for attempts in seen if len(attempts.t)]
    entries = iter(
        told(*map(np.concatenate, zip(*(attempts.shown for attempts in begun), strict=True))) if begun else ()
    )
    return [{**item, **_steps(attempts, entries)} for item, attempts in zip(items, seen, strict=True)]


def _steps(attempts: Attempts, entries: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """`start` and `steps` of an item; `start` is None for one that was never begun."""
    columns = zip(*(getattr(attempts, name).tolist() for name in ("t", "dt", "accepted", "ratio")), strict=True)
    first = next(columns, None)
    if first is None:
        return {"start": None, "steps": []}
    start = {"t": first[0], **next(entries)}
    steps = [
        {"t": t, "dt": dt, "accepted": accepted, "error_ratio": ratio, **(next(entries) if accepted else {})}
        for t, dt, accepted, ratio in columns
    ]
    return {"start": start, "steps": steps}
