"""odetrain pack: from torch modules of a user's own to an artifact that was checked, compared and measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from node_model.checkpoint import WEIGHTS, publish, save_weights
from node_model.errors import ExportError
from node_model.export import DEFAULT_METHODS, export_program, method_specs
from node_model.manifest import Manifest, PartSpec, ProgramSpec, Provenance, sha256_of, write_manifest
from node_model.own import OwnModel
from training.artifact import UNCALIBRATED
from training.calibrate import Items, measured
from training.pack_checks import check_program, check_wide, shapes_of
from training.pack_parity import check_parity
from training.package import LABELS, Array, PackError, arrays_for, load_package, read_arrays

FEW_ITEMS = 100
"""Fewer say little of a p99."""
TRIED_TOL = 1e-3
"""At which the example is solved before anything is known of the model."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class PackOrder:
    """What is to be packed as what. `data`: items to calibrate on, beside or in place of the example's."""

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


def pack(order: PackOrder, say: Say) -> Path:
    """Write `out/name/version`; the directory. `say` is told of each thing that holds.

    Errors: PackError naming what is wrong with the model or the example; FileExistsError when the version exists.
    """
    model = load_package(order.package)
    example = read_arrays(order.example, model)
    data = example if order.data is None else read_arrays(order.data, model)
    _check(model, example, order, say)
    destination = order.out / order.name / order.version

    def write(directory: Path) -> None:
        manifest = _uncalibrated(model, order, directory, say)
        write_manifest(directory, manifest)
        for name in model.wanted:
            say(check_parity(directory, manifest, model.program(name), _arrays(model, name, example, order)))
        if len(next(iter(data.values()), ())) < FEW_ITEMS:
            say(f"not calibrated: {FEW_ITEMS} items or more are needed; give --calibrate data.npy")
            return
        write_manifest(directory, _calibrated(directory, manifest, model, data, order))

    publish(destination, write)
    return destination


def _check(model: OwnModel, example: Mapping[str, Array], order: PackOrder, say: Say) -> None:
    """Every program on the example, in its own precision and in float64. Errors: PackError."""
    for name, wanted in model.wanted.items():
        inputs, *args = map(torch.from_numpy, _arrays(model, name, example, order).values())
        model.take_shapes({name: shapes_of(model, name, inputs, tuple(args))})
        for line in check_program(model.program(name), wanted, inputs, tuple(args), TRIED_TOL):
            say(line)
    dtype = model.dtype
    model.double()
    for name in model.wanted:
        inputs, *args = map(torch.from_numpy, _arrays(model, name, example, order).values())
        check_wide(model.program(name), inputs, tuple(args))
    model.to(dtype)


def _arrays(model: OwnModel, name: str, given: Mapping[str, Array], order: PackOrder) -> dict[str, Array]:
    """Input and arguments of a program, in the model's precision."""
    dtype = str(model.dtype).removeprefix("torch.")
    return arrays_for(model.wanted[name], given, dtype, order.seed)


def _uncalibrated(model: OwnModel, order: PackOrder, directory: Path, say: Say) -> Manifest:
    """Weights and graphs written, and the manifest of them. Errors: PackError."""
    save_weights(model, directory)
    specs = {}
    for program in model.programs():
        try:
            graphs = export_program(program, directory)
        except ExportError as error:
            raise PackError(f"{program.name}: {error}") from error
        say(f"{program.name}: exported as {3 + len(DEFAULT_METHODS)} graphs")
        specs[program.name] = ProgramSpec(
            graphs=graphs,
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


def _calibrated(
    directory: Path, manifest: Manifest, model: OwnModel, data: Mapping[str, Array], order: PackOrder
) -> Manifest:
    """The manifest with limits and tables. Errors: PackError where a solve of the data fails at every tolerance."""
    source = (order.data or order.example).name
    labels = data[LABELS][: order.items].astype(np.int64) if LABELS in data else None
    dtype = str(model.dtype).removeprefix("torch.")

    def items_of(program: str) -> Items:
        wanted = model.wanted[program]
        arrays = arrays_for(wanted, data, dtype, order.seed)
        inputs, *args = (array[: order.items] for array in arrays.values())
        given = dict(zip((arg.name for arg in wanted.args), args, strict=True))
        return Items(inputs, given, labels, f"{len(inputs)} items of {source}")

    try:
        return measured(directory, manifest, model, items_of, threads=order.threads, command=order.command)
    except ValueError as error:
        raise PackError(f"calibration: {error}") from error
