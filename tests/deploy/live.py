"""Processes under test, and programs that they need."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from needed import missing

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ODESERVE = Path(sys.executable).with_name("odeserve")


def tool(name, package=None):
    """Path of a program; where it is missing the test is skipped, in continuous integration it fails."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is missing (Debian: apt-get install {package or name})")
    return found


def eventually(condition, seconds=60):
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.2)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running(command, ready, **variables):
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(ready) or process.poll() is not None)
        assert process.poll() is None
        yield process
    finally:
        process.terminate()
        process.wait(20)


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def instant(self, expression):
        """[(labels, value)] of an expression now."""
        found = self.get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def lately(self, expression, seconds=60, step=2):
        """[(labels, values)] of the last while."""
        now = time.time()
        found = self.get("query_range", query=expression, start=now - seconds, end=now, step=step)["result"]
        return [(series["metric"], [float(value) for _, value in series["values"]]) for series in found]


@contextmanager
def prometheus(folder, *services, proxy=None):
    """It runs on deploy/prometheus, but for how often it looks and for names that only containers have.

    `services`: URLs, listed in a file as those of processes are; `proxy`: address of the proxy's metrics.
    """
    binary, port = tool("prometheus"), free_port()
    shutil.copytree(DEPLOY / "prometheus", folder / "config")
    path = folder / "config" / "prometheus.yml"
    config = yaml.safe_load(path.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for job in jobs.values():
        job.pop("dns_sd_configs", None)
    jobs["prometheus"]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    if proxy:
        jobs["haproxy"]["static_configs"] = [{"targets": [proxy]}]
    path.write_text(yaml.safe_dump(config))
    targets = folder / "config" / "targets" / "services.json"
    targets.parent.mkdir(exist_ok=True)
    targets.write_text(json.dumps([{"targets": [url.removeprefix("http://") for url in services]}]))
    url = f"http://127.0.0.1:{port}"
    command = (
        binary,
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    with running(command, f"{url}/-/ready"):
        scraped = Prometheus(url)
        # Counters at rest come before counters under load, or rates would not see the first requests.
        eventually(lambda: len(scraped.instant('up{job="odeserve"} == 1')) == len(services))
        yield scraped
