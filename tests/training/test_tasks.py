from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from training.config import RunConfig
from training.runs import build_task

DIGITS = RunConfig(
    family="odenet",
    data="digits",
    epochs=3,
    channels=8,
    batch_size=16,
    tol=1e-2,
    precision="bfloat16",
    last_epochs=1,
    last_method="bosh3",
    last_tol=1e-2,
    threads=1,
)


class ConvolutionTypes(TorchDispatchMode):
    """Records the types that convolutions compute in, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "convolution" in str(func):
            self.seen.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


def seen_types(config: RunConfig, epoch: int) -> set[torch.dtype]:
    """Types of the convolutions over images or states in a loss and its gradient."""
    task = build_task(config, None)
    with ConvolutionTypes() as types:
        task.loss(epoch * task.steps_per_epoch).backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in task.model.parameters())
    return types.seen


def test_the_networks_compute_in_bfloat16_until_the_last_epochs_which_have_a_precision_of_their_own():
    assert [seen_types(DIGITS, epoch) for epoch in range(3)] == [{torch.bfloat16}, {torch.bfloat16}, {torch.float32}]
    swapped = replace(DIGITS, precision="float32", last_precision="bfloat16")
    assert [seen_types(swapped, epoch) for epoch in range(3)] == [{torch.float32}, {torch.float32}, {torch.bfloat16}]


def test_a_step_in_bfloat16_has_nearly_the_loss_and_gradient_of_one_in_float32():
    found = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(3)
        task = build_task(replace(DIGITS, precision=precision), None)
        loss = task.loss(0)
        loss.backward()
        gradients = [p.grad.flatten() for p in task.model.parameters() if p.grad is not None]
        found.append((float(loss.detach()), torch.cat(gradients)))
    (loss, gradient), (half_loss, half_gradient) = found
    assert half_loss == pytest.approx(loss, rel=0.02)
    assert float(torch.nn.functional.cosine_similarity(gradient, half_gradient, dim=0)) > 0.95
