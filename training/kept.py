"""How many bytes a computation keeps for its backward pass."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class KeptBytes:
    """Sum over the storages that autograd was handed to keep; each once, parameters not counted."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        # Held on to, so that no address is used twice within the measurement.
        self._kept: dict[int, torch.UntypedStorage] = {}

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(storage.nbytes() for storage in self._kept.values())

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts what is kept inside."""

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._own:
                self._kept[storage.data_ptr()] = storage
            # Detached, because an operator that keeps its own output would otherwise keep itself, and never be freed.
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
