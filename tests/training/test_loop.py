import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from training.config import RunConfig
from training.loop import learning_rate

ARGUMENTS = ["cnf", "--data", "two-moons", "--epochs", "4", "--hidden", "8,8", "--batch-size", "4000", "--threads", "1"]


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("odetrain")), *arguments]


def run(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ODETRAIN_RUNS": str(runs)}
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def losses(runs: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (runs / "moons" / "log.jsonl").read_text().splitlines()]


def test_a_run_killed_at_any_moment_resumes_bit_for_bit(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(whole, *ARGUMENTS, "--name", "moons").returncode == 0

    environment = os.environ | {"ODETRAIN_RUNS": str(broken)}
    process = subprocess.Popen(command(*ARGUMENTS, "--name", "moons"), env=environment, stderr=subprocess.DEVNULL)
    state = broken / "moons" / "state.pt"
    deadline = time.monotonic() + 200
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert state.exists()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    saved = torch.load(state, weights_only=True)["step"]
    assert 0 < saved < 100

    resumed = run(broken, *ARGUMENTS, "--name", "moons", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert losses(whole) == losses(broken)
    expected, found = (torch.load(r / "moons" / "state.pt", weights_only=True)["model"] for r in (whole, broken))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    origins = json.loads((broken / "moons" / "origins.json").read_text())
    assert [origin["step"] for origin in origins] == [0, saved]
    assert all(origin.keys() == {"step", "date", "machine", "commit"} for origin in origins)


def test_a_run_is_not_overwritten_and_another_config_is_named(tmp_path):
    short = [*ARGUMENTS[:4], "1", *ARGUMENTS[5:], "--name", "moons"]
    assert run(tmp_path, *short).returncode == 0
    again = run(tmp_path, *short)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    other = run(tmp_path, *short, "--seed", "9", "--resume")
    assert other.returncode == 1
    assert "seed is 0, not 9" in other.stderr
    assert "Traceback" not in other.stderr


def test_the_log_counts_evaluations_forward_and_backward(tmp_path):
    assert run(tmp_path, *ARGUMENTS[:4], "1", *ARGUMENTS[5:], "--name", "moons").returncode == 0
    entries = [json.loads(line) for line in (tmp_path / "moons" / "log.jsonl").read_text().splitlines()]
    # dopri5 starts with two evaluations and tries steps of six
    assert all(entry["nfe_forward"] >= 8 and (entry["nfe_forward"] - 2) % 6 == 0 for entry in entries)
    assert all(entry["nfe_backward"] >= 8 for entry in entries)
    assert entries[-1]["held_out"]["nll"] > 0


def test_the_learning_rate_rises_then_falls_to_zero():
    config = RunConfig(family="cnf", data="two-moons", learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
