"""/predict: a program of a user's own on the app."""

import io
import json

import numpy as np
import pytest
from apps import running_app
from artifacts import CLOUD, DECAY, SHAKEN, SPRING, shaken_model
from oscillator import SHAKE, closed_form

from service.engine.draws import draw_items
from service.settings import Settings

STATES = [[1.0, 0.0], [0.5, -2.0], [0.0, 1.0]]
DAMPING = [0.1, 0.5, 0.9]
PATH = f"/predict?model={SPRING}&tol=1e-4"


def predicted(client, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_answer_is_what_the_program_decodes_at_the_end(client):
    body = predicted(client, PATH, {"inputs": STATES, "args": {"damping": DAMPING}})
    exact = closed_form(np.array(STATES), np.array(DAMPING), 4.0, 2.0)
    for prediction, state in zip(body["predictions"], exact, strict=True):
        assert prediction["status"] == "ok"
        assert prediction["output"]["state"] == pytest.approx(state.tolist(), abs=3e-3)
        assert prediction["output"]["energy"] > 0
        assert prediction["solver"]["calibrated_error"]["unit"] == "output"
    assert "t" not in body


def test_an_answer_at_every_time_that_was_asked_for(client):
    times = [0.0, 0.5, 1.75]
    body = predicted(client, PATH, {"inputs": STATES, "args": {"damping": DAMPING}, "t": times})
    assert body["t"] == times
    for state, damping, prediction in zip(STATES, DAMPING, body["predictions"], strict=True):
        found = [entry["state"] for entry in prediction["output"]]
        exact = [closed_form(np.array(state), np.array(damping), 4.0, t) for t in times]
        np.testing.assert_allclose(found, exact, atol=3e-3)
        assert prediction["solver"]["calibrated_error"] is None
        assert prediction["solver"]["nfe"] == 1 + 3 * (
            prediction["solver"]["accepted"] + prediction["solver"]["rejected"]
        )


def test_one_input_and_the_end_as_the_only_time(client):
    one = {"input": STATES[0], "args": {"damping": DAMPING[0]}}
    (plain,) = predicted(client, PATH, one)["predictions"]
    (at_end,) = predicted(client, PATH, one | {"t": [2.0]})["predictions"]
    assert at_end["output"] == [plain["output"]]
    assert at_end["solver"] == plain["solver"]


def test_an_answer_is_the_same_bits_alone_and_in_company(client):
    draw = np.random.default_rng(2)
    states, damping = draw.normal(size=(12, 2)).tolist(), draw.random(12).tolist()
    wanted = {"t": [0.1, 0.2, 1.9]}
    together = predicted(client, PATH, {"inputs": states, "args": {"damping": damping}} | wanted)["predictions"]
    for row in (0, 5, 11):
        alone = predicted(client, PATH, {"input": states[row], "args": {"damping": damping[row]}} | wanted)
        assert alone["predictions"] == [together[row]]


def test_times_that_an_item_did_not_come_to_are_null(client):
    path = f"/predict?model={DECAY}&tol=1e-4&max_nfe=10"
    body = {"input": [1, 0], "t": [0.5, 1, 2]}
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["details"]["status"]) == (422, "max_nfe")
    (prediction,) = predicted(client, f"{path}&partial=true", body)["predictions"]
    assert prediction["status"] == "max_nfe"
    assert prediction["output"][0] is not None
    assert prediction["output"][1:] == [None, None]


def test_stops_raise_the_budget_that_nobody_set(client):
    times = np.linspace(0.002, 2, 900).tolist()
    (prediction,) = predicted(client, f"/predict?model={DECAY}&tol=1e-1", {"input": [1, 0], "t": times})["predictions"]
    assert prediction["solver"]["nfe"] > 900 * 3
    assert len(prediction["output"]) == 900


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "input: missing"),
        ({"input": [1, 0]}, 422, "args: missing"),
        ({"input": [1, 0], "inputs": [[1, 0]], "args": {"damping": 0.1}}, 422, "got both"),
        ({"input": [1], "args": {"damping": 0.1}}, 422, "input: expected 2 entries, got 1"),
        ({"input": [1, 0], "args": {"damping": 2}}, 422, "args.damping: expected a number not above 1"),
        ({"input": [1, 0], "args": {"friction": 0.2}}, 422, "args.damping: missing"),
        ({"inputs": [[1, 0]], "args": {"damping": [0.2, 0.3]}}, 422, "as many entries as inputs has (1), got 2"),
        ({"inputs": [], "args": {"damping": []}}, 422, "inputs: expected at least one"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": []}, 422, "t: expected 1 to 1000 times, got 0"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": [0.1] * 1001}, 422, "t: expected 1 to 1000 times"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": [1, 0.5]}, 422, "t[1]: expected strictly ascending"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": [1, 1]}, 422, "t[1]: expected strictly ascending"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": [3]}, 422, "t[0]: expected a time from 0 to 2, got 3"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": 1}, 422, "t: expected a list"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "t": ["x"]}, 422, "t[0]: expected a number"),
        ({"input": [1, 0], "args": {"damping": 0.1}, "seed": 1}, 422, "seed: unknown field"),
        ({"inputs": [[1, 0]] * 600, "args": {"damping": [0] * 600}, "t": [0.1, 0.2]}, 413, "600 items at 2 times"),
        ({"inputs": [[1, 0]] * 1001, "args": {"damping": [0] * 1001}}, 413, "inputs: more than 1000"),
    ],
)
def test_bad_input_is_named(client, body, status, words):
    answer = client.post(PATH, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_a_model_of_another_task_is_refused_by_name(client):
    answer = client.post(f"/predict?model={CLOUD}", json={"input": [1, 0]})
    assert answer.status_code == 422
    assert f"{DECAY}, {SPRING} can answer /predict" in answer.json()["error"]["message"]


def test_the_open_inference_protocol_gives_the_same_answers(client):
    tensor = {"name": "state", "shape": [3, 2], "datatype": "FP32", "data": STATES}
    asked = {"inputs": [tensor], "parameters": {"tol": 1e-3}}
    answer = client.post(f"/v2/models/{DECAY}/infer", json=asked)
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    plain = predicted(client, f"/predict?model={DECAY}&tol=1e-3", {"inputs": STATES})["predictions"]
    assert outputs["nfe"] == [prediction["solver"]["nfe"] for prediction in plain]
    found = np.array(outputs["state"]).reshape(3, 2)
    np.testing.assert_array_equal(found, [prediction["output"] for prediction in plain])


def test_a_body_of_more_numbers_than_fit_is_not_parsed(client):
    numbers = ",".join(["0.1"] * 10_000)
    answer = client.post(f"/predict?model={DECAY}", content=f'{{"input":[1,0],"t":[{numbers}]}}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_arguments_may_have_the_names_of_other_bodies(client):
    answer = client.post(f"/trajectory?model={SPRING}", json={"args": {"n": 1}, "input": [1, 0]})
    assert answer.json()["error"]["message"].startswith("args.")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"input": [1, 0], "args": {"inputs": 1, "damping": 0.1}}, "args.inputs: unknown field"),
        ({"inputs": [[1, 0]], "args": {"input": [1], "damping": [0.1]}}, "args.input: unknown field"),
        ({"input": [1, 0], "inputs": [[1, 0]], "args": {"damping": 0.1}}, "expected either input or inputs, got both"),
    ],
)
def test_arguments_may_have_the_names_of_inputs(client, body, wrong):
    answer = client.post(PATH, json=body)
    assert (answer.status_code, wrong in answer.json()["error"]["message"]) == (422, True), answer.text


def test_a_name_may_be_written_with_escapes(client):
    body = rb'{"\u0069nputs": [[1, 0]], "args": {"damping": [0.1]}}'
    assert client.post(PATH, content=body).status_code == 200


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return {"content": file.getvalue(), "headers": {"Content-Type": "application/x-npy"}}


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_inputs_may_be_an_array_in_numpys_format(client, shape):
    states = np.array(STATES[0] if len(shape) == 1 else STATES)
    answer = client.post(f"/predict?model={DECAY}&tol=1e-3", **npy(states))
    assert answer.status_code == 200, answer.text
    body = {"input" if states.ndim == 1 else "inputs": states.tolist()}
    plain = predicted(client, f"/predict?model={DECAY}&tol=1e-3", body)
    assert answer.json()["predictions"] == plain["predictions"]


@pytest.mark.parametrize(
    ("model", "array", "status", "words"),
    [
        (SPRING, np.zeros(2), 422, "args: expected damping, and an array has inputs alone: send application/json"),
        (DECAY, np.zeros(3), 422, "input: expected shape [2], or [n, 2] for inputs, got [3]"),
        (DECAY, np.zeros((0, 2)), 422, "inputs: expected at least one entry"),
        (DECAY, np.full(2, np.nan), 422, "input[0]: expected a finite number"),
        (DECAY, np.zeros((1001, 2)), 413, "inputs: more than 1000"),
    ],
)
def test_arrays_that_do_not_fit_are_named(client, model, array, status, words):
    answer = client.post(f"/predict?model={model}", **npy(array))
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_other_bodies_than_json_and_arrays_are_not_read(client):
    answer = client.post(f"/predict?model={DECAY}", content=b"1,0", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415
    assert answer.json()["error"]["details"]["expected"] == ["application/json", "application/x-npy"]


@pytest.fixture(scope="module")
def shaken(tmp_path_factory):
    """A model with an argument that the server draws."""
    with running_app(Settings(models_dir=shaken_model(tmp_path_factory.mktemp("shaken")), shards=1)) as client:
        yield client


def shaken_tensor(states):
    return {"name": "state", "shape": list(np.shape(states)), "datatype": "FP32", "data": states}


def test_drawn_arguments_depend_on_the_seed_and_the_item_alone(shaken):
    path = f"/predict?model={SHAKEN}&tol=1e-4"
    told = predicted(shaken, path, {"inputs": STATES})
    again = predicted(shaken, path, {"inputs": STATES[:2], "seed": told["seed"]})
    assert again["predictions"] == told["predictions"][:2]
    assert shaken.post(path, json={"inputs": STATES, "seed": 5}).headers["X-Seed"] == "5"
    spec = shaken.app.state.context.models.find(SHAKEN).programs["predict"].spec
    drawn = SHAKE * draw_items(spec.args[0], told["seed"], len(STATES)).astype(float)
    exact = closed_form(np.array(STATES), drawn, 4.0, 2.0)
    np.testing.assert_allclose([item["output"] for item in told["predictions"]], exact, atol=3e-3)


def test_the_open_inference_protocol_draws_the_same(shaken):
    metadata = shaken.get(f"/v2/models/{SHAKEN}").json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["state"]
    asked = {"inputs": [shaken_tensor(STATES)], "parameters": {"tol": 1e-3, "seed": 5}}
    answer = shaken.post(f"/v2/models/{SHAKEN}/infer", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"]["seed"] == 5
    found = next(output["data"] for output in answer.json()["outputs"] if output["name"] == "state")
    plain = predicted(shaken, f"/predict?model={SHAKEN}&tol=1e-3", {"inputs": STATES, "seed": 5})["predictions"]
    np.testing.assert_array_equal(np.reshape(found, (3, 2)), [item["output"] for item in plain])
    unseeded = shaken.post(f"/v2/models/{SHAKEN}/infer", json={"inputs": [shaken_tensor(STATES)]}).json()
    assert unseeded["parameters"]["seed"] != 5
    asked["parameters"]["seed"] = -1
    refused = shaken.post(f"/v2/models/{SHAKEN}/infer", json=asked)
    assert (refused.status_code, "parameters.seed" in refused.json()["error"]) == (422, True)
