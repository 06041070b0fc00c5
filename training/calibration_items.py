"""What a model is calibrated on: held-back training data or a fresh draw of a toy; test sets are for reporting only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from node_model.manifest import Manifest, TensorSpec
from training.data import IMAGE_SETS, TOYS, check_same_data, generator, load_images, load_points

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Items:
    """Inputs of one program, with labels where the task has them. Shapes: inputs [item, ...]; labels [item]."""

    inputs: Array
    args: dict[str, Array]
    labels: Array | None
    described: str


def calibration_items(manifest: Manifest, program: str, count: int, data_dir: Path | None) -> Items:
    """The items to calibrate a program on: never test data, and never a toy's training draw."""
    spec, data, seed = manifest.programs[program], manifest.provenance.data, manifest.provenance.seed
    labels = None
    if spec.input.draw is not None:
        rng = generator(seed, 6)
        inputs, described = _draw(spec.input, rng, count), f"{count} draws of the base distribution"
    elif data in IMAGE_SETS:
        images = load_images(data, data_dir)
        check_same_data(images, manifest.provenance.data_sha256)
        inputs, labels = images.held_images[-count:], images.held_labels[-count:]
        described = f"the last {len(inputs)} training items of {data}"
    elif data in TOYS:
        inputs, described = TOYS[data](generator(seed, 5), count), f"{count} fresh points of {data}"
    else:
        points = load_points(data, seed, data_dir)
        check_same_data(points, manifest.provenance.data_sha256)
        inputs = points.held[:count]
        described = f"{len(inputs)} held-back training items of {data}"
    rng = generator(seed, 7)
    args = {arg.name: _draw(arg, rng, len(inputs)) for arg in spec.args}
    return Items(inputs.astype(spec.input.dtype), args, labels, described)


def _draw(spec: TensorSpec, rng: np.random.Generator, count: int) -> Array:
    values = rng.standard_normal((count, *spec.shape))
    return (np.sign(values) if spec.draw == "rademacher" else values).astype(spec.dtype)
