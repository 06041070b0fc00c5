"""Pictures as requests: how many get their label once they are made into inputs again, and what the bodies cost.

Run: python -m benchmarks.pictures [items of the first row, 10000] [of the others, 1000]
The data sets are looked for in ODETRAIN_DATA, else downloaded.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import described
from benchmarks.renderings import Array, rendered
from service.api.answers import Solved, classifications
from service.api.bodies import TensorBody
from service.api.media import JSON, media_type
from service.api.pictures.container import inspect
from service.api.pictures.decode import grey_of
from service.api.pictures.errors import PictureError
from service.api.pictures.prepare import prepare
from service.api.responses import answer_response
from service.engine.engine import solve_alone
from service.engine.program import ServedProgram
from service.engine.request import Problem, Request
from service.models import LoadedModel, load_model
from service.settings import Settings
from training.data import load_images

OUT = Path("docs/benchmarks")
METHOD, TOL, BATCH = "bosh3", 0.1, 500
REPEATS = 2000
Encode = Callable[[Array], bytes]


def png(values: Array) -> bytes:
    """As a PNG file."""
    return _encoded(Image.fromarray(values), "PNG")


def jpeg_on_its_side(values: Array) -> bytes:
    """As a JPEG file of a camera that was held upright, in colour."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(values).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    return _encoded(turned, "JPEG", quality=80, exif=exif)


def light_on_dark(values: Array) -> bytes:
    """The same, negated."""
    return png(255 - values)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


LIT, HARDER, PLAIN = {"light": 0.5, "noise": 6.0}, {"light": 0.7, "noise": 12.0}, {"light": 0.0, "noise": 0.0}
ROWS: tuple[tuple[str, str, dict[str, Any], Encode], ...] = (
    ("odenet-mnist", "dark on light, light down to a half, noise 6", LIT, png),
    ("odenet-mnist", "the same, light down to 0.3, noise 12", HARDER, png),
    ("odenet-mnist", "light on dark, light down to a half, noise 6", LIT, light_on_dark),
    ("odenet-mnist", "as the first, a JPEG of a camera on its side", LIT, jpeg_on_its_side),
    ("odenet-fashion", "on white", {**PLAIN, "ground": 255}, png),
    ("odenet-fashion", "on light grey, light down to 0.8, noise 4", {"light": 0.2, "noise": 4.0}, png),
)


def accuracy(model: LoadedModel, how: dict[str, Any], encode: Encode, images: Array, labels: Array) -> dict[str, Any]:
    """Share of right labels of the images themselves and of their pictures, and what a picture took."""
    program, rng = model.programs["classify"], np.random.default_rng(0)
    spec, seconds, refused = program.spec.input, [], 0
    inputs = np.zeros_like(images)
    for i, image in enumerate(images):
        data = encode(rendered(image, rng, **how))
        begun = time.thread_time()
        try:
            inputs[i] = prepare(grey_of(data, inspect(data)), spec)
        except PictureError:
            refused += 1
        seconds.append(time.thread_time() - begun)
    return {
        "items": len(images),
        "accuracy_as_arrays": float((_labels(program, images) == labels).mean()),
        "accuracy_as_pictures": float((_labels(program, inputs) == labels).mean()),
        "refused": refused,
        "cpu_ms_per_picture": round(1e3 * float(np.median(seconds)), 2),
    }


def _labels(program: ServedProgram, images: Array) -> Array:
    found = [solve_alone(_problem(program, images[i : i + BATCH])).outputs[0] for i in range(0, len(images), BATCH)]
    return np.asarray(np.concatenate(found).argmax(1))


def _problem(program: ServedProgram, images: Array) -> Problem:
    first_dt = program.cost.first_dt(METHOD, TOL)
    return Problem(program, METHOD, images, (), TOL, TOL, 1000, first_dt, True)


def json_cost(model: LoadedModel, image: Array) -> dict[str, float]:
    """Processor time of an image in JSON, in and out, without what solves and carries it. Units: milliseconds."""
    program = model.programs["classify"]
    body = json.dumps({"image": image.round(3).tolist()}).encode()
    reader = TensorBody(program.spec.input, "image", "images", 20_000)
    request: Request = solve_alone(_problem(program, image[None]))
    solved, labels = Solved.of(request), model.manifest.labels or ()

    def choose() -> bool:
        return media_type(JSON) == JSON and body.count(b"{") < 2

    def out() -> object:
        return answer_response({"predictions": classifications(solved, labels)}, {})

    return {
        "body_bytes": len(body),
        "in_ms": _median_ms(partial(reader.read, body)),
        "choose_reader_ms": _median_ms(choose),
        "out_ms": _median_ms(out),
    }


def _median_ms(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        begun = time.thread_time()
        work()
        taken.append(time.thread_time() - begun)
    return round(1e3 * float(np.median(taken)), 4)


def main() -> None:
    """Write docs/benchmarks/pictures.{md,json}."""
    most, few = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 10_000), (2, 1000)))
    sets = {"odenet-mnist": load_images("mnist"), "odenet-fashion": load_images("fashion-mnist")}
    models = {name: load_model(Path("checkpoints") / name / "1", Settings(lanes=8)) for name in sets}
    rows = []
    for number, (name, words, how, encode) in enumerate(ROWS):
        items = slice(0, few if number else most)
        data = sets[name]
        found = accuracy(models[name], how, encode, data.test_images[items], data.test_labels[items])
        rows.append({"model": name, "pictures": words, **found})
        print(rows[-1], flush=True)
    recorded = {
        **described("pillow", "numpy", "onnxruntime"),
        "rows": rows,
        "json": json_cost(models["odenet-mnist"], sets["odenet-mnist"].test_images[0]),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "pictures.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (OUT / "pictures.md").write_text(markdown(recorded))
    print((OUT / "pictures.md").read_text())


def markdown(recorded: dict[str, Any]) -> str:
    """What was found, in words."""
    cost = recorded["json"]
    whole = cost["in_ms"] + cost["choose_reader_ms"] + cost["out_ms"]
    lines = "\n".join(
        f"| {row['model']} | {row['pictures']} | {row['items']} | {100 * row['accuracy_as_arrays']:.2f} % "
        f"| {100 * row['accuracy_as_pictures']:.2f} % | {row['refused']} | {row['cpu_ms_per_picture']:g} ms |"
        for row in recorded["rows"]
    )
    return f"""# Pictures

Test images made into pictures again, three times larger, off centre; right labels at tol {TOL:g} by {METHOD}:

| model | pictures | items | right as arrays | right as pictures | refused | processor time of a picture |
|---|---|---|---|---|---|---|
{lines}

A 28 x 28 image as plain JSON ({cost["body_bytes"]} bytes), processor time: {1e3 * cost["choose_reader_ms"]:.1f} us to \
choose the reader, {cost["in_ms"]:.3f} ms in, {cost["out_ms"]:.3f} ms out, together {whole:.3f} ms; target 0.25 ms.

{recorded["machine"]}; {recorded["versions"]}; {recorded["date"]}. Made by `python -m benchmarks.pictures`.
"""


if __name__ == "__main__":
    main()
