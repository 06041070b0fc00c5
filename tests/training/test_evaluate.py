import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from node_model.manifest import Provenance, read_manifest
from training.artifact import write_artifact
from training.calibration_items import calibration_items
from training.config import RunConfig
from training.evaluate import evaluate, record, wilson_interval
from training.runs import build_task


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_wilsons(counts):
    hits, count = counts
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(hits, count)
    assert abs(low - expected.low) < 1e-6
    assert abs(high - expected.high) < 1e-6


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """An untrained flow on a table, and the folder with the table."""
    root = tmp_path_factory.mktemp("flow")
    table = np.random.default_rng().standard_normal((200, 2))
    np.save(root / "table.npy", table)
    config = RunConfig(family="cnf", data="table.npy", hidden=(8,), threads=1)
    task = build_task(config, root)
    provenance = Provenance(
        data=config.data,
        data_sha256=task.data.sha256,
        seed=config.seed,
        command="untrained",
        epochs=0,
        date="2026-01-01",
        train={},
    )
    directory = root / "flow" / "1"
    directory.mkdir(parents=True)
    write_artifact(task.model, "flow", "1", provenance, None, directory)
    return directory


def scored(artifact, **change):
    options = {"tol": 1e-2, "method": "dopri5", "limit": None, "data_dir": artifact.parents[1], "threads": 1}
    return evaluate(artifact, **(options | change))


@pytest.mark.parametrize("tol", [0.0, -1e-3, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(artifact, tol):
    with pytest.raises(ValueError, match="tol: expected a finite number above 0"):
        scored(artifact, tol=tol)


def test_scores_of_failed_solves_are_not_recorded(artifact):
    scores = scored(artifact)
    assert (scores.items, scores.failed) == (20, 0)
    before = (artifact / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="2 of 20 items failed; nothing is recorded"):
        record(artifact, replace(scores, failed=2), 1e-2, "dopri5")
    assert (artifact / "manifest.json").read_bytes() == before


def test_a_table_that_changed_since_the_training_is_refused_by_name(artifact, tmp_path):
    manifest = read_manifest(artifact)
    table = np.load(artifact.parents[1] / "table.npy")
    np.save(tmp_path / "table.npy", np.concatenate([table, table[:1] + 1]))
    with pytest.raises(ValueError, match=r"table.npy: sha256 is not the one"):
        scored(artifact, data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"table.npy: sha256 is not the one"):
        calibration_items(manifest, "log_density", 10, tmp_path)
    assert len(calibration_items(manifest, "log_density", 10, artifact.parents[1]).inputs) == 10
