"""What an artifact says of itself: `manifest.json`, and the check that its files are the ones it speaks of.

Torch-free: the service reads artifacts through this file alone.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from node_model.errors import ArtifactError
from node_model.whole_file import write_whole

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_FILE_BYTES = 2**30

NAME, VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", r"^[1-9][0-9]{0,8}$"
Name = Annotated[str, Field(pattern=NAME)]
Version = Annotated[str, Field(pattern=VERSION)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(max_length=200)]
Task = Literal["classify", "density", "predict"]

_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,4}$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Normalisation(_Strict):
    """What encode does to the input first: (input - mean) / std, per feature or one number for all."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class PictureSpec(_Strict):
    """How a picture becomes an input: light on dark, what it shows scaled to a box and placed in the input's frame.

    `shows`: `ink`, strokes on a ground that may be unevenly lit, from which they are taken out; or `item`, one thing
    on a plain ground, with its shades. `centre`: which point of the box comes to the middle of the frame. `stroke`: a
    line that would be thinner is thickened to this.

    Units: `box`, its longer side, and `stroke` in pixels of the input.
    """

    shows: Literal["ink", "item"]
    box: int = Field(ge=1)
    centre: Literal["mass", "box"]
    stroke: float | None = Field(default=None, gt=0)


class TensorSpec(_Strict):
    """One input, argument or output; `shape` leaves the lane axis out.

    `draw` says that the host makes the tensor itself, from numpy's Philox keyed by (seed, item index). Without
    `picture` the input is not one that a picture can be turned into.
    """

    name: Name
    """As a request or a graph calls it."""
    shape: tuple[int, ...]
    """Of one item."""
    dtype: Literal["float32", "float64"]
    range: tuple[float, float] | None = None
    """Least and largest value that is taken."""
    normalisation: Normalisation | None = None
    """What encode does first."""
    draw: Literal["standard_normal", "rademacher"] | None = None
    """Made by the host from a seed, not sent by a client."""
    picture: PictureSpec | None = None
    """How a picture becomes this input."""

    @model_validator(mode="after")
    def _picture_fits(self) -> "TensorSpec":
        if self.picture and (len(self.shape) != 2 or self.range is None or self.picture.box > min(self.shape)):
            raise ValueError("picture: expected an input [height, width] with a range, and a box within it")
        return self

    @property
    def size(self) -> int:
        """Numbers per item."""
        return math.prod(self.shape)


class PartSpec(_Strict):
    """A named piece of the flat state, with an error norm of its own."""

    name: Name
    size: int = Field(ge=1)


class MethodSpec(_Strict):
    """What a Runge-Kutta method costs; `nfe_start` is charged once, `nfe_attempt` per step tried."""

    order: int = Field(ge=1)
    """Of the solution that is carried on."""
    nfe_start: int = Field(ge=0)
    nfe_attempt: int = Field(ge=1)


class Graphs(_Strict):
    """Paths of a program's ONNX files, relative to the artifact."""

    encode: RelativePath
    """input -> y0"""
    start: RelativePath
    """f(t0, y0), and the lanes that end there"""
    decode: RelativePath
    """y at a stop -> the answer"""
    step: dict[Name, RelativePath]
    """One attempt on every lane, by method."""


class TolLimits(_Strict):
    """Tolerances a request may ask for, all within the calibrated ones."""

    tightest: float = Field(gt=0)
    loosest: float = Field(gt=0)
    default: float = Field(gt=0)
    """Taken where a request names none."""

    @model_validator(mode="after")
    def _ordered(self) -> "TolLimits":
        if not self.tightest <= self.default <= self.loosest:
            raise ValueError("expected tightest <= default <= loosest")
        return self


NFE_BETWEEN = (0.0, 0.25, 0.5, 0.75)
"""Where NFE is measured between two rows: from the looser one (0) to the tighter (1), in the logarithm of tol."""


class CalibrationRow(_Strict):
    """One cell of the table: a method at a tolerance, measured on the exported graph.

    Errors are in the unit of the table; a cell that was not measured has only `skipped`, the reason. `nfe_between` is
    mean NFE at the tolerances of NFE_BETWEEN, between the next looser row and this one, with this row's first dt.
    """

    method: Name
    tol: float = Field(gt=0)
    """rtol and atol."""
    skipped: str | None = None
    """Why the cell was not measured."""
    nfe_mean: float | None = None
    """Evaluations per item."""
    nfe_p50: float | None = None
    nfe_p99: float | None = None
    nfe_between: tuple[float, ...] | None = Field(
        default=None, min_length=len(NFE_BETWEEN), max_length=len(NFE_BETWEEN)
    )
    error_rms: float | None = None
    error_p99: float | None = None
    """99 % of the items stayed within it."""
    margin_error_p99: float | None = None
    """The same of the difference between the two largest logits."""
    metric: float | None = None
    """The task's own score."""
    agreement: float | None = None
    """Share of the items that agree with the reference."""
    first_dt: float | None = Field(default=None, gt=0)
    """Length of the first attempt that 95 % of the items accept."""


class Calibration(_Strict):
    """Measured cost and error per method and tolerance."""

    unit: Literal["logit", "nat", "output"]
    """Of the errors."""
    metric: str
    """Name of the task's score."""
    data: str
    """What it was measured on."""
    items: int = Field(ge=1)
    """How many."""
    reference: str
    """What the answers were compared with."""
    command: str
    """What repeats it."""
    rows: tuple[CalibrationRow, ...]


class ProgramSpec(_Strict):
    """One use of a model: an initial value problem with a map in front and a map behind."""

    graphs: Graphs
    input: TensorSpec
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    args: tuple[TensorSpec, ...] = ()
    """Constants of an item's solve."""
    interval: tuple[float, float]
    """From start to end, in the field's time; it may run backward."""
    parts: tuple[PartSpec, ...] = Field(min_length=1)
    """The flat state, piece by piece."""
    methods: dict[Name, MethodSpec] = Field(min_length=1)
    """Those that there is a step graph for."""
    tol: TolLimits
    """What a request may ask for."""
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ProgramSpec":
        if set(self.methods) != set(self.graphs.step):
            raise ValueError("methods and graphs.step must name the same methods")
        if self.calibration is not None and {row.method for row in self.calibration.rows} - set(self.methods):
            raise ValueError("calibration speaks of a method that is not in methods")
        measured = [row.tol for row in self.calibration.rows if row.skipped is None] if self.calibration else []
        if measured and not min(measured) <= self.tol.tightest <= self.tol.loosest <= max(measured):
            raise ValueError(f"tol: expected limits within the calibrated {min(measured):g} to {max(measured):g}")
        return self

    @property
    def dim(self) -> int:
        """Numbers in the flat state of a lane."""
        return sum(part.size for part in self.parts)


class Provenance(_Strict):
    """Where the weights come from."""

    data: str
    """Name of the data set."""
    data_sha256: dict[str, Sha256] = {}
    """Hash of each of its files."""
    seed: int
    command: str
    """What trained the weights."""
    epochs: float
    date: str
    train: dict[str, float] = {}
    """Scores on held-back training items."""
    test: dict[str, float] = {}
    """Scores on the test set, with method and tolerance in their names."""


class Manifest(_Strict):
    """`manifest.json`: everything the service has to know of a model."""

    format: Literal[1] = 1
    """Of this file; a later one may differ."""
    name: Name
    """By which requests ask for it."""
    version: Version
    """A whole number; the highest answers when a request names none."""
    task: Task
    """Which routes it is for."""
    description: str = ""
    """For people."""
    state_dtype: Literal["float32", "float64"]
    """In which the solver computes."""
    architecture: dict[str, Any]
    """What rebuilds the network in PyTorch: `family` and its configuration."""
    parameters: int = Field(ge=0)
    """Numbers that were learned."""
    programs: dict[Name, ProgramSpec] = Field(min_length=1)
    """By name: `classify`; `log_density`, `sample`, `log_density_hutchinson`; `predict`."""
    labels: tuple[str, ...] | None = None
    """Of a classifier's classes, in the order of the logits."""
    standardised_log_density_offset: float | None = None
    """Nats to add to a log-density to have it in standardised units."""
    provenance: Provenance
    """Where the weights come from."""
    sha256: dict[RelativePath, Sha256]
    """Of every other file of the artifact."""

    @model_validator(mode="after")
    def _files_are_plain(self) -> "Manifest":
        for path in (*self.sha256, *self._graph_files()):
            if not _PATH.fullmatch(path):
                raise ValueError(f"file name {path!r}: expected a plain relative path below the artifact")
        for path in self._graph_files():
            if path not in self.sha256:
                raise ValueError(f"file {path!r} is used by a program but has no sha256")
        if self.task == "classify" and not self.labels:
            raise ValueError("labels: a classifier must name its classes")
        classify = self.programs.get("classify")
        if self.labels and classify and classify.outputs[0].shape != (len(self.labels),):
            raise ValueError(f"labels: {len(self.labels)} of them for logits of shape {classify.outputs[0].shape}")
        return self

    def _graph_files(self) -> Iterator[str]:
        for program in self.programs.values():
            graphs = program.graphs
            yield from (graphs.encode, graphs.start, graphs.decode, *graphs.step.values())


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an artifact directory.

    Errors: ArtifactError naming the file when it is missing, too large, not JSON, or has an unknown or wrong field.
    """
    path = directory / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ArtifactError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes")
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}; expected an artifact directory") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5])
        raise ArtifactError(f"{path}: {problems}") from error


def verified_bytes(directory: Path, manifest: Manifest, name: str) -> bytes:
    """Content of one file of the artifact, read once and checked, so that what was checked is what is used.

    Errors: ArtifactError naming the file when it is missing, too large, outside the directory, or altered.
    """
    path = directory / name
    expected = manifest.sha256.get(name)
    if expected is None:
        raise ArtifactError(f"{path}: not listed in {MANIFEST}")
    try:
        if not path.resolve().is_relative_to(directory.resolve()):
            raise ArtifactError(f"{path}: points outside the artifact")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise ArtifactError(f"{path}: sha256 differs from {MANIFEST}; the file was altered or is incomplete")
    return content


def verify(directory: Path) -> Manifest:
    """Read the manifest and check every file it lists. Errors: ArtifactError naming the first wrong file."""
    manifest = read_manifest(directory)
    for name in sorted(manifest.sha256):
        verified_bytes(directory, manifest, name)
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json` beside and rename, so that a reader never sees half of it."""
    text = json.dumps(manifest.model_dump(mode="json", exclude_none=True), indent=1)
    write_whole(directory / MANIFEST, f"{text}\n".encode())
