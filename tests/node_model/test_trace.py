"""Traces of a Jacobian: exact against autograd, estimated against exact."""

import pytest
import torch

from node_model.fields import TimeMLP
from node_model.trace import exact_trace, hutchinson_trace


@pytest.fixture(autouse=True)
def _fresh_weights(rng):
    torch.manual_seed(int(rng.integers(2**31)))


def jacobians(field, t, x):
    def row(lane):
        return torch.autograd.functional.jacobian(lambda y: field(t[lane : lane + 1], y[None])[0], x[lane])

    return torch.stack([row(lane) for lane in range(len(x))])


def case(dim, hidden, lanes=5):
    field = TimeMLP(dim, hidden).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.mul_(2)
    return field, torch.rand(lanes, dtype=torch.float64), torch.randn(lanes, dim, dtype=torch.float64)


@pytest.mark.parametrize(
    ("dim", "hidden"),
    [(3, ()), (1, (8,)), (4, (8,)), (6, (12, 9)), (2, (16, 12, 9)), (5, (7, 11, 6, 8)), (3, (4, 5, 6, 7, 8))],
)
def test_exact_trace_is_the_trace_of_autograds_jacobian(dim, hidden):
    field, t, x = case(dim, hidden)
    f, trace = exact_trace(field, t, x)
    assert trace.shape == (5,)
    torch.testing.assert_close(f, field(t, x), rtol=0, atol=1e-14)
    expected = jacobians(field, t, x).diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(trace, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("draw", ["rademacher", "normal"])
def test_hutchinsons_mean_over_many_probes_is_the_trace(draw):
    field, t, x = case(4, (16, 16), lanes=1)
    count = 20_000
    probes = torch.randn(count, 4, dtype=torch.float64)
    probes = probes.sign() if draw == "rademacher" else probes
    with torch.no_grad():
        _, estimates = hutchinson_trace(field, t, x.expand(count, 4), probes)
        _, exact = exact_trace(field, t, x)
    standard_error = float(estimates.std()) / count**0.5
    assert abs(float(estimates.mean()) - float(exact)) < 5 * standard_error
    assert standard_error < 0.1


def test_each_estimate_is_the_quadratic_form_of_its_probe():
    field, t, x = case(3, (9,))
    probe = torch.randn(5, 3, dtype=torch.float64)
    f, estimate = hutchinson_trace(field, t, x, probe)
    torch.testing.assert_close(f, field(t, x), rtol=0, atol=1e-14)
    expected = torch.einsum("li,lij,lj->l", probe, jacobians(field, t, x), probe)
    torch.testing.assert_close(estimate, expected, rtol=0, atol=1e-10)


def test_a_rademacher_probe_is_exact_where_the_jacobian_is_diagonal():
    field, t, x = case(4, (4,))
    with torch.no_grad():
        for layer in field.layers:
            layer.weight[:, 1:] *= torch.eye(4, dtype=torch.float64)
    probe = torch.randn(5, 4, dtype=torch.float64).sign()
    _, estimate = hutchinson_trace(field, t, x, probe)
    torch.testing.assert_close(estimate, exact_trace(field, t, x)[1], rtol=1e-12, atol=1e-12)
