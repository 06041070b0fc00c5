"""From one set of served models to another, between two requests."""

from service.api.context import Context
from service.api.errors import Code
from service.api.reading import prepare_bodies
from service.api.routes import SOLVE_CODES, SOLVING, TENSOR_FIELDS, TRAJECTORY
from service.api.v2.routes import INFER_PATHS
from service.models import LoadedModel, Models


def serve_models(context: Context, models: Models) -> None:
    """Answer with these models from the next request on. Called on the event loop.

    What is under way with a model that is taken away ends as it would have.
    """
    before = list(context.loaded or ())
    new = [model for model in models if not any(model is old for old in before)]
    for model in new:
        _begin(context, model)
    for route, programs in SOLVING.items():
        _expect(context, route, sorted({name for program in programs for name in models.with_program(program)}))
    for route in INFER_PATHS:
        _expect(context, route, models.names)
    prepare_bodies(models, TENSOR_FIELDS, context.settings.max_items)
    context.loaded = models
    context.plans.clear()
    served = {(model.name, model.manifest.version) for model in models}
    for model in before:
        if any(model is still for still in models):
            continue
        context.runner.remove_model(model.programs.values())
        if (model.name, model.manifest.version) not in served:
            context.metrics.model_unloaded(model.name, model.manifest.version, model.manifest.task)


def _begin(context: Context, model: LoadedModel) -> None:
    context.runner.add_model(model.programs.values())
    methods = {method for program in model.programs.values() for method in program.spec.methods}
    context.metrics.model_loaded(model.name, model.manifest.version, model.manifest.task, sorted(methods))
    for name, program in model.programs.items():
        context.metrics.calibration_loaded(model.name, name, program)


def _expect(context: Context, route: str, names: list[str]) -> None:
    """Make the counters of a route that solves."""
    before = {Code.INVALID_INPUT, Code.UNKNOWN_MODEL, Code.NOT_READY}
    if context.settings.api_keys:
        before.add(Code.UNAUTHORIZED)
    if route == TRAJECTORY:  # its body comes first, because it says which models are meant
        before |= {Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.BODY_TIMEOUT}
    after = set(SOLVE_CODES) - {Code.UNKNOWN_MODEL}
    context.metrics.expect(route, names, ["ok", "partial", "cancelled", *sorted(code.value for code in after)])
    context.metrics.expect(route, ["none"], sorted(code.value for code in before))
