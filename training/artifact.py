"""From a training run to an artifact directory the service can load."""

from datetime import UTC, datetime
from pathlib import Path

from node_model.calibration_table import TolLimits
from node_model.checkpoint import Model, architecture_of, publish, save_weights
from node_model.cnf import CNF
from node_model.export import DEFAULT_METHODS, export_program, method_specs
from node_model.manifest import (
    WEIGHTS,
    Manifest,
    PartSpec,
    PictureSpec,
    ProgramSpec,
    Provenance,
    sha256_of,
    write_manifest,
)
from node_model.odenet import ODENet
from node_model.program import Program
from training.command import command_of
from training.config import RunConfig
from training.run_directory import CONFIG, progress_of
from training.runs import trained_task
from training.tasks import ClassifyTask

UNCALIBRATED = TolLimits(tightest=1e-6, loosest=1e-1, default=1e-3)
"""Limits until `odetrain calibrate` has measured them."""


def export_run(run: Path, name: str, version: str, root: Path, data_dir: Path | None) -> Path:
    """Write `root/name/version` from a run's last saved weights; the directory.

    Errors: FileNotFoundError when the run saved nothing yet; FileExistsError when the version exists; ValueError for a
        network without a differential equation.
    """
    config = RunConfig.read(run / CONFIG)
    task = trained_task(run, data_dir)
    if not isinstance(task.model, ODENet | CNF):
        raise ValueError(f"{run}: a {config.family} has no differential equation to serve")
    step, scores = progress_of(run)
    provenance = Provenance(
        data=config.data,
        data_sha256=task.data.sha256,
        seed=config.seed,
        command=command_of(config),
        epochs=step / task.steps_per_epoch,
        date=datetime.now(UTC).date().isoformat(),
        train={f"held_out_{key}": value for key, value in scores.items()},
    )
    model = task.model
    labels = task.data.class_names if isinstance(task, ClassifyTask) else None
    picture = task.data.picture if isinstance(task, ClassifyTask) else None
    destination = root / name / version

    def write(directory: Path) -> None:
        write_artifact(model, name, version, provenance, labels, directory, picture)

    publish(destination, write)
    return destination


def write_artifact(
    model: Model,
    name: str,
    version: str,
    provenance: Provenance,
    labels: tuple[str, ...] | None,
    directory: Path,
    picture: PictureSpec | None = None,
) -> None:
    """Weights, graphs and an uncalibrated manifest, into an empty directory.

    `picture`: how a picture becomes an input; None: it does not.
    """
    model = model.cpu().eval()
    save_weights(model, directory)
    programs = {program.name: _program_spec(program, directory, picture) for program in model.programs()}
    files = [WEIGHTS, *(str(path.relative_to(directory)) for path in sorted(directory.rglob("*.onnx")))]
    manifest = Manifest(
        name=name,
        version=version,
        task="density" if isinstance(model, CNF) else "classify",
        state_dtype="float32",
        architecture=architecture_of(model),
        parameters=sum(p.numel() for p in model.parameters()),
        programs=programs,
        labels=labels,
        standardised_log_density_offset=-model.config.log_jacobian if isinstance(model, CNF) else None,
        provenance=provenance,
        sha256={file: sha256_of(directory / file) for file in files},
    )
    write_manifest(directory, manifest)


def _program_spec(program: Program, directory: Path, picture: PictureSpec | None) -> ProgramSpec:
    return ProgramSpec(
        graphs=export_program(program, directory),
        input=program.input.model_copy(update={"picture": picture}),
        outputs=program.outputs,
        args=program.args,
        interval=program.interval,
        parts=tuple(PartSpec(name=part, size=size) for part, size in program.part_sizes.items()),
        methods=method_specs(DEFAULT_METHODS),
        tol=UNCALIBRATED,
    )
