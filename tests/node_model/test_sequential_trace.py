from itertools import pairwise

import pytest
import torch
from torch import nn

from node_model.sequential_trace import SLOPES, with_trace


@pytest.mark.parametrize("activation", [*SLOPES, lambda: nn.ELU(0.5), lambda: nn.Softplus(2.0)])
@pytest.mark.parametrize(("hidden", "first"), [(0, 0), (1, 2), (3, 0)])
def test_the_trace_is_that_of_autograds_jacobian(activation, hidden, first):
    torch.manual_seed(hidden)
    widths = [5, *[7] * hidden, 3]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), activation())]
    network = nn.Sequential(*layers[:-1]).double()
    inputs = torch.randn(4, 5, dtype=torch.float64)
    f, trace = with_trace(network, inputs, dim=3, first=first)
    torch.testing.assert_close(f, network(inputs))
    for lane in range(4):
        jacobian = torch.autograd.functional.jacobian(network, inputs[lane])
        torch.testing.assert_close(trace[lane], jacobian[:, first : first + 3].trace())


def test_one_activation_may_stand_in_several_places():
    torch.manual_seed(0)
    act = nn.Tanh()
    network = nn.Sequential(nn.Linear(3, 7), act, nn.Linear(7, 7), act, nn.Linear(7, 3)).double()
    inputs = torch.randn(2, 3, dtype=torch.float64)
    f, trace = with_trace(network, inputs, dim=3)
    torch.testing.assert_close(f, network(inputs))
    for lane in range(2):
        jacobian = torch.autograd.functional.jacobian(network, inputs[lane])
        torch.testing.assert_close(trace[lane], jacobian.trace())


class Masked(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight.tril(), self.bias)


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(-1)), "layer 1: expected linear layers"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), "layer 0: expected linear layers, the first one of them"),
        (nn.Sequential(nn.Linear(3, 2)), "expected a network from 3 numbers and more to 3, got one to 2"),
        (nn.Sequential(Masked(3, 3)), "layer 0: expected weight @ x"),
        (Residual(nn.Linear(3, 3)), "Residual has its own forward"),
        (nn.Sequential(), "expected a network from 3 numbers"),
        (nn.Sequential(nn.Linear(3, 3), nn.GELU("tanh")), "GELU: expected approximate='none'"),
    ],
)
def test_a_network_of_other_layers_is_refused_by_name(network, words):
    with pytest.raises(ValueError, match=words):
        with_trace(network, torch.ones(2, 3), dim=3)
