"""The Open Inference Protocol, as NVIDIA's client speaks it, on a server of its own with shipped models."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from apps import serving
from artifacts import CLOUD, DIGITS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

ROOT = Path(__file__).parents[2]
DIGIT, FLOW = "odenet-mnist", "cnf-two-moons"
SEVEN = np.array(json.loads((ROOT / "examples/digits/7.json").read_bytes())["image"], np.float32)
IMAGES = np.stack([SEVEN, SEVEN.T, np.zeros_like(SEVEN)])
POINTS = np.array([[0.5, 1.0], [0.1, -0.2], [3.0, 3.0]], np.float32)


@pytest.fixture(scope="module")
def url():
    with serving(MODELS_DIR=ROOT / "checkpoints", MODELS=f"{DIGIT},{FLOW}", LANES=8, MAX_ITEMS=100) as server:
        yield server.url


@pytest.fixture(scope="module")
def asked(url):
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def tensor(name, values, datatype="FP32", binary=True):
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def chosen(*names, binary=True):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("tol", [1e-1, 1e-3, "auto"])
def test_tritonclient_gets_the_bits_of_classify(url, asked, tol, binary):
    plain = httpx.post(f"{url}/classify?tol={tol}", json={"images": IMAGES.tolist()}).json()["predictions"]
    names = ("probabilities", "label", "index", "stable", "nfe", "status")
    result = asked.infer(
        DIGIT, [tensor("image", IMAGES, binary=binary)], outputs=chosen(*names, binary=binary), parameters={"tol": tol}
    )
    found = {name: result.as_numpy(name) for name in names}
    expected = np.array([prediction["probabilities"] for prediction in plain], np.float32)
    assert found["probabilities"].tobytes() == expected.tobytes()
    words = [word.decode() if binary else word for word in found["label"]]
    assert words == [prediction["label"] for prediction in plain]
    assert found["index"].tolist() == [prediction["index"] for prediction in plain]
    assert found["stable"].tolist() == [prediction["stable"] for prediction in plain]
    assert found["nfe"].dtype == np.int32
    assert found["nfe"].tolist() == [prediction["solver"]["nfe"] for prediction in plain]
    assert result.get_response()["parameters"]["nfe"] == found["nfe"].sum()


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_gets_the_bits_of_density_and_sample(url, asked, binary):
    density = httpx.post(f"{url}/density?model={FLOW}&tol=1e-4", json={"points": POINTS.tolist()}).json()
    result = asked.infer(
        FLOW, [tensor("point", POINTS, binary=binary)], outputs=chosen("log_density", binary=binary), timeout=9_000_000
    )
    expected = np.array([prediction["log_density"] for prediction in density["predictions"]])
    assert result.as_numpy("log_density").tobytes() == expected.tobytes()

    drawn = httpx.post(f"{url}/sample?model={FLOW}&tol=1e-3", json={"n": 30, "seed": 7}).json()
    inputs = [tensor("n", np.array([30], np.int32), "INT32"), tensor("seed", np.array([7], np.int64), "INT64")]
    result = asked.infer(f"{FLOW}:sample", inputs, outputs=chosen("sample", binary=binary), parameters={"tol": 1e-3})
    assert result.as_numpy("sample").tobytes() == np.array(drawn["samples"], np.float32).tobytes()
    assert result.get_response()["parameters"]["seed"] == 7
    again = asked.infer(f"{FLOW}:sample", inputs[:1])
    assert again.get_response()["parameters"]["seed"] != 7


@pytest.mark.parametrize("name", [DIGIT, f"{DIGIT}:classify", FLOW, f"{FLOW}:log_density", f"{FLOW}:sample"])
def test_answers_are_what_metadata_and_configuration_say(asked, name):
    assert asked.is_server_live()
    assert asked.is_server_ready()
    assert asked.is_model_ready(name)
    assert asked.is_model_ready(name, "1")
    metadata, config = asked.get_model_metadata(name, "1"), asked.get_model_config(name)
    assert metadata["versions"] == ["1"]
    inputs = []
    for said, configured in zip(metadata["inputs"], config["input"], strict=True):
        assert configured["data_type"] == f"TYPE_{said['datatype']}"
        shape = [2 if length == -1 else length for length in said["shape"]]
        batch = said["shape"][:1] if config["max_batch_size"] else []
        assert said["shape"] == batch + configured["dims"]
        inputs.append(tensor(said["name"], np.full(shape, 1, triton_to_np_dtype(said["datatype"])), said["datatype"]))
    response = asked.infer(name, inputs, request_id="mine")
    answer = response.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (name, "1", "mine")
    for said, configured, got in zip(metadata["outputs"], config["output"], answer["outputs"], strict=True):
        assert (got["name"], got["datatype"]) == (said["name"], said["datatype"])
        assert configured["data_type"] == "TYPE_" + said["datatype"].replace("BYTES", "STRING")
        assert len(got["shape"]) == len(said["shape"])
        assert all(length in (-1, found) for length, found in zip(said["shape"], got["shape"], strict=True))
        assert list(response.as_numpy(got["name"]).shape) == got["shape"]


def test_server_metadata_lists_the_extensions_there_are(asked):
    metadata = asked.get_server_metadata()
    assert metadata["name"] == "odeserve"
    assert metadata["extensions"] == ["binary_tensor_data", "model_configuration", "parameters"]


def test_a_body_of_bytes_alone_is_one_item(url, asked):
    answer = httpx.post(
        f"{url}/v2/models/{DIGIT}/versions/1/infer",
        content=SEVEN.tobytes(),
        headers={"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 200
    length = int(answer.headers["Inference-Header-Content-Length"])
    result = triton.InferenceServerClient.parse_response_body(answer.content, header_length=length)
    expected = asked.infer(DIGIT, [tensor("image", SEVEN[None])])
    assert result.as_numpy("logits").tobytes() == expected.as_numpy("logits").tobytes()
    assert result.as_numpy("label").tolist() == [b"7"]
    assert answer.headers["X-NFE"] == str(int(result.as_numpy("nfe")[0]))


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("FP64", np.float64), ("FP16", np.float16), ("UINT8", np.uint8), ("INT64", np.int64)]
)
@pytest.mark.parametrize("binary", [True, False])
def test_numbers_of_other_datatypes_are_taken_as_they_are(asked, datatype, dtype, binary):
    image = (SEVEN > 0.5).astype(dtype)[None]
    result = asked.infer(DIGIT, [tensor("image", image, datatype, binary)])
    expected = asked.infer(DIGIT, [tensor("image", image.astype(np.float32))])
    assert result.as_numpy("logits").tobytes() == expected.as_numpy("logits").tobytes()


def test_outputs_come_in_the_order_and_form_asked_for(asked):
    outputs = [*chosen("label", binary=False), *chosen("logits"), *chosen("nfe", binary=False), *chosen("status")]
    result = asked.infer(DIGIT, [tensor("image", IMAGES)], outputs=outputs)
    answer = result.get_response()
    assert [output["name"] for output in answer["outputs"]] == ["label", "logits", "nfe", "status"]
    assert ["data" in output for output in answer["outputs"]] == [True, False, True, False]
    assert result.as_numpy("label").tolist()[0] == "7"
    assert result.as_numpy("logits").shape == (3, 10)
    assert result.as_numpy("status").tolist() == [b"ok"] * 3


def test_parameters_reach_the_solver_and_the_answer_says_what_was_done(asked):
    def told(**parameters):
        ignored = {"priority": 3, "sequence_id": 5, "sequence_start": True}
        result = asked.infer(DIGIT, [tensor("image", IMAGES)], parameters=parameters, **ignored)
        return result.get_response()["parameters"]

    loose, tight = told(tol=0.1, method="dopri5"), told(rtol=1e-5, atol="1e-4", method="tsit5")
    assert (loose["method"], loose["rtol"], loose["atol"], loose["tol"]) == ("dopri5", 0.1, 0.1, 0.1)
    assert (tight["method"], tight["rtol"], tight["atol"]) == ("tsit5", 1e-5, 1e-4)
    assert tight["nfe"] > loose["nfe"]
    assert loose["calibrated_error_unit"] == "logit"
    assert loose["status"] == "ok"


def test_parameters_that_mean_nothing_here_may_be_anything(client):
    points = {"name": "point", "shape": [1, 3], "datatype": "FP32", "data": [0, 1, 0]}
    ignored = {"headers": {"a": [1]}, "priority": None, "sequence_id": "7", "sequence_start": True}
    answer = client.post(f"/v2/models/{CLOUD}/infer", json={"inputs": [points], "parameters": ignored | {"tol": 1e-2}})
    assert answer.status_code == 200, answer.text
    refused = client.post(f"/v2/models/{CLOUD}/infer", json={"inputs": [points], "parameters": {"tol": {}}})
    assert "parameters.tol: expected a number, a string or a boolean" in refused.json()["error"]


def test_a_timeout_in_microseconds_is_a_deadline_that_may_be_loosened(asked):
    with pytest.raises(InferenceServerException, match=r"of the deadline's 0\.05 ms are left") as refused:
        asked.infer(DIGIT, [tensor("image", IMAGES)], parameters={"tol": 1e-6}, timeout=50)
    assert refused.value.status() == "504"
    generous = asked.infer(DIGIT, [tensor("image", IMAGES)], parameters={"tol": 1e-2}, timeout=10**12)
    assert generous.get_response()["parameters"]["tol"] == 1e-2


def test_with_partial_items_that_failed_say_so(asked):
    image = [tensor("image", IMAGES)]
    with pytest.raises(InferenceServerException, match="max_nfe") as failed:
        asked.infer(DIGIT, image, parameters={"tol": 1e-5, "max_nfe": 10})
    assert failed.value.status() == "422"
    for binary in (True, False):
        names = ("probabilities", "label", "index", "stable", "status")
        result = asked.infer(
            DIGIT,
            image,
            outputs=chosen(*names, binary=binary),
            parameters={"tol": 1e-5, "max_nfe": 10, "partial": True},
        )
        assert result.get_response()["parameters"]["status"] == "partial"
        assert np.isnan(result.as_numpy("probabilities")).all()
        assert set(result.as_numpy("label").tolist()) <= {"", b""}
        assert result.as_numpy("index").tolist() == [-1] * 3
        assert not result.as_numpy("stable").any()
        assert set(result.as_numpy("status").tolist()) <= {"max_nfe", b"max_nfe"}


def body(**changes):
    image = {"name": "image", "shape": [1, 28, 28], "datatype": "FP32", "data": SEVEN.ravel().tolist()}
    return {"inputs": [image | changes.pop("image", {})], **changes}


LONG = {"name": "image", "shape": [101, 28, 28], "datatype": "FP32", "data": [0.0] * (101 * 784)}


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        (DIGIT, "{", 422, "malformed JSON"),
        (DIGIT, "[]", 422, "body: expected an object, got a list"),
        (DIGIT, {}, 422, "inputs: missing"),
        (DIGIT, {"inputs": []}, 422, "image is missing"),
        (DIGIT, {"inputs": [LONG]}, 413, "more than 100 items"),
        (DIGIT, body(inputs=[{}]), 422, "inputs[0].name: missing"),
        (DIGIT, body(colour="red"), 422, "colour: unknown field; known are id"),
        (DIGIT, body(parameters={"colour": 1}), 422, "parameters.colour: unknown parameter; known are tol"),
        (DIGIT, body(parameters={"model": "x"}), 422, "parameters.model: unknown parameter"),
        (DIGIT, body(parameters={"tol": 5}), 422, "parameters.tol: expected a number from 1e-06 to 0.1"),
        (DIGIT, body(parameters={"tol": None}), 422, "parameters.tol"),
        (DIGIT, body(parameters={"tol": [1]}), 422, "parameters.tol"),
        (DIGIT, body(parameters={"method": "euler"}), 422, "parameters.method: expected auto, bosh3"),
        (DIGIT, body(parameters={"timeout": -1}), 422, "parameters.timeout: expected a number of microseconds"),
        (DIGIT, body(parameters={"timeout": 5, "deadline_ms": 5}), 422, "parameters.timeout: not with deadline_ms"),
        (DIGIT, body(parameters={"binary_data_output": 1}), 422, "parameters.binary_data_output: expected a boolean"),
        (DIGIT, body(outputs=[{"name": "x"}]), 422, "outputs[0].name: no output 'x'; there are logits"),
        (DIGIT, body(outputs=[{"name": "nfe"}] * 2), 422, "outputs[1].name: nfe is asked for more than once"),
        (
            DIGIT,
            body(outputs=[{"name": "nfe", "parameters": {"classification": 3}}]),
            422,
            "outputs[0].parameters.classification: unknown parameter",
        ),
        (DIGIT, body(image={"name": "picture"}), 422, "inputs[0].name: no input 'picture'; expected image"),
        (DIGIT, body(image={"shape": [28, 28]}), 422, "image: expected shape [-1, 28, 28], got [28, 28]"),
        (DIGIT, body(image={"shape": [0, 28, 28], "data": []}), 422, "image: expected at least one item"),
        (DIGIT, body(image={"shape": [2, 28, 28]}), 422, "image: data: expected 1568 numbers"),
        (DIGIT, body(image={"shape": [10**18, 28, 28]}), 422, "image: data: expected"),
        (DIGIT, body(image={"datatype": "BYTES"}), 422, "inputs[0].datatype: expected FP32"),
        (DIGIT, body(image={"data": ["x"] * 784}), 422, "image[0][0][0]: expected a number, got a string"),
        (DIGIT, body(image={"data": [True] * 784}), 422, "image[0][0][0]: expected a number, got a boolean"),
        (DIGIT, body(image={"data": [0.0] * 30 + [1.5] + [0.0] * 753}), 422, "image[0][1][2]: expected a number from"),
        (DIGIT, body(image={"data": [10**400] * 784}), 422, "beyond float64"),
        (DIGIT, body(image={"data": [[[0.5] * 27] * 28]}), 422, "nested as the shape"),
        (DIGIT, body(image={"datatype": "UINT8", "data": [255] * 784}), 422, "not scaled"),
        (DIGIT, body(image={"datatype": "UINT8", "data": [256] * 784}), 422, "from 0 to 255"),
        (DIGIT, body(image={"datatype": "INT8", "data": [0.5] * 784}), 422, "whole numbers"),
        (DIGIT, body(image={"parameters": {"binary_data_size": 4}}), 422, "Inference-Header-Content-Length: missing"),
        (DIGIT, body(image={"parameters": {"shared_memory_region": "x"}}), 422, "inputs[0].parameters.shared_memory"),
        (f"{DIGIT}/versions/9", body(), 404, "no version '9' of odenet-mnist; known are 1"),
        (f"{DIGIT}:nothing", body(), 404, "no program 'nothing' of odenet-mnist; known are classify"),
        ("nobody", body(), 404, "no model 'nobody'; known are cnf-two-moons, odenet-mnist"),
        (f"{FLOW}:sample", {"inputs": []}, 422, "n is missing"),
        (
            f"{FLOW}:sample",
            {"inputs": [{"name": "n", "shape": [1], "datatype": "INT32", "data": [101]}]},
            413,
            "more than 100 items",
        ),
        (
            f"{FLOW}:sample",
            {"inputs": [{"name": "n", "shape": [1], "datatype": "FP32", "data": [3]}]},
            422,
            "inputs[0].datatype: expected INT32",
        ),
        (
            f"{FLOW}:sample",
            {"inputs": [{"name": "n", "shape": [2], "datatype": "INT32", "data": [3, 4]}]},
            422,
            "n: expected shape [1], got [2]",
        ),
    ],
)
def test_errors_have_the_protocols_form_and_say_what_was_expected(url, path, content, status, words):
    text = content if isinstance(content, str) else json.dumps(content)
    answer = httpx.post(f"{url}/v2/models/{path}/infer", content=text)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert list(error) == ["error"]
    assert words in error["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", f"/v2/models/{DIGIT}/infer", 405), ("GET", "/v2/nowhere", 404), ("GET", "/v2/models/nobody", 404)]
    + [("GET", "/v2?colour=red", 422), ("POST", "/v2/repository/index", 404)]
    + [("POST", f"/v2/repository/models/{DIGIT}/{what}", 404) for what in ("load", "unload")],
)
def test_every_error_under_v2_has_its_form_and_no_other_path_has_it(url, method, path, status):
    answer = httpx.request(method, url + path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert isinstance(answer.json()["error"], str)
    assert isinstance(httpx.get(f"{url}/v2nowhere").json()["error"], dict)


def test_lengths_that_do_not_fit_are_named(url):
    def refused(header, blob, length=None):
        text = json.dumps(header).encode()
        headers = {"Inference-Header-Content-Length": str(len(text)) if length is None else length}
        answer = httpx.post(f"{url}/v2/models/{DIGIT}/infer", content=text + blob, headers=headers)
        assert answer.status_code == 422
        return answer.json()["error"]

    image = {"name": "image", "shape": [1, 28, 28], "datatype": "FP32"}
    whole = {"inputs": [image | {"parameters": {"binary_data_size": 3136}}]}
    assert "expected at most 100" in refused(whole, bytes(100))
    assert "4 bytes at its end belong to no input" in refused(whole, bytes(3140))
    assert "expected 3136 bytes" in refused({"inputs": [image | {"parameters": {"binary_data_size": 8}}]}, bytes(8))
    assert "expected a number of bytes" in refused({"inputs": [image | {"parameters": {"binary_data_size": -1}}]}, b"")
    assert "not with binary_data_size" in refused(
        {"inputs": [image | {"parameters": {"binary_data_size": 4}, "data": []}]}, bytes(4)
    )
    for length in ("99999", "-1", "x", "9" * 5000, "0" * 5000, "0" * 20 + "99999"):
        assert "Inference-Header-Content-Length" in refused(whole, bytes(3136), length)
    nan = np.full((1, 28, 28), np.nan, np.float32).tobytes()
    assert "image[0][0][0]: expected a number from 0 to 1, got nan" in refused(whole, nan)


def test_an_estimate_is_a_model_of_its_own_with_probes_and_seed(client):
    points = {"name": "point", "shape": [2, 3], "datatype": "FP32", "data": [0, 1, 0, 1, 1, 1]}
    answer = client.post(
        f"/v2/models/{CLOUD}:log_density_hutchinson/infer",
        json={"parameters": {"tol": 1e-3, "probes": 4, "seed": 3}, "inputs": [points]},
    ).json()
    found = {output["name"]: output["data"] for output in answer["outputs"]}
    plain = client.post(
        f"/density?model={CLOUD}&tol=1e-3&trace=hutchinson&probes=4&seed=3", json={"points": [[0, 1, 0], [1, 1, 1]]}
    ).json()["predictions"]
    assert found["log_density"] == [item["log_density"] for item in plain]
    assert found["log_density_std_error"] == [item["log_density_std_error"] for item in plain]
    assert found["nfe"] == [item["solver"]["nfe"] for item in plain]
    assert answer["parameters"]["seed"] == 3
    refused = client.post(f"/v2/models/{CLOUD}/infer", json={"parameters": {"probes": 4}, "inputs": [points]})
    assert refused.status_code == 422
    assert "parameters.probes" in refused.json()["error"]


def test_requests_are_counted_by_template_and_model(client):
    def count(status):
        labels = {"route": "/v2/models/{model}/infer", "model": DIGITS, "status": status}
        return client.app.state.context.metrics.value("odeserve_requests_total", labels)

    before = count("invalid_input"), count("ok")
    image = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}
    assert client.post(f"/v2/models/{DIGITS}/infer", json={"inputs": [image]}).status_code == 200
    assert client.post(f"/v2/models/{DIGITS}/infer", json={"inputs": []}).status_code == 422
    assert (count("invalid_input"), count("ok")) == (before[0] + 1, before[1] + 1)


WORDS = st.sampled_from(["inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "image", "FP32", "id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.sampled_from(["inputs", "outputs", "parameters", "id"]), JSON, max_size=2),
    inner=st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), JSON, max_size=2),
    length=st.none() | st.integers(-5, 500),
    blob=st.binary(max_size=40),
)
def test_whatever_comes_is_answered_or_refused_in_the_protocols_form(client, changes, inner, length, blob):
    image = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [0.5] * 64}
    text = json.dumps({"inputs": [image | inner], **changes}).encode() + blob
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    answer = client.post(f"/v2/models/{DIGITS}/infer", content=text, headers=headers)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert list(answer.json()) == ["error"]
