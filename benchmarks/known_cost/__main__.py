"""What the service says beforehand, against what came, on test images and under load.

Run: python -m benchmarks.known_cost answers; the same with between, and with load
"""

import json
from typing import Annotated, Any

import httpx
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.known_cost.answers import (
    Classifier,
    automatic,
    cheapest_methods,
    nfe_beside_dopri5,
    predicted_nfe,
    stability,
)
from benchmarks.known_cost.load import image_bodies, under_load
from benchmarks.known_cost.reference import reference_logits
from benchmarks.known_cost.report import write
from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, ours, running
from training.data import load_images

Array = npt.NDArray[Any]

OUT = ROOT / "docs" / "benchmarks"
DATA = {"odenet-mnist": "mnist", "odenet-fashion": "fashion-mnist"}
LOADED = ROOT / "checkpoints" / "odenet-mnist" / "1"
BATCH = 250
STRANGE = 1_000


app = typer.Typer(help=__doc__, pretty_exceptions_show_locals=False)


@app.command()
def answers(
    items: Annotated[int, typer.Option(help="Test images.")] = 10_000,
    fewer: Annotated[int, typer.Option(help="Test images with a float64 reference.")] = 1_000,
) -> None:
    """Evaluations, labels and errors: no clock is looked at."""
    found: dict[str, Any] = {}
    for name in (name for name in DATA if (ROOT / "checkpoints" / name).exists()):
        Console().print(name)
        directory, images = ROOT / "checkpoints" / name / "1", load_images(DATA[name], None).test_images[:items]
        classifier, some = Classifier(directory), images[:fewer]
        reference = reference_logits(directory, some)
        found[name] = {
            "nfe": predicted_nfe(classifier, images, classifier.ladder),
            "auto": automatic(classifier, images, lambda asked, name=name: _auto(name, asked)),  # type: ignore[misc]
            "stable": stability(classifier, images),
            "method": cheapest_methods(classifier, some, reference),
        }
    classifier = Classifier(LOADED)
    strange = {
        kind: automatic(classifier, images, lambda asked: _auto("odenet-mnist", asked))
        for kind, images in _strange().items()
    }
    _record({"items": items, "reference_items": fewer, "models": found, "no digits": strange})


@app.command()
def between(items: Annotated[int, typer.Option(help="Test images.")] = 300) -> None:
    """Evaluations at tolerances that no row was measured at."""
    found = {}
    for name in DATA:
        classifier = Classifier(ROOT / "checkpoints" / name / "1")
        images = load_images(DATA[name], None).test_images[:items]
        found[name] = nfe_beside_dopri5(classifier, images, classifier.between)
    _record({"between_items": items, "between": found})


@app.command()
def load(
    seconds: Annotated[float, typer.Option(help="Of each load.")] = 30,
    images_per_request: int = 8,
) -> None:
    """Milliseconds, deadlines and loosening, on a machine that does nothing else."""
    bodies = image_bodies(load_images("mnist", None).test_images, images_per_request)
    with training_paused():
        figures = under_load(bodies, Classifier(LOADED).program.cost, seconds)
    _record({"images_per_request": images_per_request, "load": figures})


def _record(part: dict[str, Any]) -> None:
    """Into known-cost.json; table and picture as soon as all parts are there."""
    path = OUT / "known-cost.json"
    recorded = json.loads(path.read_text()) if path.exists() else {}
    recorded |= {**described("onnxruntime", "torch"), **part}
    path.write_text(json.dumps(recorded, indent=1) + "\n")
    if {"models", "between", "load"} <= recorded.keys():
        write(OUT)


def _auto(name: str, images: Array) -> list[dict[str, Any]]:
    """Predictions of a server with tol=auto."""
    found = []
    with running(ours(MODELS=name)) as server, httpx.Client(base_url=server.url, timeout=300) as client:
        for first in track(range(0, len(images), BATCH), "tol=auto"):
            body = {"images": images[first : first + BATCH].tolist()}
            answer = client.post("/classify", params={"tol": "auto", "model": name}, json=body).raise_for_status()
            found += answer.json()["predictions"]
    return found


def _strange() -> dict[str, Array]:
    """Pictures that are no digits, in the range of the input."""
    rng, digits = np.random.default_rng(0), load_images("mnist", None).test_images[:STRANGE]
    return {
        "clothes (Fashion-MNIST)": load_images("fashion-mnist", None).test_images[:STRANGE],
        "uniform noise": rng.random(digits.shape).astype(np.float32),
        "digits in negative": 1 - digits,
        "two digits, one on the other": np.maximum(digits, digits[rng.permutation(len(digits))]),
    }


if __name__ == "__main__":
    app()
