"""Models of one's own that are packed once for all tests."""

import numpy as np
import pytest
from packing import packed

from training import measure, pack


@pytest.fixture(scope="module")
def one_method():
    """Exports take seconds a graph; the guide in docs/ is followed with all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "DEFAULT_METHODS", ("dopri5",))
        yield


@pytest.fixture(scope="session")
def own_folder(tmp_path_factory):
    """Examples, and the artifacts that are made of them."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(3)
    np.save(folder / "points.npy", rng.normal(size=(150, 2)).astype(np.float32))
    np.save(folder / "images.npy", rng.normal(size=(20, 4, 4)))
    np.savez(folder / "damped.npz", state=rng.normal(size=(120, 2)), damping=rng.random(120))
    np.savez(
        folder / "labelled.npz", image=rng.normal(size=(110, 4, 4)).astype(np.float32), labels=rng.integers(0, 3, 110)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pack, "DEFAULT_METHODS", ("dopri5",))
        patch.setattr(measure, "LADDER", (1e-1, 1e-3, 1e-6, 1e-9, 1e-12))
        for words in (
            "own_models:torchdiffeqs --name own --example points.npy",
            "own_models:damped --name damped --example damped.npz --version 2",
            "own_models:classifier --name shapes --example images.npy --calibrate labelled.npz",
        ):
            result = packed(f"{words} --threads 1")
            assert result.exit_code == 0, result.output
            assert "graphs agree with the modules" in result.output
    return folder
