"""Two Ray nodes in one network namespace: asked, loaded, robbed of a replica, then of a node. Prints what happened.

Run by test_ray.py: python ray_drill.py FOLDER
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

# Ray's own patience is that of machines that do nothing else, and its workers give way to whoever else there is.
os.environ |= {
    "RAY_worker_niceness": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    # The proxy is on the head's node, and would leave the other replica idle.
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
}

import httpx
import ray
import yaml
from ray import serve
from ray.cluster_utils import Cluster
from under_way import Book

from service.ray_app import DEPLOYMENT, Arguments

ROOT = Path(__file__).parents[2]
DIGIT = json.loads((ROOT / "examples" / "digits" / "7.json").read_text())
DEPLOYED = yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text())
IMAGES = {"images": [DIGIT["image"]] * 8}
CLIENTS = 8
STORE_BYTES = 80 * 2**20
QUIET_SECONDS = 30.0
HELD_SECONDS = 2.0
"""A request that has been under way for so long is not with a replica that works."""
HEALTH_SECONDS = 60
"""Ray must not find out by itself that a replica was stopped."""


def eventually(condition, seconds=300):
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise SystemExit("it never came to that")
        time.sleep(0.2)


class Load:
    """Clients that ask one after another, and a book of what becomes of it."""

    def __init__(self, url):
        self.book = Book()
        self._url = f"{url}/classify?tol=1e-4&model=odenet-mnist"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        with httpx.Client(timeout=120) as client:
            while not self._stop.is_set():
                ticket = self.book.begin()
                try:
                    outcome = str(client.post(self._url, json=IMAGES).status_code)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                self.book.end(ticket, outcome)
                time.sleep(0.05)

    def stop(self):
        """Whether everybody has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join(150)
        return not any(thread.is_alive() for thread in self._threads)

    def held_by(self, victim):
        """Tickets of the requests that a replica holds, which is stopped for that: what the others hold ends soon, what
        it holds stays. Returns once no more of them come to it, and somebody else has something under way."""
        book = self.book
        os.kill(victim, signal.SIGSTOP)
        eventually(lambda: book.under_way(older_than=HELD_SECONDS), HEALTH_SECONDS)
        while True:
            held, since = book.under_way(older_than=HELD_SECONDS), time.monotonic()
            eventually(lambda since=since: book.answered(since) > 20 and time.monotonic() > since + 2 * HELD_SECONDS)
            if book.under_way(older_than=HELD_SECONDS) == held:
                break
        while not book.under_way() - held:
            time.sleep(0.001)
        return held


def replicas_below(raylet):
    """Processes of replicas that a node's raylet has started."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue

    def descends(pid):
        while pid and pid != raylet:
            pid = parents.get(pid, 0)
        return pid == raylet

    return [pid for pid, name in names.items() if "ServeReplica" in name and descends(pid)]


def raylet_of(node):
    (info,) = node.all_processes["raylet"]
    return info.process.pid


def targets(folder):
    found = [entry for path in sorted(folder.glob("*.json")) for entry in json.loads(path.read_text())]
    return [target for entry in found for target in entry["targets"]]


def asked(url):
    """What a client of the service counts on, as it comes through Ray."""
    found = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for tol in ("1e-1", "1e-4"):
            answer = client.post(f"/classify?tol={tol}", json=DIGIT, headers={"X-Request-ID": f"mine-{tol}"})
            solver = answer.json()["predictions"][0]["solver"]
            found[tol] = {
                "status": answer.status_code,
                "label": answer.json()["predictions"][0]["label"],
                "rtol": solver["rtol"],
                "nfe": solver["nfe"],
                "ids": answer.headers.get_list("X-Request-ID"),
                "X-NFE": answer.headers["X-NFE"],
                "X-Tol": answer.headers["X-Tol"],
                "timed": "Server-Timing" in answer.headers,
            }
        found["ids"] = len(client.get("/models").headers.get_list("X-Request-ID"))
        png = (ROOT / "examples" / "pictures" / "7.png").read_bytes()
        picture = client.post("/classify", content=png, headers={"Content-Type": "image/png"})
        found["picture"] = picture.json()["predictions"][0]["label"]
        lines = client.post(
            "/density", json={"points": [[0.1, 0.2], [0.3, 0.4]]}, headers={"Accept": "application/x-ndjson"}
        )
        found["lines"] = [lines.headers["Content-Type"], len(lines.text.splitlines())]
        wrong = {
            "tolerance": client.post("/classify?tol=7", json=DIGIT),
            "model": client.post("/classify?model=nobody", json=DIGIT),
            "path": client.get("/nothing"),
            "method": client.get("/classify"),
            "media": client.post("/classify", content=b"x", headers={"Content-Type": "text/plain"}),
            "late": client.post("/density?deadline_ms=0.001", json={"points": [[0.1, 0.2]] * 500}),
            "large": client.post("/density", json={"points": [[0.1, 0.2]] * 20_001}),
        }
        found["wrong"] = {name: [one.status_code, one.json()["error"]["code"]] for name, one in wrong.items()}
        tensor = {"name": "points", "shape": [1, 2], "datatype": "FP64", "data": [0.1, 0.2]}
        described = client.get("/v2/models/cnf-two-moons").json()
        tensor["name"] = described["inputs"][0]["name"]
        answer = client.post("/v2/models/cnf-two-moons/infer", json={"inputs": [tensor], "parameters": {"tol": 1e-3}})
        found["v2"] = [answer.status_code, answer.json().get("model_name", answer.json())]
        found["v2 wrong"] = client.get("/v2/models/nobody").json()
        found["page"] = client.get("/").headers["Content-Type"]
    return found


def metric(target, name):
    lines = httpx.get(f"http://{target}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"odeserve_{name}"))


def left(port, folder):
    """A client leaves in the middle of a long request: how many requests count as cancelled afterwards."""
    body = json.dumps({"points": [[0.1 * k, 0.2] for k in range(20_000)]}).encode()
    head = f"POST /density?model=cnf-two-moons&tol=1e-6 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        eventually(lambda: sum(metric(target, "lanes_active") for target in targets(folder)) > 0)
    begun = time.monotonic()
    eventually(lambda: sum(metric(target, "lanes_active") for target in targets(folder)) == 0)
    counted = 'requests_total{model="cnf-two-moons",route="/density",status="cancelled"}'
    return {"cancelled": sum(metric(t, counted) for t in targets(folder)), "seconds": time.monotonic() - begun}


def main(folder):
    report, port = {}, 8000
    (deployment,) = DEPLOYED["applications"][0]["deployments"]
    options = {name: value for name, value in deployment.items() if name not in ("name", "autoscaling_config")}
    variables = {
        "ODESERVE_MODELS": "odenet-mnist,cnf-two-moons",
        "ODESERVE_MODELS_DIR": str(ROOT / "checkpoints"),
        "ODESERVE_SHARDS": "1",
        "ODESERVE_LANES": "8",
        "ODESERVE_LOG_LEVEL": "warning",
    }
    options |= {
        "num_replicas": 2,
        "max_replicas_per_node": 1,
        "health_check_period_s": 1,
        "health_check_timeout_s": HEALTH_SECONDS,
        "ray_actor_options": {"num_cpus": 1, "runtime_env": {"env_vars": variables}},
    }
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=node)
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    node.pop("include_dashboard")
    second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    app = DEPLOYMENT.options(**options).bind(Arguments(metrics_targets=folder).metrics_targets)
    serve.run(app, name="odeserve", route_prefix="/")
    url = f"http://127.0.0.1:{port}"
    running = lambda: serve.status().applications["odeserve"].deployments["Replica"].replica_states.get("RUNNING", 0)  # noqa: E731
    eventually(lambda: running() == 2)
    report["targets"] = targets(folder)
    report["asked"] = asked(url)
    report["left"] = left(port, folder)

    load = Load(url)
    book = load.book
    eventually(lambda: len(book.ended) > 100)
    counted = 'requests_total{model="odenet-mnist",route="/classify",status="ok"}'
    report["shared"] = [metric(target, counted) for target in targets(folder)]

    # A replica.
    (victim,) = replicas_below(raylet_of(second))
    held_by_replica = load.held_by(victim)
    at = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: replicas_below(raylet_of(second)) not in ([], [victim]) and running() == 2)
    back = time.monotonic()
    eventually(lambda: book.answered(back) > 50)
    before = {target: metric(target, counted) for target in live(folder)}
    eventually(lambda: sum(metric(target, counted) > before.get(target, 0) for target in live(folder)) == 2)

    # A node: all that is of it in the same moment, as when a machine loses its power.
    (victim,) = replicas_below(raylet_of(second))
    quiet = time.monotonic()
    held_by_node = load.held_by(victim)
    gone = time.monotonic()
    for process in (raylet_of(second), victim):
        os.kill(process, signal.SIGKILL)
    cluster.remove_node(second, allow_graceful=False)
    eventually(lambda: time.monotonic() > gone + QUIET_SECONDS + 8)
    report["ended"] = load.stop()
    report["answered"] = sum(one.outcome == "200" for one in book.ended)
    report["replica"] = {"seconds": back - at, **book.after_kill(at, held_by_replica, quiet)}
    report["node"] = book.after_kill(gone, held_by_node, gone + QUIET_SECONDS)
    report["after"] = {
        "failed": book.failures(gone + QUIET_SECONDS),
        "answered": book.answered(gone + QUIET_SECONDS),
    }

    # The application is taken away while it is at work.
    slow = {"points": [[0.1 * k, 0.2] for k in range(10_000)]}
    outcome = []
    asking = threading.Thread(
        target=lambda: outcome.append(
            httpx.post(f"{url}/density?model=cnf-two-moons&tol=1e-5", json=slow, timeout=90).status_code
        )
    )
    asking.start()
    eventually(lambda: any(metric(target, "lanes_active") > 0 for target in live(folder)))
    serve.delete("odeserve")
    asking.join(90)
    report["graceful"] = outcome
    report["targets_left"] = len(live(folder))
    print("REPORT " + json.dumps(report), flush=True)
    # By process, not by name: others may run Ray too.
    ray.shutdown()
    cluster.shutdown()


def live(folder):
    """Targets that answer."""
    found = []
    for target in targets(folder):
        try:
            httpx.get(f"http://{target}/metrics")
            found.append(target)
        except httpx.TransportError:
            continue
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
