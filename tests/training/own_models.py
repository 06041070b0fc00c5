"""Models of a user's own, good ones and bad ones, for `odetrain pack`."""

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


class Bad(nn.Module):
    """A field with one fault."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def forward(self, t, y, args):
        return self.fault(t, y)


def bad(fault, encode=None, decode=None, **changes):
    program = OwnProgram(encode or nn.Identity(), Bad(fault), decode or nn.Identity(), **changes)
    return lambda: OwnModel("predict", program)


class Signs(nn.Module):
    """Decides by the numbers, for each lane alike, so that only the exporter can tell."""

    def forward(self, y):
        if bool(y.isfinite().all()):
            return y
        return -y


class Grows(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.sum(0, keepdim=True).expand_as(x)], 1)


class Hyper(nn.Module):
    """Weights made of t: right for one t, not for many."""

    def forward(self, t, y):
        return y @ torch.diag(t.reshape(1).expand(2))


class Plain(nn.Module):
    def forward(self, t, y):
        return y


def hyper():
    return OwnModel("predict", OwnProgram(nn.Identity(), TorchdiffeqField(Hyper()), nn.Identity()))


def unwrapped():
    return OwnModel("predict", OwnProgram(nn.Identity(), Plain(), nn.Identity()))


random = bad(lambda t, y: y * torch.rand_like(y))
dropout = bad(lambda t, y: nn.functional.dropout(y, training=True))
wrong_shape = bad(lambda t, y: y[:, :1])
not_finite = bad(lambda t, y: (y - 100).sqrt())
raises = bad(lambda t, y: y @ torch.ones(3, 3))
neighbours = bad(lambda t, y: y - y.mean(0))
neighbours_in_encode = bad(lambda t, y: -y, encode=Grows())
explodes = bad(lambda t, y: y**3 + 1e3)
svd = bad(lambda t, y: -0.01 * torch.linalg.svdvals(y[:, :, None] * y[:, None, :] + torch.eye(2, dtype=y.dtype)))
control = bad(lambda t, y: -y, decode=Signs())
narrow = bad(lambda t, y: y * torch.ones(2) @ torch.ones(2, 2))
three_outputs = bad(lambda t, y: y, outputs=("a", "b", "c"))
wrong_parts = bad(lambda t, y: y, parts={"x": 1})


def nothing():
    return nn.Identity()
