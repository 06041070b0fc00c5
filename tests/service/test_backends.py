"""One engine, two backends: the same solves by PyTorch's own step as by the exported graphs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from node_model.errors import ArtifactError
from service.engine.engine import solve_alone
from service.engine.request import End, Problem
from service.engine.stepper import Rows, Terms
from service.models import load_model
from service.settings import Settings

SHIPPED = Path(__file__).parents[2] / "checkpoints"
CASES = [("odenet-mnist", "classify"), ("cnf-two-moons", "log_density"), ("cnf-pinwheel", "sample")]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def both(request):
    """A program on either backend, the same lanes."""
    name, program = request.param
    directory = SHIPPED / name / "1"
    return [load_model(directory, Settings(backend=kind, lanes=8)).programs[program] for kind in ("onnx", "torch")]


def problem(program, inputs, method, tol):
    return Problem(
        program=program,
        method=method,
        inputs=inputs,
        args=(),
        rtol=tol,
        atol=tol,
        max_nfe=10_000,
        first_dt=program.cost.first_dt(method, tol),
        partial=True,
    )


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
def test_both_backends_solve_alike(both, rng, tol):
    inputs = rng.random((20, *both[0].spec.input.shape)).astype(np.float32)
    for method in both[0].spec.methods:
        onnx, torch_ = (solve_alone(problem(program, inputs, method, tol)) for program in both)
        assert onnx.end is torch_.end is End.COMPLETED
        assert onnx.solution.nfe.mean() == pytest.approx(torch_.solution.nfe.mean(), rel=0.05)
        # Rounding in an error estimate far below the tolerance moves the next step's size, hence the answer within its
        # error; where that does not happen answers agree to rounding.
        within = 4 * both[0].cost.error_p99(method, tol)
        for ours, theirs in zip(onnx.outputs, torch_.outputs, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=within)
            assert method != "bosh3" or np.isclose(ours, theirs, rtol=1e-5, atol=1e-5).mean() >= 0.75


def test_a_torch_step_asks_its_device_for_one_transfer(both, rng, monkeypatch):
    program = both[1]
    transfers = []
    for name in ("cpu", "item", "tolist", "numpy", "__bool__", "__int__", "__float__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *a, _name=name, _real=real, **k: (transfers.append(_name), _real(self, *a, **k))[1],
        )
    ones = np.ones(4)
    inputs = rng.random((4, *program.spec.input.shape)).astype(np.float32)
    started = program.stepper.start(
        Rows(inputs, (), Terms(1e-3 * ones, 1e-3 * ones, 1000 * ones.astype(np.int64), 0.1 * ones))
    )
    transfers.clear()
    program.stepper.step(next(iter(program.spec.methods)), started.lanes)
    assert transfers == ["cpu", "numpy"]


def test_a_gpu_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ArtifactError, match="ODESERVE_DEVICE=cuda"):
        load_model(SHIPPED / "cnf-two-moons" / "1", Settings(backend="torch", device="cuda"))
