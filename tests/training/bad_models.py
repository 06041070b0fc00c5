"""Models with one fault each, for `odetrain pack` to find."""

import numpy as np
import torch
from own_models import FieldOf
from torch import nn

from node_model.own import OwnArg, OwnModel, OwnProgram
from node_model.torchdiffeq_field import TorchdiffeqField


def bad(fault, encode=None, decode=None, **changes):
    def build():
        return OwnModel(
            "predict", OwnProgram(encode or nn.Identity(), FieldOf(fault), decode or nn.Identity(), **changes)
        )

    return build


class Signs(nn.Module):
    """Decides by the numbers, for each lane alike, so that only the exporter can tell."""

    def forward(self, y):
        if bool(y.isfinite().all()):
            return y
        return -y


class Listed(nn.Module):
    def forward(self, y):
        return [y, y]


class Beyond(nn.Module):
    """Looks up, while it is exported alone, what its table does not have."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 2)

    def forward(self, x):
        return self.table((x[:, 0] > 0).long() + 50 * torch.compiler.is_exporting())


class Grows(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.sum(0, keepdim=True).expand_as(x)], 1)


class First(nn.Module):
    """A state whose second number begins at 0 for every item."""

    def forward(self, x):
        return torch.stack([x[:, 0], 0 * x[:, 1]], 1)


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


class Normed(nn.Module):
    """Batch norm by the statistics of those who happen to be together."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2, track_running_stats=False)

    def forward(self, t, y, args):
        return self.norm(y)


class Branching(nn.Module):
    def forward(self, t, y, args):
        if y.abs().max() > 1e6:
            return y
        return -y


class Looping(nn.Module):
    """Goes round as often as a number says."""

    def forward(self, t, y, args):
        for _ in range(int(t.max() * 0 + 2)):
            y = torch.tanh(y)
        return y


class Svd(nn.Module):
    def forward(self, t, y, args):
        squares = y[:, :, None] * y[:, None, :]
        return -0.01 * torch.linalg.svdvals(squares)


class Numpy(nn.Module):
    def forward(self, t, y, args):
        return torch.from_numpy(np.tanh(y.numpy()))


class Convolved(nn.Module):
    """Convolutions are for float32 alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 1)

    def forward(self, t, y, args):
        return self.conv(y[:, None])[:, 0]


def model_of(field, **changes):
    return lambda: OwnModel("predict", OwnProgram(nn.Identity(), field(), nn.Identity(), **changes))


random = bad(lambda t, y: y * torch.rand_like(y))
dropout = bad(lambda t, y: nn.functional.dropout(y, training=True))
wrong_shape = bad(lambda t, y: y[:, :1])
wrong_dtype = bad(lambda t, y: y.double())
no_tensor = bad(lambda t, y: None)
not_finite = bad(lambda t, y: (y - 100).sqrt())
raises = bad(lambda t, y: y @ torch.ones(3, 3))
in_place = bad(lambda t, y: y.mul_(-1))
neighbours = bad(lambda t, y: y - y.mean(0))
neighbours_later = bad(lambda t, y: torch.cat([-y[:, :1], y[:, :1] - y[:, 1:].mean(0)], 1), encode=First())
neighbours_in_encode = bad(lambda t, y: -y, encode=Grows())
neighbours_in_decode = bad(lambda t, y: -y, decode=Grows())
squeezed = bad(lambda t, y: -y.squeeze())
explodes = bad(lambda t, y: y**3 + 1e3)
stiff = bad(lambda t, y: -1e7 * (y - torch.cos(t)[:, None]))
control = bad(lambda t, y: -y, decode=Signs())
narrow = bad(lambda t, y: y * torch.ones(2) @ torch.ones(2, 2))
beyond = bad(lambda t, y: -y, encode=Beyond())
fixed_count = bad(lambda t, y: -y * len(y) / len(y))
listed = bad(lambda t, y: y, decode=Listed(), outputs=("a", "b"))
three_outputs = bad(lambda t, y: y, outputs=("a", "b", "c"))
wrong_parts = bad(lambda t, y: y, parts={"x": 1})
own_y = bad(lambda t, y: y, outputs=("y",))
own_t = bad(lambda t, y: y, args=(OwnArg("t"),))
still = bad(lambda t, y: y, interval=(1.0, 1.0))
odd_draw = bad(lambda t, y: y, args=(OwnArg("probe", (2,), draw="cauchy"),))
narrow_range = bad(lambda t, y: y, range=(0.0, 0.5))
plane = bad(lambda t, y: y, encode=nn.Unflatten(1, (1, 2)))
shapeless = bad(lambda t, y: y, encode=First(), state_shape=())
a_size = bad(lambda t, y: y, state_shape=2)
normed, branching, looping, with_numpy, svd = map(model_of, (Normed, Branching, Looping, Numpy, Svd))


def convolved():
    return model_of(Convolved)().double()


def halved():
    return OwnModel("predict", OwnProgram(nn.Linear(2, 2).half(), Plain(), nn.Identity()))


def a_class():
    return OwnModel("predict", OwnProgram(nn.Identity(), Plain, nn.Identity()))


def two_logits():
    program = OwnProgram(nn.Identity(), FieldOf(lambda t, y: -y), nn.Identity(), name="classify")
    return OwnModel("classify", program, labels=("a", "b", "c"))


def two_densities():
    return OwnModel("density", OwnProgram(nn.Identity(), FieldOf(lambda t, y: -y), nn.Identity(), name="log_density"))


def no_density():
    return OwnModel("density", OwnProgram(nn.Identity(), FieldOf(lambda t, y: -y), nn.Identity(), name="predict"))


def fails():
    raise RuntimeError("weights.pt is nowhere")


def ends():
    raise SystemExit(3)


def nothing():
    return None


faint_neighbours = bad(lambda t, y: -y + 1e-6 * y.mean(0))


class Keeps(nn.Module):
    """What encode saw is kept for the field behind the state's back."""

    def __init__(self):
        super().__init__()
        self.largest = torch.zeros(())

    def forward(self, x):
        self.largest = x.abs().max()
        return x


def keeps():
    encode = Keeps()
    program = OwnProgram(encode, FieldOf(lambda t, y: -encode.largest.to(y.dtype) * y), nn.Identity())
    return OwnModel("predict", program)


class Silent(nn.Module):
    def forward(self, t, y, args):
        assert torch.compiler.is_exporting() is False
        return -y


def silent():
    return OwnModel("predict", OwnProgram(nn.Identity(), Silent(), nn.Identity()))
