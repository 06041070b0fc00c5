"""odetrain calibrate: what each tolerance costs and how wrong its answer is, measured on the exported graphs; on
the modules where there are none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from node_model.checkpoint import load_model
from node_model.manifest import Manifest, write_manifest
from training.calibration_items import Items, calibration_items
from training.graphs import GraphProgram
from training.measure import Measure
from training.modules import ModuleProgram


def calibrate(
    directory: Path, *, items: int, data_dir: Path | None, threads: int, command: str, between: bool = False
) -> Manifest:
    """Measure every program of an artifact and rewrite its manifest; the new manifest.

    `between` keeps the rows there are and measures NFE between them alone, which needs no reference.

    Errors: ArtifactError for a damaged artifact; ValueError when its data set is not to be found or has changed, or
        when there are no rows to keep.
    """
    manifest, model = load_model(directory)

    def items_of(program: str) -> Items:
        return calibration_items(manifest, program, items, data_dir)

    updated = measured(directory, manifest, model, items_of, threads=threads, command=command, between=between)
    write_manifest(directory, updated)
    return updated


def measured(
    directory: Path,
    manifest: Manifest,
    model: Any,
    items_of: Callable[[str], Items],
    *,
    threads: int,
    command: str,
    between: bool = False,
    width: int = 8,
) -> Manifest:
    """The manifest with every program's limits and table. `model`: a module with programs(), that of the artifact.

    `width`: how many items are solved side by side, which changes no figure.

    Errors: ValueError where there is nothing to measure, or no rows to keep.
    """
    torch.set_num_threads(threads)
    programs = dict(manifest.programs)
    with Progress(transient=False) as progress:
        for program in model.programs():
            graphs: GraphProgram | ModuleProgram
            if manifest.has_graphs:
                graphs = GraphProgram(directory, manifest, program.name, threads, width)
            else:
                graphs = ModuleProgram(manifest.programs[program.name], program, width)
            measure = Measure(manifest, model, program, graphs, items_of(program.name), progress, command)
            programs[program.name] = measure.between() if between else measure.run()
    return Manifest.model_validate(manifest.model_dump() | {"programs": programs})
