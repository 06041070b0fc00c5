"""/trajectory: every attempt, and what was found on the way."""

import itertools
import json

import numpy as np
import pytest
from artifacts import CLOUD, DIGITS, SPRING

IMAGES = np.random.default_rng(5).random((5, 8, 8)).round(3).tolist()
POINTS = np.random.default_rng(6).normal(size=(5, 3)).round(3).tolist()
ENDS = {"classify": 1.0, "density": 0.0, "sample": 1.0}
BODIES = {
    "classify": ("/classify", {"images": IMAGES}),
    "density": (f"/density?model={CLOUD}", {"points": POINTS}),
    "sample": (f"/sample?model={CLOUD}", {"n": 5, "seed": 3}),
}


def traced(client, query, body):
    answer = client.post(f"/trajectory?{query}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_steps(item, start, end):
    """The attempts hang together, and are as many as the solver says."""
    solver, steps = item["solver"], item["steps"]
    assert len(steps) == solver["accepted"] + solver["rejected"]
    assert sum(step["accepted"] for step in steps) == solver["accepted"]
    direction, t = np.sign(end - start), item["start"]["t"]
    assert t == start
    for step in steps:
        assert step["t"] == pytest.approx(t + direction * step["dt"], abs=1e-12)
        assert step["accepted"] == (step["error_ratio"] <= 1)
        t = step["t"] if step["accepted"] else t
    assert t == end


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("tol", ["1e-1", "1e-4"])
def test_the_last_step_has_the_answer_of_the_plain_route_bit_for_bit(client, kind, tol):
    path, body = BODIES[kind]
    separator = "&" if "?" in path else "?"
    plain = client.post(f"{path}{separator}tol={tol}", json=body).json()
    model = DIGITS if kind == "classify" else CLOUD
    answer = traced(client, f"model={model}&tol={tol}", body)
    assert answer["model"] == plain["model"]
    for number, item in enumerate(answer["items"]):
        check_steps(item, 1.0 - ENDS[kind], ENDS[kind])
        last, prediction = item["steps"][-1], plain["predictions"][number]
        assert {name: item[name] for name in prediction} == prediction
        if kind == "classify":
            for name in ("label", "index", "probabilities"):
                assert last[name] == prediction[name]
        elif kind == "sample":
            assert last["position"] == plain["samples"][number] == item["sample"]
        else:
            assert "log_det" in last


def test_positions_and_velocities_are_in_the_units_of_the_input(client):
    answer = traced(client, f"model={CLOUD}&tol=1e-4", {"points": POINTS})
    assert answer["units"] == "input"
    for point, item in zip(POINTS, answer["items"], strict=True):
        assert item["start"]["position"] == pytest.approx(point, abs=1e-5)
        times = [item["start"], *(step for step in item["steps"] if step["accepted"])]
        for before, after in itertools.pairwise(times):
            slopes = np.mean([before["velocity"], after["velocity"]], 0)
            moved = np.array(after["position"]) - before["position"]
            np.testing.assert_allclose(moved, (after["t"] - before["t"]) * slopes, atol=2e-2)


def test_a_model_of_ones_own_is_followed_too(client):
    body = {"inputs": [[1, 0], [0, 2]], "args": {"damping": [0.1, 0.8]}, "t": [0.5, 1.5]}
    plain = client.post(f"/predict?model={SPRING}&tol=1e-3", json=body).json()
    answer = traced(client, f"model={SPRING}&tol=1e-3", body)
    assert answer["t"] == [0.5, 1.5]
    for item, prediction in zip(answer["items"], plain["predictions"], strict=True):
        check_steps(item, 0.0, 1.5)
        assert item["output"] == prediction["output"]
        at = {step["t"]: step.get("output") for step in item["steps"]}
        assert [at[0.5], at[1.5]] == prediction["output"]


def test_rejected_attempts_are_told_without_an_answer(client):
    body = {"inputs": [[3, 3]], "args": {"damping": [0.0]}}
    steps = [
        step
        for tol in ("1e-2", "1e-3", "1e-4")
        for step in traced(client, f"model={SPRING}&tol={tol}", body)["items"][0]["steps"]
    ]
    assert any(not step["accepted"] for step in steps)
    assert all(("output" in step) == step["accepted"] for step in steps)


def test_an_item_that_fails_shows_how_far_it_came(client):
    answer = traced(client, "tol=1e-4&max_nfe=8&partial=true", {"images": IMAGES[:1]})
    (item,) = answer["items"]
    assert item["status"] == "max_nfe"
    assert item["label"] is None
    assert len(item["steps"]) == 2


@pytest.mark.parametrize(
    ("query", "body", "status", "words"),
    [
        ("", {}, 422, "expected one of image, images"),
        ("", {"colour": 1}, 422, "expected one of image, images"),
        ("", {"images": IMAGES, "n": 3}, 422, "n: unknown field"),
        ("", {"n": 257}, 413, "more than 256 items"),
        (f"model={CLOUD}", {"points": [[0, 0, 0]] * 257}, 413, "more than 256 items"),
        (f"model={CLOUD}", {"images": IMAGES}, 422, "is a density model"),
        ("tol=auto", {"images": IMAGES}, 422, "tol: expected a number"),
        ("trace=hutchinson", {"points": POINTS}, 422, "trace: unknown parameter"),
        ("max_nfe=5000", {"n": 256}, 422, "max_nfe: expected at most"),
    ],
)
def test_bad_input_is_named(client, query, body, status, words):
    answer = client.post(f"/trajectory?{query}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_it_is_counted_under_its_own_route(client):
    metrics = client.app.state.context.metrics
    labels = {"route": "/trajectory", "model": DIGITS, "status": "ok"}
    before = metrics.value("odeserve_requests_total", labels)
    traced(client, "", {"images": IMAGES})
    assert metrics.value("odeserve_requests_total", labels) == before + 1
