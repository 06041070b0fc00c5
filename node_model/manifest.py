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

from pydantic import Field, ValidationError, model_validator

from node_model.calibration_table import Calibration, TolLimits
from node_model.errors import ArtifactError
from node_model.strict import Name, Strict
from node_model.whole_file import write_whole

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_FILE_BYTES = 2**30

VERSION = r"^[1-9][0-9]{0,8}$"
Version = Annotated[str, Field(pattern=VERSION)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(max_length=200)]
Task = Literal["classify", "density", "predict"]

_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,4}$")


class Normalisation(Strict):
    """What encode does to the input first: (input - mean) / std, per feature or one number for all."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class PictureSpec(Strict):
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


class TensorSpec(Strict):
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


class PartSpec(Strict):
    """A named piece of the flat state, with an error norm of its own."""

    name: Name
    size: int = Field(ge=1)


class MethodSpec(Strict):
    """What a Runge-Kutta method costs; `nfe_start` is charged once, `nfe_attempt` per step tried."""

    order: int = Field(ge=1)
    """Of the solution that is carried on."""
    nfe_start: int = Field(ge=0)
    nfe_attempt: int = Field(ge=1)


class Graphs(Strict):
    """Paths of a program's ONNX files, relative to the artifact."""

    encode: RelativePath
    """input -> y0"""
    start: RelativePath
    """f(t0, y0), and the lanes that end there"""
    decode: RelativePath
    """y at a stop -> the answer"""
    step: dict[Name, RelativePath]
    """One attempt on every lane, by method."""


class ProgramSpec(Strict):
    """One use of a model: an initial value problem with a map in front and a map behind."""

    graphs: Graphs | None = None
    """None for PyTorch alone, on servers that have the program's package."""
    input: TensorSpec
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    args: tuple[TensorSpec, ...] = ()
    """Constants of an item's solve."""
    interval: tuple[float, float]
    """From start to end, in the field's time; it may run backward."""
    parts: tuple[PartSpec, ...] = Field(min_length=1)
    """The flat state, piece by piece."""
    methods: dict[Name, MethodSpec] = Field(min_length=1)
    """Those that a request may name; where there are graphs, each has one of a step."""
    tol: TolLimits
    """What a request may ask for."""
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ProgramSpec":
        if self.graphs is not None and set(self.methods) != set(self.graphs.step):
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


class Provenance(Strict):
    """Where the weights come from."""

    data: str
    """Name of the data set."""
    data_sha256: dict[str, Sha256] = Field(default={})
    """Hash of each of its files."""
    seed: int
    command: str
    """What trained the weights."""
    epochs: float
    date: str
    train: dict[str, float] = Field(default={})
    """Scores on held-back training items."""
    test: dict[str, float] = Field(default={})
    """Scores on the test set, with method and tolerance in their names."""


class Manifest(Strict):
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
        if len({program.graphs is None for program in self.programs.values()}) > 1:
            raise ValueError("graphs: expected of every program, or of none")
        if self.task == "classify" and not self.labels:
            raise ValueError("labels: a classifier must name its classes")
        classify = self.programs.get("classify")
        if self.labels and classify and classify.outputs[0].shape != (len(self.labels),):
            raise ValueError(f"labels: {len(self.labels)} of them for logits of shape {classify.outputs[0].shape}")
        return self

    @property
    def has_graphs(self) -> bool:
        """Whether ONNX Runtime can run it."""
        return all(program.graphs is not None for program in self.programs.values())

    def graphs_of(self, program: str) -> Graphs:
        """The graphs of a program. Errors: ArtifactError saying who serves one that has none."""
        graphs = self.programs[program].graphs
        if graphs is None:
            raise ArtifactError(
                f"{self.name}@{self.version}: {program} has no graphs; ODESERVE_BACKEND=torch serves it, where a "
                f"package that declares {self.architecture.get('family')} is installed"
            )
        return graphs

    def _graph_files(self) -> Iterator[str]:
        for program in self.programs.values():
            if program.graphs is not None:
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
