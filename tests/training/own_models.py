"""Models of a user's own for `odetrain pack`."""

import torch
from torch import nn

from node_model.own import OwnArg, OwnModel, OwnProgram
from node_model.torchdiffeq_field import TorchdiffeqField


class Func(nn.Module):
    """As in torchdiffeq's examples: t is one number."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, t, y):
        return self.net(torch.cat([torch.sin(y), torch.ones_like(y[:, :1]) * t], -1))


def torchdiffeqs():
    program = OwnProgram(nn.Identity(), TorchdiffeqField(Func()), nn.Identity(), interval=(0.0, 2.0))
    return OwnModel("predict", program, description="a field written for torchdiffeq")


class Damped(nn.Module):
    def __init__(self):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(4.0, dtype=torch.float64))

    def forward(self, t, y, args):
        (damping,) = args
        return torch.stack([y[:, 1], -self.stiffness * y[:, 0] - 2 * damping * y[:, 1]], 1)


class Energy(nn.Module):
    def forward(self, y):
        return y, 0.5 * (y[:, 1].square() + 4 * y[:, 0].square())


def damped():
    """Float64, with an argument and two outputs."""
    return OwnModel(
        "predict",
        OwnProgram(
            nn.Identity(),
            Damped(),
            Energy(),
            interval=(0.0, 2.0),
            input="state",
            outputs=("state", "energy"),
            args=(OwnArg("damping", range=(0.0, 1.0)),),
            parts={"position": 1, "velocity": 1},
        ),
    )


class Pixels(nn.Module):
    """A state of planes, as a convolution wants it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, t, y, args):
        return torch.tanh(self.conv(y)) * (1 + t[:, None, None, None])


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 3)

    def forward(self, y):
        return self.linear(y.flatten(1))


def classifier():
    program = OwnProgram(
        nn.Unflatten(1, (1, 4)),
        Pixels(),
        Head(),
        name="classify",
        input="image",
        outputs=("logits",),
        state_shape=(1, 4, 4),
    )
    return OwnModel("classify", program, labels=("a", "b", "c"))


class FieldOf(nn.Module):
    """A field written as a function of t and y."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, t, y, args):
        return self.function(t, y)


class Cancels(nn.Module):
    """Sums of large numbers that nearly cancel: rounding alone makes a batch differ from its items in float32."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.wide, self.back = nn.Linear(2, 512), nn.Linear(512, 2, bias=False)

    def forward(self, t, y, args):
        hidden = torch.tanh(self.wide(y))
        return 1e-3 * (self.back(hidden + 1e3) - self.back(torch.full_like(hidden, 1e3)))


def cancels():
    return OwnModel("predict", OwnProgram(nn.Identity(), Cancels(), nn.Identity()))


class Words(nn.Module):
    """Outputs whose names the exporter uses inside."""

    def forward(self, y):
        return torch.exp(y), torch.tanh(torch.exp(y)) + torch.exp(y) * 0.5


def words_of_the_exporter():
    field = FieldOf(lambda t, y: -torch.tanh(torch.exp(-y)))
    return OwnModel("predict", OwnProgram(nn.Identity(), field, Words(), outputs=("tanh", "exp")))


def logarithm():
    """Of positive numbers alone."""

    class Log(nn.Module):
        def forward(self, y):
            return torch.log(y)

    return OwnModel("predict", OwnProgram(nn.Identity(), FieldOf(lambda t, y: -0.1 * y), Log()))


class Fast(nn.Module):
    """A frequency for each item, which is also its state."""

    def forward(self, t, y, args):
        return torch.stack([y[:, 1] * torch.cos(y[:, 1] * t), torch.zeros_like(t)], 1)


def fast():
    return OwnModel("predict", OwnProgram(nn.Identity(), Fast(), nn.Identity()))


class LookedUp(nn.Module):
    """A row of a table for each item, of five: for numbers from 0 to 0.5."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 3)

    def forward(self, x):
        return self.table((10 * x).long()[:, 0])


def looked_up(**changes):
    program = OwnProgram(LookedUp(), FieldOf(lambda t, y: -y), nn.Identity(), **changes)
    return OwnModel("predict", program)


def looked_up_in_range():
    return looked_up(range=(0.0, 0.49))
