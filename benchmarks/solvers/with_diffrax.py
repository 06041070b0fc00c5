"""diffrax: compiled by XLA, every lane its own steps (vmap) or all together. Source: Kidger 2021."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Array = npt.NDArray[Any]
METHODS = {"bosh3": diffrax.Bosh3, "dopri5": diffrax.Dopri5, "tsit5": diffrax.Tsit5}
SIZE = 6


class DiffraxSolver:
    """Whole answers, compiled: encoder, solve, decoder."""

    choices = tuple(f"{method} {mode}" for method in METHODS for mode in ("per lane", "joint"))

    def __init__(self, artifact: str) -> None:
        manifest = json.loads((Path(artifact) / "manifest.json").read_text())
        weights = {
            name: jnp.asarray(array) for name, array in load_file(Path(artifact) / "weights.safetensors").items()
        }
        config = manifest["architecture"]
        answer = _classify if manifest["task"] == "classify" else _log_density
        self._compiled = {
            choice: jax.jit(partial(answer, weights, config, *choice.split(" ", 1))) for choice in self.choices
        }

    def use_threads(self, count: int) -> None:
        """XLA has one pool for all its life, as wide as the machine."""

    def solve(self, inputs: Array, choice: str, tol: float) -> Array:
        """Shapes: inputs [lane, ...] -> [lane, ...]."""
        return np.asarray(self._compiled[choice](jnp.asarray(inputs), jnp.float32(tol)))


def _classify(weights: Any, config: Any, method: str, mode: str, images: Any, tol: Any) -> Any:
    x = ((images - config["mean"]) / config["std"])[:, None]
    x = _conv(x, weights["stem.0.weight"], weights["stem.0.bias"], 1, 0)
    for norm, conv in ((1, 3), (4, 6)):
        x = jax.nn.relu(_norm(weights, f"stem.{norm}", x))
        x = _conv(x, weights[f"stem.{conv}.weight"], weights[f"stem.{conv}.bias"], 2, 1)
    x = _solve(partial(_conv_field, weights), x, 0.0, 1.0, method, mode, tol)
    x = jax.nn.relu(_norm(weights, "head.0", x)).mean((2, 3))
    return x @ weights["head.4.weight"].T + weights["head.4.bias"]


def _log_density(weights: Any, config: Any, method: str, mode: str, points: Any, tol: Any) -> Any:
    mean, std = jnp.asarray(config["mean"]), jnp.asarray(config["std"])
    x = (points - mean) / std
    y = jnp.concatenate([x, jnp.zeros((len(x), 1))], 1)
    y = _solve(partial(_trace_field, weights), y, 1.0, 0.0, method, mode, tol)
    x = y[:, :-1]
    normal = -0.5 * (x * x).sum(1) - 0.5 * x.shape[1] * jnp.log(2 * jnp.pi)
    return normal + y[:, -1] - jnp.log(std).sum()


def _conv(x: Any, kernel: Any, bias: Any, stride: int, padding: int) -> Any:
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), [(padding, padding)] * 2)
    return y + bias[:, None, None]


def _norm(weights: Any, name: str, x: Any) -> Any:
    channels = x.shape[1]
    groups = x.reshape(len(x), min(32, channels // 2), -1)
    centred = groups - groups.mean(-1, keepdims=True)
    normed = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return normed.reshape(x.shape) * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]


def _conv_field(weights: Any, t: Any, x: Any) -> Any:
    """Shapes: t scalar, x [lane, channel, 6, 6] -> as x."""
    for norm, conv in (("field.norm1", "field.conv1"), ("field.norm2", "field.conv2")):
        time_map = jnp.full((len(x), 1, SIZE, SIZE), t, x.dtype)
        x = jnp.concatenate([time_map, jax.nn.relu(_norm(weights, norm, x))], 1)
        x = _conv(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"], 1, 1)
    return _norm(weights, "field.norm3", x)


def _trace_field(weights: Any, t: Any, y: Any) -> Any:
    """Shapes: t scalar, y [lane, dim + 1] -> as y."""

    def mlp(x: Any) -> Any:
        layers = sum(name.endswith(".weight") for name in weights)
        for layer in range(layers):
            x = jnp.concatenate([jnp.asarray(t, x.dtype)[None], x])
            x = weights[f"field.layers.{layer}.weight"] @ x + weights[f"field.layers.{layer}.bias"]
            x = jnp.tanh(x) if layer < layers - 1 else x
        return x

    def one(x: Any) -> Any:
        f, push = jax.linearize(mlp, x)
        return jnp.append(f, jnp.trace(jax.vmap(push)(jnp.eye(len(x)))))

    return jax.vmap(one)(y[:, :-1])


def _solve(field: Any, y0: Any, t0: float, t1: float, method: str, mode: str, tol: Any) -> Any:
    controller = diffrax.PIDController(rtol=tol, atol=tol)

    def end(start: Any) -> Any:
        term = diffrax.ODETerm(lambda t, y, _: field(t, y))
        solution = diffrax.diffeqsolve(
            term, METHODS[method](), t0, t1, None, start, stepsize_controller=controller, adjoint=diffrax.ForwardMode()
        )
        return solution.ys[-1]

    if mode == "joint":
        return end(y0)
    return jax.vmap(lambda lane: end(lane[None])[0])(y0)


def open_solver(artifact: str) -> DiffraxSolver:
    """A solver with an artifact's weights, on the CPU."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return DiffraxSolver(artifact)
