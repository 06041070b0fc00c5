"""The tensors that go in and come out, as the protocol names and types them."""

from dataclasses import dataclass
from functools import cached_property

from node_model.manifest import ProgramSpec, TensorSpec
from service.api.parameters import HUTCHINSON
from service.api.v2.offers import Offer

FLOATS = {"float32": "FP32", "float64": "FP64"}
N, SEED = "n", "seed"
STD_ERROR = "std_error"


@dataclass(frozen=True)
class Tensor:
    """One input or output. `shape` without the batch, of which `batched` tensors have one in front."""

    name: str
    datatype: str
    shape: tuple[int, ...] = ()
    batched: bool = True
    optional: bool = False

    @property
    def whole_shape(self) -> list[int]:
        """With the batch, which may be of any size."""
        return [-1, *self.shape] if self.batched else list(self.shape)


class Signature:
    """Inputs and outputs of an offer.

    A program whose input the server draws takes `n` and, optionally, `seed` instead. An estimate's mean comes with a
    standard error.
    """

    def __init__(self, offer: Offer) -> None:
        self.spec: ProgramSpec = offer.program.spec
        self._hutchinson = offer.program_name == HUTCHINSON
        self.classes = offer.model.manifest.labels if offer.program_name == "classify" else None

    @property
    def drawn(self) -> bool:
        """Whether the server draws the input."""
        return self.spec.input.draw is not None

    @property
    def estimated(self) -> bool:
        """Whether it is Hutchinson's, from probes that the server draws."""
        return self._hutchinson

    @property
    def seeded(self) -> bool:
        """Whether the server draws arguments beside an input that the caller gives."""
        return not self.drawn and not self.estimated and any(arg.draw is not None for arg in self.spec.args)

    @cached_property
    def inputs(self) -> list[Tensor]:
        """What a request brings."""
        if self.drawn:
            return [
                Tensor(N, "INT32", (1,), batched=False),
                Tensor(SEED, "INT64", (1,), batched=False, optional=True),
            ]
        return [_tensor(spec) for spec in (self.spec.input, *self.spec.args) if spec.draw is None]

    @cached_property
    def outputs(self) -> list[Tensor]:
        """What an answer may have, item by item: the program's own, then what they cost."""
        own = [_tensor(spec) for spec in self.spec.outputs]
        further = [Tensor("nfe", "INT32"), Tensor("tol", "FP64"), Tensor("status", "BYTES")]
        if self.estimated:
            further.insert(0, Tensor(f"{own[0].name}_{STD_ERROR}", own[0].datatype))
        if self.classes:
            further = [
                Tensor("probabilities", own[0].datatype, own[0].shape),
                Tensor("label", "BYTES"),
                Tensor("index", "INT32"),
                Tensor("stable", "BOOL"),
                *further,
            ]
        taken = {tensor.name for tensor in own}
        return [*own, *(tensor for tensor in further if tensor.name not in taken)]


def _tensor(spec: TensorSpec) -> Tensor:
    return Tensor(spec.name, FLOATS[spec.dtype], spec.shape)
