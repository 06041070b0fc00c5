"""Shards as threads: every request ends once, whatever a backend or a caller does."""

import asyncio
import gc
import threading
import time
import weakref
from contextlib import asynccontextmanager

from countdown import Countdown, problem, program

from service.engine import runner as module
from service.engine.request import End, QueueFullError
from service.engine.runner import Runner

FOREVER = 10**9


@asynccontextmanager
async def running(*programs, shards=2, queue_seconds=60.0):
    reports = []
    runner = Runner(shards, queue_seconds, reports.append)
    runner.add_model(programs)
    runner.start()
    runner.reports = reports
    try:
        yield runner
    finally:
        await asyncio.to_thread(runner.stop)


def solve(runner, asked, seconds=30.0):
    now = time.perf_counter()
    return asyncio.create_task(runner.solve([asked], received=now, deadline=now + seconds))


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to that")


def paced(seconds=1e-3):
    """A program whose attempts take a while."""
    return program(Countdown(before_step=lambda method, lanes: time.sleep(seconds)))


def test_many_requests_at_once_get_their_own_answers():
    async def main():
        served = program(lanes=8)
        async with running(served) as runner:
            tasks = [solve(runner, problem(served, [k % 7, 3, 1], [k, -k, 0])) for k in range(300)]
            for k, request in enumerate(await asyncio.gather(*tasks)):
                assert request.end is End.COMPLETED
                assert request.outputs[0].tolist() == [k, -k, 0]
            assert runner.idle
            assert runner.state.queue_depth == 0
            assert not any(runner.state.lanes_active.values())

    asyncio.run(main())


def test_a_large_request_is_split_over_the_shards():
    async def main():
        threads = set()
        served = program(
            Countdown(
                before_step=lambda method, lanes: (threads.add(threading.current_thread().name), time.sleep(1e-3))
            )
        )
        async with running(served) as runner:
            request = await solve(runner, problem(served, [5] * 100))
            assert request.outputs[0].tolist() == list(range(100))
        assert threads == {"shard-0", "shard-1"}

    asyncio.run(main())


def test_a_caller_that_leaves_frees_lanes_and_queue():
    async def main():
        served = paced()
        async with running(served) as runner:
            gone = [solve(runner, problem(served, [FOREVER] * 4)) for _ in range(6)]
            await until(lambda: sum(runner.state.lanes_active.values()) == 8 and runner.state.queue_depth)
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            await until(lambda: not sum(runner.state.lanes_active.values()))
            assert runner.idle
            assert runner.state.queue_depth == 0
            assert (await solve(runner, problem(served, [2]))).end is End.COMPLETED

    asyncio.run(main())


def test_a_backend_that_raises_answers_its_requests_and_the_shard_goes_on(caplog):
    async def main():
        def explode(method, lanes):
            if (lanes.y[:, 1] == 666).any():
                raise RuntimeError("no such operator")
            time.sleep(1e-3)

        served = program(Countdown(before_step=explode), lanes=2)
        async with running(served, shards=1) as runner:
            bad = solve(runner, problem(served, [50, 50], [1, 666]))
            others = [solve(runner, problem(served, [3])) for _ in range(10)]
            ends = [request.end for request in await asyncio.gather(bad, *others)]
            assert ends[0] is End.FAULT
            assert set(ends) <= {End.FAULT, End.COMPLETED}
            assert (await solve(runner, problem(served, [3]))).end is End.COMPLETED
            assert runner.alive
            assert runner.idle

    asyncio.run(main())
    assert "no such operator" in caplog.text


def test_a_backend_that_hangs_is_seen_and_its_requests_still_end(monkeypatch):
    monkeypatch.setattr(module, "HUNG_SECONDS", 0.3)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)

    async def main():
        let_go = threading.Event()

        def hang(method, lanes):
            if (lanes.y[:, 1] == 666).any():
                let_go.wait()

        served = program(Countdown(before_step=hang), lanes=1)
        async with running(served) as runner:
            stuck = solve(runner, problem(served, [5], [666]), seconds=0.2)
            fine = [solve(runner, problem(served, [5])) for _ in range(20)]
            # The other shard does the work meanwhile.
            assert {r.end for r in await asyncio.gather(*fine)} == {End.COMPLETED}
            assert (await stuck).end is End.DEADLINE
            await until(lambda: not runner.alive)
            let_go.set()
            await until(lambda: runner.alive)
            assert (await solve(runner, problem(served, [1]))).end is End.COMPLETED

    asyncio.run(main())


def test_a_request_that_waits_too_long_ends_at_its_deadline():
    async def main():
        served = paced(1e-2)
        async with running(served, shards=1) as runner:
            blocking = solve(runner, problem(served, [FOREVER] * 4))
            await until(lambda: runner.state.lanes_active[served.model, 0] == 4)
            begun = time.perf_counter()
            late = await solve(runner, problem(served, [1]), seconds=0.1)
            assert late.end is End.DEADLINE
            assert late.started is None
            assert 0.1 <= time.perf_counter() - begun < 1.0
            blocking.cancel()

    asyncio.run(main())


def test_a_deadline_ends_rows_under_way():
    async def main():
        served = paced()
        async with running(served) as runner:
            request = await solve(runner, problem(served, [2, FOREVER], partial=True), seconds=0.1)
            assert request.end is End.COMPLETED
            assert [int(s) for s in request.solution.status] == [1, 5]

    asyncio.run(main())


def test_more_work_than_may_wait_is_refused():
    async def main():
        served = paced()
        async with running(served, shards=1, queue_seconds=0.5) as runner:
            tasks = [solve(runner, problem(served, [FOREVER] * 4)) for _ in range(200)]
            await asyncio.sleep(0.05)
            refused = [task for task in tasks if task.done()]
            assert refused
            assert all(isinstance(task.exception(), QueueFullError) for task in refused)
            assert runner.state.queued_seconds <= 0.5
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert runner.idle

    asyncio.run(main())


def test_a_removed_model_still_solves_for_whoever_holds_it_and_is_shown_no_more():
    async def main():
        served = paced()
        async with running(served) as runner:
            running_on = solve(runner, problem(served, [100]))
            await until(lambda: any(runner.state.lanes_active.values()))
            runner.remove_model([served])
            assert (await solve(runner, problem(served, [1]))).end is End.COMPLETED
            assert (await running_on).end is End.COMPLETED
            await until(lambda: not runner.state.lanes_active)
            assert not runner.state.lanes_capacity

    asyncio.run(main())


def test_nothing_of_a_removed_model_stays(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)

    async def main():
        async with running() as runner:
            for _ in range(3):
                served = paced()
                runner.add_model([served])
                await asyncio.gather(*(solve(runner, problem(served, [3] * 9)) for _ in range(3)))
                runner.remove_model([served])
                gone = weakref.ref(served)
                del served
                await until(lambda gone=gone: gc.collect() is not None and gone() is None)

    asyncio.run(main())


def test_stopping_ends_every_request():
    async def main():
        served = paced()
        async with running(served) as runner:
            tasks = [solve(runner, problem(served, [FOREVER])) for _ in range(30)]
            await until(lambda: any(runner.state.lanes_active.values()))
            await asyncio.to_thread(runner.stop)
            assert {r.end for r in await asyncio.gather(*tasks)} == {End.STOPPED}

    asyncio.run(main())


def test_idle_shards_show_that_they_live(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)

    async def main():
        async with running(program()) as runner:
            first = runner.state.heartbeats
            await until(lambda: all(b > a for a, b in zip(first, runner.state.heartbeats, strict=True)))

    asyncio.run(main())


def test_rows_are_told_of_in_the_order_in_which_they_end_and_before_the_request_does():
    async def main():
        served, told = program(lanes=8), []
        async with running(served, shards=1) as runner:
            now = time.perf_counter()

            def note(rows):
                told.append((rows.tolist(), pending.future.done()))

            asked = [problem(served, [5, 1, 3, 0, 3])]
            pending = runner.submit(asked, received=now, deadline=now + 30, told=note)
            request = await runner.ended(pending)
            assert request.end is End.COMPLETED
            assert told == [([3], False), ([1], False), ([2, 4], False), ([0], False)]

    asyncio.run(main())


def test_whoever_leaves_while_rows_are_told_of_frees_the_lanes():
    async def main():
        served, told = paced(), []
        async with running(served) as runner:
            now = time.perf_counter()
            asked = [problem(served, [1, FOREVER, FOREVER])]
            pending = runner.submit(asked, received=now, deadline=now + 30, told=told.append)
            await until(lambda: told)
            runner.leave(pending)
            await until(lambda: not sum(runner.state.lanes_active.values()))
            assert pending.request.end is End.CANCELLED
            assert runner.idle

    asyncio.run(main())
