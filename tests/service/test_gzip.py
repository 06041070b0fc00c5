"""Bodies that were sent packed."""

import gzip
import json
import zlib
from itertools import pairwise

import httpx
import numpy as np
import pytest
from artifacts import CLOUD
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from test_server import POINT

from service.api.gzip import MOST_MEMBERS, PIECE, GzipBodies

BODY = json.dumps(POINT).encode()
PACKED = {"Content-Type": "application/json", "Content-Encoding": "gzip"}


def post(client, body, **headers):
    return client.post(f"/density?model={CLOUD}", content=body, headers=PACKED | headers)


def test_a_packed_body_gives_the_same_answer(client):
    plain = client.post(f"/density?model={CLOUD}", json=POINT).json()["predictions"]
    for coding in ("gzip", "GZIP", " x-gzip "):
        assert post(client, gzip.compress(BODY), **{"Content-Encoding": coding}).json()["predictions"] == plain
    assert post(client, BODY, **{"Content-Encoding": "identity"}).json()["predictions"] == plain
    joined = gzip.compress(BODY[:10]) + gzip.compress(b"") + gzip.compress(BODY[10:])
    assert post(client, joined).json()["predictions"] == plain


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY,
        gzip.compress(BODY)[:-1],
        gzip.compress(BODY)[:-9],
        gzip.compress(BODY)[:5],
        gzip.compress(BODY)[:-6] + b"xxxxxx",
        gzip.compress(BODY) + b"more",
        zlib.compress(BODY),
        gzip.compress(b"") * (MOST_MEMBERS + 1),
    ],
    ids=["empty", "plain", "short", "shorter", "header", "checksum", "trailing", "zlib", "members"],
)
def test_damaged_data_are_refused(client, body):
    answer = post(client, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
    assert "gzip" in answer.json()["error"]["message"]
    assert post(client, gzip.compress(BODY)).status_code == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "gzip, br", "zstd", "*"])
def test_other_codings_are_told_which_are_read(client, coding):
    answer = post(client, gzip.compress(BODY), **{"Content-Encoding": coding})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert coding in answer.json()["error"]["message"]
    assert answer.headers["Accept-Encoding"] == "gzip"


def test_what_nobody_reads_is_not_looked_at(client):
    assert client.get("/models", headers={"Content-Encoding": "br"}).status_code == 200


def test_a_bomb_is_refused_without_being_unpacked(server):
    """200 MB in 200 kB; the limit is one MiB."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    assert len(bomb) < 2**20
    answer = httpx.post(f"{server}/density", content=bomb, headers=PACKED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert "unpacked" in answer.json()["error"]["message"]
    assert httpx.post(f"{server}/density", json=POINT).status_code == 200


def test_no_more_is_unpacked_than_a_body_may_have():
    taken = []

    async def read(scope, receive, send):
        while True:
            taken.append(len((await receive())["body"]))

    packed = gzip.compress(bytes(50 * 2**20))
    with pytest.raises(Exception, match="unpacked body"):
        run(read, [packed], most_bytes=2**20)
    assert sum(taken) <= 2**20
    assert max(taken) <= PIECE


def run(app, chunks, most_bytes=2**30):
    """Give an app a packed body in chunks."""
    import asyncio

    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [(b"content-encoding", b"gzip"), (b"content-length", b"9")]}
    asyncio.run(GzipBodies(app, most_bytes)(scope, receive, None))


@settings(max_examples=50, deadline=None)
@given(
    parts=st.lists(st.binary(max_size=2000), min_size=1, max_size=4),
    repeats=st.sampled_from([1, 7, 400]),
    cuts=st.lists(st.floats(0, 1), max_size=6),
    level=st.integers(0, 9),
)
def test_however_it_is_packed_and_cut_the_body_is_what_was_packed(parts, repeats, cuts, level):
    packed = b"".join(gzip.compress(part * repeats, level) for part in parts)
    places = sorted({0, len(packed), *(int(cut * len(packed)) for cut in cuts)})
    read = []

    async def app(scope, receive, send):
        request = Request(scope, receive)
        read.append(await request.body())
        assert "content-encoding" not in request.headers
        assert (await receive())["type"] == "http.disconnect"

    run(app, [packed[a:b] for a, b in pairwise(places)])
    assert read == [b"".join(part * repeats for part in parts)]


def test_a_large_packed_body_is_solved(client):
    points = np.random.default_rng(0).normal(size=(1000, 3)).round(3).tolist()
    answer = post(client, gzip.compress(json.dumps({"points": points}).encode()))
    assert len(answer.json()["predictions"]) == 1000
