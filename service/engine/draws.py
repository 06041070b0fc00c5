"""Random numbers of a request: a stream of its own per item, so that an answer does not depend on its company."""

import numpy as np

from node_model.manifest import TensorSpec
from service.engine.stepper import Array

SEED_LIMIT = 2**63


def _stream(seed: int, item: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, item], np.uint64)))


def draw_items(spec: TensorSpec, seed: int, items: int, per_item: int = 1) -> Array:
    """Draws of the kind that `spec.draw` names, `per_item` rows for each item; fewer are a beginning of more.

    Shapes: -> [item * per_item, *spec.shape].
    Errors: ValueError when the spec is not one that the host draws.
    """
    if spec.draw is None:
        raise ValueError(f"{spec.name}: not a tensor that is drawn")
    drawn = np.empty((items, per_item, *spec.shape), spec.dtype)
    for item in range(items):
        stream = _stream(seed, item)
        if spec.draw == "standard_normal":
            drawn[item] = stream.standard_normal((per_item, *spec.shape))
        else:
            drawn[item] = 2 * stream.integers(0, 2, (per_item, *spec.shape)) - 1
    return drawn.reshape(items * per_item, *spec.shape)
