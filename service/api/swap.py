"""From one set of served models to another, between two requests."""

from service.api.context import Context
from service.api.expected import expect_of
from service.api.reading import prepare_bodies
from service.api.routes import TENSOR_FIELDS
from service.api.trajectory import MOST_ITEMS
from service.models import LoadedModel, Models


def serve_models(context: Context, models: Models) -> None:
    """Answer with these models from the next request on. Called on the event loop.

    What is under way with a model that is taken away ends as it would have.
    """
    before = list(context.loaded or ())
    new = [model for model in models if not any(model is old for old in before)]
    for model in new:
        _begin(context, model)
    expect_of(context, models)
    context.metrics.calibrations_loaded(
        (model.name, name, program) for model in models for name, program in model.programs.items()
    )
    most = context.settings.max_items
    prepare_bodies(models, TENSOR_FIELDS, {most, min(most, MOST_ITEMS)})
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
