"""Seeds and threads for every test.

Random inputs are drawn afresh on each run; the seed is printed, and `pytest --seed N` repeats a run.
"""

import os
import secrets
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

# Tests run side by side, and teams of threads that fight for the same cores take ten times as long.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
# Read when ONNX Runtime is imported, which some tests do themselves.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# No deadline: the machine is shared, and a slow example is not a wrong one.
# Drawn afresh in continuous integration as well, where Hypothesis would always take the same.
hypothesis.settings.register_profile("odeserve", deadline=None, max_examples=25, print_blob=True, derandomize=False)
hypothesis.settings.load_profile("odeserve")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of the random inputs; drawn afresh by default")


def pytest_configure(config: pytest.Config) -> None:
    # Under xdist the workers are handed the options of the main process, hence one seed for all.
    if config.option.seed is None:
        config.option.seed = secrets.randbits(31)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this run and this test, whatever the order of the tests."""
    seed = request.config.option.seed
    print(f"repeat with --seed {seed}")
    return np.random.default_rng([seed, zlib.crc32(request.node.nodeid.encode())])


@pytest.fixture
def torch_rng(rng: np.random.Generator) -> torch.Generator:
    """The same for torch."""
    return torch.Generator().manual_seed(int(rng.integers(2**31)))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Where the image data lie; tests that need them are skipped elsewhere."""
    for candidate in (os.environ.get("ODETRAIN_DATA"), "../shared/data"):
        if candidate and (Path(candidate) / "mnist").is_dir():
            return Path(candidate)
    pytest.skip("MNIST is not on this machine: set ODETRAIN_DATA to a folder with mnist/ in it")
