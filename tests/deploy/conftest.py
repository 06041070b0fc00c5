"""A server with the shipped models, and a real Prometheus that scrapes it by the configuration of deploy/."""

import shutil

import pytest
import yaml
from live import DEPLOY, ODESERVE, Prometheus, eventually, free_port, running, tool


@pytest.fixture(scope="session")
def service():
    """URL of a server with every shipped model; widths are given, so that it need not measure them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = (ODESERVE, "serve", "--port", str(port))
    with running(command, f"{url}/health/ready", ODESERVE_LANES="8", ODESERVE_LOG_LEVEL="warning", ODESERVE_SHARDS="2"):
        yield url


@pytest.fixture(scope="session")
def prometheus(service, tmp_path_factory):
    """It runs on deploy/prometheus, but for the addresses and for how often it looks."""
    binary, folder, port = tool("prometheus"), tmp_path_factory.mktemp("prometheus"), free_port()
    shutil.copytree(DEPLOY / "prometheus", folder / "config")
    path = folder / "config" / "prometheus.yml"
    config = yaml.safe_load(path.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in config["scrape_configs"]:
        targets = {"odeserve": service.removeprefix("http://"), "prometheus": f"127.0.0.1:{port}"}
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    path.write_text(yaml.safe_dump(config))
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
        eventually(lambda: scraped.instant('up{job="odeserve"} == 1'))
        yield scraped
