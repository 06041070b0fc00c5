"""What the handlers share: settings, models once they are loaded, solver threads, metrics."""

from starlette.requests import Request

from service.api.answers import RETRY_SECONDS
from service.api.errors import ApiError, Code
from service.engine.runner import Runner
from service.metrics import Metrics
from service.models import Models
from service.record import RequestRecord
from service.settings import Settings


class Context:
    """One server's parts. `loaded` is None until every model is loaded, checked, warmed and timed."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.runner = Runner(settings.shards, settings.queue_seconds, metrics.step)
        self.loaded: Models | None = None
        self.draining = False

    @property
    def models(self) -> Models:
        """The loaded models. Errors: ApiError 503 while starting and stopping."""
        headers = {"Retry-After": str(RETRY_SECONDS)}
        if self.draining:
            raise ApiError(Code.NOT_READY, "the server stops; ask another", {"state": "draining"}, headers)
        if self.loaded is None:
            raise ApiError(Code.NOT_READY, "models are still being loaded", {"state": "starting"}, headers)
        return self.loaded


def context_of(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


def record_of(request: Request) -> RequestRecord:
    """What is remembered of a request."""
    record: RequestRecord = request.state.record
    return record
