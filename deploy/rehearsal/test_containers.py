"""The real Dockerfile and the real docker-compose.yml on a real Docker engine: `make test-deploy`.

Grafana is started where its image can be had. What the rehearsal does not show stands in docs/operations.md.
"""

import json
import os
import random
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "odeserve-rehearsal"
DIGIT = json.loads((ROOT / "examples" / "digits" / "7.json").read_text())
GRAFANA = "grafana/grafana:11.6.0"
HAPROXY = "haproxy:2.6"
STAND_IN = """
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq haproxy
USER haproxy
"""
"""Debian's HAProxy is a 2.6 as well; for where the image cannot be had."""


def run(*command, **variables):
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def eventually(condition, seconds=60):
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.5)


class Stack:
    """The composed services, on free ports of the loopback interface."""

    def __init__(self):
        self.ports = {name: free_port() for name in ("SERVICE", "PROXY", "PROMETHEUS", "GRAFANA")}
        self.url = f"http://127.0.0.1:{self.ports['SERVICE']}"
        self.proxy = f"http://127.0.0.1:{self.ports['PROXY']}"
        self.prometheus = f"http://127.0.0.1:{self.ports['PROMETHEUS']}"

    def compose(self, *words):
        ports = {f"{name}_PORT": str(port) for name, port in self.ports.items()}
        return run("docker", "compose", "-p", PROJECT, *words, **ports)

    @property
    def container(self):
        return self.compose("ps", "--all", "--quiet", "service")

    def inspect(self, template):
        return run("docker", "inspect", "--format", template, self.container)

    def query(self, expression):
        """Value of an expression with one series; None without."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None


def pulled(image):
    done = subprocess.run(("docker", "pull", "--quiet", image), capture_output=True, timeout=600, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def stack():
    stack = Stack()
    try:
        services = () if pulled(GRAFANA) else ("service", "prometheus")
        stack.compose("up", "--detach", "--build", "--wait", "--wait-timeout", "300", *services)
        yield stack
    finally:
        stack.compose("--profile", "scale", "down", "--volumes", "--timeout", "1")


def test_the_compose_file_is_valid():
    assert run("docker", "compose", "config", "--quiet") == ""
    assert run("docker", "compose", "--profile", "train", "config", "--quiet") == ""
    assert run("docker", "compose", "--profile", "scale", "config", "--quiet") == ""


def test_the_service_runs_confined(stack):
    inside = ("exec", "--no-TTY", "service")
    assert stack.compose(*inside, "id", "-u") == "10001"
    assert stack.inspect("{{.State.Health.Status}}") == "healthy"
    assert stack.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}") == "true [ALL]"
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    stack.compose(*inside, "python", "-c", write, "/tmp/x")
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.compose(*inside, "python", "-c", write, "/srv/x")
    assert stack.inspect('{{(index (index .NetworkSettings.Ports "8000/tcp") 0).HostIp}}') == "127.0.0.1"


def test_the_image_has_the_shipped_models_and_no_torch(stack):
    inside = ("exec", "--no-TTY", "service")
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        stack.compose(*inside, "python", "-c", "import torch")
    shipped = {path.name for path in (ROOT / "checkpoints").iterdir()}
    assert {model["name"] for model in httpx.get(f"{stack.url}/models").json()["models"]} == shipped
    assert httpx.get(f"{stack.url}/docs").status_code == 200
    assert stack.inspect('{{index .Config.Labels "org.opencontainers.image.licenses"}}') == "Apache-2.0"


def test_every_process_stays_below_400_mb_with_all_shipped_models(stack):
    for _ in range(20):
        httpx.post(f"{stack.url}/density", json={"points": [[0.1, 0.2]] * 1000}).raise_for_status()
    status = Path(f"/proc/{stack.inspect('{{.State.Pid}}')}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 400 * 1024


def test_prometheus_counts_what_the_client_did(stack):
    rng, sent, nfe = random.Random(7), Counter(), Counter()
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        for _ in range(400):
            tol = rng.choice(("1e-1", "1e-2", "1e-3", "1e-4", "7"))
            if rng.random() < 0.5:
                path, answer = "/classify", client.post(f"/classify?tol={tol}", json=DIGIT)
            else:
                points = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rng.randint(1, 50))]
                path, answer = "/density", client.post(f"/density?tol={tol}", json={"points": points})
            code = "ok" if answer.status_code == 200 else answer.json()["error"]["code"]
            sent[path, code] += 1
            nfe[path] += int(answer.headers.get("X-NFE", "0"))
    assert len(sent) == 4

    def counted():
        # The memory test's own densities came before.
        return {
            (route, code): stack.query(f'sum(odeserve_requests_total{{route="{route}", status="{code}"}})')
            for route, code in sent
        }

    before = {("/density", "ok"): 20}
    eventually(lambda: counted() == {key: count + before.get(key, 0) for key, count in sent.items()})
    assert stack.query('sum(odeserve_function_evaluations_useful_total{model="odenet-mnist"})') == nfe["/classify"]
    assert stack.query('count(up{job="odeserve"} == 1)') == 1
    assert stack.query('sum(ALERTS{alertstate="firing"})') is None


def test_grafana_has_its_dashboards(stack):
    if not stack.compose("ps", "--quiet", "grafana"):
        pytest.skip(f"no {GRAFANA} here")
    found = httpx.get(f"http://127.0.0.1:{stack.ports['GRAFANA']}/api/search?type=dash-db").json()
    assert len(found) == len(list((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")))


def test_replicas_behind_the_proxy_are_restarted_under_load_without_a_failed_request(stack, tmp_path):
    if not pulled(HAPROXY):
        (tmp_path / "Dockerfile").write_text(STAND_IN)
        run("docker", "build", "--quiet", "--tag", HAPROXY, str(tmp_path))
    stack.compose("--profile", "scale", "up", "--detach", "--wait", "--wait-timeout", "300", "replica", "proxy")
    up = 'count(haproxy_server_status{proxy="replicas", state="UP"} == 1)'
    eventually(lambda: stack.query(up) == 3)
    eventually(lambda: stack.query('count(up{job="odeserve"} == 1)') == 3)
    outcomes, stop = Counter(), threading.Event()

    def ask():
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                try:
                    outcomes[client.post(f"{stack.proxy}/classify?tol=1e-2", json=DIGIT).status_code] += 1
                except httpx.TransportError as error:
                    outcomes[type(error).__name__] += 1
                time.sleep(0.02)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        # Both at once: the service beside them goes on.
        stack.compose("--profile", "scale", "restart", "replica")
        eventually(lambda: stack.query(up) == 3, seconds=240)
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    assert set(outcomes) == {200}
    stack.compose("--profile", "scale", "stop", "replica", "proxy")


def test_a_stop_under_load_loses_nothing(stack):
    """The last test: the service is gone after it."""
    outcomes = Counter()

    def ask():
        while True:
            try:
                answer = httpx.post(
                    f"{stack.url}/classify?tol=1e-4", json=DIGIT, headers={"Connection": "close"}, timeout=30
                )
            except httpx.TransportError as error:
                outcomes[type(error).__name__] += 1
                return
            outcomes[answer.status_code] += 1
            if answer.status_code == 503:
                assert "Retry-After" in answer.headers
                return

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    eventually(lambda: outcomes[200] > 100)
    stack.compose("stop", "service")
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    assert outcomes.pop(200) > 100
    assert outcomes == {503: 8}
    assert stack.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"
    lines = [json.loads(line) for line in run("docker", "logs", stack.container).splitlines()]
    assert sum(line.get("route") == "/classify" and line["status"] == "ok" for line in lines) > 100
