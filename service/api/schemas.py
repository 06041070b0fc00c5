"""Requests and answers as OpenAPI shows them. Shapes and ranges are the model's own: see GET /models/{name}."""

from typing import Any, Literal

from pydantic import BaseModel, Field

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


class ClassifyBody(BaseModel):
    """One `image` or several `images`: numbers in the shape and range of the model's input.

    Or `{"b64": ...}`, a PNG or JPEG file in base64, where the model says how a picture becomes its input.
    """

    image: list[Any] | dict[Literal["b64"], str] = Field(default_factory=list)
    images: list[list[Any]] | list[dict[Literal["b64"], str]] = Field(default_factory=list, min_length=1)


class DensityBody(BaseModel):
    """One `point` or several `points`."""

    point: list[float] = Field(default_factory=list)
    points: list[list[float]] = Field(default_factory=list, min_length=1, examples=[[[0.5, 1.0]]])


class SampleBody(BaseModel):
    """How many points to draw, and the seed; without one it is drawn and told in the answer."""

    n: int = Field(ge=1, examples=[100])
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
