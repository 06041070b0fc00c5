"""What the handlers share: settings, models once they are loaded, solver threads, metrics."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import Request

from service.api.answers import RETRY_SECONDS
from service.api.errors import ApiError, Code
from service.api.parameters import Probes
from service.api.wishes import Wishes
from service.engine.program import ServedProgram
from service.engine.runner import Runner
from service.metrics import Metrics
from service.models import LoadedModel, Models
from service.record import RequestRecord
from service.repository import Repository
from service.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What a query asks for, of a certain model. `seed`: of drawn arguments, where it stands among the parameters."""

    model: LoadedModel
    program: ServedProgram
    wishes: Wishes
    probes: Probes | None = None
    seed: int | None = None


class Context:
    """One server's parts. `loaded` is None until every model is loaded, checked, warmed and timed.

    `leaving`: a signal came, and proxies are told; `draining`: so is everybody else.
    `plans` holds what queries came to, by route and text, for these models; whoever holds `control` may change them.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.runner = Runner(settings.shards, settings.queue_seconds, metrics.step, most_seconds=settings.max_seconds)
        self.loaded: Models | None = None
        self.plans: dict[tuple[str, bytes], Plan] = {}
        self.repository = Repository(settings)
        self.control = asyncio.Lock()
        # One thread for all loading: each further one would keep a heap of its own.
        self.loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self.leaving = self.draining = False

    @property
    def models(self) -> Models:
        """The loaded models. Errors: ApiError 503 while starting and stopping."""
        if self.draining:
            raise _stopping()
        if self.loaded is None:
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ApiError(Code.NOT_READY, "models are still being loaded", {"state": "starting"}, headers)
        return self.loaded

    def check_ready(self) -> Models:
        """The loaded models, if new requests are welcome. Errors: ApiError 503 while starting, and from the signal on,
        when proxies shall look elsewhere though requests are still answered."""
        if self.leaving:
            raise _stopping()
        return self.models

    def check_alive(self) -> None:
        """Errors: ApiError 503 when a shard has hung for 10 s."""
        if not self.runner.alive:
            raise ApiError(Code.NOT_READY, "a shard of the engine hangs; restart the server", {"state": "hung"})


def _stopping() -> ApiError:
    # A client that keeps its connection would come back to this server.
    gone = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}
    return ApiError(Code.NOT_READY, "the server stops; ask another", {"state": "draining"}, gone)


def context_of(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


def record_of(request: Request) -> RequestRecord:
    """What is remembered of a request."""
    record: RequestRecord = request.scope["state"]["record"]
    return record
