"""Draw the accuracy/latency curve of a running odeserve as a picture, from its public API alone.

Items are asked about one at a time at every calibrated tolerance, in a shuffled order: latency is what this client
waited. How far an answer is off is measured against the tightest tolerance. Beside both stands the calibration.

Run: python examples/tradeoff_curve.py [--url http://127.0.0.1:8000] [--model cnf-pinwheel] [--out tradeoff-curve.png]
Needs: pip install matplotlib
"""

import argparse
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
from rich.progress import track

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

DIGITS = sorted((Path(__file__).parent / "digits").glob("*.json"))
POINTS = 20
INK, MEASURED, CALIBRATED, GRID = "#1f2933", "#0b6e99", "#d9730d", "#e4e7eb"
STYLE = {
    "font.size": 10,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
Answer = dict[str, Any]


@dataclass
class Tolerance:
    """What was measured at a tolerance, and what its calibration says. Units: milliseconds; errors as `Curve.unit`."""

    tol: float
    calibrated: dict[str, float]
    latencies: list[float] = field(default_factory=list)
    nfe: list[int] = field(default_factory=list)
    method: str = ""
    differences: Any = None


@dataclass
class Curve:
    """Of one model, loosest tolerance first; the last is what the others are compared with."""

    model: str
    unit: str
    items: int
    rounds: int
    tolerances: list[Tolerance]


class Model:
    """One model of a server: its items, and how they are asked about."""

    def __init__(self, client: httpx.Client, name: str) -> None:
        self._client = client
        described = self._get(f"/models/{name}")
        self.name = f"{described['name']}@{described['version']}"
        self.classifies = described["task"] == "classify"
        if described["task"] == "predict":
            raise SystemExit(f"{name}: expected a classifier or a density")
        self._route, self._field = ("/classify", "image") if self.classifies else ("/density", "point")
        self.program = described["signature"][self._route]["program"]
        shape = described["signature"][self._route]["input"]["shape"]
        self.items = self._images(shape) if self.classifies else self._points()

    def rows(self) -> list[dict[str, Any]]:
        """The calibration table."""
        rows = self._get(f"/models/{self.name}/tradeoff")["rows"]
        return [row for row in rows if row["program"] == self.program]

    def ask(self, item: Any, tol: float) -> Answer:
        """About one item."""
        return self._post(self._route, {self._field: item}, model=self.name, tol=tol)["predictions"][0]

    def answers(self, tol: float) -> Any:
        """Of all items: logits, which /v2 tells, or log-densities. Shapes: -> [item, ...]."""
        if not self.classifies:
            found = self._post(self._route, {"points": self.items}, model=self.name, tol=tol)["predictions"]
            return np.array([[one["log_density"]] for one in found])
        images = np.array(self.items)
        given = {"name": "image", "datatype": "FP32", "shape": list(images.shape), "data": images.ravel().tolist()}
        body = {"inputs": [given], "outputs": [{"name": "logits"}], "parameters": {"tol": tol}}
        name, _, version = self.name.partition("@")
        (logits,) = self._post(f"/v2/models/{name}/versions/{version}/infer", body)["outputs"]
        return np.reshape(logits["data"], logits["shape"])

    def _images(self, shape: list[int]) -> list[Any]:
        images = [json.loads(path.read_text())["image"] for path in DIGITS]
        if list(np.shape(images[0])) != shape:
            raise SystemExit(f"{self.name}: the drawn digits are 28 x 28, its images are {shape}")
        return images

    def _points(self) -> list[Any]:
        """Drawn from the model itself, so that they are as its data were."""
        return self._post("/sample", {"n": POINTS, "seed": 0}, model=self.name)["samples"]

    def _get(self, path: str) -> Answer:
        return _read(self._client.get(path))

    def _post(self, path: str, body: dict[str, Any], **query: Any) -> Answer:
        return _read(self._client.post(path, json=body, params=query))


def _read(response: httpx.Response) -> Answer:
    if response.is_error:
        raise SystemExit(f"{response.url}: {response.text}")
    return response.json()


def measure(model: Model, rounds: int) -> Curve:
    """Every item at every tolerance, in turns: what else the machine does is then shared by all of them."""
    rows = model.rows()
    if not rows:
        raise SystemExit(f"{model.name}: was never calibrated")
    tolerances = [Tolerance(tol, {}) for tol in sorted({row["tol"] for row in rows}, reverse=True)]
    asks = [(one, item) for one in tolerances for item in model.items]
    for one, item in asks:
        answer = model.ask(item, one.tol)
        one.method = answer["solver"]["method"]
        one.nfe.append(answer["solver"]["nfe"])
    shuffled = random.Random(0)
    for _ in track(range(rounds), f"asking {model.name}"):
        for one, item in shuffled.sample(asks, len(asks)):
            begun = time.perf_counter()
            model.ask(item, one.tol)
            one.latencies.append(1e3 * (time.perf_counter() - begun))
    reference = model.answers(tolerances[-1].tol)
    for one in tolerances:
        one.differences = np.abs(model.answers(one.tol) - reference).max(1)
        one.calibrated = next(row for row in rows if (row["tol"], row["method"]) == (one.tol, one.method))
    return Curve(model.name, rows[0]["unit"], len(model.items), rounds, tolerances)


def draw(curve: Curve, out: Path) -> None:
    """The picture."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(11, 6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.45, 1))
        _exactness(left.subplots(), curve)
        nfe, latency = right.subplots(2, 1, sharex=True)
        _evaluations(nfe, curve)
        _latency(latency, curve)
        figure.suptitle(
            f"{curve.model}: what exactness costs", x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK
        )
        figure.savefig(out, dpi=110)
        plt.close(figure)


def _exactness(axes: Axes, curve: Curve) -> None:
    compared = [one for one in curve.tolerances[:-1] if np.median(one.differences) > 0]
    medians = [float(np.median(one.latencies)) for one in compared]
    typical = [float(np.median(one.differences)) for one in compared]
    worst = [float(one.differences.max()) for one in compared]
    axes.set_yscale("log")
    axes.margins(x=0.12)
    axes.vlines(medians, typical, worst, color=MEASURED, alpha=0.2, linewidth=6)
    axes.plot(
        medians,
        typical,
        "o-",
        color=MEASURED,
        label=f"measured here: median of {curve.items} items, bar to the largest",
    )
    calibrated = [one.calibrated["error_p99"] for one in compared]
    words = "calibration: 99 % of inputs are nearer to a float64 solve"
    axes.plot(medians, calibrated, "D", ms=6, color=CALIBRATED, markerfacecolor="white", label=words)
    for one, x, y in _spaced(compared, medians, typical):
        axes.annotate(
            f"tol {one.tol:.0e}".replace("e-0", "e-"),
            (x, y),
            (-4, -14),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
    axes.set_xlabel("milliseconds until the answer is here (median)")
    axes.set_ylabel(f"how far the answer is off, {curve.unit}")
    axes.set_title(f"Difference from tol {curve.tolerances[-1].tol:g}; lower and further left is better")
    axes.legend(loc="upper right", fontsize=8.5)


def _spaced(ones: list[Tolerance], xs: list[float], ys: list[float]) -> list[tuple[Tolerance, float, float]]:
    """Those whose labels would not lie upon each other."""
    kept: list[tuple[Tolerance, float, float]] = []
    wide = max(xs) - min(xs)
    for one, x, y in zip(ones, xs, ys, strict=True):
        if all(abs(np.log10(y / other)) > 0.2 or abs(x - place) > 0.12 * wide for _, place, other in kept):
            kept.append((one, x, y))
    return kept


def _evaluations(axes: Axes, curve: Curve) -> None:
    tols = [one.tol for one in curve.tolerances]
    axes.fill_between(
        tols,
        [min(one.nfe) for one in curve.tolerances],
        [max(one.nfe) for one in curve.tolerances],
        color=MEASURED,
        alpha=0.15,
    )
    axes.plot(
        tols, [np.mean(one.nfe) for one in curve.tolerances], "o-", ms=4, color=MEASURED, label="measured: mean, range"
    )
    axes.plot(
        tols, [one.calibrated["nfe_mean"] for one in curve.tolerances], "--", color=CALIBRATED, label="calibrated mean"
    )
    axes.set_title("Evaluations of the network (NFE)")
    _by_tolerance(axes, tols)
    axes.legend(fontsize=8.5)


def _latency(axes: Axes, curve: Curve) -> None:
    tols = [one.tol for one in curve.tolerances]
    medians, slow = (
        [float(np.percentile(one.latencies, percentile)) for one in curve.tolerances] for percentile in (50, 95)
    )
    axes.fill_between(tols, medians, slow, color=MEASURED, alpha=0.15)
    axes.plot(tols, medians, "o-", ms=4, color=MEASURED, label="measured: median, shaded to p95")
    axes.plot(
        tols,
        [one.calibrated["predicted_ms"] for one in curve.tolerances],
        "--",
        color=CALIBRATED,
        label="predicted by the server, transport not counted",
    )
    axes.set_title("Milliseconds of one request")
    _by_tolerance(axes, tols)
    axes.set_xlabel("tol")
    axes.legend(fontsize=8.5)


def _by_tolerance(axes: Axes, tols: list[float]) -> None:
    """Loosest on the left."""
    axes.set_xscale("log")
    axes.set_xlim(max(tols) * 1.3, min(tols) / 1.3)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tol, _: f"{tol:.0e}".replace("e-0", "e-")))
    axes.xaxis.set_minor_locator(NullLocator())


def main() -> None:
    """Measure, draw, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", help="a classifier of 28 x 28 images, or a density; default: the server's first")
    parser.add_argument("--rounds", type=int, default=20, help="how often each item is asked about at each tolerance")
    parser.add_argument("--out", type=Path, default=Path("tradeoff-curve.png"))
    asked = parser.parse_args()
    with httpx.Client(base_url=asked.url, timeout=60) as client:
        try:
            listed = _read(client.get("/models"))["models"]
        except httpx.TransportError as error:
            raise SystemExit(f"nobody answers at {asked.url} ({error}); start a server with: make serve") from error
        curve = measure(Model(client, asked.model or _first(listed)), asked.rounds)
    draw(curve, asked.out)
    print(
        f"{curve.model}, {curve.items} items, {curve.rounds} rounds\n\n"
        "  tol    method  NFE    median ms  p95 ms  difference"
    )
    for one in curve.tolerances:
        middle, slow = np.percentile(one.latencies, (50, 95))
        print(
            f"  {one.tol:<6.0e} {one.method:7} {np.mean(one.nfe):5.1f}  {middle:9.2f}  {slow:6.2f}  "
            f"{np.median(one.differences):.1e} {curve.unit}"
        )
    print(f"\n{asked.out}: written")


def _first(listed: list[dict[str, Any]]) -> str:
    """The model that classifies when none is named, or the first that there is."""
    return min(listed, key=lambda one: (not one["default"], one["task"] != "classify"))["name"]


if __name__ == "__main__":
    main()
