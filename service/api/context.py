"""What the handlers share: settings, models once they are loaded, solver threads, metrics."""

from starlette.requests import Request

from service.api.errors import ApiError, Code
from service.engine.runner import Runner
from service.metrics import Metrics
from service.models import Models
from service.record import RequestRecord
from service.settings import Settings

RETRY_SECONDS = 1


class Context:
    """One server's parts. `loaded` is None until every model is loaded, checked, warmed and measured."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.runner = Runner(settings.shards)
        self.loaded: Models | None = None

    @property
    def models(self) -> Models:
        """The loaded models. Errors: ApiError 503 while starting."""
        if self.loaded is None:
            message = "models are still being loaded; try again"
            raise ApiError(Code.NOT_READY, message, {"state": "starting"}, {"Retry-After": str(RETRY_SECONDS)})
        return self.loaded


def context_of(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


def record_of(request: Request) -> RequestRecord:
    """What is remembered of a request."""
    record: RequestRecord = request.state.record
    return record
