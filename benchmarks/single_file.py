"""A solve in one ONNX file: how large, how soon ready, how fast beside the service's engine, torchdiffeq, a browser?

Run: python -m benchmarks.single_file
Needs Chromium, and `npm install` in examples/browser.
"""

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import described, training_paused
from benchmarks.playground import CHROMIUM, FLAGS
from benchmarks.work_precision import Array, rival
from node_model.checkpoint import load_model as load_network
from node_model.cnf import CNF
from node_model.manifest import read_manifest
from node_model.odenet import ODENet
from service.backends.onnx import OnnxStepper
from service.engine.engine import solve_alone
from service.engine.program import ServedProgram
from service.engine.request import Problem
from service.models import load_model
from service.settings import Settings
from training.single_file_export import FileOrder, export_single_file

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "benchmarks" / "single-file.json"
PICTURE = ROOT / "docs" / "pictures" / "single-file.png"
METHOD = "dopri5"
MODELS = {"odenet-mnist": "classify", "cnf-two-moons": "log_density"}
TOLS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
ROUNDS = {1: 41, 64: 11}
"""By batch; in the browser too."""
LOADS = 11
Solve = Callable[[], object]


def inputs_of(model: str, count: int) -> Array:
    """Drawn digits, or points of the plane; as many as wanted."""
    if model == "odenet-mnist":
        files = sorted((ROOT / "examples" / "digits").glob("*.json"))
        images = [json.loads(file.read_text())["image"] for file in files]
        return np.array([images[number % len(images)] for number in range(count)], np.float32)
    return np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)


def session_of(file: Path) -> Any:
    """On one thread, as the service and torchdiffeq are here."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def problem(program: ServedProgram, inputs: Array, tol: float) -> Problem:
    """A request to the engine, as the service would make it."""
    budget = program.cost.max_nfe(METHOD, tol, Settings().max_nfe)
    return Problem(program, METHOD, inputs, (), tol, tol, budget, program.cost.first_dt(METHOD, tol), True)


def alternated(ways: dict[str, Solve], rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time of each, measured in turns: all of it is this thread's."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work()
    for _ in range(rounds):
        for name, work in ways.items():
            begun = time.thread_time()
            work()
            taken[name].append(1e3 * (time.thread_time() - begun))
    return {name: round(statistics.median(values), 3) for name, values in taken.items()}


def solves(model: str, file: Path) -> list[dict[str, Any]]:
    """One row for each batch and tolerance."""
    artifact = ROOT / "checkpoints" / model / "1"
    session, program = session_of(file), load_model(artifact, Settings()).programs[MODELS[model]]
    _, network = load_network(artifact)
    assert isinstance(network, ODENet | CNF)
    rows = []
    for count in ROUNDS:
        inputs = inputs_of(model, count)
        for tol in TOLS:
            feed = {program.spec.input.name: inputs, "tol": np.array([tol]), "max_nfe": np.array([0])}
            answers, nfe, *_, status = session.run(None, feed)
            assert (status == 1).all()
            request = solve_alone(problem(program, inputs, tol))
            ways: dict[str, Solve] = {
                "file_ms": partial(session.run, None, feed),
                "engine_ms": partial(solve_alone, problem(program, inputs, tol)),
                "torchdiffeq_ms": partial(rival, network, inputs, tol, METHOD),
            }
            same = np.array_equal(answers, request.outputs[0]) and np.array_equal(nfe, request.solution.nfe)
            rows.append(
                {"model": model, "batch": count, "tol": tol, "nfe_mean": round(float(nfe.mean()), 1)}
                | {"same_bits_as_engine": bool(same)}
                | alternated(ways, ROUNDS[count])
            )
            print(rows[-1], flush=True)
    return rows


def loads(model: str, file: Path) -> dict[str, Any]:
    """What it weighs, and how soon it is ready beside the graphs of the artifact."""
    artifact = ROOT / "checkpoints" / model / "1"
    manifest = read_manifest(artifact)
    ways: dict[str, Solve] = {
        "file_load_ms": partial(session_of, file),
        "artifact_load_ms": partial(OnnxStepper, artifact, manifest, MODELS[model]),
    }
    return {"model": model, "bytes": file.stat().st_size, **alternated(ways, LOADS)}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def example_page(files: dict[str, Path]) -> Iterator[tuple[str, Page, str]]:
    """examples/browser with some models, in Chromium: its address, a page, and the version."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "digits").symlink_to(ROOT / "examples" / "digits")
        (place / "browser").mkdir()
        for part in (ROOT / "examples" / "browser").iterdir():
            if part.suffix != ".onnx":
                (place / "browser" / part.name).symlink_to(part)
        for name, file in files.items():
            (place / "browser" / f"{name}.onnx").symlink_to(file)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1120, "height": 900})
            yield f"http://127.0.0.1:{server.server_port}/browser/", page, browser.version
            browser.close()
        server.shutdown()
        server.server_close()


IN_PAGE = """async ([file, inputs, tols, rounds]) => {
  const { load, solve } = await import(new URL("model.js", location.href));
  const { milliseconds } = await load(file);
  const rows = [];
  for (const [batch, count] of rounds) for (const tol of tols) {
    const taken = [], lanes = Array(batch).fill(tol);
    let found;
    for (let round = 0; round < count; round++) {
      found = await solve(Float32Array.from(inputs), lanes);
      taken.push(found[0].milliseconds);
    }
    taken.sort((a, b) => a - b);
    const [least, median] = [taken[0], taken[Math.floor(count / 2)]];
    rows.push({ batch, tol, nfe: found[0].nfe, answer: found[0].answer, least_ms: least, median_ms: median });
  }
  return [milliseconds, rows];
}"""
"""An input solved in a page, by its own modules: once, and in as many lanes as a batch has."""


DIGITS_IN_PAGE = """async ([file, images, tols]) => {
  const { load, solve } = await import(new URL("model.js", location.href));
  await load(file);
  const found = [];
  for (const image of images) found.push(await solve(Float32Array.from(image), tols));
  return found;
}"""


def digits_in_both(page: Page, file: Path) -> dict[str, Any]:
    """Ten drawn digits at every decade of tolerance, in the page and in Python: in how much they agree."""
    images, tols = inputs_of("odenet-mnist", 10), [*TOLS, 1e-6]
    found = page.evaluate(DIGITS_IN_PAGE, [file.name, [image.ravel().tolist() for image in images], tols])
    session, away, same_nfe, same_label = session_of(file), 0.0, 0, 0
    for image, lanes in zip(images, found, strict=True):
        feed = {"image": np.stack([image] * len(tols)), "tol": np.array(tols), "max_nfe": np.array([0])}
        logits, nfe, *_ = session.run(None, feed)
        theirs = np.array([lane["answer"] for lane in lanes])
        away = max(away, float(np.abs(theirs - logits).max()))
        same_nfe += sum(lane["nfe"] == int(used) for lane, used in zip(lanes, nfe, strict=True))
        same_label += int((theirs.argmax(1) == logits.argmax(1)).sum())
    return {"solves": 10 * len(tols), "same_nfe": same_nfe, "same_label": same_label, "logit_differs_by": away}


def in_browser(files: dict[str, Path]) -> dict[str, Any]:
    """Milliseconds in Chromium, and how far the answers are from those of Python; a picture of the page too."""
    rows, ready, digits = [], {}, {}
    with example_page(files) as (url, page, version):
        for model, file in files.items():
            page.goto(url)
            page.wait_for_selector("main[data-ladder]", timeout=60_000)
            one, session = inputs_of(model, 1), session_of(file)
            asked = [f"{model}.onnx", one.ravel().tolist(), TOLS, list(ROUNDS.items())]
            ready[model], found = page.evaluate(IN_PAGE, asked)
            for row in found:
                name = session.get_inputs()[0].name
                feed = {name: one, "tol": np.array([row["tol"]]), "max_nfe": np.array([0])}
                answer, nfe, *_ = session.run(None, feed)
                away = float(np.abs(np.array(row.pop("answer")) - answer[0]).max())
                rows.append({"model": model, **row, "nfe_in_python": int(nfe[0]), "answer_differs_by": away})
                print(rows[-1], flush=True)
            if model == "odenet-mnist":
                digits = digits_in_both(page, file)
        page.goto(url)
        page.wait_for_selector("main[data-ladder]", timeout=60_000)
        page.click("#examples button:has-text('4')")
        page.wait_for_selector("main[data-ladder]", timeout=60_000)
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE, full_page=True)
    return {"chromium": version, "load_ms": ready, "rows": rows, "digits": digits}


def page_of(recorded: dict[str, Any]) -> str:
    """The record as a page."""
    browser = recorded["browser"]
    in_page = {(row["model"], row["batch"], row["tol"]): row["least_ms"] for row in browser["rows"]}
    table = "\n".join(
        f"| `{row['model']}` | {row['batch']} | 1e{round(np.log10(row['tol'])):d} | {row['nfe_mean']:g} "
        f"| {row['file_ms']:.2f} | {row['engine_ms']:.2f} | {row['torchdiffeq_ms']:.2f} "
        f"| {row['torchdiffeq_ms'] / row['file_ms']:.1f} | {in_page[row['model'], row['batch'], row['tol']]:.1f} |"
        for row in recorded["rows"]
    )
    ready = "\n".join(
        f"| `{row['model']}` | {row['bytes'] / 1e6:.2f} MB | {row['file_load_ms']:.0f} ms "
        f"| {row['artifact_load_ms']:.0f} ms | {browser['load_ms'][row['model']]:.0f} ms |"
        for row in recorded["loads"]
    )
    same = all(row["same_bits_as_engine"] for row in recorded["rows"])
    equal = sum(row["nfe"] == row["nfe_in_python"] for row in browser["rows"])
    away = max(row["answer_differs_by"] for row in browser["rows"])
    digits = browser["digits"]
    return f"""# A single file

`odetrain export --single-file`, method `{METHOD}`: milliseconds of a solve with encode and decode, on one thread. Of
Python it is processor time, medians of {ROUNDS[1]} rounds (batch 64: {ROUNDS[64]}) in turns; of the browser, whose
processor time is not told, the least of as many runs, because others share the cores. *Engine* is the service without
HTTP; torchdiffeq solves the batch with one step size at the same tol, which is not the same error ([that
comparison](work-precision.md)). The browser is Chromium {browser["chromium"]} with onnxruntime-web
{recorded["onnxruntime_web"]}, one input in as many lanes as the batch has.

| model | batch | tol | NFE (mean) | file | engine | torchdiffeq | torchdiffeq / file | browser |
|---|---|---|---|---|---|---|---|---|
{table}

Answers and NFE of the file {"are" if same else "are NOT"} those of the engine, bit for bit, in every row. In the
browser NFE is that of Python in {equal} of {len(browser["rows"])} rows, and no answer is further from Python's than
{away:.1g}. Of {digits["solves"]} solves of ten drawn digits at 1e-1 to 1e-6 the browser has the label of Python in
{digits["same_label"]}, its NFE in {digits["same_nfe"]}, and no logit differs by more than
{digits["logit_differs_by"]:.1g}.

| model | size | loading the file | the artifact's graphs, all three methods | in the browser, with a first run |
|---|---|---|---|---|
{ready}

{recorded["machine"]}. {recorded["date"]}. {recorded["versions"]}. `{recorded["command"]}`
"""


def main() -> None:
    """Write docs/benchmarks/single-file.json and .md, and the picture of the page."""
    torch.set_num_threads(1)
    wanted = json.loads((ROOT / "examples" / "browser" / "package.json").read_text())["dependencies"]
    with tempfile.TemporaryDirectory() as folder, training_paused():
        files = {name: Path(folder) / f"{name}.onnx" for name in MODELS}
        for name, file in files.items():
            export_single_file(FileOrder(ROOT / "checkpoints" / name / "1", file, MODELS[name], METHOD))
        found = {
            "loads": [loads(name, file) for name, file in files.items()],
            "rows": [row for name, file in files.items() for row in solves(name, file)],
            "browser": in_browser(files),
        }
    recorded = {
        **described("onnxruntime", "torch", "torchdiffeq"),
        "command": "python -m benchmarks.single_file",
        "onnxruntime_web": wanted["onnxruntime-web"],
        **found,
    }
    OUT.write_text(json.dumps(recorded, indent=1) + "\n")
    OUT.with_suffix(".md").write_text(page_of(recorded))
    print(page_of(recorded))


if __name__ == "__main__":
    main()
