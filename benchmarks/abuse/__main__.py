"""python -m benchmarks.abuse: clients that misbehave, one kind after the other, while others ask at a steady rate.

Question: do ordinary clients notice? Their p99 while the attack lasts is compared with that before and after it, at the
same rate on the same server. Attackers run on the same machine.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.abuse.attacker import attack_until_told
from benchmarks.abuse.attacks import attacks
from benchmarks.abuse.report import write
from benchmarks.machine import described, training_paused
from benchmarks.servers import ROOT, Running, ours, running
from service.load.arrivals import poisson_arrivals
from service.load.client import LoadClient, Outcome

DOCS = ROOT / "docs" / "benchmarks"
SETTINGS = {"BODY_SECONDS": 5, "KEEP_ALIVE_SECONDS": 8}


def main() -> None:
    """Run all attacks, or those whose names have a word, and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second of the ordinary clients")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each attack; before and after it as long")
    parser.add_argument("--only", default="", help="a word in the attack's name")
    parser.add_argument("--out", type=Path, default=DOCS)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    bodies = [path.read_bytes() for path in sorted((ROOT / "examples" / "digits").glob("*.json"))]
    results = []
    with training_paused(), running(ours(**SETTINGS)) as server:
        ask(server, bodies, options.rate, 5)
        for number, attack in enumerate(attacks()):
            if options.only not in attack.name:
                continue
            before = ask(server, bodies, options.rate, options.seconds)
            memory = server.resident_mb
            during, seen, most = attacked(server, bodies, options.rate, options.seconds, number)
            after = ask(server, bodies, options.rate, options.seconds)
            results.append(
                {
                    "attack": attack.name,
                    "connections": attack.connections,
                    "before": summary(before),
                    "during": summary(during),
                    "after": summary(after),
                    "seen": dict(seen),
                    "resident_mb": {"before": memory, "most": most, "after": server.resident_mb},
                }
            )
            print(json.dumps(results[-1]), flush=True)
            record(options, results)


def record(options: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """abuse.json and abuse.md of the attacks so far."""
    recorded = {
        **described("uvicorn", "httptools", "uvloop"),
        "rate": options.rate,
        "seconds": options.seconds,
        "settings": SETTINGS,
        "results": results,
    }
    (options.out / "abuse.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(options.out)


def ask(server: Running, bodies: Sequence[bytes], rate: float, seconds: float) -> list[Outcome]:
    """The ordinary clients: independent of each other, at 1e-2."""
    arrivals = poisson_arrivals(rate, seconds, ["1e-2"], len(bodies), seed=1)
    client = LoadClient(urlsplit(server.url), lambda arrival: f"/classify?tol={arrival.tol}", bodies)
    return asyncio.run(client.run(arrivals, lambda done: None))


def attacked(
    server: Running, bodies: Sequence[bytes], rate: float, seconds: float, number: int
) -> tuple[list[Outcome], Counter[str], int]:
    """What the ordinary clients met during an attack, what the attackers met, and the most memory. Units: MiB."""
    ours_end, theirs = multiprocessing.Pipe()
    url = urlsplit(server.url)
    attacker = multiprocessing.get_context("spawn").Process(
        target=attack_until_told, args=(number, url.hostname, url.port, theirs)
    )
    attacker.start()
    if not ours_end.poll(120):
        raise SystemExit("the attacker did not start")
    ours_end.recv()
    most, watching = [server.resident_mb], threading.Event()

    def watch() -> None:
        while not watching.wait(0.2):
            most.append(server.resident_mb)

    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = ask(server, bodies, rate, seconds)
    watching.set()
    watcher.join()
    ours_end.send("stop")
    seen: Counter[str] = ours_end.recv()
    attacker.join()
    time.sleep(1)
    return outcomes, seen, max(most)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Units: milliseconds."""
    fine = [1e3 * outcome.latency for outcome in outcomes if outcome.status == 200]
    p50, p99 = (round(float(np.percentile(fine, p)), 2) for p in (50, 99)) if fine else (None, None)
    return {"sent": len(outcomes), "ok": len(fine), "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    main()
