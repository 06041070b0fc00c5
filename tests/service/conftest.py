"""A running app with tiny models, shared by the tests that only ask it questions."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from artifacts import CLOUD, DIGITS, tiny_models
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings

ODESERVE = Path(sys.executable).with_name("odeserve")


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory, worker_id):
    base = tmp_path_factory.getbasetemp()
    return tiny_models((base if worker_id == "master" else base.parent) / "models")


@pytest.fixture(scope="session")
def worker_id(request):
    """`master` without pytest-xdist, whose own fixture has the same name."""
    return getattr(request.config, "workerinput", {}).get("workerid", "master")


@pytest.fixture(scope="session")
def settings(models_dir):
    return Settings(
        models_dir=models_dir, default_models=(DIGITS, CLOUD), lanes=4, shards=2, max_items=1000, max_body_mb=1
    )


def wait_ready(client):
    for _ in range(600):
        if client.get("/health/ready").status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("not ready")


@contextmanager
def running_app(settings):
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


@pytest.fixture(scope="session")
def client(settings):
    with running_app(settings) as client:
        yield client


def environment(**variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ODESERVE_")}
    return clean | {f"ODESERVE_{name}": str(value) for name, value in variables.items()}


@pytest.fixture(scope="session")
def server(models_dir):
    """URL of `odeserve serve` in a process of its own, body limit 1 MiB, body time-out 1 s."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = environment(MODELS_DIR=models_dir, MAX_BODY_MB=1, BODY_SECONDS=1, LANES=4, DEFAULT_MODELS=CLOUD)
    process = subprocess.Popen([ODESERVE, "serve", "--port", str(port)], env=variables)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)
