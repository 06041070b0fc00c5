"""The app in this process, and the command in one of its own."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from starlette.testclient import TestClient

from service.app import create_app

ODESERVE = Path(sys.executable).with_name("odeserve")


def wait_ready(client):
    for _ in range(600):
        if client.get("/health/ready").status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("not ready")


@contextmanager
def running_app(settings, spans=None):
    app = create_app(settings, spans)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def environment(**variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ODESERVE_")}
    return clean | {f"ODESERVE_{name}": str(value) for name, value in variables.items()}


class Server:
    """`odeserve serve` in a process of its own."""

    def __init__(self, process, url):
        self.process = process
        self.url = url

    def metric(self, name, **labels):
        """Sum of a metric's samples that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        samples = [line for line in lines if line.partition("{")[0].partition(" ")[0] == f"odeserve_{name}"]
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples if all(pair in line for pair in wanted))

    def ready(self):
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False


def eventually(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


@contextmanager
def serving(command=(ODESERVE,), stdout=None, **variables):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([*command, "serve", "--port", str(port)], env=environment(**variables), stdout=stdout)
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: server.ready() or process.poll() is not None)
        assert process.poll() is None
        yield server
    finally:
        process.kill()
        process.wait(20)
