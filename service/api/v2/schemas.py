"""The protocol's messages, for reading requests and as OpenAPI shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str
Parameters = dict[str, Any]
"""Of Values; who reads them says what else was there."""
Word = Annotated[str, Field(max_length=1000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AskedInput(_Asked):
    """An input: `data` here, or its bytes after the JSON, `binary_data_size` of them."""

    name: Word
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=16)]
    datatype: Word
    parameters: Parameters = {}
    data: Any = None


class AskedOutput(_Asked):
    """An output that is wanted; `binary_data`: as bytes after the JSON."""

    name: Word
    parameters: Parameters = {}


class InferRequest(_Asked):
    """`id` comes back. `model_name` and `model_version` are what the path says and not read."""

    id: Word | None = None
    model_name: Word | None = None
    model_version: Word | None = None
    parameters: Parameters = {}
    inputs: Annotated[list[AskedInput], Field(max_length=16)]
    outputs: Annotated[list[AskedOutput], Field(max_length=64)] = []


class ControlRequest(_Asked):
    """Of loading and unloading."""

    parameters: Parameters = {}


class IndexRequest(_Asked):
    """`ready`: only what is served."""

    ready: bool = False


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


_TENSOR: dict[str, Any] = {"name": "point", "datatype": "FP32", "shape": [-1, 2]}
_CONFIG: dict[str, Any] = {"name": "point", "data_type": "TYPE_FP32", "dims": [2]}
_ANSWERED: dict[str, Any] = {"name": "log_density", "datatype": "FP64", "shape": [1], "data": [-1.43]}


class Live(BaseModel):
    """Of the server."""

    model_config = _like({"live": True})

    live: bool


class Ready(BaseModel):
    """Of the server."""

    model_config = _like({"ready": True})

    ready: bool


class ModelReady(BaseModel):
    """Of a model."""

    model_config = _like({"name": "cnf-two-moons", "ready": True})

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """Who answers, and which extensions of the protocol it has."""

    model_config = _like(
        {"name": "odeserve", "version": "0.1.0", "extensions": ["binary_tensor_data", "model_configuration"]}
    )

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 is the number of items."""

    model_config = _like(_TENSOR)

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors. `versions` may be asked for in the path."""

    model_config = _like(
        {
            "name": "cnf-two-moons",
            "versions": ["1"],
            "platform": "odeserve_onnx",
            "inputs": [_TENSOR],
            "outputs": [{"name": "log_density", "datatype": "FP64", "shape": [-1]}],
        }
    )

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigTensor(BaseModel):
    """An input or output, `dims` without the batch."""

    model_config = _like(_CONFIG)

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = None


class ConfigParameter(BaseModel):
    """A parameter of a configuration."""

    model_config = _like({"string_value": "log_density"})

    string_value: str


class ModelConfig(BaseModel):
    """A model's configuration in Triton's terms; `max_batch_size` 0: its inputs have no batch."""

    model_config = _like(
        {
            "name": "cnf-two-moons",
            "platform": "odeserve_onnx",
            "backend": "odeserve",
            "max_batch_size": 20000,
            "input": [_CONFIG],
            "output": [{"name": "log_density", "data_type": "TYPE_FP64", "dims": []}],
            "parameters": {"program": {"string_value": "log_density"}},
        }
    )

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    parameters: dict[str, ConfigParameter]


class AnsweredTensor(BaseModel):
    """An output: `data` flat in row-major order, null for what is not a number; or bytes after the JSON."""

    model_config = _like(_ANSWERED)

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float | int | bool | str | None] | None = None


class InferAnswer(BaseModel):
    """`parameters`: what the solve cost and how it was done; see docs/protocol-v2.md."""

    model_config = _like(
        {
            "model_name": "cnf-two-moons",
            "model_version": "1",
            "id": "42",
            "parameters": {"status": "ok", "nfe": 31, "tol": 0.001, "method": "dopri5", "rtol": 0.001, "atol": 0.001},
            "outputs": [_ANSWERED],
        }
    )

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | int | float | None]
    outputs: list[AnsweredTensor]


class IndexEntry(BaseModel):
    """A version of a model, on disk or served."""

    model_config = _like({"name": "cnf-two-moons", "version": "1", "state": "READY", "reason": ""})

    name: str
    version: str
    state: str
    reason: str


class Controlled(BaseModel):
    """The versions of a model that are served now."""

    model_config = _like({"name": "cnf-two-moons", "versions": ["1", "2"]})

    name: str
    versions: list[str]


class PlainError(BaseModel):
    """The body of every error under /v2."""

    model_config = _like({"error": "no model 'nobody'; known are cnf-two-moons, odenet-mnist"})

    error: str
