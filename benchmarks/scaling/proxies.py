"""What stands in front of replicas, and what it takes: nobody, HAProxy before one, two and three, Ray Serve before one.

All are started once, in a network namespace of their own since Ray binds the machine's addresses, and take turns. With
two cores three replicas cannot do more than two: what is asked is whether the proxy adds up, and what it costs.

Run as root: python -m benchmarks.scaling.proxies
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, Running, ours, running
from benchmarks.wrk import load

OUT = ROOT / "docs" / "benchmarks"
DRAWN = ("1e-1",) * 5 + ("1e-2",) * 4 + ("1e-4",)
CLIENTS, WARM_SECONDS, SECONDS = 64, 1.0, 4.0
NAMESPACE = "ODE_BENCH_NAMESPACE"
RAY_PORT = 8700
STORE_BYTES = 80 * 2**20


@dataclass(frozen=True)
class Way:
    """How clients come to replicas. `proxies`: processes in between; `replicas`: those behind."""

    name: str
    url: str
    proxies: list[int]
    replicas: list[int]


def cpu_seconds(pids: list[int]) -> float:
    """Processor time so far."""
    return sum(Running("", pid).cpu_seconds for pid in pids)


def free_ports(count: int) -> list[int]:
    """In a namespace of one's own nobody else takes them."""
    return list(range(9100, 9100 + count))


@contextmanager
def haproxy(folder: Path, port: int, replicas: list[Running]) -> Iterator[Way]:
    """On the deployed configuration."""
    lines = [f"    server r{n} {one.url.removeprefix('http://')}" for n, one in enumerate(replicas)]
    backend = folder / f"replicas-{len(replicas)}.cfg"
    backend.write_text("\n".join(["backend replicas from replicas", *lines, ""]))
    command = ("haproxy", "-db", "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg"), "-f", str(backend))
    binds = {"PROXY_BIND": f"127.0.0.1:{port}", "PROXY_METRICS_BIND": f"127.0.0.1:{port + 100}"}
    process = subprocess.Popen(command, env=os.environ | binds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3)
        pids = [one.pid for one in replicas]
        name = f"HAProxy, {len(replicas)} replica{'s' * (len(replicas) > 1)}"
        yield Way(name, f"http://127.0.0.1:{port}", [process.pid], pids)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ray_serve() -> Iterator[Way]:
    """One replica behind Ray's own proxy."""
    os.environ |= {
        "RAY_worker_niceness": "0",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray
    from ray import serve

    from service.ray_app import DEPLOYMENT

    variables = {
        "ODESERVE_MODELS": "odenet-mnist",
        "ODESERVE_MODELS_DIR": str(ROOT / "checkpoints"),
        "ODESERVE_SHARDS": "1",
        "ODESERVE_LOG_LEVEL": "info",
    }
    actor = {"num_cpus": 1, "runtime_env": {"env_vars": variables}}
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=STORE_BYTES, log_to_driver=False)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": RAY_PORT})
    deployment = DEPLOYMENT.options(num_replicas=1, max_ongoing_requests=1000, ray_actor_options=actor)
    serve.run(deployment.bind(), name="odeserve", route_prefix="/")
    try:
        yield Way(
            "Ray Serve, 1 replica",
            f"http://127.0.0.1:{RAY_PORT}",
            _named("ProxyActor"),
            _named("ServeReplica:odeserve"),
        )
    finally:
        serve.shutdown()
        ray.shutdown()


def _named(word: str) -> list[int]:
    """Processes of this namespace whose title has a word; Ray sets them."""
    mine, found = os.readlink("/proc/self/ns/net"), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if word in (path / "cmdline").read_text() and os.readlink(path / "ns" / "net") == mine:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def ask(way: Way) -> dict[str, float]:
    """Under many clients, then one."""
    load(way.url, clients=CLIENTS, seconds=WARM_SECONDS, tols=DRAWN)
    before, behind = cpu_seconds(way.proxies), cpu_seconds(way.replicas)
    found = load(way.url, clients=CLIENTS, seconds=SECONDS, tols=DRAWN)
    answers = found.per_second * SECONDS
    proxy, replica = cpu_seconds(way.proxies) - before, cpu_seconds(way.replicas) - behind
    single = load(way.url, clients=1, seconds=SECONDS / 2, tols=("1e-1",))
    return {
        **asdict(found),
        "proxy_ms": 1e3 * proxy / answers,
        "replica_ms": 1e3 * replica / answers,
        "cores": (proxy + replica) / SECONDS,
        "single_p50": single.p50,
    }


def turns(rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Everything started, then rounds in which all take turns."""
    with ExitStack() as stack:
        enter: Callable[[Any], Any] = stack.enter_context
        replicas: list[Running] = [enter(running(ours(SHARDS=1))) for _ in range(3)]
        ports = free_ports(3)
        ways = [Way("directly, 1 replica", replicas[0].url, [], [replicas[0].pid])]
        ways += [enter(haproxy(folder, ports[n], replicas[: n + 1])) for n in range(3)]
        ways += [enter(ray_serve())]
        found: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                found[way.name].append(ask(way))
                print(way.name, {key: round(value, 3) for key, value in found[way.name][-1].items()}, flush=True)
    return found


def markdown(recorded: dict[str, Any]) -> str:
    """The table."""
    lines = [
        "# What stands in front of replicas",
        "",
        f"{CLIENTS} clients that always ask again, one image a request, the tolerances of [the capacity",
        "model](scaling.md); replicas of one shard. Clients, proxies, replicas and other programs share two cores:",
        "three replicas can do no more than two, and processor time says more than answers a second.",
        f"Medians of {recorded['rounds']} rounds in which all take turns.",
        "",
        "| | answers/s | cores used | p50 | p99 | p50 of one client | ms of a core: proxy | replica | failed |",
        "|---" * 9 + "|",
    ]
    for name, row in recorded["results"].items():
        cells = [
            name,
            f"{row['per_second']:.0f}",
            f"{row['cores']:.2f}",
            f"{row['p50']:.0f} ms",
            f"{row['p99']:.0f} ms",
        ]
        cells += [f"{row['single_p50']:.1f} ms", f"{row['proxy_ms']:.2f}", f"{row['replica_ms']:.2f}"]
        cells += [f"{row['errors']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{recorded['machine']}; {recorded['date']}; {recorded['versions']}.", ""])


def main(rounds: int = 5) -> None:
    """Write docs/benchmarks/proxies.{json,md}."""
    if NAMESPACE not in os.environ:
        again = f"ip link set lo up && exec {sys.executable} -m benchmarks.scaling.proxies --rounds {rounds}"
        os.environ[NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", again])
    with training_paused(), tempfile.TemporaryDirectory() as folder:
        found = turns(rounds, Path(folder))
    results = {
        name: {key: statistics.median(one[key] for one in some) for key in some[0]} for name, some in found.items()
    }
    version = subprocess.run(("haproxy", "-v"), capture_output=True, text=True, check=True).stdout.split()[2]
    described_here = described("ray", "uvicorn", "onnxruntime")
    described_here["versions"] += f", HAProxy {version}"
    recorded = {**described_here, "rounds": rounds, "results": results, "turns": found}
    (OUT / "proxies.json").write_text(json.dumps(recorded, indent=1) + "\n")
    (OUT / "proxies.md").write_text(markdown(recorded))
    print(markdown(recorded))


if __name__ == "__main__":
    typer.run(main)
