"""Shards: a thread each around an engine. Requests come in from the event loop and their ends go back to it."""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from service.engine.admission import Waiting
from service.engine.engine import Engine
from service.engine.program import ServedProgram
from service.engine.request import End, Problem, Request
from service.engine.stats import EngineState, StepReport
from service.engine.stepper import Array

log = logging.getLogger("odeserve")

IDLE_SECONDS = 1.0
"""How long an idle shard sleeps before it shows that it lives."""
HUNG_SECONDS = 10.0
"""A shard that has not turned for so long counts as dead."""
GRACE_SECONDS = 0.5
"""After its deadline a request under way is answered by the event loop, should its shard not have done so."""
JOIN_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Pending:
    """A request that was let in, for `Runner.ended` to wait for."""

    request: Request
    future: asyncio.Future[Request]
    timer: asyncio.TimerHandle


class Runner:
    """The engine's threads, and the way in and out for coroutines of one event loop."""

    def __init__(
        self,
        shards: int,
        queue_seconds: float,
        report: Callable[[StepReport], None],
        *,
        most_seconds: float = math.inf,
    ) -> None:
        self._changed = threading.Condition()
        self._waiting = Waiting(shards, queue_seconds, most_seconds)
        self._report = report
        self._programs: dict[str, ServedProgram] = {}
        self._open: dict[int, Request] = {}
        self._news: deque[Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: dict[int, asyncio.Future[Request]] = {}
        self._stopping = False
        self._engines = [Engine(self._waiting, self._changed, shard=shard, shards=shards) for shard in range(shards)]
        self._heartbeats = [time.time()] * shards
        # Daemons: a shard that hangs in its backend must not keep the process alive.
        self._threads = [
            threading.Thread(target=self._run, args=(shard,), name=f"shard-{shard}", daemon=True)
            for shard in range(shards)
        ]

    def start(self) -> None:
        """Begin to turn. Called on the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def add_model(self, programs: Iterable[ServedProgram]) -> None:
        """Show these programs in the engine's state."""
        self._programs |= {program.key: program for program in programs}

    def remove_model(self, programs: Iterable[ServedProgram]) -> None:
        """Show these programs no more. Whoever still holds one may have it solve.

        Requests that were read before a model was taken away end as if it were there; it goes with the last of them.
        """
        for program in programs:
            self._programs.pop(program.key, None)

    async def solve(
        self, problems: Sequence[Problem], *, received: float, deadline: float, strict: bool = False
    ) -> Request:
        """The request once it has ended, however it did: `submit`, then `ended`."""
        return await self.ended(self.submit(problems, received=received, deadline=deadline, strict=strict))

    def submit(
        self,
        problems: Sequence[Problem],
        *,
        received: float,
        deadline: float,
        strict: bool = False,
        told: Callable[[Array], None] | None = None,
    ) -> Pending:
        """Let a request in. On the event loop. Units: time.perf_counter().

        `problems` are the ways to solve it that the caller allows, tightest first; `strict`: the deadline is the
        caller's, and must be likely to hold. `told` is called on the event loop with the numbers of rows as they end,
        but for those that end with the request because of its deadline or a fault.

        Errors: UnreachableDeadlineError; QueueFullError when too much work waits.
        """
        loop = asyncio.get_running_loop()
        with self._changed:
            request = self._waiting.admit(
                problems,
                received=received,
                deadline=deadline,
                strict=strict,
                now=time.perf_counter(),
                ended=self._on_end,
            )
            if told is not None:
                request.told = partial(self._on_rows, told)
            self._open[request.ticket] = request
            future: asyncio.Future[Request] = loop.create_future()
            self._futures[request.ticket] = future
            self._changed.notify(min(len(request.problem), len(self._engines)))
        timer = loop.call_later(max(0.0, deadline - time.perf_counter()), self._on_deadline, request)
        return Pending(request, future, timer)

    async def ended(self, pending: Pending) -> Request:
        """The request once it has ended. A caller that is cancelled leaves: its rows are dropped and its lanes freed at
        their next step."""
        request = pending.request
        try:
            await pending.future
        finally:
            self.leave(pending)
        self._learn(request)
        return request

    @staticmethod
    def leave(pending: Pending) -> None:
        """Nobody waits any more: a request that goes on is cancelled."""
        pending.timer.cancel()
        pending.request.finish(End.CANCELLED, time.perf_counter())

    @staticmethod
    def _learn(request: Request) -> None:
        """How long it took beside what was forecast."""
        if request.end is End.COMPLETED and request.forecast:
            taken, program = time.perf_counter() - request.received, request.problem.program
            program.usual.observe(taken / request.forecast.expected)
            program.worst.observe(taken / request.forecast.p99)

    @property
    def state(self) -> EngineState:
        """How things stand now."""
        shards = range(len(self._engines))
        models = {program.model: 0 for program in self._programs.values()}
        capacity = dict(models)
        for program in self._programs.values():
            capacity[program.model] += sum(program.lanes.values())
        active = {(model, shard): 0 for model in models for shard in shards}
        for shard, engine in enumerate(self._engines):
            active |= {(model, shard): lanes for model, lanes in engine.active.items()}
        with self._changed:
            depth, seconds = self._waiting.depth, self._waiting.seconds
        return EngineState(
            queue_depth=depth,
            queued_seconds=seconds,
            lanes_active=active,
            lanes_capacity={(model, shard): lanes for model, lanes in capacity.items() for shard in shards},
            heartbeats=tuple(self._heartbeats),
        )

    @property
    def alive(self) -> bool:
        """Whether every shard has turned of late."""
        return time.time() - min(self._heartbeats) < HUNG_SECONDS

    @property
    def idle(self) -> bool:
        """Whether no request is open."""
        return not self._open

    def end_all(self, end: End) -> None:
        """End every open request so."""
        with self._changed:
            requests = list(self._open.values())
        for request in requests:
            request.finish(end, time.perf_counter())

    def stop(self) -> None:
        """End what is open and the threads with it; a hung one is left behind."""
        self.end_all(End.STOPPED)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_SECONDS)

    def _run(self, shard: int) -> None:
        engine = self._engines[shard]
        while not self._stopping:
            self._heartbeats[shard] = time.time()
            try:
                report = engine.step()
                if report:
                    self._report(report)
            except Exception as error:
                log.exception("shard %d failed; its requests are answered and it goes on", shard)
                engine.abandon(error)
                continue
            finally:
                self._hand_over()
            if report is None:
                with self._changed:
                    if not self._stopping and not self._waiting.depth:
                        self._changed.wait(IDLE_SECONDS)

    def _on_end(self, request: Request) -> None:
        """From any thread, without the lock."""
        with self._changed:
            self._waiting.drop(request)
            self._open.pop(request.ticket, None)
        self._news.append(partial(self._settle, request))
        if threading.current_thread() not in self._threads:
            self._hand_over()

    def _on_rows(self, told: Callable[[Array], None], rows: Array) -> None:
        """From a shard's thread."""
        self._news.append(partial(told, rows))

    def _hand_over(self) -> None:
        """Send what has ended in this turn to the event loop, in one call."""
        if self._news and self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._news:
            self._news.popleft()()

    def _settle(self, request: Request) -> None:
        future = self._futures.pop(request.ticket, None)
        if future and not future.done():
            future.set_result(request)

    def _on_deadline(self, request: Request) -> None:
        now = time.perf_counter()
        if request.started is None or now > request.deadline + GRACE_SECONDS:
            request.expire(now)
        elif self._loop:
            self._loop.call_later(GRACE_SECONDS, self._on_deadline, request)
