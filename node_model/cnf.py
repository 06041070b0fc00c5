"""Continuous normalizing flows: densities whose change of variables is an initial value problem."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from node_model.fields import TimeMLP
from node_model.manifest import Normalisation, TensorSpec
from node_model.program import Program
from node_model.rows import row_sum
from node_model.trace import exact_trace, hutchinson_trace
from node_model.types import Args
from node_model.warp import Warp

Integrate = Callable[[nn.Module, Any, Tensor], Any]
"""How a state is carried over given times, for instance odeint_adjoint with its tolerances bound."""


@dataclass(frozen=True)
class CNFConfig:
    """Shape of a flow. Points are standardised with `mean` and `std`, one number per dimension, then warped."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    hidden: tuple[int, ...] = (64, 64, 64)
    warp: Warp | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "CNFConfig":
        """From what `dataclasses.asdict` gave, by way of JSON. Errors: TypeError, ValueError."""
        warp = values.get("warp")
        lists = {name: tuple(value) for name, value in values.items() if name != "warp"}
        return cls(**lists, warp=Warp.of(warp) if warp else None)

    @property
    def dim(self) -> int:
        """Dimensions of a point."""
        return len(self.mean)

    @property
    def log_jacobian(self) -> float:
        """Log-determinant of the standardisation: added to a standardised log-density, gives input units. Nats."""
        return -sum(math.log(s) for s in self.std)

    @property
    def log_scale(self) -> float:
        """Log-determinant of standardisation and warp, but for what of the latter depends on the point. Nats."""
        return self.log_jacobian + (self.warp.log_scale if self.warp else 0.0)


class CNF(nn.Module):
    """A density over points: the standard normal at t = 0, carried to the data at t = 1.

    Log-densities are in nats and in the input's own units.

    Source: Chen et al. 2018, section 4; Grathwohl et al. 2019 (FFJORD).
    """

    def __init__(self, config: CNFConfig) -> None:
        super().__init__()
        self.config = config
        self.field = TimeMLP(config.dim, config.hidden)

    def log_prob(self, points: Tensor, integrate: Integrate, probe: Tensor | None = None) -> Tensor:
        """Log-density of each point, with the exact trace or, given a probe, Hutchinson's estimate of it.

        Shapes: points, probe [lane, dim] -> [lane].
        """
        x1, log_jacobian = self.into_flow(points)
        times = torch.tensor([1.0, 0.0], dtype=torch.float64, device=points.device)
        field = _JointTraceField(self.field, probe)
        x0, log_det = integrate(field, (x1, x1.new_zeros(len(x1))), times)
        density: Tensor = standard_normal_log_density(x0[-1]) + log_det[-1] + log_jacobian + self.config.log_scale
        return density

    def sample(self, base: Tensor, integrate: Integrate) -> Tensor:
        """Points of the density from standard normal draws. Shapes: base [lane, dim] -> [lane, dim]."""
        return self.path(base, integrate, torch.tensor([0.0, 1.0], dtype=torch.float64, device=base.device))[-1]

    def path(self, base: Tensor, integrate: Integrate, times: Tensor) -> Tensor:
        """Where the draws are at `times`, which begin at 0, as points of the input. Shapes: -> [time, lane, dim]."""
        states = integrate(_JointField(self.field), base, times)
        return torch.stack([self._out_of_flow(state) for state in states])

    def into_flow(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised and warped points, the states at t = 1, and the warp's log-determinant less its constant.

        Shapes: [lane, dim] -> [lane, dim], [lane].
        """
        z = (points - points.new_tensor(self.config.mean)) / points.new_tensor(self.config.std)
        return self.config.warp.forward(z) if self.config.warp else (z, torch.zeros_like(z[:, 0]))

    def _out_of_flow(self, x: Tensor) -> Tensor:
        z = self.config.warp.inverse(x) if self.config.warp else x
        return z * z.new_tensor(self.config.std) + z.new_tensor(self.config.mean)

    def programs(self) -> tuple[Program, ...]:
        """`log_density` and `sample`; `log_density_hutchinson` for flows of more than two dimensions."""
        config, dim = self.config, self.config.dim
        double = next(self.parameters()).dtype == torch.float64
        dtype: Literal["float32", "float64"] = "float64" if double else "float32"
        point = TensorSpec(
            name="point", shape=(dim,), dtype=dtype, normalisation=Normalisation(mean=config.mean, std=config.std)
        )
        density = Program(
            name="log_density",
            encode=_IntoFlow(self),
            field=_TraceField(self.field),
            decode=_LogDensity(config),
            interval=(1.0, 0.0),
            part_sizes={"x": dim, "log_det": 1},
            input=point,
            outputs=(TensorSpec(name="log_density", shape=(), dtype="float64"),),
        )
        sample = Program(
            name="sample",
            encode=nn.Identity(),
            field=_SampleField(self.field),
            decode=_OutOfFlow(self),
            interval=(0.0, 1.0),
            part_sizes={"x": dim},
            input=TensorSpec(name="base", shape=(dim,), dtype=dtype, draw="standard_normal"),
            outputs=(TensorSpec(name="sample", shape=(dim,), dtype=dtype),),
        )
        if dim <= 2:
            return density, sample
        probe = TensorSpec(name="probe", shape=(dim,), dtype=dtype, draw="rademacher")
        estimate = Program(
            name="log_density_hutchinson",
            encode=_IntoFlow(self),
            field=_HutchinsonField(self.field),
            decode=_LogDensity(config),
            interval=(1.0, 0.0),
            part_sizes={"x": dim, "log_det": 1},
            input=point,
            outputs=density.outputs,
            args=(probe,),
        )
        return density, sample, estimate


def standard_normal_log_density(x: Tensor) -> Tensor:
    """Nats. Shapes: [lane, dim] -> [lane]."""
    # A tensor, because a Python number would be written to an exported graph in float32.
    return -0.5 * row_sum(x.square()) - x.new_tensor(0.5 * x.shape[-1] * math.log(2 * math.pi))


class _JointField(nn.Module):
    """The field for a joint solve, whose t has no lane axis."""

    def __init__(self, field: TimeMLP) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        f: Tensor = self.field(t.reshape(1), x)
        return f


class _JointTraceField(nn.Module):
    """(x, log_det) for a joint solve; with a probe the trace is Hutchinson's estimate."""

    def __init__(self, field: TimeMLP, probe: Tensor | None) -> None:
        super().__init__()
        self.field = field
        self.probe = probe

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, _ = state
        if self.probe is None:
            return exact_trace(self.field, t.reshape(1), x)
        return hutchinson_trace(self.field, t.reshape(1), x, self.probe)


class _TraceField(nn.Module):
    """{x, log_det} on the solver's flat state, exact trace."""

    def __init__(self, field: TimeMLP) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, y: Tensor, _: Args) -> Tensor:
        f, trace = exact_trace(self.field, t, y[:, :-1])
        return torch.cat([f, trace[:, None]], 1)


class _HutchinsonField(nn.Module):
    """{x, log_det} on the solver's flat state; args = (probe,)."""

    def __init__(self, field: TimeMLP) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, y: Tensor, args: Args) -> Tensor:
        f, trace = hutchinson_trace(self.field, t, y[:, :-1], args[0])
        return torch.cat([f, trace[:, None]], 1)


class _SampleField(nn.Module):
    """x on the solver's flat state, no trace."""

    def __init__(self, field: TimeMLP) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, y: Tensor, _: Args) -> Tensor:
        f: Tensor = self.field(t, y)
        return f


class _IntoFlow(nn.Module):
    def __init__(self, model: CNF) -> None:
        super().__init__()
        self.model = model

    def forward(self, points: Tensor) -> Tensor:
        x, log_jacobian = self.model.into_flow(points)
        return torch.cat([x, log_jacobian[:, None]], 1)


class _LogDensity(nn.Module):
    """Base log-density in float64, because x squared overflows float32 for points far away."""

    def __init__(self, config: CNFConfig) -> None:
        super().__init__()
        self.log_scale = config.log_scale

    def forward(self, y: Tensor) -> tuple[Tensor]:
        wide = y.to(torch.float64)
        return (standard_normal_log_density(wide[:, :-1]) + wide[:, -1] + wide.new_tensor(self.log_scale),)


class _OutOfFlow(nn.Module):
    def __init__(self, model: CNF) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> tuple[Tensor]:
        return (self.model._out_of_flow(y),)
