import json

import numpy as np
import pytest
from apps import running_app
from artifacts import CLOUD, DECAY, DIGITS, RAW, SPRING

IMAGE = np.random.default_rng(5).random((8, 8)).round(3).tolist()


def test_a_classification_says_what_it_cost(client):
    answer = client.post(f"/classify?model={DIGITS}&tol=1e-2", json={"image": IMAGE})
    assert answer.status_code == 200
    body = answer.json()
    (prediction,) = body["predictions"]
    assert prediction["label"] == "abcd"[prediction["index"]]
    assert sum(prediction["probabilities"]) == pytest.approx(1)
    solver = prediction["solver"]
    assert solver["nfe"] == 1 + 3 * (solver["accepted"] + solver["rejected"])
    assert solver["calibrated_error"] == {"p99": 1e-4, "unit": "logit"}
    assert answer.headers["X-NFE"] == str(solver["nfe"])
    assert float(answer.headers["X-Tol"]) == 0.01
    assert "solve;dur=" in answer.headers["Server-Timing"]
    assert set(body["timing_ms"]) == {"queue", "solve", "total", "predicted"}


def test_a_tighter_tolerance_costs_more(client):
    def nfe(tol):
        return client.post(f"/classify?tol={tol}", json={"image": IMAGE}).json()["predictions"][0]["solver"]["nfe"]

    assert nfe("1e-4") > nfe("1e-1")


def test_an_answer_is_the_same_bits_alone_and_in_company(client, rng):
    images = rng.random((21, 8, 8)).tolist()
    together = client.post("/classify?tol=1e-3", json={"images": images}).json()["predictions"]
    for row in (0, 7, 20):
        (alone,) = client.post("/classify?tol=1e-3", json={"image": images[row]}).json()["predictions"]
        assert alone == together[row]


def test_densities_samples_and_models_answer(client):
    density = client.post(f"/density?model={CLOUD}&tol=1e-3", json={"points": [[0, 1, 0], [1, 1, 1]]}).json()
    assert [p["status"] for p in density["predictions"]] == ["ok", "ok"]
    assert density["predictions"][0]["log_density"] > density["predictions"][1]["log_density"]
    listed = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert set(listed) == {CLOUD, DIGITS, RAW, SPRING, DECAY}
    manifest = client.get(f"/models/{CLOUD}").json()
    assert "sha256" not in manifest
    assert client.get("/health/live").status_code == 200


def test_a_sample_depends_on_seed_and_item_alone(client):
    def samples(n, seed):
        return client.post(f"/sample?model={CLOUD}", json={"n": n, "seed": seed}).json()["samples"]

    assert samples(9, 3)[:4] == samples(4, 3)
    assert samples(4, 3) != samples(4, 4)
    drawn = client.post(f"/sample?model={CLOUD}", json={"n": 2}).json()
    assert samples(2, drawn["seed"]) == drawn["samples"]


@pytest.mark.parametrize("tol", ["0", "-1", "1e-12", "abc", "nan", "inf", "1", "\u0661e-2"])
def test_a_tolerance_out_of_limits_is_refused_with_the_limits(client, tol):
    answer = client.post(f"/classify?tol={tol}", json={"image": IMAGE})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_input"
    assert "tol" in error["message"]


def altered(row, column, value):
    image = [list(line) for line in IMAGE]
    image[row][column] = value
    return image


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("/classify", "{", 422, "invalid_input", ""),
        ("/classify", "{}", 422, "invalid_input", "image"),
        ("/classify", json.dumps({"image": IMAGE[:7]}), 422, "invalid_input", "image"),
        ("/classify", json.dumps({"image": altered(3, 4, 1.5)}), 422, "invalid_input", "image[3][4]"),
        ("/classify", json.dumps({"image": altered(3, 4, "x")}), 422, "invalid_input", "image[3][4]"),
        ("/classify", json.dumps({"image": altered(3, 4, float("nan"))}), 422, "invalid_input", ""),
        ("/classify", json.dumps({"images": []}), 422, "invalid_input", "images: expected at least one"),
        ("/classify", json.dumps({f"a{k}": 1 for k in range(100)}), 422, "invalid_input", "image, images"),
        ("/density", json.dumps({"point": [0, 0]}), 422, "invalid_input", "point: expected 3 entries, got 2"),
        ("/density", json.dumps({"points": [[]] * 50_000}), 413, "too_large", "1000"),
        ("/classify", json.dumps({"images": [IMAGE], "image": IMAGE}), 422, "invalid_input", "both"),
        ("/classify", json.dumps({"image": IMAGE, "extra": 1}), 422, "invalid_input", "extra"),
        ("/classify", "[" * 100_000, 422, "invalid_input", ""),
        ("/classify?colour=red", json.dumps({"image": IMAGE}), 422, "invalid_input", "colour"),
        ("/classify?method=euler", json.dumps({"image": IMAGE}), 422, "invalid_input", "method"),
        (f"/classify?model={CLOUD}", json.dumps({"image": IMAGE}), 422, "invalid_input", CLOUD),
        ("/classify?model=nobody", json.dumps({"image": IMAGE}), 404, "unknown_model", DIGITS),
        ("/density", json.dumps({"points": [[0, 0, 1e300]]}), 422, "invalid_input", "points[0][2]"),
        ("/density", json.dumps({"points": [[0, 0, 0]] * 1001}), 413, "too_large", "1000"),
        ("/sample", json.dumps({"n": 0}), 422, "invalid_input", "n"),
        ("/nowhere", "{}", 404, "not_found", "/nowhere"),
    ],
)
def test_bad_input_is_named(client, path, body, status, code, words):
    answer = client.post(path, content=body, headers={"Content-Type": "application/json", "X-Request-ID": "mine-1"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert words in error["message"]
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert client.post("/classify", json={"image": IMAGE}).status_code == 200


def test_wrong_methods_and_media_types_are_told_the_right_ones(client):
    answer = client.get("/classify")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"
    answer = client.post("/classify", content="x", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content-Type": "application/json; charset=utf-16"}, "utf-16"),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, "Content-Encoding"),
    ],
)
def test_encodings_that_are_not_read_are_named(client, headers, words):
    answer = client.post("/classify", content=json.dumps({"image": IMAGE}), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert words in answer.json()["error"]["message"]
    fine = client.post(
        "/classify",
        content=json.dumps({"image": IMAGE}),
        headers={"Content-Type": 'Application/JSON; charset="UTF-8"', "Content-Encoding": "identity"},
    )
    assert fine.status_code == 200


def test_unknown_parameters_of_lists_are_named(client):
    for path in ("/models", f"/models/{DIGITS}"):
        answer = client.get(f"{path}?colour=red")
        assert answer.status_code == 422
        assert "colour" in answer.json()["error"]["message"]


def test_a_spent_budget_fails_the_request_or_with_partial_the_item(client):
    answer = client.post("/classify?tol=1e-4&max_nfe=5", json={"image": IMAGE})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "solver_failed"
    assert error["details"]["status"] == "max_nfe"
    assert error["details"]["nfe"] <= 5
    assert answer.headers["X-NFE"] == str(error["details"]["nfe"])
    assert "solve;dur=" in answer.headers["Server-Timing"]
    partial = client.post("/classify?tol=1e-4&max_nfe=5&partial=true", json={"image": IMAGE})
    assert partial.status_code == 200
    assert partial.json()["predictions"][0]["status"] == "max_nfe"
    assert partial.json()["predictions"][0]["probabilities"] is None


def test_a_request_is_counted_once_under_known_labels_only(client):
    def lines():
        metrics = client.get("/metrics").text.splitlines()
        return [x for x in metrics if x.startswith("odeserve_requests_total") and 'route="/classify"' in x]

    def total():
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines())

    before = total()
    client.post("/classify", json={"image": IMAGE})
    client.post("/classify?model=a-name-the-client-made-up", json={"image": IMAGE})
    assert total() == before + 2
    assert not any("made-up" in line for line in lines())


def test_counters_are_there_before_what_they_count(settings):
    with running_app(settings) as fresh:
        before = fresh.get("/metrics").text
        fresh.post("/density", content="x", headers={"Content-Type": "text/plain"})
        fresh.post("/density", content="{")
        fresh.get("/models")
        after = fresh.get("/metrics").text
    names = [
        {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("odeserve_requests_total")}
        for text in (before, after)
    ]
    assert names[0] == names[1]
