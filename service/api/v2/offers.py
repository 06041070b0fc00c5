"""What the protocol calls a model: one program of ours, under the model's name or `name:program`."""

from dataclasses import dataclass

from starlette.requests import Request

from service.api.context import context_of, record_of
from service.api.errors import ApiError, Code
from service.api.parameters import Parameters
from service.engine.program import ServedProgram
from service.models import LoadedModel, Models, UnknownModelError

MAIN = ("classify", "log_density", "predict")
"""A model's plain name stands for the first of these that it has."""


@dataclass(frozen=True)
class Offer:
    """A program of a model; `name` as it was asked for."""

    name: str
    model: LoadedModel
    program_name: str

    @property
    def program(self) -> ServedProgram:
        """What solves it."""
        return self.model.programs[self.program_name]

    @property
    def siblings(self) -> list[str]:
        """Every name that the model's programs go by."""
        main = _main(self.model)
        return [
            self.model.name if program == main else f"{self.model.name}:{program}" for program in self.model.programs
        ]


def asked_for(request: Request) -> Offer:
    """The offer of a path. Errors: ApiError 404 naming what there is; 422 for a query, which no path here takes."""
    Parameters(request.query_params.multi_items(), ())
    path = request.path_params
    offer = find_offer(context_of(request).models, path["model"], path.get("version"))
    record_of(request).model = offer.model.name
    return offer


def find_offer(models: Models, asked: str, version: str | None = None) -> Offer:
    """`name` or `name:program`, of a version or the highest. Errors: ApiError 404 naming what there is."""
    name, _, program = asked.partition(":")
    try:
        model = models.find(name if version is None else f"{name}@{version}")
    except UnknownModelError as error:
        raise ApiError(Code.UNKNOWN_MODEL, str(error), {"known": models.names}) from error
    if ":" not in asked:
        return Offer(asked, model, _main(model))
    if program not in model.programs:
        known = ", ".join(model.programs)
        raise ApiError(Code.UNKNOWN_MODEL, f"no program {program[:80]!r} of {model.name}; known are {known}")
    return Offer(asked, model, program)


def _main(model: LoadedModel) -> str:
    return next((program for program in MAIN if program in model.programs), next(iter(model.programs)))
