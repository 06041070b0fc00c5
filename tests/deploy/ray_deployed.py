"""The commands of docs/scaling.md on the file that is shipped, as it is: a head, `serve deploy`, a request, and load
until there are more replicas. Prints what happened.

Run by test_ray_deployed.py in namespaces of its own, where /srv is an empty file system with the shipped models in it,
and no other process is seen.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "ray" / "serve.yaml"
DEPLOYED = yaml.safe_load(FILE.read_text())
TARGETS = Path(DEPLOYED["applications"][0]["args"]["metrics_targets"])
URL = f"http://127.0.0.1:{DEPLOYED['http_options']['port']}"
DIGIT = json.loads((ROOT / "examples" / "digits" / "7.json").read_text())
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {
    "HOME": "/srv",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # Ray's own patience is that of machines that do nothing else, and its workers give way to whoever else there is.
    "RAY_worker_niceness": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
REPLICAS = 3
CLIENTS = 4 * 16
"""Requests under way for four replicas, of which there is room for three."""


def ray(program, *words):
    done = subprocess.run(
        (BIN / program, *words), env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{program} {' '.join(map(str, words))}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def eventually(condition, what, seconds=600):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"it never came to that: {what}\n{ray('serve', 'status')}")
        time.sleep(0.5)


def ready():
    try:
        return httpx.get(f"{URL}/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def replicas():
    return len(list(TARGETS.glob("*.json")))


def main():
    report = {}
    cores = REPLICAS * DEPLOYED["applications"][0]["deployments"][0]["ray_actor_options"]["num_cpus"]
    ray("ray", "get-auth-token", "--generate")
    room = ("--num-cpus", str(cores), "--object-store-memory", str(80 * 2**20), "--temp-dir", "/srv/ray")
    ray("ray", "start", "--head", *room)
    ray("serve", "deploy", FILE)
    eventually(lambda: ready() and replicas() >= 2, "two replicas that are ready")
    answer = httpx.post(f"{URL}/classify?tol=1e-2", json=DIGIT, timeout=60)
    report["asked"] = [answer.status_code, answer.json()["predictions"][0]["label"], answer.headers["X-Tol"]]
    status = yaml.safe_load(ray("serve", "status"))
    report["status"] = status["applications"]["odeserve"]["status"]
    report["proxies"] = list(status["proxies"].values())
    report["before"] = replicas()

    done, outcomes = threading.Event(), []

    def ask():
        images = {"images": [DIGIT["image"]] * 4}
        with httpx.Client(timeout=120) as client:
            while not done.is_set():
                outcomes.append(client.post(f"{URL}/classify?tol=1e-4", json=images).status_code)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    eventually(lambda: replicas() == REPLICAS, "another replica under load")
    report["seconds"] = time.monotonic() - begun
    done.set()
    for thread in threads:
        thread.join(150)
    report["after"] = replicas()
    report["outcomes"] = sorted(set(outcomes))
    print("REPORT " + json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
