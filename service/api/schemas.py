"""Requests and answers as OpenAPI shows them. Shapes and ranges are the model's own: see GET /models/{name}."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from node_model.calibration_table import TolLimits
from node_model.manifest import ProgramSpec, Task, TensorSpec

ItemStatus = Literal["ok", "max_nfe", "dt_min", "non_finite", "deadline"]


class CalibratedError(BaseModel):
    """Error of the answer measured at this method and tolerance: 99 % of calibration items stayed within `p99`."""

    p99: float
    unit: Literal["logit", "nat", "output"]


class Attempt(BaseModel):
    """One try of tol=auto, from the encoded state on."""

    tol: float
    method: str
    nfe: int
    accepted: int
    rejected: int
    status: ItemStatus


class Solver(BaseModel):
    """What solving an item took. `error_estimate` is a sum of local errors in state units, not a bound.

    With tol=auto `attempts` has every try; `nfe` is their sum, all else is of the try that the answer comes from.
    """

    method: str
    rtol: float
    atol: float
    nfe: int
    accepted: int
    rejected: int
    error_estimate: float
    calibrated_error: CalibratedError | None
    attempts: list[Attempt] | None = None


class Timing(BaseModel):
    """Milliseconds: waiting for a solver thread, solving, from arrival to answer, and what was predicted for that."""

    queue: float
    solve: float
    total: float
    predicted: float


class _Item(BaseModel):
    status: ItemStatus
    solver: Solver


class Classification(_Item):
    """One image; the answer fields are null where the status is not ok.

    `stable`: the winner's lead exceeds the calibrated p99 error of that lead; null where that is not known.
    """

    label: str | None
    index: int | None
    probabilities: list[float] | None
    stable: bool | None


class Density(_Item):
    """One point; log-density in nats, in the input's own units.

    With trace=hutchinson the mean over the probes and its standard error; `solver.nfe` is their sum.
    """

    log_density: float | None
    log_density_std_error: float | None = None


class Drawn(_Item):
    """What one sample took; the point itself is in `samples`."""


class _Answer(BaseModel):
    model: str
    version: str
    timing_ms: Timing


class ClassifyAnswer(_Answer):
    """Predictions in the order of the images."""

    predictions: list[Classification]


class DensityAnswer(_Answer):
    """Predictions in the order of the points; `seed` is there with trace=hutchinson."""

    predictions: list[Density]
    seed: int | None = None


class SampleAnswer(_Answer):
    """`samples[i]` is a point, null where `predictions[i].status` is not ok; `seed` gives the same points again."""

    samples: list[list[float] | None]
    seed: int
    predictions: list[Drawn]


class Prediction(_Item):
    """One input. `output` is what the model answers, several outputs by their names; null where the status is not ok.
    With `t` a list with one such for each time, null for times that the item did not come to.
    """

    output: Any


class PredictAnswer(_Answer):
    """Predictions in the order of the inputs; `t` as it was asked for, `seed` where the model draws something."""

    predictions: list[Prediction]
    t: list[float] | None = None
    seed: int | None = None


class OnTheWay(BaseModel):
    """What was found at a time: of a classifier label and probabilities; of a flow position, velocity (by the field's
    time) and log-det (nats); of a model of one's own its output.
    """

    t: float
    label: str | None = None
    index: int | None = None
    probabilities: list[float | None] | None = None
    position: list[float | None] | None = None
    velocity: list[float | None] | None = None
    log_det: float | None = None
    output: Any = None


class Step(OnTheWay):
    """One attempt, which led to `t` by a step of length `dt`; accepted when `error_ratio` is at most 1, null when
    that was not finite. What was found at `t` is there when the attempt was accepted.
    """

    dt: float
    accepted: bool
    error_ratio: float | None


class Trajectory(_Item):
    """One item: its answer as the route of its kind gives it, the start, and every attempt in order."""

    label: str | None = None
    index: int | None = None
    probabilities: list[float] | None = None
    stable: bool | None = None
    log_density: float | None = None
    sample: list[float] | None = None
    output: Any = None
    start: OnTheWay | None
    steps: list[Step]


class TrajectoryAnswer(_Answer):
    """Items in order. `units` of a flow's positions and velocities: those of its input, or of its state where the model
    cannot say the others; `seed` and `t` as in /sample and /predict.
    """

    items: list[Trajectory]
    units: Literal["input", "state"] | None = None
    seed: int | None = None
    t: list[float] | None = None


def _one_of(one: str, many: str) -> ConfigDict:
    """A body with one input or several: either field, not both."""
    return ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": [one]}, {"required": [many]}]}, title=None
    )


Image = Annotated[list[Any], Field(min_length=1, json_schema_extra={"items": {"type": ["array", "number"]}})]
Picture = Annotated[dict[Literal["b64"], str], Field(min_length=1)]
Point = Annotated[list[float], Field(min_length=1)]


class ClassifyBody(BaseModel):
    """One `image` or several `images`: numbers in the shape and range of the model's input.

    Or `{"b64": ...}`, a PNG or JPEG file in base64, where the model says how a picture becomes its input.
    """

    model_config = _one_of("image", "images")

    image: Image | Picture = Field(default_factory=list)
    images: list[Image] | list[Picture] = Field(default_factory=list, min_length=1)


class DensityBody(BaseModel):
    """One `point` or several `points`."""

    model_config = _one_of("point", "points")

    point: Point = Field(default_factory=list)
    points: list[Point] = Field(default_factory=list, min_length=1)


class SampleBody(BaseModel):
    """How many points to draw, and the seed; without one it is drawn and told in the answer."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(ge=1)
    seed: int = Field(default_factory=int, ge=0, lt=2**63)


class PredictBody(BaseModel):
    """One `input` or several `inputs`; where the model has arguments, `args` by name: a tensor each for one input, as
    many as inputs for several. `t`: times to answer at, in the direction of the model's interval and within it; without
    it, at its end. `seed`: of what the model draws.
    """

    model_config = _one_of("input", "inputs")

    input: Any = Field(default_factory=list)
    inputs: list[Any] = Field(default_factory=list, min_length=1, examples=[[[1.0, 0.0]]])
    args: dict[str, Any] = Field(default_factory=dict)
    t: list[float] = Field(default_factory=list, min_length=1, max_length=1000, examples=[[0.5, 1.0]])
    seed: int = Field(default_factory=int, ge=0, lt=2**63)


class ModelEntry(BaseModel):
    """One version of a model; `default`: it answers when a request names no model."""

    name: str
    version: str
    task: str
    default: bool
    ready: bool


class ModelList(BaseModel):
    """Every model of this server."""

    models: list[ModelEntry]


class ModelProvenance(BaseModel):
    """Where the weights come from."""

    data: str
    seed: int
    command: str
    epochs: float
    date: str
    train: dict[str, float]
    test: dict[str, float]


class Signature(BaseModel):
    """What a route takes and gives for this model, and at which tolerances."""

    program: str
    input: TensorSpec
    outputs: list[TensorSpec]
    args: list[TensorSpec]
    interval: tuple[float, float]
    methods: list[str]
    tol: TolLimits


class ModelDescription(BaseModel):
    """What an artifact says of itself, and by route what it can be asked."""

    format: int
    name: str
    version: str
    task: Task
    description: str
    state_dtype: Literal["float32", "float64"]
    architecture: dict[str, Any]
    parameters: int
    programs: dict[str, ProgramSpec]
    labels: list[str] | None
    standardised_log_density_offset: float | None
    provenance: ModelProvenance
    signature: dict[str, Signature]


class Liveness(BaseModel):
    """Every shard of the engine turns."""

    status: Literal["live"]


class Readiness(BaseModel):
    """Every model is loaded; `models` with their versions."""

    status: Literal["ready"]
    models: list[str]


class TradeoffRow(BaseModel):
    """One calibrated tolerance of a program by one method: cost and error over the calibration items.

    Units: errors as in `unit`; `predicted_ms` of one item alone on this server, at its present speed.
    """

    program: str
    method: str
    tol: float
    nfe_mean: float
    nfe_p50: float
    nfe_p99: float
    error_rms: float
    error_p99: float
    unit: Literal["logit", "nat", "output"]
    metric: float | None
    agreement: float | None
    predicted_ms: float


class Tradeoff(BaseModel):
    """Every calibrated cell of a model; cells that were too costly to measure are left out."""

    rows: list[TradeoffRow]


class Error(BaseModel):
    """`code` is one of a closed set; `details` depend on it."""

    code: str
    message: str
    details: dict[str, Any]


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: Error
