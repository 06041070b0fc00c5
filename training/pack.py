"""odetrain pack: from torch modules of a user's own to an artifact that was checked, compared and measured."""

import copy
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from node_model.checkpoint import publish, save_weights
from node_model.errors import ExportError
from node_model.export import DEFAULT_METHODS, export_program, method_specs
from node_model.manifest import (
    VERSION,
    WEIGHTS,
    Graphs,
    Manifest,
    PartSpec,
    ProgramSpec,
    Provenance,
    sha256_of,
    write_manifest,
)
from node_model.own import LABELS, OwnModel
from node_model.program import Program
from node_model.strict import NAME
from training.artifact import UNCALIBRATED
from training.calibrate import measured
from training.calibration_items import Items
from training.pack_arrays import Array, arrays_for, read_arrays
from training.pack_checks import LANES, check_program, check_wide
from training.pack_parity import check_parity
from training.pack_shapes import shapes_of
from training.package import TORCH_ONLY, PackError, load_package

FEW_ITEMS = 100
"""Fewer say little of a p99."""
WIDTH = 64
"""Items solved side by side while calibrating: a small network costs hardly more for many."""
TRIED_TOL = 1e-3
"""At which the example is solved before anything is known of the model."""


@dataclass(frozen=True)
class PackOrder:
    """What is to be packed as what.

    `data`: items to calibrate on, in place of the example's. `torch_only`: without graphs.
    """

    package: str
    name: str
    version: str
    example: Path
    data: Path | None
    out: Path
    items: int
    seed: int
    threads: int
    command: str
    torch_only: bool = False


@dataclass(frozen=True)
class Telling:
    """Who is told how packing goes: of each thing that holds, and of what is being done meanwhile."""

    holds: Callable[[str], None]
    doing: Callable[[str], AbstractContextManager[object]]


def pack(order: PackOrder, telling: Telling) -> Path:
    """Write `out/name/version`; the directory.

    Errors: PackError naming what is wrong with the model or the example; FileExistsError when the version exists.
        Nothing is left behind.
    """
    _check_order(order)
    try:
        return _packed(order, telling)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PackError(f"the manifest cannot say that: {where}{': ' if where else ''}{first['msg']}") from error


def _packed(order: PackOrder, telling: Telling) -> Path:
    with telling.doing(f"building {order.package}"):
        model = load_package(order.package)
        example = read_arrays(order.example, model, order.items)
        data = example if order.data is None else read_arrays(order.data, model, order.items)
        _check_alike(example, data, order)
    _check(model, example, order, telling)

    def write(directory: Path) -> None:
        manifest = _uncalibrated(model, order, directory, telling)
        write_manifest(directory, manifest)
        with telling.doing("comparing the graphs with the modules"):
            for name in model.wanted if manifest.has_graphs else ():
                arrays = _arrays(model, name, example, order)
                telling.holds(check_parity(directory, manifest, model.program(name), arrays))
        items = max((len(array) for array in data.values()), default=FEW_ITEMS)
        if items < FEW_ITEMS:
            telling.holds(
                f"not calibrated: {items} items are too few for a p99; give {FEW_ITEMS} or more with --calibrate. "
                "Served as it is, it has no /tradeoff, no calibrated error and no predicted cost"
            )
            return
        write_manifest(directory, _calibrated(directory, manifest, model, data, order))

    publish(_destination(order), write)
    return _destination(order)


def _check_alike(example: Mapping[str, Array], data: Mapping[str, Array], order: PackOrder) -> None:
    """Whether what is measured on has the example's shapes. Errors: PackError."""
    for name in example.keys() & data.keys():
        known, given = example[name].shape[1:], data[name].shape[1:]
        if given != known:
            raise PackError(
                f"{order.data}: {name}: expected items of shape {list(known)}, as the example's; got {list(given)}"
            )


def _destination(order: PackOrder) -> Path:
    return order.out / order.name / order.version


def _check_order(order: PackOrder) -> None:
    """What can be said before anything is built. Errors: PackError; FileExistsError."""
    if not re.fullmatch(NAME, order.name):
        raise PackError(f"--name: expected letters, digits, '.', '_' and '-', at most 64; got {order.name!r}")
    if not re.fullmatch(VERSION, order.version):
        raise PackError(f"--version: expected a whole number from 1; got {order.version!r}")
    if _destination(order).exists():
        raise FileExistsError(f"{_destination(order)} exists; choose another --version or remove it")


def _check(model: OwnModel, example: Mapping[str, Array], order: PackOrder, telling: Telling) -> None:
    """Every program on a few items of the example, in its own precision and in float64. Errors: PackError."""
    for name, wanted in model.wanted.items():
        inputs, *args = (torch.from_numpy(array[:LANES]) for array in _arrays(model, name, example, order).values())
        with telling.doing(f"{name}: running the example"):
            model.take_shapes({name: shapes_of(wanted, len(model.labels), inputs, tuple(args))})
            for line in check_program(model.program(name), wanted, inputs, tuple(args), TRIED_TOL):
                telling.holds(line)
            # A copy, because a model's own float64 numbers would not outlast the way there and back.
            wide = copy.deepcopy(model).double()
            check_wide(wide.program(name), inputs, tuple(args))
            if model.dtype == torch.float32:
                doubled = tuple(arg.double() for arg in args)
                list(check_program(wide.program(name), wide.wanted[name], inputs.double(), doubled, TRIED_TOL))


def _arrays(model: OwnModel, name: str, given: Mapping[str, Array], order: PackOrder) -> dict[str, Array]:
    """Input and arguments of a program, in the model's precision."""
    dtype = str(model.dtype).removeprefix("torch.")
    return arrays_for(model.wanted[name], given, dtype, order.seed)


def _uncalibrated(model: OwnModel, order: PackOrder, directory: Path, telling: Telling) -> Manifest:
    """Weights and graphs written, and the manifest of them. Errors: PackError."""
    save_weights(model, directory)
    specs = {}
    for program in model.programs():
        specs[program.name] = ProgramSpec(
            graphs=None if order.torch_only else _exported(program, directory, telling),
            input=program.input,
            outputs=program.outputs,
            args=program.args,
            interval=program.interval,
            parts=tuple(PartSpec(name=part, size=size) for part, size in program.part_sizes.items()),
            methods=method_specs(DEFAULT_METHODS),
            tol=UNCALIBRATED,
        )
    files = [WEIGHTS, *(path.relative_to(directory).as_posix() for path in sorted(directory.rglob("*.onnx")))]
    return Manifest(
        name=order.name,
        version=order.version,
        task=model.task,
        description=model.description,
        state_dtype="float64" if model.dtype == torch.float64 else "float32",
        architecture={"family": order.package},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        programs=specs,
        labels=model.labels or None,
        provenance=Provenance(
            data=order.example.name,
            data_sha256={order.example.name: sha256_of(order.example)},
            seed=order.seed,
            command=order.command,
            epochs=0,
            date=datetime.now(UTC).date().isoformat(),
        ),
        sha256={file: sha256_of(directory / file) for file in files},
    )


def _exported(program: Program, directory: Path, telling: Telling) -> Graphs:
    """A program's graphs, written. Errors: PackError."""
    count = 3 + len(DEFAULT_METHODS)
    with telling.doing(f"{program.name}: exporting {count} graphs"):
        try:
            graphs = export_program(program, directory, DEFAULT_METHODS)
        except ExportError as error:
            raise PackError(f"{program.name}: {error}{TORCH_ONLY}") from error
    telling.holds(f"{program.name}: exported as {count} graphs")
    return graphs


def _calibrated(
    directory: Path, manifest: Manifest, model: OwnModel, data: Mapping[str, Array], order: PackOrder
) -> Manifest:
    """The manifest with limits and tables. Errors: PackError where a solve of the data fails at every tolerance."""
    source = (order.data or order.example).name
    labels = data[LABELS].astype(np.int64) if LABELS in data else None
    dtype = str(model.dtype).removeprefix("torch.")

    def items_of(program: str) -> Items:
        wanted = model.wanted[program]
        inputs, *args = arrays_for(wanted, data, dtype, order.seed).values()
        given = dict(zip((arg.name for arg in wanted.args), args, strict=True))
        return Items(inputs, given, labels, f"{len(inputs)} items of {source}")

    try:
        return measured(directory, manifest, model, items_of, threads=order.threads, command=order.command, width=WIDTH)
    except ValueError as error:
        raise PackError(f"calibration: {error}") from error
