"""What ends a run ends it with a line that says why, and leaves nothing half-written."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from training import data

ODETRAIN = str(Path(sys.executable).with_name("odetrain"))
SMALL = "baseline mlp --data digits --epochs 2 --batch-size 64 --threads 1 --name small"


def odetrain(folder: Path, words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ODETRAIN, *words.split()],
        cwd=folder,
        env=os.environ | {"ODETRAIN_RUNS": str(folder / "runs")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def said_in_a_line(done, *words):
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("odetrain: ")
    assert all(word in message for word in words), message


def files_of_at_most(size: int) -> None:
    """What a full disk looks like to a process that may fill files no further."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_ends_a_run_and_room_lets_it_go_on(tmp_path):
    full = odetrain(tmp_path, SMALL, preexec_fn=partial(files_of_at_most, 30_000))
    said_in_a_line(full, "state.pt", "File too large")
    assert {path.name for path in (tmp_path / "runs" / "small").iterdir()} == {
        "config.json",
        "log.jsonl",
        "origins.json",
    }
    assert odetrain(tmp_path, f"{SMALL} --resume").returncode == 0
    state = torch.load(tmp_path / "runs" / "small" / "state.pt", weights_only=True)
    log = (tmp_path / "runs" / "small" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(state["step"]))


def test_a_full_disk_leaves_no_artifact(tmp_path):
    train = "odenet --data digits --epochs 1 --channels 16 --batch-size 64 --threads 1 --name small"
    assert odetrain(tmp_path, train).returncode == 0
    full = odetrain(tmp_path, "export runs/small", preexec_fn=partial(files_of_at_most, 20_000))
    said_in_a_line(full)
    assert not list((tmp_path / "checkpoints").rglob("*.*"))
    assert odetrain(tmp_path, "export runs/small").returncode == 0


@pytest.mark.parametrize("family", ["baseline mlp --data digits", "cnf --data two-moons --hidden 8,8"])
def test_a_loss_that_is_no_number_ends_a_run_and_says_what_to_change(tmp_path, family):
    done = odetrain(tmp_path, f"{family} --epochs 3 --batch-size 500 --learning-rate 1e30 --threads 1 --name wild")
    said_in_a_line(done, "--learning-rate")
    assert "odetrain: odetrain" not in done.stderr


def test_a_run_starts_from_another_ones_weights_or_says_why_not(tmp_path):
    flow = "cnf --data two-moons --hidden 8,8 --epochs 1 --batch-size 5000 --threads 1"
    assert odetrain(tmp_path, f"{flow} --objective flow-matching --name matched").returncode == 0
    assert odetrain(tmp_path, f"{flow} --start-from matched --learning-rate 1e-12 --name tuned").returncode == 0
    matched, tuned = (
        json.loads((tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()[-1])["held_out"]["nll"]
        for name in ("matched", "tuned")
    )
    assert matched == pytest.approx(tuned, abs=1e-4)
    said_in_a_line(odetrain(tmp_path, f"{flow} --start-from nowhere --name lost"), "start-from", "nowhere")
    other = flow.replace("8,8", "8,9")
    said_in_a_line(odetrain(tmp_path, f"{other} --start-from matched --name other"), "start-from", "another shape")


class Cut(BaseHTTPRequestHandler):
    """Serves the wrong bytes, or promises more of them than it sends."""

    promised = 5

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(self.promised))
        self.end_headers()
        self.wfile.write(b"wrong")

    def log_message(self, format, *args):
        """Not into the output of the tests."""


@pytest.mark.parametrize("promised", [5, 5000])
def test_a_corrupt_or_partial_download_is_refused_and_not_kept(tmp_path, monkeypatch, promised):
    handler = type("Handler", (Cut,), {"promised": promised})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ODETRAIN_DATA", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = data._IDX_SOURCES["mnist"]
        monkeypatch.setitem(
            data._IDX_SOURCES,
            "mnist",
            replace(source, url=f"http://127.0.0.1:{server.server_port}/"),
        )
        with pytest.raises((ValueError, OSError), match=r"hash|could not be downloaded .*--data-dir"):
            data.load_images("mnist")
        server.shutdown()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_that_failed_before_it_saved_anything_does_not_stand_in_the_way(tmp_path):
    said_in_a_line(odetrain(tmp_path, f"{SMALL} --learning-rate 1e30"), "the loss became", "--learning-rate")
    assert (tmp_path / "runs" / "small" / "config.json").exists()
    assert odetrain(tmp_path, SMALL).returncode == 0
    said_in_a_line(odetrain(tmp_path, SMALL), "already holds a run")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--method nope", ("method", "bosh3", "nope")),
        ("--method rk4", ("method", "rk4")),
        ("--last-epochs 1 --last-method nope", ("last_method", "nope")),
        ("--tol 0", ("tol", "above 0")),
        ("--last-tol nan", ("last_tol", "above 0")),
    ],
)
def test_solvers_that_there_are_not_are_told_before_the_first_epoch(tmp_path, options, words):
    said_in_a_line(odetrain(tmp_path, f"odenet --data digits --epochs 2 {options}"), *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", "/tmp/x"])
def test_a_run_stays_in_the_folder_of_runs(tmp_path, name):
    said_in_a_line(odetrain(tmp_path, f"{SMALL} --name {name}"), "--name", "plain name")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("file", "words"), [("state.pt", "cut or damaged"), ("config.json", "is no config")])
def test_a_damaged_run_is_named(tmp_path, file, words):
    assert odetrain(tmp_path, SMALL).returncode == 0
    path = tmp_path / "runs" / "small" / file
    path.write_bytes(path.read_bytes()[:-100])
    said_in_a_line(odetrain(tmp_path, f"{SMALL} --resume"), str(path), words)
