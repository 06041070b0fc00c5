"""Forecasts of the latent ODE example: served, by torchdiffeq and by fixed steps, for docs/benchmarks/latent-ode.md.

The example is trained and packed as its page says, in a folder of its own. Then the same series are foretold by the
service at each tolerance, by torchdiffeq in a loop over the series as a plain web handler would, and by Runge-Kutta's
fourth-order method with fixed steps. The reference is torchdiffeq's dopri8 in float64 at 1e-11.

Run: python -m benchmarks.latent_ode FOLDER [--steps 4000]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torchdiffeq import odeint

from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, ours, running

EXAMPLE = ROOT / "examples" / "latent_ode"
RESULTS = ROOT / "docs" / "benchmarks"
TIMES = np.linspace(1.1, 2.0, 10)
SERIES = 100
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FIXED_STEPS = (2, 4, 8, 16, 32, 64)
"""Over the whole interval from 0 to the last time."""


def main() -> None:
    """Train and pack where that was not done, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4_000)
    options = parser.parse_args()
    prepare(options.folder, options.steps)
    sys.path.insert(0, str(options.folder))
    torch.set_num_threads(1)
    with training_paused():
        found = compare(options.folder)
    recorded = {
        **described("torch", "torchdiffeq", "onnxruntime"),
        "command": "python -m benchmarks.latent_ode FOLDER",
        "training_steps": options.steps,
        **found,
    }
    (RESULTS / "latent-ode.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (RESULTS / "latent-ode.md").write_text(page(recorded))


def prepare(folder: Path, steps: int) -> None:
    """The example, trained and packed in a folder."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if not (folder / "weights.pt").exists():
        subprocess.run([sys.executable, "train.py", "--steps", str(steps)], cwd=folder, env=environment, check=True)
    if not (folder / "checkpoints").exists():
        words = ["pack", "latent_ode:build", "--name", "spirals", "--example", "series.npy"]
        subprocess.run([sys.executable, "-m", "training", *words], cwd=folder, env=environment, check=True)


def compare(folder: Path) -> dict[str, Any]:
    """Error, evaluations and milliseconds of each way."""
    import latent_ode  # of the folder
    import spirals

    model = latent_ode.LatentODE()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    model.eval().requires_grad_(False)
    truth, series = spirals.held_out(SERIES)
    z0 = model.encoder(torch.from_numpy(series))[0]
    reference = _reference(folder, series)
    places = truth.at(np.broadcast_to(TIMES, (SERIES, len(TIMES))))
    off = reference - places
    rows: list[dict[str, Any]] = []
    with running(ours(MODELS="spirals", MODELS_DIR=folder / "checkpoints")) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for tol in track(TOLERANCES, "served"):
                rows.append(_row("served", tol, reference, *_served(client, series, tol)))
        for tol in track(TOLERANCES, "torchdiffeq"):
            rows.append(_row("torchdiffeq", tol, reference, *_looped(model, z0, {"rtol": tol, "atol": tol})))
        for steps in track(FIXED_STEPS, "fixed steps"):
            fixed = {"method": "rk4", "options": {"step_size": float(TIMES[-1]) / steps}}
            rows.append(_row("rk4", steps, reference, *_looped(model, z0, fixed)))
    return {
        "series": SERIES,
        "times": len(TIMES),
        "forecast_rmse": float(np.sqrt(np.square(off).sum(-1).mean())),
        "rows": rows,
    }


def _row(way: str, setting: float, reference: Any, places: Any, nfe: float, milliseconds: float) -> dict[str, Any]:
    miss = np.abs(places - reference)
    return {
        "way": way,
        "setting": setting,
        "nfe": round(nfe, 2),
        "largest_difference": float(f"{miss.max():.3g}"),
        "rms_difference": float(f"{np.sqrt(np.square(miss).mean()):.3g}"),
        "ms_a_series": round(milliseconds, 3),
    }


def _reference(folder: Path, series: Any) -> Any:
    import latent_ode

    model = latent_ode.LatentODE()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    model.double().eval().requires_grad_(False)
    z0 = model.encoder(torch.from_numpy(series).double())[0]
    grid = torch.from_numpy(np.concatenate([[0.0], TIMES]))
    zs = odeint(lambda t, z: model.field(t, z, ()), z0, grid, rtol=1e-11, atol=1e-11, method="dopri8")[1:]
    return model.decoder(zs)[0].transpose(0, 1).numpy()


def _served(client: httpx.Client, series: Any, tol: float) -> tuple[Any, float, float]:
    """Places, mean NFE and the median of the milliseconds that a client waited for one series."""
    places, nfe, waited = [], [], []
    for rows in series:
        body = json.dumps({"input": rows.tolist(), "t": TIMES.tolist()})
        headers = {"Content-Type": "application/json"}
        url = f"/predict?model=spirals&tol={tol}"
        began = time.perf_counter()
        answer = client.post(url, content=body, headers=headers)
        waited.append(1e3 * (time.perf_counter() - began))
        (prediction,) = answer.raise_for_status().json()["predictions"]
        places.append([at["place"] for at in prediction["output"]])
        nfe.append(prediction["solver"]["nfe"])
    return np.array(places), statistics.mean(nfe), statistics.median(waited)


def _looped(model: Any, z0: Tensor, how: dict[str, Any]) -> tuple[Any, float, float]:
    """Places, mean NFE and the median of the milliseconds a series, one after another; no web server around it."""
    calls = 0

    def field(t: Tensor, z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        derivative: Tensor = model.field(t, z, ())
        return derivative

    grid = torch.from_numpy(np.concatenate([[0.0], TIMES]))
    places, taken = [], []
    for z in z0.split(1):
        began = time.perf_counter()
        zs = odeint(field, z, grid, **how)[1:]
        places.append(model.decoder(zs)[0][:, 0].numpy())
        taken.append(1e3 * (time.perf_counter() - began))
    return np.stack(places), calls / len(z0), statistics.median(taken)


LABELS = {"served": "odeserve, over HTTP", "torchdiffeq": "torchdiffeq, dopri5, in a loop", "rk4": "rk4, in a loop"}


def page(recorded: dict[str, Any]) -> str:
    """The page of a record."""
    lines = [
        "| | tol or steps | NFE | largest difference | RMS | ms a series |",
        "|---|---|---|---|---|---|",
    ]
    for row in recorded["rows"]:
        setting = f"{row['setting']:g} steps" if row["way"] == "rk4" else f"{row['setting']:.0e}".replace("e-0", "e-")
        lines.append(
            f"| {LABELS[row['way']]} | {setting} | {row['nfe']:.1f} | {row['largest_difference']:.1e} "
            f"| {row['rms_difference']:.1e} | {row['ms_a_series']:.2f} |"
        )
    return "\n".join(
        [
            "# A latent ODE: served, looped over, and in fixed steps",
            "",
            f"The [latent ODE example](../latent-ode.md), {recorded['series']} series that training did not see, one",
            f"after another, each foretold at {recorded['times']} times. Differences are between the places foretold",
            "and those of torchdiffeq's dopri8 in float64 at 1e-11 from the same weights; they are errors of the",
            f"solver alone. The forecast itself misses the true path by {recorded['forecast_rmse']:.3f} (RMS).",
            "",
            "What is served steps onto each time exactly; torchdiffeq interpolates between its steps. `ms a series`",
            "is the wait of an HTTP client with everything in it, and of the loops the solve and the decoder alone,",
            "without encoder or web server.",
            "",
            *lines,
            "",
            f"Measured {recorded['date']} on {recorded['machine']}; {recorded['versions']}. Made by",
            f"`{recorded['command']}`; figures: [latent-ode.json](latent-ode.json).",
            "",
        ]
    )


if __name__ == "__main__":
    main()
