"""The load client: it sends when it said it would, and counts what came back."""

import asyncio
import io
import json
import re
import subprocess
from urllib.parse import urlsplit

import numpy as np
import pytest
from apps import ODESERVE, serving
from artifacts import CLOUD
from rich.console import Console

from service.load.arrivals import Arrival, poisson_arrivals
from service.load.bench import BenchError, run_bench
from service.load.client import LoadClient
from service.load.tables import bench_table


@pytest.fixture(scope="module")
def target(models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD) as server:
        yield server


def quietly(done, total):
    pass


def test_arrivals_are_a_poisson_stream(rng):
    seed = int(rng.integers(2**31))
    arrivals = poisson_arrivals(200.0, 50.0, ("1e-1", "1e-2"), 3, seed)
    assert len(arrivals) == pytest.approx(10_000, abs=500)
    times = np.array([arrival.at for arrival in arrivals])
    assert (np.diff(times) >= 0).all()
    gaps = np.diff(times)
    # Exponential gaps: standard deviation as large as the mean.
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert sum(arrival.tol == "1e-1" for arrival in arrivals) == pytest.approx(5_000, abs=400)


def test_what_the_client_counts_is_what_the_server_counted(target):
    before = target.metric("requests_total", route="/density", status="ok")
    options = {"rate": 80, "seconds": 2.0, "tols": ["1e-1", "1e-4"], "bodies": [], "seed": 1}
    figures = run_bench(target.url, **options, model=CLOUD, progress=quietly)
    counted = target.metric("requests_total", route="/density", status="ok") - before
    assert figures["all"]["ok"] == figures["all"]["sent"] == counted
    assert figures["by_tol"]["1e-4"]["nfe_mean"] > figures["by_tol"]["1e-1"]["nfe_mean"]
    assert figures["all"]["p50_ms"] <= figures["all"]["p99_ms"] <= figures["all"]["max_ms"]


async def outcomes_of(answer, count):
    """Ask a server that answers as told `count` times at once."""
    ended = asyncio.Semaphore(0)

    async def serve(reader, writer):
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            ended.release()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = LoadClient(urlsplit(f"http://127.0.0.1:{port}"), lambda arrival: "/", [b"{}"])
    outcomes = await client.run([Arrival(0.0, "1e-1", 0)] * count, lambda done: None)
    server.close()
    for _ in range(count):
        await ended.acquire()
    await asyncio.sleep(0.05)
    return outcomes


def test_latency_counts_from_the_intended_time_even_when_the_server_is_slow():
    """A server that answers one request at a time, 0.1 s each, asked ten times at once."""
    lock = asyncio.Lock()

    async def answer(reader, writer):
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            await reader.readexactly(2)
            async with lock:
                await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    latencies = sorted(outcome.latency for outcome in asyncio.run(outcomes_of(answer, 10)))
    assert latencies == pytest.approx([0.1 * k for k in range(1, 11)], abs=0.15)


def test_a_connection_that_breaks_is_an_outcome():
    async def hang_up(reader, writer):
        await reader.readline()

    assert [outcome.status for outcome in asyncio.run(outcomes_of(hang_up, 3))] == [0, 0, 0]


def test_from_the_shell(target, tmp_path):
    command = [ODESERVE, "bench", target.url, "--rate", "40", "--seconds", "1", "--tol", "1e-2", "--model", CLOUD]
    done = subprocess.run(
        [*command, "--out", tmp_path / "out.json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "1e-2" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["route"] == "/density"


def test_figures_are_whole_in_eighty_columns():
    outcome = {"sent": 12345, "ok": 12345, "refused": 7, "too_late": 0, "failed": 0, "loosened": 12}
    outcome |= {"nfe_mean": 123.456, "p50_ms": 1234.5, "p90_ms": 2345.6, "p99_ms": 3456.78, "max_ms": 45678.9}
    figures = {"model": "m", "route": "/classify", "rate": 50, "seconds": 10, "answered_per_second": 49.1}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(bench_table(figures | {"by_tol": {"1e-1": outcome}, "all": outcome}))
    said = console.export_text()
    assert "…" not in said
    assert re.search(r"1e-1 +12345 +12345 +7 +12 +123 +1234 +2346 +3457 +45679", said)
    assert "too late" not in said
    assert re.search(r"refused +loosened +nfe +p50 +p90 +p99 +max", said)


def test_nobody_there_or_no_such_model_is_said_in_a_line(target):
    options = {"rate": 1, "seconds": 1.0, "tols": ["1e-2"], "bodies": [], "seed": 1, "progress": quietly}
    with pytest.raises(BenchError, match="no model"):
        run_bench(target.url, **options, model="nobody")
    with pytest.raises(BenchError, match=r"refused|failed"):
        run_bench("http://127.0.0.1:9", **options, model=None)
