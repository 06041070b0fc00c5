"""What a training run is: one frozen dataclass, seed included."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

CLASSIFIERS = ("odenet", "mlp", "resnet", "rknet")
DENSITIES = ("cnf", "planar")
BASELINES = (*CLASSIFIERS[1:], *DENSITIES[1:])
REGULARISERS = ("none", "kinetic", "steer", "ernode")


@dataclass(frozen=True)
class RunConfig:
    """A training run. Two runs of the same config on the same machine and threads are the same, bit for bit."""

    family: str  # one of CLASSIFIERS or DENSITIES
    data: str  # name of a data set, or the path of a .npy or .csv file
    seed: int = 0
    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.05  # share of all steps in which the learning rate rises
    average: float = 0.0  # decay of the running average of the weights, which is then what is scored and exported
    method: str = "bosh3"
    tol: float = 1e-2  # rtol and atol of both solves, joint norm
    last_epochs: int = 0  # epochs at the end that are solved and computed as the next three say
    last_method: str = "dopri5"
    last_tol: float = 1e-3
    last_precision: str = "float32"  # classifiers
    augment: str = "shift"  # images
    channels: int = 64  # odenet, rknet, resnet
    activation: str = "relu"  # odenet, rknet: of the field
    regularize: str = "none"  # odenet: what is added to the loss, or done to the interval, for fewer evaluations
    regularize_weight: float = 0.01
    hidden: tuple[int, ...] = (64, 64, 64)  # cnf
    warp: bool = False  # cnf: whether heavy tails are drawn in before the flow
    trace: str = "exact"  # cnf: of the training loss
    objective: str = "likelihood"  # cnf: or flow-matching, which solves nothing
    start_from: str = ""  # cnf: name of a run whose weights are the first
    layers: int = 8  # planar
    precision: str = "float32"  # classifiers: of the networks, under autocast; states and times keep theirs
    threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, known in (
            ("family", (*CLASSIFIERS, *DENSITIES)),
            ("augment", ("shift", "affine")),
            ("regularize", REGULARISERS),
            ("trace", ("exact", "hutchinson")),
            ("objective", ("likelihood", "flow-matching")),
            ("precision", ("float32", "bfloat16")),
            ("last_precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}; got {getattr(self, name)!r}")
        self._check_solvers()
        if not 0 <= self.average < 1:
            raise ValueError(f"average: expected a number in [0, 1), got {self.average}")

    def _check_solvers(self) -> None:
        """Before the first epoch, not in the last. Errors: ValueError naming the option."""
        from node_model.solvers.tableaus import ADAPTIVE  # with torch, for which --help should not wait

        for name in ("method", "last_method"):
            if getattr(self, name) not in ADAPTIVE:
                raise ValueError(f"{name}: expected one of {', '.join(ADAPTIVE)}; got {getattr(self, name)!r}")
        for name in ("tol", "last_tol"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)}")

    def solver_at(self, epoch: int) -> tuple[str, float]:
        """Method and tolerance of an epoch, counted from 0."""
        return (self.last_method, self.last_tol) if self._is_last(epoch) else (self.method, self.tol)

    def precision_at(self, epoch: int) -> str:
        """Precision of the networks in an epoch, counted from 0."""
        return self.last_precision if self._is_last(epoch) else self.precision

    def _is_last(self, epoch: int) -> bool:
        return epoch >= self.epochs - self.last_epochs

    def to_json(self) -> str:
        """Text for `config.json`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> "RunConfig":
        """The config a run directory was started with; a setting it does not name had the default.

        Errors: FileNotFoundError when there is none; ValueError naming the file.
        """
        try:
            values = json.loads(path.read_text())
            return cls(**(values | {"hidden": tuple(values["hidden"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: is no config of a run: {error}") from error
