"""Ask a running odeserve with httpx: classify at several tolerances, densities, samples, a solve step by step; errors.

Run: python examples/client.py [http://127.0.0.1:8000]
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
SEVEN, ONE = (json.loads((HERE / "digits" / f"{digit}.json").read_text())["image"] for digit in (7, 1))
TRIES, HALVINGS = 5, 12


def ask(client: httpx.Client, path: str, body: dict[str, Any], **query: Any) -> dict[str, Any]:
    """An answer; waits and asks again where the server says when. Errors: RuntimeError with the server's own words."""
    for _ in range(TRIES):
        response = client.post(path, json=body, params=query)
        if response.is_success:
            return response.json()
        error = response.json()["error"]
        if "Retry-After" not in response.headers:
            break
        # 429: too much is waiting; 503: the server is starting or stopping.
        time.sleep(float(response.headers["Retry-After"]))
    raise RuntimeError(f"{response.status_code} {error['code']}: {error['message']}")


def classify(client: httpx.Client) -> None:
    """The same picture at several tolerances: what each costs, and what it changes."""
    print("A drawn seven, ever more exactly:\n")
    print("  tol    method  NFE  steps    label  probability  calibrated error  time")
    for tol in ("1e-1", "1e-3", "1e-5"):
        answer = ask(client, "/classify", {"image": SEVEN}, tol=tol)
        (found,) = answer["predictions"]
        solver = found["solver"]
        print(
            f"  {tol:6} {solver['method']:7} {solver['nfe']:3}  {solver['accepted']} + {solver['rejected']}    "
            f"{found['label']:5}  {max(found['probabilities']):.5f}      "
            f"{solver['calibrated_error']['p99']:<7.2g} logits    {answer['timing_ms']['total']:.1f} ms"
        )


def tolerance_left_to_the_server(client: httpx.Client) -> None:
    """tol=auto: it starts at the loosest and tightens only while another label is within the solver's error."""
    answer = ask(client, "/classify", {"images": [SEVEN, between(client)]}, tol="auto")
    print("\ntol=auto, for the seven and for something halfway from a seven to a one:\n")
    for name, found in zip(("seven", "halfway"), answer["predictions"], strict=True):
        tried = ", ".join(f"{attempt['tol']:g}" for attempt in found["solver"]["attempts"])
        stable = "a tighter solve would hardly change it" if found["stable"] else "too close to call"
        print(f"  {name:8} {found['label']}, tried tol {tried}: {stable}")


def between(client: httpx.Client) -> list[list[float]]:
    """A mixture of a seven and a one that the model can hardly tell from either: found by halving."""
    least, most = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        (found,) = ask(client, "/classify", {"image": mixed(middle)}, tol=1e-4)["predictions"]
        least, most = (middle, most) if found["label"] == "7" else (least, middle)
    return mixed((least + most) / 2)


def mixed(share: float) -> list[list[float]]:
    """So much of a one, the rest of a seven."""
    rows = zip(SEVEN, ONE, strict=True)
    return [[(1 - share) * seven + share * one for seven, one in zip(*row, strict=True)] for row in rows]


def density(client: httpx.Client) -> None:
    """Log-densities of some points, in nats."""
    points = [[0.5, 1.0], [0.0, 0.0], [3.0, 3.0]]
    answer = ask(client, "/density", {"points": points}, tol=1e-4, model="cnf-two-moons")
    print("\nHow probable are these points, to a flow that learned two moons?\n")
    for point, found in zip(points, answer["predictions"], strict=True):
        print(f"  {point!s:12} log-density {found['log_density']:9.4f} nats, NFE {found['solver']['nfe']}")


def sample(client: httpx.Client) -> None:
    """Draws; the same seed gives the same points."""
    answer = ask(client, "/sample", {"n": 3, "seed": 7}, tol=1e-3, model="cnf-two-moons")
    print(f"\nThree points drawn from it, with seed {answer['seed']}:\n")
    for point in answer["samples"]:
        print(f"  {point[0]:7.4f} {point[1]:7.4f}")


def trajectory(client: httpx.Client) -> None:
    """Every attempt of a solve."""
    answer = ask(client, "/trajectory", {"point": [0.5, 1.0]}, tol=1e-3, model="cnf-two-moons")
    (item,) = answer["items"]
    print("\nHow the solver went from the point (t = 1) to the base density (t = 0):\n")
    for step in item["steps"]:
        where = "({:.3f}, {:.3f})".format(*step["position"]) if step["accepted"] else "tried again with a smaller step"
        print(f"  t {step['t']:.3f}, step {step['dt']:.3f}, error ratio {step['error_ratio']:.2f}: {where}")


def stream(client: httpx.Client) -> None:
    """Answers as lines, each as soon as its item has ended."""
    points = [[0.1 * number, 0.5] for number in range(200)]
    headers = {"Accept": "application/x-ndjson"}
    lines = 0
    with client.stream("POST", "/density?tol=1e-5", json={"points": points}, headers=headers) as response:
        response.raise_for_status()
        for line in map(json.loads, response.iter_lines()):
            if "error" in line:
                raise RuntimeError(line["error"]["message"])
            if "summary" in line:
                summary = line["summary"]
            else:
                lines += 1
    print(f"\n{lines} log-densities as lines, as they ended; {summary['nfe']} evaluations in all.")


def errors(client: httpx.Client) -> None:
    """What goes wrong, and how a server says it."""
    print("\nWhat it says when something cannot be:\n")
    wrong: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("a tolerance out of limits", "/classify", {"image": SEVEN}, {"tol": 10}),
        ("a picture of the wrong size", "/classify", {"image": [[0.0, 1.0]]}, {}),
        ("a model that is not there", "/classify", {"image": SEVEN}, {"model": "resnet"}),
        ("a budget that is too small", "/density", {"point": [0.5, 1.0]}, {"tol": 1e-6, "max_nfe": 20}),
        (
            "a deadline that cannot be kept",
            "/density",
            {"points": [[0.5, 1.0]] * 2000},
            {"tol": 1e-6, "deadline_ms": 20},
        ),
    ]
    for words, path, body, query in wrong:
        try:
            ask(client, path, body, **query)
        except RuntimeError as error:
            print(f"  {words}:\n    {error}")
    body = {"points": [[0.5, 1.0]] * 200}
    answer = ask(client, "/density", body, tol=1e-6, deadline_ms=5000, max_tol=1e-1)
    used = answer["predictions"][0]["solver"]["rtol"]
    print(f"  with 5 s, and max_tol=1e-1 in case that is too short: solved at tol {used:g}")


def main() -> None:
    """Everything above, against one server."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with httpx.Client(base_url=url, timeout=60) as client:
        try:
            client.get("/health/ready")
        except httpx.TransportError as error:
            raise SystemExit(f"nobody answers at {url} ({error}); start a server with: make serve") from error
        for part in (classify, tolerance_left_to_the_server, density, sample, trajectory, stream, errors):
            part(client)


if __name__ == "__main__":
    main()
