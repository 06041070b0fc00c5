"""Ask a running odeserve how pendulums swing, at moments of the caller's own, and draw three beside the truth.

Run: python swing.py [--url http://127.0.0.1:8000] [--model pendulum] [--out swings.png]
"""

import argparse
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from pendulum import END, draw, true_motion

mpl.use("Agg")
import matplotlib.pyplot as plt

PENDULUMS, DRAWN = 100, 3
FEW, MANY = np.linspace(2.5, END, 4), np.linspace(0, END, 161)
"""Times of the table, and of the picture: the solver steps onto each, so that many of them cost more than the swing."""
TOLERANCES = ("1e-1", "3e-2", "1e-2", "1e-3", "1e-4", "1e-6")
Array = npt.NDArray[Any]


def main() -> None:
    """Swing at several tolerances; a table, and a picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="pendulum")
    parser.add_argument("--out", default="swings.png")
    options = parser.parse_args()
    states, lengths = draw(np.random.default_rng(2), PENDULUMS)
    truth = true_angles(states, lengths, FEW)
    with httpx.Client(base_url=options.url, timeout=60) as client:
        print("tol     NFE   ms a pendulum   RMSE of the angle, radians")
        for tol in TOLERANCES:
            angles, nfe, milliseconds = ask(client, options.model, states, lengths, FEW, tol)
            print(f"{tol:6} {nfe:5.0f}   {milliseconds:13.3f}   {np.sqrt(np.square(angles - truth).mean()):26.4f}")
        states, lengths = states[:DRAWN], lengths[:DRAWN]
        angles, _, _ = ask(client, options.model, states, lengths, MANY, "1e-4")
    draw_swings(lengths, true_angles(states, lengths, MANY), angles, options.out)
    print(f"{options.out}: written")


def true_angles(states: Array, lengths: Array, times: Array) -> Array:
    """What the pendulums do. Shapes: -> [pendulum, time]."""
    return np.stack([true_motion(state, length, times)[:, 0] for state, length in zip(states, lengths, strict=True)])


def ask(
    client: httpx.Client, model: str, states: Array, lengths: Array, times: Array, tol: str
) -> tuple[Array, float, float]:
    """Angles at some times, mean NFE, and the server's milliseconds a pendulum. Shapes: -> [pendulum, time]."""
    body = {"inputs": states.tolist(), "args": {"length": lengths.tolist()}, "t": times.tolist()}
    response = client.post("/predict", json=body, params={"model": model, "tol": tol})
    if response.is_error:
        raise SystemExit(f"{response.status_code}: {response.json()['error']['message']}")
    answer = response.json()
    angles = np.array([[at["angle"] for at in prediction["output"]] for prediction in answer["predictions"]])
    nfe = np.mean([prediction["solver"]["nfe"] for prediction in answer["predictions"]])
    return angles, float(nfe), answer["timing_ms"]["total"] / len(states)


def draw_swings(lengths: Array, truth: Array, angles: Array, path: str) -> None:
    """Some pendulums over time: what they do, and what was foretold."""
    figure, axes = plt.subplots(DRAWN, 1, figsize=(8, 5), sharex=True, layout="constrained")
    for axis, length, true_angle, angle in zip(axes, lengths, truth, angles, strict=False):
        axis.plot(MANY, true_angle, color="#9aa5b1", linewidth=4, label="truth")
        axis.plot(MANY, angle, color="#0b6e99", linewidth=1.3, label="learned and served")
        axis.set(ylabel="angle, rad")
        axis.set_title(f"rod of {length:.2f} m", loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set(xlabel="seconds")
    axes[0].legend(frameon=False, loc="upper right", ncols=2)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
