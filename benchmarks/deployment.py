"""What the image is like: its size, how long until it answers, and how much memory it takes with every shipped model.

python -m benchmarks.deployment: builds the image, writes docs/benchmarks/deployment.json and .md. Needs Docker.
"""

import argparse
import json
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, Running

OUT = ROOT / "docs" / "benchmarks"
IMAGE = "odeserve:benchmark"
BASE = "python:3.11-slim-bookworm"
STARTS = 7
LOAD_SECONDS = 20
MIB = 2**20


def docker(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(("docker", *words), cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def sizes() -> dict[str, float]:
    """MiB of the image, and of what lies on its base."""
    whole, base = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (IMAGE, BASE))
    return {"image_mib": round(whole / MIB), "above_base_mib": round((whole - base) / MIB)}


def started(priority: int) -> dict[str, Any]:
    """One start, and memory before and after load."""
    name = docker("run", "--detach", "--read-only", "--tmpfs", "/tmp", "--publish", "127.0.0.1::8000", IMAGE)
    try:
        pid = int(docker("inspect", "--format", "{{.State.Pid}}", name))
        if priority:
            # Of every thread: the one that loads the models has begun by now.
            threads = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
            subprocess.run(("renice", "-n", str(priority), "-p", *threads), check=True, capture_output=True)
        url = f"http://{docker('port', name, '8000').splitlines()[0]}"
        server, ready = Running(url, pid), _ready(url)
        begun = datetime.fromisoformat(docker("inspect", "--format", "{{.State.StartedAt}}", name)[:26] + "+00:00")
        row = {
            "ready_s": round(ready - begun.timestamp(), 2),
            "processor_s": round(server.cpu_seconds, 2),
            "resident_mib": server.resident_mb,
        }
        _load(url)
        return row | {"resident_after_load_mib": server.resident_mb}
    finally:
        docker("rm", "--force", name)


def _ready(url: str) -> float:
    """When it first said so."""
    until = time.time() + 120
    while time.time() < until:
        with suppress(OSError), urllib.request.urlopen(f"{url}/health/ready", timeout=2):
            return time.time()
        time.sleep(0.02)
    raise SystemExit("the container did not become ready")


def _load(url: str) -> None:
    """Large and small requests to every shipped model from four clients."""
    points = json.dumps({"points": [[0.01 * k, -0.01 * k] for k in range(2000)]})
    digit = (ROOT / "examples" / "digits" / "7.json").read_text()
    models = [model["name"] for model in json.load(urllib.request.urlopen(f"{url}/models"))["models"]]
    bodies = {name: ("/density", points) if name.startswith("cnf") else ("/classify", digit) for name in models}
    until = time.monotonic() + LOAD_SECONDS

    def ask(number: int) -> None:
        turn = number
        while time.monotonic() < until:
            name = models[turn % len(models)]
            (path, body), tol = bodies[name], ("1e-1", "1e-3", "1e-5")[turn % 3]
            request = urllib.request.Request(
                f"{url}{path}?model={name}&tol={tol}", body.encode(), {"Content-Type": "application/json"}
            )
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=60).read()
            turn += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def write(folder: Path) -> None:
    """deployment.md from deployment.json."""
    recorded = json.loads((folder / "deployment.json").read_text())
    size, starts = recorded["size"], recorded["starts"]
    middle = {name: statistics.median(row[name] for row in starts) for name in starts[0]}
    least, worst = ({name: pick(row[name] for row in starts) for name in starts[0]} for pick in (min, max))
    lines = [
        "# The image",
        "",
        f"Target `service` with {recorded['models']} shipped models, {len(starts)} starts one after another.",
        "",
        "| | least | median | most |",
        "|---|---|---|---|",
        f"| from the start of the container to ready | {least['ready_s']:.1f} s "
        f"| {middle['ready_s']:.1f} s | {worst['ready_s']:.1f} s |",
        f"| processor time until then | {least['processor_s']:.1f} s "
        f"| {middle['processor_s']:.1f} s | {worst['processor_s']:.1f} s |",
        f"| resident memory, ready | {least['resident_mib']:.0f} MiB "
        f"| {middle['resident_mib']:.0f} MiB | {worst['resident_mib']:.0f} MiB |",
        f"| resident memory after {LOAD_SECONDS} s of load on all models | {least['resident_after_load_mib']:.0f} MiB "
        f"| {middle['resident_after_load_mib']:.0f} MiB "
        f"| {worst['resident_after_load_mib']:.0f} MiB |",
        "",
        f"Size: {size['above_base_mib']} MiB above its base ({BASE}), of which {recorded['layers']}; without PyTorch.",
        *recorded["notes"],
        "",
        ". ".join(recorded["machine"].values()) + ".",
        "",
    ]
    (folder / "deployment.md").write_text("\n".join(lines))


def layers() -> str:
    """What the image's own layers hold."""
    found = docker(
        "history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", IMAGE
    ).splitlines()
    named = {"/opt/odeserve": "Python packages", "checkpoints": "models"}
    told = []
    for key, name in named.items():
        size = next(int(line.split("\t")[0]) for line in found if "COPY" in line and key in line)
        told.append(f"{size / MIB:.0f} MiB {name}")
    return " and ".join(told)


def main() -> None:
    """Build, measure, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", action="append", default=[], help="a sentence for the record")
    parser.add_argument("--priority", type=int, default=0, help="nice value of the container's process")
    parser.add_argument("--pause-training", action="store_true", help="stop every odetrain meanwhile")
    given = parser.parse_args()
    docker("build", "--target", "service", "--tag", IMAGE, ".")
    notes = list(given.note)
    if given.priority:
        notes.append(
            f"The machine was shared; the container's process had priority over other work ({given.priority})."
        )
    with training_paused() if given.pause_training else ExitStack():
        starts = [started(given.priority) for _ in range(STARTS)]
    recorded = {
        "machine": described("odeserve", "onnxruntime"),
        "models": len(list((ROOT / "checkpoints").iterdir())),
        "size": sizes(),
        "layers": layers(),
        "starts": starts,
        "notes": notes,
    }
    (OUT / "deployment.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    main()
