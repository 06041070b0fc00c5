"""What the server and its models say of themselves, in the protocol's terms and in Triton's."""

from typing import Any

from service.api.v2.offers import Offer
from service.api.v2.signature import Signature, Tensor
from service.build import build_version
from service.models import Models
from service.settings import Settings

EXTENSIONS = ("binary_tensor_data", "model_configuration", "parameters")
REPOSITORY = "model_repository"
TRITON_STRING = "STRING"
"""How configurations call what requests call BYTES."""


def described_server(settings: Settings) -> dict[str, Any]:
    """Of GET /v2."""
    extensions = [*EXTENSIONS, REPOSITORY] if settings.model_control == "explicit" else list(EXTENSIONS)
    return {"name": "odeserve", "version": build_version(), "extensions": extensions}


def described_model(offer: Offer, models: Models, settings: Settings) -> dict[str, Any]:
    """Of GET /v2/models/{model}."""
    signature = Signature(offer)
    return {
        "name": offer.name,
        "versions": models.versions(offer.model.name),
        "platform": _platform(settings),
        "inputs": [_metadata(tensor) for tensor in signature.inputs],
        "outputs": [_metadata(tensor) for tensor in signature.outputs],
    }


def described_config(offer: Offer, settings: Settings) -> dict[str, Any]:
    """Of GET /v2/models/{model}/config."""
    signature, tol = Signature(offer), offer.program.spec.tol
    # Outputs of a model without a batch have their number of items among the dimensions.
    batched = not signature.drawn
    told = {
        "program": offer.program_name,
        "programs": ",".join(offer.siblings),
        "methods": ",".join(offer.program.spec.methods),
        "tol_tightest": f"{tol.tightest:g}",
        "tol_loosest": f"{tol.loosest:g}",
        "tol_default": f"{tol.default:g}",
    }
    return {
        "name": offer.name,
        "platform": _platform(settings),
        "backend": "odeserve",
        "max_batch_size": settings.max_items if batched else 0,
        "input": [_config(tensor, batched) for tensor in signature.inputs],
        "output": [_config(tensor, batched) for tensor in signature.outputs],
        "parameters": {name: {"string_value": value} for name, value in told.items()},
    }


def _platform(settings: Settings) -> str:
    return f"odeserve_{settings.backend}"


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.whole_shape}


def _config(tensor: Tensor, batched: bool) -> dict[str, Any]:
    datatype = TRITON_STRING if tensor.datatype == "BYTES" else tensor.datatype
    dims = list(tensor.shape) if batched else tensor.whole_shape
    optional = {"optional": True} if tensor.optional else {}
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": dims, **optional}
