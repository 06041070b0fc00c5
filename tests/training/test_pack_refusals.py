"""odetrain pack: what cannot become an artifact is refused in one line, which says why."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packing import refused

from training import measure

pytestmark = pytest.mark.usefixtures("one_method")


LINES = {
    "svd": "torch.linalg.svdvals",
    "control": "if bool(y.isfinite().all())",
    "branching": "if y.abs().max() > 1e6",
    "with_numpy": "np.tanh(y.numpy())",
    "fails": "in fails",
}
"""What stands there is named with its line."""


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ("random", "field: gives something else when asked again; random operations"),
        ("dropout", "field: gives something else when asked again; random operations"),
        ("wrong_shape", "field: expected float32 [8, 2] as the state, got float32 [8, 1]"),
        ("wrong_dtype", "field: expected float32 [8, 2] as the state, got float64 [8, 2]"),
        ("no_tensor", "field: expected float32 [8, 2] as the state, got NoneType"),
        ("not_finite", "field: gives a number that is not finite for item 0 of the example"),
        ("raises", "field: called with float32 [8], float32 [8, 2] it raises RuntimeError: mat1 and mat2"),
        ("in_place", "field: changes what it is given in place"),
        ("neighbours", "field: item 0 comes out otherwise alone than among others"),
        ("faint_neighbours", "field: item 0 comes out otherwise alone than among others"),
        ("keeps", "field: gives something else after encode had other inputs"),
        ("silent", "AssertionError, at"),
        ("neighbours_later", "field: item 0 comes out otherwise alone than among others"),
        ("neighbours_in_encode", "encode: item 0 comes out otherwise alone"),
        ("neighbours_in_decode", "decode: item 0 comes out otherwise alone"),
        ("normed", "it must do for one what it does for several (no batch norm"),
        ("squeezed", "it must do for one what it does for several (no batch norm"),
        ("explodes", "ends dt_min at t = 0."),
        ("stiff", "ends max_nfe at t = 0.00"),
        ("svd", "operator aten._linalg_svd has no form in ONNX, at"),
        ("control", "decode: what is computed depends on the data (an if, a loop or a shape made of numbers), at"),
        ("branching", "what is computed depends on the data (an if, a loop or a shape made of numbers), at"),
        ("with_numpy", "numpy computes something in it; let torch do that, at"),
        ("narrow", "field in float64: called with float64 [8], float64 [8, 2] it raises RuntimeError"),
        ("fixed_count", "y would have a fixed number of items"),
        ("convolved", "or compute it with other operators; --torch-only packs it without graphs"),
        ("convolved", "ONNX Runtime has no Conv for float64 on a CPU; keep the model in float32"),
        ("three_outputs", "decode: gives 1 outputs; outputs names a, b, c"),
        ("beyond", "encode: ONNX Runtime fails in the exported graph, where the module does not: "),
        ("listed", "decode: expected a tensor or a tuple of tensors, got list"),
        ("wrong_parts", "parts: expected sizes that sum to 2"),
        ("own_y", "outputs: 'y' means something else"),
        ("own_t", "args: 't' means something else"),
        ("still", "interval: expected two numbers that differ"),
        ("odd_draw", "the manifest cannot say that: draw: Input should be 'standard_normal' or 'rademacher'"),
        ("narrow_range", "points.npy: input: expected numbers within 0 and 0.5, its range; holds"),
        ("plane", "for a state of another shape give state_shape=(1, 2)"),
        (
            "shapeless",
            "state_shape: expected the shape of one item's state, whole numbers from 1 as (1, 28, 28); got ()",
        ),
        ("a_size", "state_shape: expected the shape of one item's state, whole numbers from 1 as (1, 28, 28); got 2"),
        ("two_logits", "expected logits [item, 3], one for each of labels; got float32 [8, 2]"),
        ("two_densities", "expected a log-density for each item, [item]; got float32 [8, 2]"),
        ("no_density", "for density expected one named log_density, and sample and log_density_hutchinson if you like"),
        ("halved", "expected weights in float32 or in float64, got float16"),
        ("a_class", "field: expected a torch.nn.Module, got the class Plain"),
        ("hyper", "write it for lanes: forward(t, y, args) with t [item]"),
        ("unwrapped", "wrap it in node_model.torchdiffeq_field.TorchdiffeqField"),
        ("fails", "RuntimeError: weights.pt is nowhere, at"),
        ("ends", "SystemExit: 3"),
        ("nothing", "expected to be given back a node_model.own.OwnModel, got None"),
        ("nobody", "bad_models has no function nobody"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(own_folder, monkeypatch, build, words):
    monkeypatch.chdir(own_folder)
    said = refused(f"bad_models:{build} --name bad --example points.npy --threads 1")
    assert words in said
    assert "\n" not in said
    if build in LINES:
        assert "bad_models.py:" in said
        assert LINES[build] in said
    assert not (own_folder / "checkpoints" / "bad").exists()


@pytest.mark.parametrize("build", ["looping", "control"])
def test_the_exporters_own_notes_are_not_shown(tmp_path, monkeypatch, build):
    """Asked as a process of its own, with all that libraries print there."""
    np.save(tmp_path / "points.npy", np.random.default_rng(3).normal(size=(8, 2)))
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parents[1]}")
    words = f"bad_models:{build} --name bad --example points.npy --threads 1"
    done = subprocess.run(
        [sys.executable, "-m", "training", "pack", *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "what is computed depends on the data" in line


def test_items_without_an_answer_are_no_measure_of_others(tmp_path, monkeypatch):
    """Ten items that turn so fast that float64 cannot follow either: a table from them would be about nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "MAX_CELL_NFE", 40)
    monkeypatch.setattr(measure, "LADDER", (1e-1, 1e-2))
    monkeypatch.setattr(measure, "TIGHTEST", {"float32": 1e-2, "float64": 1e-2})
    frequency = np.where(np.arange(150) < 140, np.linspace(0.5, 1.5, 150), 2000.0)
    np.save("fast.npy", np.stack([np.zeros(150), frequency], 1).astype(np.float32))
    said = refused("own_models:fast --name fast --example fast.npy --threads 1")
    assert "10 of 150 items end without an answer in float64 at tol 1e-03, item 140 first (max_nfe)" in said
    assert "\n" not in said
    assert not (tmp_path / "checkpoints" / "fast").exists()


def test_data_of_another_shape_than_the_examples_are_refused_before_anything_is_exported(
    own_folder, monkeypatch, tmp_path
):
    monkeypatch.chdir(own_folder)
    np.save(tmp_path / "three.npy", np.zeros((120, 3)))
    said = refused(f"own_models:torchdiffeqs --name x --example points.npy --calibrate {tmp_path}/three.npy")
    assert "input: expected items of shape [2], as the example's; got [3]" in said


def test_a_module_that_fails_when_it_is_imported_is_told_as_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd_at_import.py").write_text("import numpy\nnumpy.nowhere\n")
    np.save("few.npy", np.zeros((2, 2)))
    assert "while odd_at_import is imported: AttributeError" in refused(
        "odd_at_import:build --name x --example few.npy"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("own_models --name bad", "expected module:function, for instance my_model:build"),
        ("no_such_module:build --name bad", "No module named 'no_such_module'; it is looked for in"),
        ("broken_module:build --name bad", "while broken_module is imported: ZeroDivisionError: division by zero, at"),
        ("own_models:torchdiffeqs --name a/b", "--name: expected letters, digits"),
        ("own_models:torchdiffeqs --name ..", "--name: expected letters, digits"),
        ("own_models:torchdiffeqs --name bad --version 1.0", "--version: expected a whole number from 1; got '1.0'"),
        ("own_models:torchdiffeqs --name own", "exists; choose another --version or remove it"),
    ],
)
def test_orders_that_cannot_be_meant_are_refused_before_anything_is_built(own_folder, monkeypatch, words, reason):
    monkeypatch.chdir(own_folder)
    (own_folder / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(own_folder)
    assert reason in refused(f"{words} --example points.npy")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"state": np.zeros((3, 2))}, "expected arrays named state, damping; got state"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros(2)}, "expected as many items in each array"),
        ({"state": np.zeros((3, 2)), "damping": np.full(3, np.nan)}, "damping: holds a number that is not finite"),
        ({"state": np.zeros((3, 2)), "damping": np.zeros((3, 1))}, "damping: expected items of shape []"),
        ({"state": np.array(["x"]), "damping": np.zeros(1)}, "state: expected numbers"),
        (
            {"state": np.zeros((0, 2)), "damping": np.zeros(0)},
            "state: expected numbers [item, ...], got float64 [0, 2]",
        ),
        ({"state": np.ones((1, 2)), "damping": np.ones(1)}, "expected an example of two items or more that differ"),
        ({"state": np.ones((9, 2)), "damping": np.ones(9)}, "its first 8 are the same"),
        (
            {"state": np.zeros((3, 2)), "damping": np.full(3, 2.0)},
            "damping: expected numbers within 0 and 1, its range",
        ),
        ({"state": np.zeros((3, 2)), "damping": np.zeros(3), "labels": np.zeros(3)}, "got damping, labels, state"),
        (None, "expected an .npy or .npz file"),
    ],
)
def test_examples_that_do_not_fit_are_named(tmp_path, monkeypatch, arrays, words):
    monkeypatch.chdir(tmp_path)
    if arrays is None:
        (tmp_path / "example.npz").write_text("no numbers")
    else:
        np.savez(tmp_path / "example.npz", **arrays)
    assert words in refused("own_models:damped --name bad --example example.npz")


def test_labels_that_are_no_classes_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("example.npz", image=np.zeros((3, 4, 4)), labels=np.array([0, 1, 3]))
    said = refused("own_models:classifier --name bad --example example.npz")
    assert "labels: expected a whole number of 0 to 2 for each item" in said
