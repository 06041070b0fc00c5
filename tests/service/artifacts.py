"""Tiny artifacts for tests: untrained networks, one method, a made-up calibration table."""

import fcntl
from pathlib import Path

from node_model.calibration_table import Calibration, CalibrationRow, TolLimits
from node_model.manifest import Manifest, PartSpec, PictureSpec, ProgramSpec, Provenance, sha256_of, write_manifest

METHOD = "bosh3"
DRAWN = PictureSpec(shows="ink", box=6, centre="mass")
DIGITS, CLOUD, RAW, WILD = "tiny-digits", "tiny-cloud", "tiny-raw", "tiny-wild"
SPRING, DECAY, SHAKEN = "tiny-spring", "tiny-decay", "tiny-shaken"


def calibration(unit):
    def row(tol, nfe, error, first_dt):
        return CalibrationRow(
            method=METHOD,
            tol=tol,
            nfe_mean=nfe,
            nfe_p50=nfe,
            nfe_p99=2 * nfe,
            error_rms=error / 2,
            error_p99=error,
            margin_error_p99=error if unit == "logit" else None,
            first_dt=first_dt,
        )

    rows = (row(0.1, 7, 1e-3, 0.5), row(0.01, 14, 1e-4, 0.25), row(0.001, 28, 1e-5, 0.1), row(0.0001, 56, 1e-6, 0.05))
    return Calibration(unit=unit, metric="none", data="made up", items=1, reference="none", command="none", rows=rows)


def write_artifact(
    root, model, name, task, calibrated=True, version="1", picture=None, architecture=None, dtype="float32"
):
    from node_model.checkpoint import save_weights
    from node_model.export import export_program, method_specs  # torch takes a second

    directory = root / name / version
    directory.mkdir(parents=True)
    programs = {}
    for program in model.programs():
        unit = {"classify": "logit", "sample": "output", "predict": "output"}.get(program.name, "nat")
        programs[program.name] = ProgramSpec(
            graphs=export_program(program, directory, (METHOD,)),
            input=program.input.model_copy(update={"picture": picture}),
            outputs=program.outputs,
            args=program.args,
            interval=program.interval,
            parts=tuple(PartSpec(name=part, size=size) for part, size in program.part_sizes.items()),
            methods=method_specs((METHOD,)),
            tol=TolLimits(tightest=1e-4, loosest=1e-1, default=1e-2),
            calibration=calibration(unit) if calibrated else None,
        )
    if architecture:
        save_weights(model, directory)
    files = [str(path.relative_to(directory)) for path in sorted(directory.rglob("*")) if path.is_file()]
    manifest = Manifest(
        name=name,
        version=version,
        task=task,
        state_dtype=dtype,
        architecture=architecture or {},
        parameters=1,
        programs=programs,
        labels=tuple("abcd") if task == "classify" else None,
        provenance=Provenance(data="none", data_sha256={"x": "0" * 64}, seed=0, command="none", epochs=0, date="none"),
        sha256={file: sha256_of(directory / file) for file in files},
    )
    write_manifest(directory, manifest)


def tiny_models(root: Path) -> Path:
    """Folder with a classifier, two flows, one of them not calibrated, and two models with a program of their own; made
    once, whoever asks first."""
    root.mkdir(exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / ".done").exists():
            import torch

            from node_model.cnf import CNF, CNFConfig
            from node_model.odenet import ODENet, ODENetConfig

            torch.manual_seed(0)
            digits = ODENet(ODENetConfig(image_size=8, channels=4, classes=4))
            write_artifact(root, digits, DIGITS, "classify", picture=DRAWN)
            cloud = CNF(CNFConfig(mean=(0.0, 1.0, 0.0), std=(1.0, 2.0, 0.5), hidden=(8, 8)))
            write_artifact(root, cloud, CLOUD, "density")
            flat = CNF(CNFConfig(mean=(0.0, 0.0), std=(1.0, 1.0), hidden=(4,)))
            write_artifact(root, flat, RAW, "density", calibrated=False)
            from oscillator import Oscillator

            for name, model, dtype in (
                (SPRING, Oscillator({"stiffness": 4.0, "damped": True}).double(), "float64"),
                (DECAY, Oscillator({"stiffness": 0.25}), "float32"),
            ):
                architecture = {"family": "oscillator", **model.config}
                write_artifact(root, model, name, "predict", architecture=architecture, dtype=dtype)
            (root / ".done").touch()
    return root


def shaken_model(root: Path) -> Path:
    """Folder with one oscillator whose damping the server draws."""
    from oscillator import Oscillator

    model = Oscillator({"stiffness": 4.0, "shaken": True})
    write_artifact(root, model, SHAKEN, "predict", architecture={"family": "oscillator", **model.config})
    return root


def wild_model(root: Path) -> Path:
    """Folder with one flow whose field blows up: no solve of it ends well."""
    import torch

    from node_model.cnf import CNF, CNFConfig

    torch.manual_seed(0)
    wild = CNF(CNFConfig(mean=(0.0, 0.0), std=(1.0, 1.0), hidden=(8,)))
    with torch.no_grad():
        for parameter in wild.parameters():
            parameter.mul_(1e4)
    write_artifact(root, wild, WILD, "density", calibrated=False)
    return root
