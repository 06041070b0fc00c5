"""Requests in company, over real sockets: nobody notices a neighbour, and whoever leaves is forgotten."""

import asyncio
import json
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import eventually, serving
from artifacts import WILD, wild_model

SHIPPED = Path(__file__).parents[2] / "checkpoints"
DIGIT = json.loads((Path(__file__).parents[2] / "examples" / "digits" / "7.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The shipped models and one that blows up, 32 lanes wide."""
    root = wild_model(tmp_path_factory.mktemp("models"))
    for name in ("odenet-mnist", "cnf-two-moons"):
        shutil.copytree(SHIPPED / name, root / name)
    with serving(MODELS_DIR=root, LANES=32, DRAIN_SECONDS=1) as server:
        yield server


def noise(rng):
    return {"image": rng.random((28, 28)).round(3).tolist()}


def hostile(rng, number):
    """What else is asked for: the tightest tolerance, a budget that ends at once or late, fields that blow up."""
    far = (rng.choice([-1, 1], 2) * 3e38).tolist()
    return [
        ("/classify?tol=1e-6", noise(rng)),
        (f"/classify?tol=1e-6&max_nfe={rng.integers(1, 200)}", noise(rng)),
        ("/classify?tol=1e-3&method=dopri5", {"images": [noise(rng)["image"]] * 5}),
        (f"/density?model={WILD}&tol=1e-4", {"points": rng.normal(size=(3, 2)).tolist()}),
        ("/density?model=cnf-two-moons&tol=1e-5&partial=true", {"points": [far, [0.5, 0.5]]}),
    ][number % 5]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify?tol=1e-3", DIGIT),
        ("/classify?tol=1e-6&method=bosh3", DIGIT),
        ("/density?model=cnf-two-moons&tol=1e-4", {"points": [[0.5, 0.25], [1.0, -0.5], [0.0, 0.0]]}),
    ],
)
def test_answers_are_the_same_bits_alone_and_among_31_hostile_ones(server, path, body):
    rng = np.random.default_rng()

    async def main():
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            alone = (await client.post(path, json=body)).json()["predictions"]
            stop, ends = asyncio.Event(), set()

            async def neighbour(number):
                while not stop.is_set():
                    where, what = hostile(rng, number)
                    ends.add((await client.post(where, json=what)).status_code)

            neighbours = [asyncio.create_task(neighbour(number)) for number in range(31)]
            await asyncio.sleep(0.3)
            found = [(await client.post(path, json=body)).json() for _ in range(5)]
            stop.set()
            await asyncio.gather(*neighbours)
            assert ends == {200, 422}
            return alone, found

    alone, found = asyncio.run(main())
    assert all(p["status"] == "ok" for p in alone)
    for answer in found:
        assert answer["predictions"] == alone


def test_a_client_that_hangs_up_frees_its_lanes(server):
    rng = np.random.default_rng()
    points = {"points": rng.normal(size=(10_000, 2)).round(4).tolist()}
    before = server.metric("requests_total", status="cancelled", route="/density")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/density?model=cnf-two-moons&tol=1e-6", json=points, timeout=0.3)
    eventually(lambda: server.metric("requests_total", status="cancelled", route="/density") == before + 1)
    eventually(lambda: server.metric("lanes_active") == 0)
    assert server.metric("queue_depth") == 0
    assert server.metric("queued_work_seconds") == 0


def test_a_large_answer_comes_in_slices_and_is_whole(server):
    rng = np.random.default_rng()
    points = rng.normal(size=(1201, 2)).round(4).tolist()
    url = f"{server.url}/density?model=cnf-two-moons&tol=1e-2"
    with httpx.stream("POST", url, json={"points": points}, timeout=60) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    together = json.loads(b"".join(pieces))["predictions"]
    assert len(together) == 1201
    for row in (0, 499, 500, 1200):
        assert httpx.post(url, json={"points": [points[row]]}).json()["predictions"] == [together[row]]


def test_when_too_much_waits_requests_are_told_when_to_come_again(tmp_path):
    rng = np.random.default_rng()
    with serving(MODELS_DIR=SHIPPED, MODELS="cnf-two-moons", QUEUE_SECONDS=2) as server:
        url = f"{server.url}/density?model=cnf-two-moons&tol=1e-6"
        points = {"points": rng.normal(size=(5_000, 2)).round(3).tolist()}

        async def main():
            async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=100)) as client:
                asked = [asyncio.create_task(client.post(url, json=points)) for _ in range(40)]
                for ended in asyncio.as_completed(asked):
                    refused = await ended
                    if refused.status_code == 429:
                        break
                begun = time.perf_counter()
                while (await client.post(url, json=points)).status_code == 429:
                    await asyncio.sleep(0.05)
                waited = time.perf_counter() - begun
                answers = await asyncio.gather(*asked)
                return refused, waited, [answer.status_code for answer in answers]

        refused, waited, statuses = asyncio.run(main())
        error = refused.json()["error"]
        assert error["code"] == "queue_full"
        assert int(refused.headers["Retry-After"]) >= error["details"]["waiting_seconds"] / 10
        assert set(statuses) == {200, 429}
        assert waited < 60
        eventually(lambda: server.metric("queue_depth") == 0 and server.metric("lanes_active") == 0)
