"""The API's description against the server: what it says is so, and what is so it says."""

import json
import math
import re

import jsonschema_rs
import numpy as np
import pytest
from apps import running_app
from artifacts import CLOUD, DECAY, DIGITS, RAW

from service.api.errors import TABLE, Code
from service.api.examples import ERRORS, SEVEN
from service.api.parameters import KINDS
from service.api.routes import PROGRAMS, SOLVING
from service.api.v2.routes import INFER_PATHS
from service.app import create_app
from service.engine.request import QueueFullError
from service.settings import Settings

IMAGE = np.random.default_rng(5).random((8, 8)).round(3).tolist()
INPUTS = {
    "/classify": {"image": IMAGE},
    "/density": {"point": [0, 1, 0]},
    "/sample": {"n": 2, "seed": 1},
    "/predict": {"input": [1, 0]},
    "/trajectory": {"point": [0, 1, 0]},
}
MODELS = {"/classify": DIGITS, "/density": CLOUD, "/sample": CLOUD, "/predict": DECAY, "/trajectory": CLOUD}


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document, schema):
    """A schema that stands alone."""
    text = json.dumps({**schema, "components": document["components"]})
    return json.loads(text)


def valid(document, schema, value):
    return jsonschema_rs.validator_for(resolved(document, schema)).is_valid(value)


def test_it_is_openapi_3_1_and_every_schema_in_it_is_a_schema(document):
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(schema)


def test_every_route_is_there_under_a_stable_name_and_a_heading(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert {"classify", "density", "sample", "list_models", "show_model", "show_tradeoff", "live", "ready"} <= set(
        names
    )
    known = {tag["name"] for tag in document["tags"]}
    for path, _, operation in operations(document):
        assert len(operation["tags"]) == 1
        assert operation["tags"][0] in known
        assert operation["description"], path
        assert operation["summary"], path


def test_every_schema_has_an_example_that_is_valid(document):
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("examples"), f"{name} has no example: add one to service/api/examples.py"
        for example in schema["examples"]:
            assert valid(document, schema, example), name
    for path, _, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media == "application/json":
                assert content["schema"]["examples"], path
                for example in content["schema"]["examples"]:
                    assert valid(document, content["schema"], example), path
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (path, parameter["name"])
            given = [parameter["example"]] if "example" in parameter else []
            given += [example["value"] for example in parameter.get("examples", {}).values()]
            assert given, (path, parameter["name"])
            assert all(valid(document, parameter["schema"], value) for value in given)


def test_every_error_has_an_example_of_each_of_its_codes(document):
    assert set(ERRORS) <= {code.value for code in TABLE}
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            content = response["content"]["application/json"]
            if not content["schema"].get("$ref", "").endswith("/ErrorAnswer"):
                continue  # the Open Inference Protocol has errors of its own
            for code in codes(response):
                assert TABLE[Code(code)][0] == int(status), (path, code)
                assert valid(document, content["schema"], content["examples"][code]["value"]), (path, code)
    assert set(document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]) == {c.value for c in Code}


def codes(response):
    return re.findall(r"`(\w+)`:", response["description"])


def described_codes(document, path, method):
    return {code for response in document["paths"][path][method]["responses"].values() for code in codes(response)}


class QueueFull:
    """A runner that has no room."""

    alive, idle = True, True

    async def solve(self, *args, **options):
        raise QueueFullError(waiting=6.0, retry_after=2.0)


class Broken(QueueFull):
    """A runner with a fault."""

    async def solve(self, *args, **options):
        raise RuntimeError("a fault")


def ask_a_server_in_need(context, ask):
    """Once with a full queue, once with a fault, once while it stops."""
    runner = context.runner
    for broken in (QueueFull(), Broken()):
        context.runner = broken
        ask()
    context.runner, context.draining = runner, True
    ask()
    context.draining = False


@pytest.mark.parametrize("route", sorted(SOLVING))
def test_each_error_of_a_solving_route_is_described_and_each_described_one_comes(settings, server, route):
    """Every way to go wrong, one after another; the codes that came are those that are described."""
    body, model = INPUTS[route], MODELS[route]
    changed = Settings(**(settings.model_dump() | {"api_keys": "k", "max_body_mb": 0.1}))
    seen = set()

    def ask(query="", **changes):
        options = {"json": body, "headers": {"X-API-Key": "k"}} | changes
        answer = client.post(f"{route}?model={model}{query}", **options)
        if answer.status_code != 200:
            error = answer.json()["error"]
            assert answer.status_code == TABLE[Code(error["code"])][0]
            seen.add(error["code"])
        return answer

    with running_app(changed) as client:
        document = client.get("/openapi.json").json()
        context = client.app.state.context
        assert ask().status_code == 200
        ask("&tol=7")
        ask("&max_nfe=1&tol=1e-4")
        ask(content=b" " * 200_000, json=None)
        ask(headers={})
        ask(content=b"x", json=None, headers={"X-API-Key": "k", "Content-Type": "text/plain"})
        ask("&deadline_ms=0.001")
        client.post(f"{route}?model=nobody", json=body, headers={"X-API-Key": "k"})
        seen.add(client.post(f"{route}?model=nobody", json=body, headers={"X-API-Key": "k"}).json()["error"]["code"])
        ask_a_server_in_need(context, ask)
    seen.add(slowly(server, route))
    assert seen == described_codes(document, route, "post")


def slowly(server, route):
    """The code of a body that does not come."""
    from test_server import raw

    head = f"POST {route}?model={MODELS[route]} HTTP/1.1\r\nHost: x\r\nContent-Length: 50"
    return json.loads(raw(server, f"{head}\r\nConnection: close", b"{").partition("\r\n\r\n")[2])["error"]["code"]


@pytest.mark.parametrize("path", INFER_PATHS)
def test_each_status_of_the_open_inference_protocol_is_described_and_each_described_one_comes(settings, server, path):
    """Its errors have no codes: statuses are what can be compared."""
    point = {"name": "point", "shape": [1, 3], "datatype": "FP32", "data": [0, 1, 0]}
    changed = Settings(**(settings.model_dump() | {"api_keys": "k", "max_body_mb": 0.1}))
    seen, address = set(), path.replace("{version}", "1")

    def ask(model=CLOUD, parameters=None, **changes):
        options = {"json": {"inputs": [point], "parameters": parameters or {}}, "headers": {"X-API-Key": "k"}} | changes
        answer = client.post(address.replace("{model}", model), **options)
        seen.add(str(answer.status_code))
        described = document["paths"][path]["post"]["responses"][str(answer.status_code)]
        assert {"x-nfe", "x-tol", "server-timing"} & set(answer.headers) <= {
            name.lower() for name in described["headers"]
        }
        return answer

    with running_app(changed) as client:
        document = client.get("/openapi.json").json()
        context = client.app.state.context
        assert ask().status_code == 200
        ask(parameters={"tol": 7})
        failed = ask(parameters={"tol": 1e-4, "max_nfe": 1})
        assert (failed.status_code, failed.headers["X-NFE"]) == (422, "1")
        ask(content=b" " * 200_000, json=None)
        ask(headers={})
        ask(parameters={"deadline_ms": 0.001})
        ask(model="nobody")
        ask(headers={"X-API-Key": "k", "Content-Encoding": "br"})
        ask_a_server_in_need(context, ask)
    seen.add(slowly_status(server, address.replace("{model}", CLOUD)))
    assert seen == set(document["paths"][path]["post"]["responses"])


def slowly_status(server, path):
    """The status of a body that does not come."""
    from test_server import raw

    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nConnection: close"
    return raw(server, head, b"{").split()[1]


@pytest.mark.parametrize("path", ["/models", "/models/{name}", "/models/{name}/tradeoff"])
def test_each_error_of_a_telling_route_is_described_and_each_described_one_comes(settings, path):
    seen = set()
    with running_app(Settings(**(settings.model_dump() | {"api_keys": "k"}))) as client:
        document = client.get("/openapi.json").json()

        def ask(name=CLOUD, query="", headers=None):
            answer = client.get(path.replace("{name}", name) + query, headers=headers or {"X-API-Key": "k"})
            if answer.status_code != 200:
                seen.add(answer.json()["error"]["code"])

        ask()
        ask(query="?a=b")
        ask(headers={"X-API-Key": "wrong"})
        if "{" in path:
            ask(name="nobody")
        client.app.state.context.draining = True
        ask()
        client.app.state.context.draining = False
    assert seen | {"internal"} == described_codes(document, path, "get")


@pytest.mark.parametrize("route", sorted(PROGRAMS))
def test_parameters_are_those_that_are_read_and_no_others(client, document, route):
    described = [parameter["name"] for parameter in document["paths"][route]["post"]["parameters"]]
    answer = client.post(f"{route}?nonsense=1", json=INPUTS[route])
    assert answer.json()["error"]["details"]["known"] == described


def schema_of(document, route, name):
    return next(p["schema"] for p in document["paths"][route]["post"]["parameters"] if p["name"] == name)


def test_limits_of_parameters_are_where_the_description_says(client, document, settings):
    """The least and the most that are described are taken, and what lies beyond is not."""
    most = {"max_nfe": settings.max_nfe, "deadline_ms": 1e3 * settings.max_seconds}
    for name in ("max_nfe", "deadline_ms"):
        schema = schema_of(document, "/classify", name)
        assert schema["maximum"] == most[name]
        for value, fine in (
            (schema["minimum"], True),
            (schema["maximum"], True),
            (schema["minimum"] / 2, False),
            (schema["maximum"] + 1, False),
            (0, False),
        ):
            answer = client.post(f"/classify?{name}={value:.15g}", json=INPUTS["/classify"])
            field = answer.json().get("error", {}).get("details", {}).get("field")
            assert (field != name) is fine, (name, value, answer.text)
    for name in ("probes", "seed"):
        schema = schema_of(document, "/density", name)
        for value in (schema["minimum"] - 1, schema["maximum"] + 1):
            answer = client.post(f"/density?trace=hutchinson&{name}={value}", json=INPUTS["/density"])
            assert answer.json()["error"]["details"]["field"] == name
        for value in (schema["minimum"], schema["maximum"]):
            answer = client.post(f"/density?model={RAW}&trace=hutchinson&{name}={value}", json={"point": [0, 0]})
            # These models were exported without it, which is looked at after its parameters.
            assert answer.json()["error"]["details"]["field"] == "trace"
    for route, name in (("/classify", "partial"), ("/density", "trace")):
        schema = schema_of(document, route, name)
        for value in schema.get("enum", ["true", "false"]):
            answer = client.post(f"{route}?{name}={value}", json=INPUTS[route])
            assert answer.status_code == 200 or "exported without" in answer.text
        assert client.post(f"{route}?{name}=other", json=INPUTS[route]).status_code == 422


def test_only_the_route_that_takes_auto_says_so(client, document):
    for route in PROGRAMS:
        takes = "auto" in json.dumps(schema_of(document, route, "tol"))
        answer = client.post(f"{route}?model={MODELS[route]}&tol=auto", json=INPUTS[route])
        assert (answer.status_code == 200) is takes


def test_every_described_parameter_has_a_kind(document):
    for route in PROGRAMS:
        for parameter in document["paths"][route]["post"]["parameters"]:
            assert parameter["name"] in KINDS


def test_keys_are_described_where_they_are_needed(settings, document):
    assert {"bearer", "apiKey"} == set(document["components"]["securitySchemes"])
    assert not any("security" in operation for _, _, operation in operations(document))
    with running_app(Settings(**(settings.model_dump() | {"api_keys": "k"}))) as client:
        for path, method, operation in operations(client.get("/openapi.json").json()):
            answer = client.request(method, path.replace("{name}", CLOUD), json=INPUTS.get(path))
            assert (answer.status_code == 401) is ("security" in operation) is ("401" in operation["responses"]), path


def test_the_example_image_is_a_seven():
    shipped = Settings(models=("odenet-mnist",), shards=1)
    with running_app(shipped) as client:
        answer = client.post("/classify?tol=1e-3", json={"image": SEVEN})
        assert answer.json()["predictions"][0]["label"] == "7"
        assert math.isclose(sum(answer.json()["predictions"][0]["probabilities"]), 1, abs_tol=1e-5)


def test_every_answer_of_the_examples_fits_its_schema(settings, document):
    app = create_app(settings)
    assert app.openapi() is app.openapi()
    assert app.openapi() == document
