"""Three real service processes behind Debian's HAProxy, on the configuration that is deployed."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest
import yaml
from live import DEPLOY, ODESERVE, ROOT, eventually, free_port, prometheus, running, tool

HAPROXY = DEPLOY / "haproxy"
DIGIT = json.loads((ROOT / "examples" / "digits" / "7.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
STOPPING = {
    name: value
    for name, value in COMPOSE["services"]["replica"]["environment"].items()
    if "LAME" in name or "DRAIN" in name
}
CLIENTS = 8
SERVED = 'requests_total{model="odenet-mnist",route="/classify",status="ok"}'


class Replica:
    """A service on a port that stays its own when it is started again."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"MODELS": "odenet-mnist,cnf-two-moons", "LANES": "8", "SHARDS": "1", "LOG_LEVEL": "warning"}
        self._environment = os.environ | STOPPING | {f"ODESERVE_{name}": value for name, value in settings.items()}
        self.process = None

    def start(self):
        self.process = subprocess.Popen((ODESERVE, "serve", "--port", str(self.port)), env=self._environment, cwd=ROOT)

    @property
    def ready(self):
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name):
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"odeserve_{name}"))


class Proxy:
    """HAProxy in front of replicas."""

    def __init__(self, folder):
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics = f"127.0.0.1:{self.metrics_port}"
        self.replicas = folder / "replicas.cfg"
        self.command = (tool("haproxy"), "-f", str(HAPROXY / "haproxy.cfg"), "-f", str(self.replicas))
        self.variables = {
            "PROXY_BIND": f"127.0.0.1:{self.port}",
            "PROXY_METRICS_BIND": f"127.0.0.1:{self.metrics_port}",
        }

    @contextmanager
    def before(self, replicas):
        lines = [f"    server replica-{number} 127.0.0.1:{one.port}" for number, one in enumerate(replicas)]
        self.replicas.write_text("\n".join(["backend replicas from replicas", *lines, ""]))
        with running(self.command, f"http://{self.metrics}/alive", **self.variables):
            yield self

    @property
    def up(self):
        """How many replicas it sends requests to."""
        text = httpx.get(f"http://{self.metrics}/metrics", params={"scope": "server"}).text
        lines = [
            line for line in text.splitlines() if line.startswith("haproxy_server_status{") and 'state="UP"' in line
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Load:
    """Clients that ask one after another, until told to stop: half of them on connections that they keep."""

    def __init__(self, url, tol="1e-2"):
        self.outcomes = Counter()
        self._url = f"{url}/classify?model=odenet-mnist&tol={tol}"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(CLIENTS)]

    def _ask(self, keep):
        headers = {} if keep else {"Connection": "close"}
        with httpx.Client(timeout=30, headers=headers) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self._url, json=DIGIT)
                    outcome = answer.status_code
                    assert "X-NFE" in answer.headers or outcome != 200
                except httpx.TransportError as error:
                    outcome = type(error).__name__
                self.outcomes[outcome] += 1
                time.sleep(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.outcomes[200] > 50)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def replicas():
    """Three, ready."""
    three = [Replica() for _ in range(3)]
    try:
        for replica in three:
            replica.start()
        for replica in three:
            eventually(lambda replica=replica: replica.ready)
        yield three
    finally:
        for replica in three:
            replica.process.kill()
            replica.process.wait(20)


@pytest.fixture(scope="module")
def proxy(replicas, tmp_path_factory):
    with Proxy(tmp_path_factory.mktemp("haproxy")).before(replicas) as proxy:
        eventually(lambda: proxy.up == 3)
        yield proxy


def test_the_deployed_configuration_is_valid():
    files = ("-f", HAPROXY / "haproxy.cfg", "-f", HAPROXY / "replicas-compose.cfg")
    done = subprocess.run((tool("haproxy"), "-c", *files), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_the_service_is_a_lame_duck_for_longer_than_the_proxy_takes_to_see_it():
    words = next(
        line for line in (HAPROXY / "haproxy.cfg").read_text().splitlines() if "default-server" in line
    ).split()
    seconds = {
        name: float(words[words.index(name) + 1].removesuffix("ms").removesuffix("s"))
        / (1000 if words[words.index(name) + 1].endswith("ms") else 1)
        for name in ("inter", "fastinter")
    }
    noticed = seconds["inter"] + (int(words[words.index("fall") + 1]) - 1) * seconds["fastinter"]
    assert float(STOPPING["ODESERVE_LAME_DUCK_SECONDS"]) > 1.5 * noticed
    grace = float(COMPOSE["services"]["replica"]["stop_grace_period"].removesuffix("s"))
    assert grace > sum(map(float, STOPPING.values()))


def test_a_rolling_restart_under_load_fails_no_request(replicas, proxy):
    with Load(proxy.url) as load:
        for replica in replicas:
            replica.process.send_signal(signal.SIGTERM)
            assert replica.process.wait(40) == 0
            eventually(lambda: proxy.up == 2)
            replica.start()
            eventually(lambda: proxy.up == 3)
            eventually(lambda replica=replica: replica.metric(SERVED) > 0)
    assert set(load.outcomes) == {200}
    assert load.outcomes[200] > 200


def test_a_killed_replica_costs_at_most_what_it_had_under_way(replicas, proxy):
    with Load(proxy.url) as load:
        replicas[0].process.kill()
        replicas[0].process.wait(20)
        # At once, before anybody looked: those who are refused go elsewhere.
        so_far = load.outcomes[200]
        eventually(lambda: load.outcomes[200] > so_far + 50)
        failed = {outcome: count for outcome, count in load.outcomes.items() if outcome != 200}
        eventually(lambda: proxy.up == 2)
    replicas[0].start()
    eventually(lambda: proxy.up == 3)
    # A client that keeps its connection may see it closed instead: the proxy cannot tell whether the request was heard.
    assert failed.keys() <= {502, "RemoteProtocolError"}
    assert sum(failed.values()) <= CLIENTS
    assert {outcome: count for outcome, count in load.outcomes.items() if outcome != 200} == failed


def test_requests_go_to_whoever_has_the_fewest(replicas, proxy):
    """One replica is busy with long requests of two clients, so that short ones avoid it."""
    before = [replica.metric("requests_total") for replica in replicas]
    long = {"points": [[0.1 * k, 0.2] for k in range(8_000)]}
    url = f"{proxy.url}/density?model=cnf-two-moons&tol=1e-6"
    threads = [threading.Thread(target=httpx.post, args=(url,), kwargs={"json": long, "timeout": 60}) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: sum(replica.metric("lanes_active") > 0 for replica in replicas) == 2)
    idle = next(number for number, replica in enumerate(replicas) if not replica.metric("lanes_active"))
    for _ in range(20):
        assert httpx.post(f"{proxy.url}/classify?tol=1e-1", json=DIGIT).status_code == 200
    assert any(thread.is_alive() for thread in threads)
    served = [replica.metric("requests_total") - count for replica, count in zip(replicas, before, strict=True)]
    for thread in threads:
        thread.join(60)
    assert served[idle] >= 15


def test_a_client_that_leaves_frees_its_lanes(replicas, proxy):
    body = json.dumps({"points": [[0.1 * k, 0.2] for k in range(20_000)]}).encode()
    head = "POST /density?model=cnf-two-moons&tol=1e-6 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    cancelled = 'requests_total{model="cnf-two-moons",route="/density",status="cancelled"}'
    before = sum(replica.metric(cancelled) for replica in replicas)
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        eventually(lambda: sum(replica.metric("lanes_active") for replica in replicas) > 0)
    eventually(lambda: sum(replica.metric(cancelled) for replica in replicas) == before + 1)
    eventually(lambda: sum(replica.metric("lanes_active") for replica in replicas) == 0)


def test_answers_are_those_of_the_service(replicas, proxy):
    """Headers, errors and the other protocol are as they would be without a proxy."""
    asked = {"X-Request-ID": "mine"}
    for url in (replicas[0].url, proxy.url):
        answer = httpx.post(f"{url}/classify?tol=1e-2", json=DIGIT, headers=asked)
        assert answer.headers["X-Request-ID"] == "mine"
        assert (answer.headers["X-Tol"], int(answer.headers["X-NFE"])) == (
            "0.01",
            answer.json()["predictions"][0]["solver"]["nfe"],
        )
        assert "Server-Timing" in answer.headers
        wrong = httpx.post(f"{url}/classify?tol=7", json=DIGIT)
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_input")
        assert httpx.get(f"{url}/v2/health/ready").json() == {"ready": True}
        assert httpx.get(f"{url}/v2/models/nobody").json()["error"].startswith("no model")


@pytest.mark.parametrize("path", ["/metrics", "/v2/repository/index"])
def test_what_is_of_one_replica_is_not_asked_of_all(proxy, path):
    answer = httpx.get(f"{proxy.url}{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_plan_from_the_proxy_says_that_it_takes_a_server(proxy):
    words = ("plan", "--url", proxy.url, "--rps", "10", "--mix", "1e-2", "--p99-ms", "50")
    done = subprocess.run((ODESERVE, *words), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected the address of one server, not of a proxy" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_replica_the_proxy_says_so_as_the_service_would(tmp_path):
    nobody = Replica()
    with Proxy(tmp_path).before([nobody]) as proxy:
        eventually(lambda: proxy.up == 0)
        answer = httpx.post(f"{proxy.url}/classify", json=DIGIT)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_ready"
    assert answer.headers["Retry-After"] == "1"


def test_prometheus_finds_every_replica_and_the_proxy(replicas, proxy, tmp_path):
    with prometheus(tmp_path, *(replica.url for replica in replicas), proxy=proxy.metrics) as scraped:
        found = scraped.instant('up{job="odeserve"} == 1')
        assert {labels["instance"] for labels, _ in found} == {f"127.0.0.1:{replica.port}" for replica in replicas}
        up = 'haproxy_server_status{proxy="replicas",state="UP"} == 1'
        eventually(lambda: len(scraped.instant(up)) == 3)
