"""Servers under test, each in a process group of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
RIVALS = ROOT / ".venv-rivals" / "bin" / "python"
"""The environment of rivals whose packages have no place in ours; made by `make bench`."""
START_SECONDS = 90.0
FLOW = "cnf-two-moons"


@dataclass(frozen=True)
class ServerSpec:
    """A server and how it is started; `{port}` in the command is filled in. `ready` answers 200 once it serves."""

    name: str
    command: tuple[str, ...]
    ready: str
    tol_in_body: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


def ours(**settings: object) -> ServerSpec:
    """odeserve with the shipped classifier."""
    variables = {"ODESERVE_MODELS": "odenet-mnist"} | {
        f"ODESERVE_{name}": str(value) for name, value in settings.items()
    }
    command = (sys.executable, "-m", "service.cli", "serve", "--port", "{port}")
    return ServerSpec("odeserve", command, "/health/ready", variables=variables)


def both_models() -> ServerSpec:
    """The classifier and a flow in one server."""
    return ours(MODELS=f"odenet-mnist,{FLOW}")


def fastapi(workers: int, threads: int, kind: str) -> ServerSpec:
    """FastAPI around torchdiffeq; `kind` is def (a thread pool) or async (a coroutine)."""
    module = f"benchmarks.rivals.fastapi_torchdiffeq:{kind}_app"
    command = (sys.executable, "-m", "uvicorn", module, "--port", "{port}", "--workers", str(workers))
    name = f"FastAPI + torchdiffeq, {kind}, {workers} x {threads} threads"
    return ServerSpec(
        name, (*command, "--log-level", "error"), "/openapi.json", variables={"TORCH_THREADS": str(threads)}
    )


def litserve(workers: int, threads: int, batch: int) -> ServerSpec:
    """LitServe with dynamic batches around torchdiffeq."""
    options = ("--port", "{port}", "--workers", str(workers), "--batch", str(batch))
    return ServerSpec(
        f"LitServe + torchdiffeq, {workers} x {threads} threads, batches of {batch}",
        (str(RIVALS), "-m", "benchmarks.rivals.litserve_torchdiffeq", *options),
        "/health",
        tol_in_body=True,
        variables={"TORCH_THREADS": str(threads)},
    )


@dataclass(frozen=True)
class Running:
    """A server under test."""

    url: str
    pid: int

    def metric(self, name: str) -> float:
        """Sum of the samples of one of odeserve's metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        prefixes = (f"odeserve_{name}{{", f"odeserve_{name} ")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(prefixes))

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the process so far."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mb(self) -> int:
        """Memory of the process. Units: MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


@contextmanager
def running(spec: ServerSpec) -> Iterator[Running]:
    """A server that answers; nothing of it is left afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [word.format(port=port) for word in spec.command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(spec.variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url + spec.ready, spec.name)
        yield Running(url, process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, name: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise SystemExit(f"{name} did not start")
