"""The README's commands, run as they stand, and the shipped models behind them."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import ODESERVE, environment
from needed import missing

from training.data import load_images

ROOT = Path(__file__).parents[2]
CURL = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    curl ")]


@pytest.fixture(scope="module")
def shipped():
    """URL of a server with the models of this repository and default settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([ODESERVE, "serve", "--port", str(port)], env=environment(), cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            assert process.poll() is None
            try:
                if httpx.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def answers(url):
    """What the README's curl lines print, parsed."""
    if shutil.which("curl") is None:
        missing("curl is missing")
    command = "http://127.0.0.1:8000"
    for line in CURL:
        assert command in line
        done = subprocess.run(
            shlex.split(line.replace(command, url)), cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        yield line, json.loads(done.stdout)


def test_the_curl_lines_of_the_readme_answer_as_it_says(shipped):
    loose, tight, auto, density, sample, picture, trajectory = (answer for _, answer in answers(shipped))
    nfe = [answer["predictions"][0]["solver"]["nfe"] for answer in (loose, tight)]
    assert {answer["predictions"][0]["label"] for answer in (loose, tight, auto)} == {"7"}
    promised = re.search(r"took (\d+) evaluations of the network, the second (\d+)", (ROOT / "README.md").read_text())
    assert nfe == [int(number) for number in promised.groups()]
    assert [attempt["tol"] for attempt in auto["predictions"][0]["solver"]["attempts"]] == [0.1]
    assert density["predictions"][0]["status"] == "ok"
    assert np.isfinite(density["predictions"][0]["log_density"])
    assert np.array(sample["samples"]).shape == (3, 2)
    assert sample["seed"] == 7
    assert picture["predictions"][0]["label"] == "7"
    (way,) = trajectory["items"]
    assert way["steps"][-1]["t"] == 0
    assert way["log_density"] == pytest.approx(density["predictions"][0]["log_density"], abs=0.1)


@pytest.mark.parametrize("digit", range(10))
def test_every_drawn_digit_gets_its_label(shipped, digit):
    body = (ROOT / "examples" / "digits" / f"{digit}.json").read_text()
    answer = httpx.post(f"{shipped}/classify?tol=1e-2", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["predictions"][0]["label"] == str(digit)


def test_mnist_test_error_over_http_is_at_most_0_45_percent(shipped, data_dir):
    mnist = load_images("mnist", data_dir)
    wrong = 0
    for begin in range(0, 10_000, 1_000):
        part = slice(begin, begin + 1_000)
        images = mnist.test_images[part].reshape(-1, 28, 28).round(4).tolist()
        answer = httpx.post(f"{shipped}/classify?tol=1e-2", json={"images": images}, timeout=120)
        found = np.array([prediction["index"] for prediction in answer.json()["predictions"]])
        wrong += int((found != mnist.test_labels[part]).sum())
    assert wrong <= 45


def test_shipped_densities_integrate_to_one_over_http(shipped):
    """Trapezoid rule on a grid; the densities vanish at its edge."""
    for model, reach in (("cnf-two-moons", 3.0), ("cnf-pinwheel", 4.5)):
        xs = np.linspace(-reach, reach, 141)
        grid = np.stack(np.meshgrid(xs, xs), -1).reshape(-1, 2)
        total = 0.0
        for part in np.array_split(grid, 4):
            answer = httpx.post(
                f"{shipped}/density?model={model}&tol=1e-4", json={"points": part.tolist()}, timeout=120
            )
            total += sum(np.exp(prediction["log_density"]) for prediction in answer.json()["predictions"])
        assert total * (xs[1] - xs[0]) ** 2 == pytest.approx(1.0, abs=0.01)


def test_shipped_artifacts_are_whole():
    for directory in sorted((ROOT / "checkpoints").glob("*/*")):
        subprocess.run([ODESERVE, "check", str(directory)], check=True, capture_output=True, timeout=120)
