"""What being observed costs: the same server without metrics, with them, with log lines, with spans, under one load.

python -m benchmarks.metrics_cost: writes docs/benchmarks/observability.json and .md. Needs wrk.

All servers run at once and take turns, so that a busy machine is as busy for each, and are started anew now and then,
since no two processes are equally fast; what is told is the median over the rounds of a round's ratio to the server
without anything.
"""

import argparse
import http.server
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, Running, ServerSpec, running
from benchmarks.wrk import load

OUT = ROOT / "docs" / "benchmarks"
CLIENTS = 64
BLIND = """
import service.metrics
from service.cli import app

service.metrics.Metrics.count = lambda self, record, seconds: None
service.metrics.Metrics.step = lambda self, report: None
app()
"""
SCRAPES = 50
ACCOUNTED_SECONDS = 20
ROUNDS_OF_A_START = 4


class Sink(http.server.BaseHTTPRequestHandler):
    """Takes whatever is sent, as a collector of spans would."""

    def do_POST(self) -> None:
        """Read and forget."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing."""


def specs(collector: str) -> dict[str, ServerSpec]:
    """The servers, from the barest on."""
    blind = (sys.executable, "-c", BLIND, "serve", "--port", "{port}")
    seeing = (sys.executable, "-m", "service.cli", "serve", "--port", "{port}")
    # The width of steps is measured at each start, and would differ from server to server.
    quiet = {"ODESERVE_MODELS": "odenet-mnist", "ODESERVE_LOG_LEVEL": "warning", "ODESERVE_LANES": "16"}
    lines = quiet | {"ODESERVE_LOG_LEVEL": "info", "ODESERVE_LOG_FORMAT": "json"}
    spans = lines | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    return {
        name: ServerSpec(name, command, "/health/ready", variables=variables)
        for name, command, variables in (
            ("nothing", blind, quiet),
            ("metrics", seeing, quiet),
            ("metrics and log lines", seeing, lines),
            ("metrics, log lines and spans", seeing, spans),
        )
    }


@contextmanager
def scraped(servers: list[Running], seconds: float = 5.0) -> Any:
    """Every server's metrics are fetched as often as docker-compose's Prometheus does."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(seconds):
            for server in servers:
                urllib.request.urlopen(f"{server.url}/metrics").read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measured(rounds: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Answers a second and processor time of an answer, by server and round."""
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    found = specs(f"http://127.0.0.1:{sink.server_port}")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in found}
    for first in range(0, rounds, ROUNDS_OF_A_START):
        take_turns(found, range(first, min(rounds, first + ROUNDS_OF_A_START)), seconds, rows)
    sink.shutdown()
    return rows


def take_turns(
    found: dict[str, ServerSpec], turns: range, seconds: float, rows: dict[str, list[dict[str, float]]]
) -> None:
    """Some rounds with servers started for them."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(spec)) for name, spec in found.items()}
        stack.enter_context(scraped([servers[name] for name in servers if name != "nothing"]))
        for server in servers.values():
            load(server.url, clients=CLIENTS, seconds=1)
        for turn in turns:
            names = list(servers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                server, before = servers[name], servers[name].cpu_seconds
                seen = load(server.url, clients=CLIENTS, seconds=seconds)
                spent = (server.cpu_seconds - before) / (seen.per_second * seconds)
                row = {"per_second": seen.per_second, "p99": seen.p99, "cpu_ms": 1e3 * spent, "errors": seen.errors}
                rows[name].append(row)
                print(turn, name, row, flush=True)


def accounted() -> dict[str, float]:
    """Processor time that metrics and log lines take where requests and steps wait for them, of a server under load."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spent.json"
        variables = {"ODESERVE_MODELS": "odenet-mnist", "ODESERVE_LANES": "16", "SPENT": str(path)}
        command = (sys.executable, "-m", "benchmarks.accounted_server", "serve", "--port", "{port}")
        with running(ServerSpec("accounted", command, "/health/ready", variables=variables)) as server:
            load(server.url, clients=CLIENTS, seconds=2)
            before = json.loads(path.read_text())
            load(server.url, clients=CLIENTS, seconds=ACCOUNTED_SECONDS)
            after = json.loads(path.read_text())
    process, answers, *spent = (after[name] - before[name] for name in ("process", "answers", "metrics", "log lines"))
    return {
        f"{name}_{unit}": round(value, 4)
        for name, taken in zip(("metrics", "log_lines"), spent, strict=True)
        for unit, value in (("us_per_answer", taken / 1e3 / answers), ("share_of_process", taken / process))
    }


def scrape_at_rest() -> dict[str, Any]:
    """Lines, bytes and milliseconds of a scrape of a server with every shipped model that nobody asks."""
    variables = {"ODESERVE_LANES": "8", "ODESERVE_LOG_LEVEL": "warning"}
    command = (sys.executable, "-m", "service.cli", "serve", "--port", "{port}")
    with running(ServerSpec("odeserve", command, "/health/ready", variables=variables)) as server:
        taken = []
        for _ in range(SCRAPES):
            begun = time.perf_counter()
            text = urllib.request.urlopen(f"{server.url}/metrics").read()
            taken.append(1e3 * (time.perf_counter() - begun))
    return {
        "lines": text.count(b"\n"),
        "bytes": len(text),
        "ms_median": round(statistics.median(taken), 2),
        "ms_least": round(min(taken), 2),
    }


def summary(rows: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians by server, and of each round's ratios to the server without anything."""
    bare = rows["nothing"]
    told = {}
    for name, own in rows.items():
        ratios = sorted(a["per_second"] / b["per_second"] for a, b in zip(own, bare, strict=True))
        cpu = [a["cpu_ms"] / b["cpu_ms"] for a, b in zip(own, bare, strict=True)]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        told[name] = {
            "per_second": round(statistics.median(row["per_second"] for row in own), 1),
            "p99_ms": round(statistics.median(row["p99"] for row in own), 1),
            "cpu_ms_per_answer": round(statistics.median(row["cpu_ms"] for row in own), 4),
            "throughput_ratio": round(statistics.median(ratios), 4),
            "throughput_ratio_quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
            "cpu_ratio": round(statistics.median(cpu), 4),
            "errors": sum(row["errors"] for row in own),
        }
    return told


def write(folder: Path) -> None:
    """observability.md from observability.json."""
    recorded = json.loads((folder / "observability.json").read_text())
    rest, books = recorded["scrape_at_rest"], recorded["accounted"]
    lines = [
        "# What being observed costs",
        "",
        f"28x28 images as JSON, {CLIENTS} clients that ask again as soon as they are answered, at 1e-1, 1e-2, 1e-3 and",
        f"1e-4 in turn; {recorded['rounds']} rounds of {recorded['seconds']:g} s in which the four servers take turns.",
        "Ratios are medians of each round's, to the server without anything. Those with metrics are scraped every 5 s.",
        "",
        "| server | answers a second | p99 | throughput | middle half of the rounds | processor time of an answer |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in recorded["servers"].items():
        low, high = row["throughput_ratio_quartiles"]
        lines.append(
            f"| {name} | {row['per_second']:.0f} | {row['p99_ms']:.0f} ms | {100 * row['throughput_ratio']:.1f} % "
            f"| {100 * low:.1f} to {100 * high:.1f} % "
            f"| {row['cpu_ms_per_answer']:.2f} ms ({row['cpu_ratio']:.3f} times) |"
        )
    lines += [
        "",
        "By the books of a server that adds up the processor time of its own metrics and log lines, under that load:",
        f"metrics {books['metrics_us_per_answer']:.1f} us an answer, {100 * books['metrics_share_of_process']:.2f} %",
        f"of what the process takes; log lines {books['log_lines_us_per_answer']:.1f} us, "
        f"{100 * books['log_lines_share_of_process']:.2f} %, and their writing in a thread of its own.",
        "",
        f"A scrape at rest, with every shipped model: {rest['lines']} lines, {rest['bytes'] / 1024:.0f} KiB, "
        f"{rest['ms_median']:.1f} ms (median of {SCRAPES}; least {rest['ms_least']:.1f} ms).",
        "",
        ". ".join(recorded["machine"].values()) + ".",
        "",
    ]
    (folder / "observability.md").write_text("\n".join(lines))


def main() -> None:
    """Measure, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pause-training", action="store_true", help="stop every odetrain meanwhile")
    given = parser.parse_args()
    with training_paused() if given.pause_training else ExitStack():
        rest = scrape_at_rest()
        books = accounted()
        print(books, flush=True)
        rows = measured(given.rounds, given.seconds)
    recorded = {
        "machine": described("odeserve", "uvicorn", "prometheus-client"),
        "rounds": given.rounds,
        "seconds": given.seconds,
        "scrape_at_rest": rest,
        "accounted": books,
        "servers": summary(rows),
        "every_round": rows,
    }
    (OUT / "observability.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    main()
