"""Programs run by node_model's own step in PyTorch, on a CPU or a GPU. The only module of the service that loads it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node_model.checkpoint import load_model
from node_model.errors import ArtifactError
from node_model.export import NFE_START
from node_model.manifest import Manifest, ProgramSpec
from node_model.solvers import ADAPTIVE, advance
from node_model.solvers import Lanes as SolverLanes
from node_model.solvers.lanes import first_status
from service.engine.stepper import CARRIED, LIMITS, Array, Lanes, Rows, Stepped, Terms


class TorchStepper:
    """A program whose lanes live on a device. A step sends its kernels and then waits once, for what it must tell."""

    def __init__(self, directory: Path, manifest: Manifest, program: str, device: str) -> None:
        """Load the weights and move them to the device.

        Errors: ArtifactError naming the file that is missing, altered or does not fit, or the device that is not here.
        """
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ArtifactError(f"{directory}: ODESERVE_DEVICE={device}, but PyTorch sees no GPU here")
        self._spec = manifest.programs[program]
        self._device = torch.device(device)
        if self._device.type == "cpu":
            # A shard is a thread of its own: OpenMP teams of several shards would only fight for the same cores.
            torch.set_num_threads(1)
        _, model = load_model(directory)
        model.to(self._device)
        try:
            self._program = next(found for found in model.programs() if found.name == program)
        except StopIteration:
            raise ArtifactError(f"{directory}: its architecture has no program {program}") from None

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    @torch.inference_mode()
    def start(self, rows: Rows) -> Stepped:
        count, (t0, t_end) = len(rows.inputs), self._spec.interval
        args = tuple(self._put(arg) for arg in rows.args)
        y = self._program.encode(self._put(rows.inputs))
        ends = self._put(np.full(count, t_end) if rows.terms.t_end is None else rows.terms.t_end)
        t = self._put(np.full(count, t0))
        first_dt, rtol, atol, max_nfe = self._terms(rows.terms)
        f = self._program.field(t.to(y.dtype), y, args)
        status, nfe = first_status(f, t0=t, t_end=ends, max_nfe=max_nfe, nfe_start=NFE_START)
        accepted, none = torch.ones_like(nfe, dtype=torch.bool), torch.zeros_like(nfe)
        limits = (ends, rtol, atol, max_nfe)
        lanes = Lanes._make((y, f, t, first_dt, accepted, none, nfe, *limits, args))
        return _told(lanes, status, torch.zeros_like(t), torch.zeros_like(t))

    @torch.inference_mode()
    def restart(self, lanes: Lanes, terms: Terms) -> Stepped:
        first_dt, rtol, atol, max_nfe = self._terms(terms)
        none = torch.zeros_like(lanes.nfe)
        begun = lanes._replace(dt=first_dt, nfe=none, rtol=rtol, atol=atol, max_nfe=max_nfe)
        zeros = torch.zeros_like(lanes.t)
        return _told(begun, none, zeros, zeros)

    @torch.inference_mode()
    def step(self, method: str, lanes: Lanes) -> Stepped:
        none, zeros = torch.zeros_like(lanes.nfe), torch.zeros_like(lanes.t)
        before = SolverLanes(
            **lanes._asdict(),
            status=none,
            steps_accepted=none,
            steps_rejected=none,
            ratio=zeros,
            err_norm=zeros,
            error_estimate=zeros,
        )
        after = advance(self._program.field, before, ADAPTIVE[method], self._program.parts)
        carried = (getattr(after, name) for name in (*CARRIED, *LIMITS))
        return _told(Lanes._make((*carried, lanes.args)), after.status, after.err_norm, after.ratio)

    @torch.inference_mode()
    def onward(self, lanes: Lanes, index: Array, t_end: Array) -> Lanes:
        chosen, ends, accepted = self._put(index), lanes.t_end.clone(), lanes.accepted.clone()
        ends[chosen] = self._put(t_end)
        # A lane that found itself at its stop made no attempt, hence no rejection that dt should heed.
        accepted[chosen] = True
        return lanes._replace(t_end=ends, accepted=accepted)

    @torch.inference_mode()
    def select(self, lanes: Lanes, index: Array) -> Lanes:
        chosen = self._put(index)
        args = tuple(tensor[chosen] for tensor in lanes.args)
        return Lanes._make((*(tensor[chosen] for tensor in lanes[:-1]), args))

    @torch.inference_mode()
    def join(self, lanes: Lanes, others: Lanes) -> Lanes:
        args = tuple(torch.cat(pair) for pair in zip(lanes.args, others.args, strict=True))
        return Lanes._make((*(torch.cat(pair) for pair in zip(lanes[:-1], others[:-1], strict=True)), args))

    def peek(self, lanes: Lanes, names: tuple[str, ...]) -> tuple[Array, ...]:
        return tuple(getattr(lanes, name).cpu().numpy() for name in names)

    @torch.inference_mode()
    def decode(self, y: Any) -> tuple[Array, ...]:
        states = y if isinstance(y, Tensor) else self._put(y)
        return tuple(output.cpu().numpy() for output in self._program.decode(states))

    def _terms(self, terms: Terms) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First dt, rtol, atol and budget on the device."""
        return self._put(terms.first_dt), self._put(terms.rtol), self._put(terms.atol), self._put(terms.max_nfe)

    def _put(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device, non_blocking=True)


def _told(lanes: Lanes, status: Tensor, err_norm: Tensor, ratio: Tensor) -> Stepped:
    """What the engine must know, fetched in one transfer: the one place where the host waits for the device."""
    small = torch.stack([lanes.t, err_norm, ratio, status.double(), lanes.nfe.double(), lanes.accepted.double()])
    t, errors, ratios, statuses, nfe, accepted = small.cpu().numpy()
    counts = (statuses.astype(np.int64), t, nfe.astype(np.int64))
    return Stepped(lanes, *counts, accepted.astype(np.bool_), errors, ratios)
