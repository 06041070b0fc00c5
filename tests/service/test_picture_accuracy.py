"""The shipped classifiers on test images that were made into pictures again."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import serving
from drawings import encoded
from PIL import Image

from benchmarks.renderings import rendered
from training.data import load_images

ROOT = Path(__file__).parents[2]
ITEMS, BATCH = 1000, 100


@pytest.fixture(scope="module")
def shipped():
    with serving(MODELS_DIR=ROOT / "checkpoints", MODELS="odenet-mnist,odenet-fashion", LANES=8) as server:
        yield server.url


def right(url, model, pictures, labels):
    """Share of pictures that get their label."""
    count = 0
    for begin in range(0, len(pictures), BATCH):
        files = [("file", ("x.png", encoded(Image.fromarray(p)), "image/png")) for p in pictures[begin : begin + BATCH]]
        answer = httpx.post(f"{url}/classify?model={model}&tol=1e-1", files=files, timeout=300)
        assert answer.status_code == 200, answer.text
        found = [prediction["index"] for prediction in answer.json()["predictions"]]
        count += int((np.array(found) == labels[begin : begin + BATCH]).sum())
    return count / len(pictures)


def test_digits_on_unevenly_lit_paper_are_read(shipped, data_dir):
    mnist, rng = load_images("mnist", data_dir), np.random.default_rng(0)
    pictures = [rendered(image, rng) for image in mnist.test_images[:ITEMS]]
    assert right(shipped, "odenet-mnist", pictures, mnist.test_labels[:ITEMS]) >= 0.97


def test_garments_on_white_are_told_apart(shipped, data_dir):
    fashion, rng = load_images("fashion-mnist", data_dir), np.random.default_rng(0)
    pictures = [rendered(image, rng, light=0, noise=0, ground=255) for image in fashion.test_images[:ITEMS]]
    assert right(shipped, "odenet-fashion", pictures, fashion.test_labels[:ITEMS]) >= 0.88
