"""What a training run is: one frozen dataclass, seed included."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunConfig:
    """A training run. Two runs of the same config on the same machine and threads are the same, bit for bit."""

    family: str  # odenet | cnf
    data: str  # name of a data set, or the path of a .npy or .csv file
    seed: int = 0
    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.05  # share of all steps in which the learning rate rises
    method: str = "bosh3"
    tol: float = 1e-2  # rtol and atol of both solves, joint norm
    channels: int = 64  # odenet
    hidden: tuple[int, ...] = (64, 64, 64)  # cnf
    threads: int = 2
    device: str = "cpu"

    def to_json(self) -> str:
        """Text for `config.json`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> "RunConfig":
        """The config a run directory was started with."""
        values = json.loads(path.read_text())
        return cls(**(values | {"hidden": tuple(values["hidden"])}))
