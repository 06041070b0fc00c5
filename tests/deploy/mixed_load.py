"""Requests of every kind, good and bad, and what a client counts of them."""

import json
import random
import threading
from collections import Counter
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
DIGITS = [json.loads((ROOT / "examples" / "digits" / f"{k}.json").read_text())["image"] for k in range(10)]
FLOWS = ("cnf-two-moons", "cnf-pinwheel", "cnf-checkerboard")
TOLS = ("1e-1", "3e-2", "1e-2", "1e-3", "1e-4", "1e-5")
TEXT = {"Content-Type": "text/plain"}


class Tally:
    """What one client, or all of them, saw."""

    def __init__(self):
        self.requests = Counter()
        self.nfe = Counter()
        self.solved = Counter()

    def add(self, other):
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)

    def count(self, route, model, answer):
        body = answer.json() if answer.headers.get("content-type") == "application/json" else {}
        if answer.status_code != 200:
            status = body["error"]["code"]
        else:
            items = body.get("predictions", [])
            status = "ok" if all(item["status"] == "ok" for item in items) else "partial"
        self.requests[route, status] += 1
        if "X-NFE" in answer.headers:
            self.nfe[model] += int(answer.headers["X-NFE"])
            self.solved[model] += 1


def one(client, rng):
    """Ask for something: (route, model, answer)."""
    tol, digit, flow = rng.choice(TOLS), rng.choice(DIGITS), rng.choice(FLOWS)
    classifier = rng.choice(("odenet-mnist", "odenet-fashion"))
    points = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(rng.randint(1, 20))]
    images = rng.sample(DIGITS, rng.randint(1, 3))

    def post(path, model, body, **query):
        return path, model, client.post(path, params={"model": model, **query}, json=body)

    kinds = {
        "classify": (30, lambda: post("/classify", classifier, {"images": images}, tol=tol)),
        "auto": (10, lambda: post("/classify", classifier, {"images": images}, tol="auto")),
        "density": (25, lambda: post("/density", flow, {"points": points}, tol=tol)),
        "sample": (10, lambda: post("/sample", flow, {"n": 5, "seed": 1}, tol=tol)),
        "method": (5, lambda: post("/density", flow, {"points": points}, tol=tol, method="dopri5")),
        "max_tol": (
            5,
            lambda: post("/density", flow, {"points": points}, tol="1e-5", max_tol="1e-1", deadline_ms=5),
        ),
        "partial": (3, lambda: post("/density", flow, {"points": points}, tol="1e-5", max_nfe=10, partial="true")),
        "failed": (3, lambda: post("/classify", classifier, {"image": digit}, tol="1e-5", max_nfe=10)),
        "late": (2, lambda: post("/classify", classifier, {"image": digit}, tol="1e-5", deadline_ms=0.01)),
        "wrong": (3, lambda: post("/density", flow, {"points": [[0.0]]}, tol=tol)),
        "unknown": (2, lambda: post("/classify", "no-such-model", {"image": digit})),
        "text": (
            1,
            lambda: ("/density", flow, client.post("/density", content="0 1", headers=TEXT, params={"model": flow})),
        ),
        "nowhere": (1, lambda: ("none", "none", client.get("/no/such/path"))),
        "method not allowed": (1, lambda: ("/classify", "none", client.put("/classify"))),
        "list": (1, lambda: ("/models", "none", client.get("/models"))),
        "show": (1, lambda: ("/models/{name}", flow, client.get(f"/models/{flow}"))),
    }
    kind = rng.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
    return kinds[kind][1]()


def mixed_load(url, requests, clients=4, seed=0):
    """So many requests by clients that each ask again once they were answered: what they counted."""
    total, lock = Tally(), threading.Lock()

    def ask(number):
        rng, tally = random.Random(f"{seed}-{number}"), Tally()
        with httpx.Client(base_url=url, timeout=60) as client:
            for _ in range(requests // clients):
                tally.count(*one(client, rng))
        with lock:
            total.add(tally)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total.requests.total() == requests // clients * clients
    return total
