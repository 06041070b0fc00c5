"""The command line: what it writes down repeats the run, and what a user got wrong is said in one line."""

import re
import shlex

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from training import cli
from training.command import COMMON_OPTIONS, OWN_OPTIONS, command_of, config_of
from training.commands import running
from training.config import BASELINES, REGULARISERS, RunConfig
from training.evaluate import Scores

COMMANDS = typer.main.get_command(cli.app).commands

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
COMMON = {
    "data": st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), min_size=1),
    "seed": st.integers(0, 2**63),
    "epochs": st.integers(1, 10**6),
    "batch_size": st.integers(1, 10**6),
    "learning_rate": positive,
    "average": st.floats(0, 1, exclude_max=True),
    "method": st.sampled_from(["dopri5", "bosh3", "tsit5"]),
    "tol": positive,
    "last_epochs": st.integers(0, 100),
    "last_method": st.sampled_from(["dopri5", "bosh3", "tsit5"]),
    "last_tol": positive,
    "threads": st.integers(1, 64),
    "device": st.sampled_from(["cpu", "cuda", "cuda:1"]),
}
augment = st.sampled_from(["shift", "affine"])
precision = st.sampled_from(["float32", "bfloat16"])
OWN = {
    "odenet": {
        "channels": st.integers(1, 512),
        "activation": st.sampled_from(["relu", "softplus", "silu"]),
        "regularize": st.sampled_from(REGULARISERS),
        "regularize_weight": positive,
        "augment": augment,
        "precision": precision,
        "last_precision": precision,
    },
    "baseline": {
        "channels": st.integers(1, 512),
        "layers": st.integers(1, 64),
        "augment": augment,
        "precision": precision,
        "last_precision": precision,
    },
    "cnf": {
        "hidden": st.lists(st.integers(1, 512), min_size=1, max_size=5).map(tuple),
        "warp": st.booleans(),
        "trace": st.sampled_from(["exact", "hutchinson"]),
        "objective": st.sampled_from(["likelihood", "flow-matching"]),
        "start_from": st.sampled_from(["", "cnf-two-moons", "a run"]),
    },
}
configs = st.one_of(
    st.builds(RunConfig, family=family, **COMMON, **OWN[command])
    for command, family in (
        ("odenet", st.just("odenet")),
        ("baseline", st.sampled_from(BASELINES)),
        ("cnf", st.just("cnf")),
    )
)


@given(configs)
def test_the_recorded_command_is_that_of_the_run(config):
    asked = []
    program, *words = shlex.split(command_of(config))
    assert program == "odetrain"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "run", lambda config, *_: asked.append(config))
        cli.app(words, standalone_mode=False)
    assert asked == [config]


@given(configs)
def test_a_recorded_command_is_read_back_as_the_run(config):
    assert config_of(command_of(config)) == config


def test_a_command_of_an_earlier_version_had_the_defaults_of_what_it_does_not_name():
    assert config_of("odetrain cnf --data two-moons --warp") == RunConfig(family="cnf", data="two-moons", warp=True)
    for wrong, message in (("rm -rf /", "a command of odetrain"), ("odetrain cnf --no-such 1", "--no-such: is no")):
        with pytest.raises(ValueError, match=message):
            config_of(wrong)


@pytest.mark.parametrize("command", OWN_OPTIONS)
def test_the_recorded_command_names_every_option_that_makes_the_run(command):
    options = {parameter.name for parameter in COMMANDS[command].params} - {"family"}
    assert options - {"name", "data_dir", "resume"} == {*COMMON_OPTIONS, *OWN_OPTIONS[command]}


def odetrain(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("ODETRAIN_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("ODETRAIN_DATA", raising=False)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("odenet --data digits --channels 2 --batch-size 2000", "--batch-size: 2000 is more than the 1200 training"),
        ("cnf --data two-moons --hidden 64,,64", "--hidden: expected whole numbers above 0.*'64,,64'"),
        ("cnf --data two-moons --hidden 64,0", "--hidden: expected whole numbers above 0"),
        ("cnf --data two-moons --device nonsense", "--device: 'nonsense' is not to be had here"),
        ("odenet --data digits --device cuda:99", "--device: 'cuda:99' is not to be had here"),
        ("cnf --data nowhere.npy", r"data: there is no file nowhere\.npy"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(command, message, runs):
    result = odetrain(*command.split(), "--threads", "1")
    assert result.exit_code == 1
    said = str(result.output).strip()
    assert "\n" not in said
    assert re.search(message, said)
    assert not runs.exists()


def test_a_data_file_is_looked_for_here_and_then_in_the_data_folder(tmp_path, monkeypatch, rng):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    np.save(there / "table.npy", rng.standard_normal((200, 2)))
    trained = []
    monkeypatch.setattr("training.loop.train", lambda task, *_, **__: trained.append(task) or {})
    command = ("cnf", "--data", "table.npy", "--threads", "1")
    assert "there is no file table.npy" in odetrain(*command).output
    assert odetrain(*command, "--data-dir", there).exit_code == 0
    np.save(here / "table.npy", rng.standard_normal((300, 2)))
    assert odetrain(*command, "--data-dir", there).exit_code == 0
    sizes = [len(task.data.train) + len(task.data.held) + len(task.data.test) for task in trained]
    assert sizes == [200, 300]


@pytest.mark.parametrize("recorded", [False, True])
def test_failed_solves_end_an_evaluation_with_1_and_are_not_recorded(monkeypatch, tmp_path, recorded):
    def score(artifact, *, tol, **_):
        return Scores(items=10, metrics={"error": 0.5}, nfe_mean=20.0, failed=3 if tol == 1e-5 else 0)

    monkeypatch.setattr("training.evaluate.evaluate", score)
    result = odetrain("evaluate", tmp_path, "--tol", "1e-5", *(["--record"] if recorded else []))
    assert result.exit_code == 1
    assert "3 items did not reach the end" in result.output
    assert ("3 of 10 items failed; nothing is recorded" in result.output) == recorded
    assert not list(tmp_path.glob("manifest.json"))
    assert odetrain("evaluate", tmp_path, "--tol", "1e-2").exit_code == 0
