"""The record of a lane: how it starts, and what an attempt leaves behind."""

import math

import pytest
import torch

from node_model.solvers.lanes import first_status, merge, start_lanes
from node_model.status import Status


def lanes_of(count, **changes):
    def full(value, dtype=torch.float64):
        return torch.full((count,), value, dtype=dtype)

    fields = {
        "y0": torch.zeros(count, 2),
        "f0": torch.ones(count, 2),
        "t0": full(0.0),
        "t_end": full(1.0),
        "dt": full(0.25),
        "rtol": full(1e-3),
        "atol": full(1e-3),
        "max_nfe": full(100, torch.int64),
        "args": (),
        "nfe_start": 2,
    }
    return start_lanes(**fields | changes)


@pytest.mark.parametrize(
    ("f0", "t0", "max_nfe", "status", "nfe"),
    [
        (1.0, 0.0, 100, Status.RUNNING, 2),
        (1.0, 0.0, 2, Status.RUNNING, 2),
        (1.0, 0.0, 1, Status.MAX_NFE, 0),
        (1.0, 1.0, 100, Status.OK, 0),
        (1.0, 1.0, 0, Status.OK, 0),
        (math.nan, 0.0, 100, Status.NON_FINITE, 2),
        (math.inf, 0.0, 100, Status.NON_FINITE, 2),
        (-math.inf, 0.0, 100, Status.NON_FINITE, 2),
        (math.nan, 0.0, 1, Status.MAX_NFE, 0),
        (math.nan, 1.0, 100, Status.OK, 0),
    ],
)
def test_some_lanes_end_before_their_first_attempt(f0, t0, max_nfe, status, nfe):
    def one(value, dtype=torch.float64):
        return torch.tensor([value], dtype=dtype)

    found, charged = first_status(
        torch.tensor([[0.5, f0]]), t0=one(t0), t_end=one(1.0), max_nfe=one(max_nfe, torch.int64), nfe_start=2
    )
    assert found.dtype == charged.dtype == torch.int64
    assert (found.item(), charged.item()) == (status, nfe)


def test_times_and_statistics_are_float64_whatever_the_state():
    lanes = lanes_of(2)
    assert lanes.y.dtype == torch.float32
    for name in ("t", "dt", "t_end", "rtol", "atol", "ratio", "err_norm", "error_estimate"):
        assert getattr(lanes, name).dtype == torch.float64


def test_merge_takes_the_accepted_and_keeps_the_rest_and_charges_both():
    lanes = lanes_of(3, t_end=torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    assert lanes.running.tolist() == [True, True, False]
    after = merge(
        lanes,
        torch.tensor([True, False, False]),
        y=torch.full((3, 2), 7.0),
        f=torch.full((3, 2), math.nan),
        t=torch.full((3,), 0.5, dtype=torch.float64),
        err_norm=torch.tensor([0.125, math.nan, math.inf], dtype=torch.float64),
        nfe_attempt=6,
    )
    assert after.y.tolist() == [[7, 7], [0, 0], [0, 0]]
    assert after.f[1:].tolist() == [[1, 1], [1, 1]]
    assert after.t.tolist() == [0.5, 0, 0]
    assert after.nfe.tolist() == [8, 8, 0]
    assert after.steps_accepted.tolist() == [1, 0, 0]
    assert after.steps_rejected.tolist() == [0, 1, 0]
    assert after.error_estimate.tolist() == [0.125, 0, 0]
    assert after.err_norm[2].item() == 0
