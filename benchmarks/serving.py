"""Serving under load, beside what people deploy today with the same trained weights.

Question: 64 clients ask for 28x28 images as JSON at tolerances from 1e-1 to 1e-4. How many answers a second, and how
long do they take? And one client at tol 1e-2: how long does it wait?

Rivals are first tried in every configuration; then the best of each and ours take turns, and medians are compared.

Run: python -m benchmarks.serving
"""

import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import described, training_paused
from benchmarks.servers import RIVALS, ServerSpec, fastapi, litserve, ours, running
from benchmarks.wrk import load

OUT = Path("docs/benchmarks")
CLIENTS, WARM_SECONDS, SWEEP_SECONDS, SECONDS, ROUNDS = 64, 2, 8, 10, 3
MORE_CLIENTS = (64, 128, 256, 512)
REST_SECONDS = 2
"""Until what the last clients left behind is gone."""


def sweep(specs: Iterable[ServerSpec]) -> list[dict[str, Any]]:
    """Each configuration once, the best first."""
    rows = []
    for spec in specs:
        with running(spec) as server:
            load(server.url, clients=CLIENTS, seconds=WARM_SECONDS, tol_in_body=spec.tol_in_body)
            found = load(server.url, clients=CLIENTS, seconds=SWEEP_SECONDS, tol_in_body=spec.tol_in_body)
        rows.append({"name": spec.name, **asdict(found), "spec": spec})
        print(f"sweep: {spec.name}: {found}", flush=True)
    return sorted(rows, key=lambda row: -row["per_second"])


def turn(spec: ServerSpec) -> dict[str, float]:
    """A fresh server under the mixed load, then under one client."""
    with running(spec) as server:
        load(server.url, clients=CLIENTS, seconds=WARM_SECONDS, tol_in_body=spec.tol_in_body)
        mixed = load(server.url, clients=CLIENTS, seconds=SECONDS, tol_in_body=spec.tol_in_body)
        single = load(server.url, clients=1, seconds=SECONDS / 2, tols=("1e-2",), tol_in_body=spec.tol_in_body)
    return {
        "per_second": mixed.per_second,
        "p50": mixed.p50,
        "p99": mixed.p99,
        "errors": mixed.errors,
        "single_p50": single.p50,
    }


def compare(specs: list[ServerSpec]) -> dict[str, dict[str, float]]:
    """Medians over rounds in which all take turns."""
    turns: dict[str, list[dict[str, float]]] = {spec.name: [] for spec in specs}
    for _ in range(ROUNDS):
        for spec in specs:
            turns[spec.name].append(turn(spec))
            print(f"{spec.name}: {turns[spec.name][-1]}", flush=True)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in turns.items()
    }


def many_clients() -> list[dict[str, float]]:
    """Ours, with more and more clients: medians over rounds in which all take turns."""
    turns: dict[int, list[dict[str, float]]] = {clients: [] for clients in MORE_CLIENTS}
    with running(ours()) as server:
        load(server.url, clients=CLIENTS, seconds=WARM_SECONDS)
        for _ in range(ROUNDS):
            for clients in MORE_CLIENTS:
                turns[clients].append(asdict(load(server.url, clients=clients, seconds=SECONDS)))
                print(f"{clients} clients: {turns[clients][-1]}", flush=True)
                time.sleep(REST_SECONDS)
    return [
        {"clients": clients} | {key: statistics.median(one[key] for one in found) for key in found[0]}
        for clients, found in turns.items()
    ]


def main() -> None:
    """Write docs/benchmarks/serving.{md,json,png}."""
    from benchmarks.serving_report import write

    layouts = ((1, 2), (2, 1))
    with training_paused():
        lit = [litserve(*layout, batch) for layout in layouts for batch in (8, 32)] if RIVALS.exists() else []
        plain = [fastapi(*layout, kind) for layout in layouts for kind in ("async", "def")]
        sweeps = [sweep(specs) for specs in (lit, plain) if specs]
        best = [rows[0]["spec"] for rows in sweeps]
        results = compare([ours(), *best])
        clients = many_clients()
    recorded = {
        **described("onnxruntime", "torch", "torchdiffeq", "uvicorn"),
        "sweep": [{key: value for key, value in row.items() if key != "spec"} for rows in sweeps for row in rows],
        "results": results,
        "clients": clients,
        "skipped": [] if lit else [f"LitServe: no environment {RIVALS.parent.parent.name}"],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "serving.json").write_text(json.dumps(recorded, indent=1) + "\n")
    write(OUT)


if __name__ == "__main__":
    main()
