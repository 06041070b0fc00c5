"""Two processes on one run, as torchrun starts them: the curve of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from training.workers import Workers

MLP = "baseline mlp --data digits --epochs 3 --batch-size 64 --learning-rate 0.01"
MOONS = "cnf --data two-moons --epochs 2 --hidden 16,16 --batch-size 5000 --trace hutchinson"


def trained(runs: Path, words: str, processes: int) -> list[dict]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"] * (processes > 1)
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "training", *words.split(), "--name", "run", "--threads", "1"],
        env=os.environ | {"ODETRAIN_RUNS": str(runs), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: odetrain ") == 1
    return [json.loads(line) for line in (runs / "run" / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("words", "apart"),
    # Without a solver the shares of a batch make the same gradient but for rounding; a joint solve's steps depend on
    # who is in the batch.
    [(MLP, 1e-3), (MOONS, 0.05)],
)
def test_two_processes_give_the_loss_curve_of_one(tmp_path, words, apart):
    one, two = trained(tmp_path / "one", words, 1), trained(tmp_path / "two", words, 2)
    assert len(one) == len(two)
    curves = [np.array([entry["loss"] for entry in entries]) for entries in (one, two)]
    assert np.abs(curves[0] - curves[1]).max() < apart * np.abs(curves[0]).max()
    assert curves[1][-5:].mean() < curves[1][0]
    found, expected = ([list(e["held_out"].values())[-1] for e in run if "epoch" in e] for run in (two, one))
    np.testing.assert_allclose(found, expected, rtol=2 * apart)
    weights = [torch.load(tmp_path / name / "run" / "state.pt", weights_only=True)["model"] for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()


def test_a_batch_is_shared_out_whole():
    batch = np.arange(12)
    shares = [Workers(rank, 3).share(batch) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == list(batch)
    with pytest.raises(ValueError, match="--batch-size: 12 cannot be shared evenly by 5"):
        Workers(0, 5).share(batch)
