"""The two networks: against plain layers with the same weights, and against autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from node_model.fields import ConvField, GroupNorm, TimeConv2d, TimeMLP, norm_groups


@pytest.fixture(autouse=True)
def _fresh_weights(rng):
    torch.manual_seed(int(rng.integers(2**31)))


@pytest.mark.parametrize("per_lane", [True, False])
def test_time_convolution_is_a_plain_convolution_over_t_and_x(per_lane):
    folded = TimeConv2d(8, 6)
    plain = nn.Conv2d(9, 8, 3, padding=1)
    plain.load_state_dict(folded.state_dict())
    x = torch.randn(5, 8, 6, 6)
    t = torch.randn(5) if per_lane else torch.randn(1)
    time = t.expand(5)[:, None, None, None].expand(5, 1, 6, 6)
    torch.testing.assert_close(folded(t, x), plain(torch.cat([time, x], 1)), rtol=1e-6, atol=1e-6)


def test_time_convolution_has_the_gradients_of_a_plain_one():
    folded = TimeConv2d(4, 6).double()
    plain = nn.Conv2d(5, 4, 3, padding=1).double()
    plain.load_state_dict(folded.state_dict())
    x, t = torch.randn(2, 4, 6, 6, dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    folded(t, x).square().sum().backward()
    in_t = t.grad.clone()
    t.grad = None
    plain(torch.cat([t.reshape(1, 1, 1, 1).expand(2, 1, 6, 6), x], 1)).square().sum().backward()
    torch.testing.assert_close(folded.weight.grad, plain.weight.grad)
    torch.testing.assert_close(folded.bias.grad, plain.bias.grad)
    torch.testing.assert_close(in_t, t.grad)


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (128, 32), (32, 16), (8, 4), (2, 1), (1, 1)])
def test_groups_of_the_norm(channels, groups):
    assert norm_groups(channels) == groups


@pytest.mark.parametrize("scale", [1.0, 1e-3, 100.0])
def test_exported_group_norm_is_torchs(monkeypatch, scale):
    norm = GroupNorm(4, 8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = scale * torch.randn(3, 8, 6, 6) + scale
    expected = F.group_norm(x, 4, norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=0)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-5)


def test_conv_field_is_norm_relu_convolution_twice_and_a_norm():
    field = ConvField(8, 6)
    t, x = torch.rand(3), torch.randn(3, 8, 6, 6)
    step = field.conv1(t, torch.relu(field.norm1(x)))
    step = field.conv2(t, torch.relu(field.norm2(step)))
    torch.testing.assert_close(field(t, x), field.norm3(step))
    assert [name for name, _ in field.named_children()] == ["norm1", "conv1", "norm2", "conv2", "norm3"]


@pytest.mark.parametrize("hidden", [(), (7,), (16, 5, 9)])
@pytest.mark.parametrize("per_lane", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_quadratic_forms_are_those_of_the_jacobian(hidden, per_lane, shared):
    field = TimeMLP(3, hidden).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    t = torch.randn(4 if per_lane else 1, dtype=torch.float64)
    v = torch.randn(2, 1 if shared else 4, 3, dtype=torch.float64)
    f, form = field.with_quadratic_form(t, x, v)
    torch.testing.assert_close(f, field(t, x), rtol=0, atol=1e-14)
    assert form.shape == (4,)
    for lane in range(4):
        time = t[lane : lane + 1] if per_lane else t
        jacobian = torch.autograd.functional.jacobian(lambda y, time=time: field(time, y[None])[0], x[lane])
        own = v[:, 0 if shared else lane]
        expected = torch.einsum("ni,ij,nj->", own, jacobian, own)
        torch.testing.assert_close(form[lane], expected, rtol=1e-10, atol=1e-10)


def test_every_layer_of_the_mlp_sees_t_in_column_0():
    field = TimeMLP(2, (5,)).double()
    t, x = torch.tensor([0.3], dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    first, last = field.layers
    time = t.expand(4)[:, None]
    hidden = torch.tanh(first(torch.cat([time, x], 1)))
    torch.testing.assert_close(field(t, x), last(torch.cat([time, hidden], 1)), rtol=1e-12, atol=1e-12)
