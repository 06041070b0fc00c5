"""Every example, run as its first lines say, against a real server with shipped models."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from needed import missing
from PIL import Image

from tests.service.apps import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url():
    with serving(MODELS_DIR=ROOT / "checkpoints", MODELS="odenet-mnist,cnf-two-moons", LANES=8) as server:
        yield server.url


def run(*command, cwd=ROOT):
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | {"PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def printed(*command):
    done = run(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_shows_each_thing_it_asks_for(url):
    said = printed(sys.executable, EXAMPLES / "client.py", url)
    rows = [line.split() for line in said.splitlines() if re.match(r"  1e-[135] ", line)]
    assert [row[0] for row in rows] == ["1e-1", "1e-3", "1e-5"]
    assert [row[6] for row in rows] == ["7", "7", "7"]
    nfe = [int(row[2]) for row in rows]
    assert nfe == sorted(nfe)
    for words in (
        "tried tol 0.1: a tighter solve would hardly change it",
        "log-density",
        "with seed 7",
        "200 log-densities as lines",
        "422 invalid_input: tol: expected a number",
        "404 unknown_model",
        "422 solver_failed",
        "504 deadline: would take up to",
        "solved at tol",
    ):
        assert words in said, words


def test_curl_asks_for_every_route(url):
    if shutil.which("curl") is None:
        missing("curl is missing")
    said = printed("bash", EXAMPLES / "curl.sh", url)
    assert said.count('"label":"7"') >= 4
    assert "x-nfe" in said.lower()
    assert '"code":"invalid_input"' in said
    assert "odeserve_" in said
    routes = json.loads(printed("curl", "-s", f"{url}/openapi.json"))["paths"]
    text = (EXAMPLES / "curl.sh").read_text()
    asked = {re.sub(r"\?.*", "", path) for path in re.findall(r'"\$URL(/[^" ]*)"', text)}
    pattern = {route: re.compile(re.sub(r"\{\w+\}", "[^/]+", route)) for route in routes}
    # Models by version are asked for like those without; model control is switched off unless a server says otherwise.
    left = {route for route, form in pattern.items() if not any(form.fullmatch(path) for path in asked)}
    assert not {route for route in left if "/versions/" not in route and "/repository/" not in route}, left


def test_tritonclient_gets_the_same_bits_both_ways(url):
    said = printed(sys.executable, EXAMPLES / "triton_client.py", url)
    assert said.count("image 0: 7") == 3
    assert "cnf-two-moons:sample" in said
    assert "log-densities [" in said
    assert "a tolerance of 10 is refused" in said


@pytest.mark.parametrize("model", ["odenet-mnist", "cnf-two-moons"])
def test_the_curve_of_a_running_server_is_drawn(url, model, tmp_path):
    out = tmp_path / "curve.png"
    command = ("--url", url, "--model", model, "--rounds", "1", "--out", out)
    said = printed(sys.executable, EXAMPLES / "tradeoff_curve.py", *command)
    rows = [line.split() for line in said.splitlines() if re.match(r"  \de-\d\d ", line)]
    assert len(rows) == 11
    assert float(rows[-1][2]) > float(rows[0][2])
    differences = [float(row[5]) for row in rows]
    assert differences[-1] == 0
    assert differences[0] > 10 * differences[-2] > 0
    picture = Image.open(out)
    assert picture.width > 1000
    assert len(picture.convert("RGB").getcolors(2**24)) > 100
    assert out.stat().st_size < 200_000


@pytest.mark.parametrize("script", ["client.py", "triton_client.py", "tradeoff_curve.py"])
def test_without_a_server_an_example_says_how_to_start_one(script, tmp_path):
    options = ("--url", NOBODY) if script == "tradeoff_curve.py" else (NOBODY,)
    done = run(sys.executable, EXAMPLES / script, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert "start a server with: make serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_example_is_in_the_list():
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if not path.name.startswith((".", "__")) and path.name != "README.md":
            assert f"`{path.name}" in listed, path.name
    for script in EXAMPLES.glob("*.py"):
        assert "Run: python examples/" in ast.get_docstring(ast.parse(script.read_text()))
