"""Ask a running odeserve for forecasts of spirals that training did not see, and draw some of them.

How wrong they are is measured against where the spirals truly go after the last moment that was seen, beside two
forecasts that need no model: it stays where it was, it goes on straight.

Run: python forecast.py [--url http://127.0.0.1:8000] [--model spirals] [--out forecasts.png]
"""

import argparse
import math
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from spirals import END, SEEN_UNTIL, held_out

mpl.use("Agg")
import matplotlib.pyplot as plt

SERIES, DRAWN = 150, 6
FEW, MANY = np.linspace(1.25, END, 4), np.linspace(0, END, 101)
"""Times of the table, and of the picture: the solver steps onto each, so that many of them cost more than the curve."""
TOLERANCES = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5")
Array = npt.NDArray[Any]


def main() -> None:
    """Forecast at several tolerances; a table, and a picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="spirals")
    parser.add_argument("--out", default="forecasts.png")
    options = parser.parse_args()
    spirals, series = held_out(SERIES)
    truth = spirals.at(np.broadcast_to(FEW, (SERIES, len(FEW))))
    with httpx.Client(base_url=options.url, timeout=60) as client:
        print("tol     NFE   ms a series   RMSE of the forecast   within two deviations")
        for tol in TOLERANCES:
            places, deviations, nfe, milliseconds = ask(client, options.model, series, FEW, tol)
            within = np.mean(np.abs(places - truth) < 2 * deviations)
            print(f"{tol:6} {nfe:5.1f}   {milliseconds:11.3f}   {rms(places - truth):20.4f}   {100 * within:19.1f} %")
        for name, places_then in without_a_model(series).items():
            print(f"{name}: {rms(places_then - truth):.3f}")
        some = series[:DRAWN]
        places, deviations, _, _ = ask(client, options.model, some, MANY, "1e-4")
    draw_forecasts(some, spirals.at(np.broadcast_to(MANY, (SERIES, len(MANY)))), places, deviations, options.out)
    print(f"{options.out}: written")


def ask(client: httpx.Client, model: str, series: Array, times: Array, tol: str) -> tuple[Array, Array, float, float]:
    """Places and deviations at some times, mean NFE, and the server's milliseconds a series.

    Shapes: [series, moment, 4] -> [series, time, 2] twice.
    """
    body = {"inputs": series.tolist(), "t": times.tolist()}
    response = client.post("/predict", json=body, params={"model": model, "tol": tol})
    if response.is_error:
        raise SystemExit(f"{response.status_code}: {response.json()['error']['message']}")
    answer = response.json()
    outputs = [prediction["output"] for prediction in answer["predictions"]]
    places, deviations = (
        np.array([[at[name] for at in output] for output in outputs]) for name in ("place", "deviation")
    )
    nfe = np.mean([prediction["solver"]["nfe"] for prediction in answer["predictions"]])
    return places, deviations, float(nfe), answer["timing_ms"]["total"] / len(series)


def rms(miss: Array) -> float:
    """Root of the mean squared distance."""
    return math.sqrt(np.square(miss).sum(-1).mean())


def without_a_model(series: Array) -> dict[str, Array]:
    """Forecasts of the last place seen, and of a straight line through the last three."""
    stays, straight = [], []
    for rows in series:
        time, place = (rows[rows[:, 3] > 0][-3:, columns].astype(float) for columns in (0, slice(1, 3)))
        slope, offset = np.polyfit(time, place, 1)
        stays.append(np.broadcast_to(place[-1], (len(FEW), 2)))
        straight.append(FEW[:, None] * slope + offset)
    return {"it stays where it was": np.stack(stays), "it goes on straight": np.stack(straight)}


def draw_forecasts(series: Array, truth: Array, places: Array, deviations: Array, path: str) -> None:
    """Some series: what was seen, where it went, and what was foretold, with circles of two deviations."""
    after = MANY > SEEN_UNTIL
    figure, axes = plt.subplots(2, DRAWN // 2, figsize=(9, 6.2), layout="constrained")
    for axis, rows, path_then, foretold, deviation in zip(axes.flat, series, truth, places, deviations, strict=False):
        axis.plot(*path_then.T, color="#9aa5b1", linewidth=1, label="truth")
        seen = rows[rows[:, 3] > 0]
        axis.scatter(seen[:, 1], seen[:, 2], s=10, color="#1f2933", zorder=3, label="seen")
        axis.plot(*foretold[~after].T, color="#0b6e99", linewidth=1.2, label="the model, where it saw")
        axis.plot(*foretold[after].T, color="#d9730d", linewidth=1.8, label="forecast")
        for place, width in zip(foretold[after][9::10], deviation[after][9::10], strict=True):
            axis.add_patch(mpl.patches.Ellipse(place, *(4 * width), color="#d9730d", alpha=0.15, linewidth=0))
        axis.set(aspect="equal", xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
