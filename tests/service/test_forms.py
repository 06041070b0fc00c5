"""Answers as lines and as arrays: the same numbers as in JSON."""

import json
import time
from io import BytesIO

import httpx
import numpy as np
import pytest
from apps import eventually
from artifacts import CLOUD, DECAY, DIGITS, SPRING

LINES, ARRAY = {"Accept": "application/x-ndjson"}, {"Accept": "application/x-npy"}
IMAGES = np.random.default_rng(5).random((9, 8, 8)).round(3).tolist()
POINTS = np.random.default_rng(6).normal(size=(9, 3)).round(3).tolist()
SPRINGS = {"inputs": [[1, 0], [0, 1], [2, 2]], "args": {"damping": [0.1, 0.5, 0.9]}}
CASES = {
    "classify": ("/classify?tol=1e-3", {"images": IMAGES}),
    "auto": ("/classify?tol=auto", {"images": IMAGES}),
    "density": (f"/density?model={CLOUD}", {"points": POINTS}),
    "hutchinson": (f"/density?model={CLOUD}&trace=hutchinson&probes=3&seed=4", {"points": POINTS}),
    "sample": (f"/sample?model={CLOUD}", {"n": 9, "seed": 3}),
    "predict": (f"/predict?model={SPRING}", SPRINGS),
    "stops": (f"/predict?model={DECAY}", {"inputs": [[1, 0], [0, 1]], "t": [0.5, 1.5]}),
    "trajectory": (f"/trajectory?model={CLOUD}", {"points": POINTS}),
}


def lines_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    *items, last = (json.loads(line) for line in answer.text.splitlines())
    return items, last


def told_in_json(body):
    if "samples" in body:
        return [{"sample": s, **p} for s, p in zip(body["samples"], body["predictions"], strict=True)]
    return body.get("predictions") or body["items"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_item_has_a_line_with_what_json_says_of_it(client, case):
    path, body = case
    plain = client.post(path, json=body)
    expected = told_in_json(plain.json())
    answer = client.post(path, json=body, headers=LINES | {"X-Request-ID": "mine-7"})
    items, last = lines_of(answer)
    assert answer.headers["X-Request-ID"] == "mine-7"
    assert "X-NFE" not in answer.headers
    assert sorted(item["index"] for item in items) == list(range(len(expected)))
    for item in items:
        number = item.pop("index")
        if "class_index" in item:
            item["index"] = item.pop("class_index")
        assert item == expected[number]
    summary = last["summary"]
    assert summary["items"] == len(expected)
    assert summary["statuses"] == {"ok": len(expected)}
    assert str(summary["nfe"]) == plain.headers["X-NFE"]
    assert summary["tol"] == float(plain.headers["X-Tol"])
    assert summary["model"] == plain.json()["model"]
    assert set(summary["timing_ms"]) == {"queue", "solve", "total", "predicted"}
    for name in ("seed", "t", "units"):
        assert summary.get(name) == plain.json().get(name)


def test_items_that_fail_are_lines_with_their_status(client):
    items, last = lines_of(client.post("/classify?tol=1e-4&max_nfe=5", json={"images": IMAGES}, headers=LINES))
    assert {item["status"] for item in items} == {"max_nfe"}
    assert {item["probabilities"] for item in items} == {None}
    assert last["summary"]["statuses"] == {"max_nfe": 9}


def test_what_is_refused_is_an_ordinary_error(client):
    for path, body, status in (
        ("/classify?tol=7", {"images": IMAGES}, 422),
        ("/classify", {"images": []}, 422),
        ("/classify?model=nobody", {"images": IMAGES}, 404),
        ("/classify?tol=1e-4&deadline_ms=0.01", {"images": IMAGES}, 504),
    ):
        for headers in (LINES, ARRAY):
            answer = client.post(path, json=body, headers=headers)
            assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
            assert answer.json()["error"]["code"]


def test_a_fault_on_the_way_is_the_last_line(client, monkeypatch):
    program = client.app.state.context.models.find(DIGITS).programs["classify"]

    def broken(method, lanes):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(program.stepper, "step", broken)
    answer = client.post("/classify?tol=1e-4", json={"images": IMAGES}, headers=LINES)
    assert json.loads(answer.text.splitlines()[-1])["error"]["code"] == "internal"


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("predict", "trajectory")])
def test_an_array_has_the_numbers_of_the_json_answer(client, case):
    path, body = CASES[case]
    plain = client.post(path, json=body)
    answer = client.post(path, json=body, headers=ARRAY)
    assert answer.headers["Content-Type"] == "application/x-npy"
    for name in ("X-NFE", "X-Tol", "X-Seed"):
        assert answer.headers.get(name) == plain.headers.get(name)
    assert "solve;dur=" in answer.headers["Server-Timing"]
    array = np.load(BytesIO(answer.content), allow_pickle=False)
    assert array.flags.c_contiguous
    name = {"classify": "probabilities", "auto": "probabilities", "sample": "sample"}.get(case, "log_density")
    name = "output" if case == "stops" else name
    expected = np.array([item[name] for item in told_in_json(plain.json())], array.dtype)
    assert array.dtype == (np.float64 if name == "log_density" else np.float32)
    np.testing.assert_array_equal(array, expected)


def test_rows_that_fail_are_nan_with_partial_and_end_the_request_without(client):
    path, body = "/classify?tol=1e-4&max_nfe=5", {"images": IMAGES}
    answer = client.post(path, json=body, headers=ARRAY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "solver_failed")
    array = np.load(BytesIO(client.post(f"{path}&partial=true", json=body, headers=ARRAY).content))
    assert np.isnan(array).all()
    assert array.shape == (9, 4)


def test_answers_that_are_no_array_come_as_json(client):
    for case in ("predict", "trajectory"):
        path, body = CASES[case]
        assert client.post(path, json=body, headers=ARRAY).headers["Content-Type"] == "application/json"


def test_lines_come_before_the_last_item_is_solved(server):
    points = np.random.default_rng(0).normal(size=(1500, 3)).round(3).tolist()
    arrived = []
    url = f"{server}/density?model={CLOUD}&tol=1e-4"
    with httpx.stream("POST", url, json={"points": points}, headers=LINES, timeout=60) as answer:
        for line in answer.iter_lines():
            arrived.append((time.perf_counter(), json.loads(line)))
    begun, ended = arrived[0][0], arrived[-1][0]
    total = arrived[-1][1]["summary"]["timing_ms"]["solve"] / 1e3
    assert len(arrived) == 1501
    assert ended - begun > total / 2


def test_a_client_that_leaves_cancels_what_is_left(server):
    points = np.random.default_rng(0).normal(size=(8000, 3)).round(2).tolist()

    def metric(name):
        lines = httpx.get(f"{server}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name) and "/density" in line)

    def active():
        lines = httpx.get(f"{server}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("odeserve_lanes_active{"))

    url = f"{server}/density?model={CLOUD}&tol=1e-4"
    with httpx.stream("POST", url, json={"points": points}, headers=LINES, timeout=60) as answer:
        next(answer.iter_lines())
    eventually(lambda: active() == 0)
    assert httpx.post(url, json={"points": points[:1]}, timeout=60).status_code == 200


def test_a_slow_reader_gets_every_line_and_holds_up_nobody(server):
    points = np.random.default_rng(0).normal(size=(2000, 3)).round(2).tolist()
    url = f"{server}/density?model={CLOUD}&tol=1e-2"
    with httpx.stream("POST", url, json={"points": points}, headers=LINES, timeout=60) as slow:
        lines = slow.iter_lines()
        next(lines)
        quick = httpx.post(url, json={"points": points[:5]}, timeout=60)
        assert quick.status_code == 200
        time.sleep(0.5)
        rest = list(lines)
    assert len(rest) == 2000
    assert json.loads(rest[-1])["summary"]["statuses"] == {"ok": 2000}
