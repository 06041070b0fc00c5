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


class Live(BaseModel):
    """Of the server."""

    live: bool


class Ready(BaseModel):
    """Of the server."""

    ready: bool


class ModelReady(BaseModel):
    """Of a model."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """Who answers, and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 is the number of items."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's tensors. `versions` may be asked for in the path."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigTensor(BaseModel):
    """An input or output, `dims` without the batch."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = None


class ConfigParameter(BaseModel):
    """A parameter of a configuration."""

    string_value: str


class ModelConfig(BaseModel):
    """A model's configuration in Triton's terms; `max_batch_size` 0: its inputs have no batch."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    parameters: dict[str, ConfigParameter]


class AnsweredTensor(BaseModel):
    """An output: `data` flat in row-major order, null for what is not a number; or bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float | int | bool | str | None] | None = None


class InferAnswer(BaseModel):
    """`parameters`: what the solve cost and how it was done; see docs/protocol-v2.md."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | int | float | None]
    outputs: list[AnsweredTensor]


class IndexEntry(BaseModel):
    """A version of a model, on disk or served."""

    name: str
    version: str
    state: str
    reason: str


class Controlled(BaseModel):
    """The versions of a model that are served now."""

    name: str
    versions: list[str]


class PlainError(BaseModel):
    """The body of every error under /v2."""

    error: str
