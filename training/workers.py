"""More than one process on the same run, as torchrun starts them: each computes its share of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """Which of how many processes this one is. Alone, everything here does nothing."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def share(self, batch: Any) -> Any:
        """The items of a batch that are this process's to compute; every process draws the same batch.

        Errors: ValueError for a batch that cannot be shared evenly.
        """
        if len(batch) % self.count:
            raise ValueError(f"--batch-size: {len(batch)} cannot be shared evenly by {self.count} processes")
        return batch[self.rank :: self.count]

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            distributed.barrier()

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.count

    def together(self, module: nn.Module) -> nn.Module:
        """A module whose backward pass leaves mean gradients in every process."""
        if self.count == 1:
            return module
        # It keeps its group, and the group its threads, until the process ends; a thread that lets go of a tensor while
        # the interpreter is being torn down aborts the process. With a group of its own these have long been idle by
        # then, and those of the group that `wait` and `mean` use end when it is destroyed.
        return DistributedDataParallel(module, process_group=distributed.new_group())


@contextmanager
def started_workers(device: str) -> Iterator[Workers]:
    """This process among those of torchrun; alone when there is no torchrun.

    nccl between GPUs, gloo between CPUs. With `cuda` each process takes the GPU of its local rank.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Workers()
        return
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        workers = Workers(distributed.get_rank(), distributed.get_world_size())
        yield workers
        workers.wait()
    finally:
        distributed.destroy_process_group()
