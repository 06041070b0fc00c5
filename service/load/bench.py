"""`odeserve bench`: find out what a server serves, make inputs of that kind, ask, and sum up."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from node_model.manifest import TensorSpec
from service.engine.width import example
from service.load.arrivals import poisson_arrivals
from service.load.client import LoadClient
from service.load.connection import Connection, head_lines
from service.load.report import summarise

BODIES = 16
FIELDS = {"/classify": "image", "/density": "point"}
"""Routes that can be asked without further knowledge, and the name of one input in their bodies."""


class BenchError(RuntimeError):
    """The server cannot be asked; the message says why."""


class UnreachableError(BenchError):
    """Nobody answers."""


async def bench(
    url: str,
    *,
    rate: float,
    seconds: float,
    tols: Sequence[str],
    model: str | None,
    query: str = "",
    bodies: Sequence[bytes],
    seed: int,
    progress: Callable[[int, int], None],
    api_key: str | None = None,
) -> dict[str, Any]:
    """Ask a server for `seconds` and sum up.

    `query` is added to every request's, for instance `deadline_ms=100`. Without `bodies` inputs are
    drawn in the shape and range that the model says.

    Errors: BenchError when nobody answers or the model is unknown.
    """
    target = urlsplit(url if "//" in url else f"http://{url}")
    if target.scheme != "http":
        raise BenchError(f"{url}: expected http://host:port")
    headers = {"X-API-Key": api_key} if api_key else {}
    name = model or await _default_model(target, headers)
    described = await _get(target, f"/models/{quote(name)}", headers)
    route = next((route for route in FIELDS if route in described["signature"]), None)
    if route is None:
        raise BenchError(f"{name}: expected a model that answers {' or '.join(FIELDS)}")
    inputs = bodies or _drawn_bodies(described["signature"][route]["input"], FIELDS[route])
    arrivals = poisson_arrivals(rate, seconds, tols, len(inputs), seed)
    further = f"&{query}" if query else ""
    client = LoadClient(
        target, lambda arrival: f"{route}?model={quote(name)}&tol={arrival.tol}{further}", inputs, headers
    )
    outcomes = await client.run(arrivals, lambda done: progress(done, len(arrivals)))
    return {"url": url, "model": name, "route": route, **summarise(outcomes, seconds, rate)}


async def _default_model(url: SplitResult, headers: Mapping[str, str]) -> str:
    listed = (await _get(url, "/models", headers))["models"]
    if not listed:
        raise BenchError(f"{url.geturl()}: no model is loaded")
    # Of several defaults the classifier.
    return str(min(listed, key=lambda entry: (not entry["default"], entry["task"] != "classify"))["name"])


async def _get(url: SplitResult, path: str, headers: Mapping[str, str]) -> Any:
    lines = head_lines({"Host": url.netloc, **headers})
    try:
        connection = await Connection.open(url.hostname or "127.0.0.1", url.port or 80)
        reply = await connection.ask(f"GET {url.path.rstrip('/')}{path} HTTP/1.1\r\n{lines}\r\n".encode())
    except OSError as error:
        raise UnreachableError(f"{url.geturl()}: {error}") from error
    connection.close()
    try:
        answer = json.loads(reply.body)
    except ValueError as error:
        raise BenchError(f"{url.geturl()}{path}: answered {reply.status}; is it an odeserve server?") from error
    if reply.status != 200:
        raise BenchError(f"{url.geturl()}{path}: {answer.get('error', {}).get('message', reply.status)}")
    return answer


def _drawn_bodies(described: dict[str, Any], field: str) -> list[bytes]:
    items = example(TensorSpec.model_validate_json(json.dumps(described)), BODIES)
    return [json.dumps({field: item.round(4).tolist()}).encode() for item in items]


def run_bench(url: str, **options: Any) -> dict[str, Any]:
    """`bench` from ordinary code."""
    return asyncio.run(bench(url, **options))
