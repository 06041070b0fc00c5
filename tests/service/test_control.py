"""Models loaded and unloaded while the server answers."""

import json
import shutil
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import tritonclient.http as triton
from apps import eventually, serving
from tritonclient.utils import InferenceServerException

from node_model.manifest import MANIFEST

FLOW, DIGIT = "cnf-two-moons", "odenet-mnist"
SHIPPED = Path(__file__).parents[2] / "checkpoints"
POINT = {"points": [[0.5, 1.0]]}
MANY = {"points": [[0.001 * k, 1.0] for k in range(3_000)]}


def publish(folder, version, *, name=FLOW, source=None):
    """A shipped model as another version, put in place whole."""
    beside = folder / f".{version}"
    shutil.copytree(SHIPPED / (source or name) / "1", beside)
    manifest = json.loads((beside / MANIFEST).read_text())
    manifest["version"], manifest["name"] = version, name
    (beside / MANIFEST).write_text(json.dumps(manifest))
    (folder / name).mkdir(exist_ok=True)
    beside.rename(folder / name / version)


@contextmanager
def controlled(folder, **variables):
    publish(folder, "1")
    chosen = {"MODELS_DIR": folder, "MODEL_CONTROL": "explicit", "LANES": 8, "DEFAULT_MODELS": FLOW} | variables
    with (
        serving(**chosen) as server,
        triton.InferenceServerClient(server.url.removeprefix("http://"), network_timeout=120) as client,
    ):
        server.control = client
        yield server


def version_of(server, query=""):
    answer = httpx.post(f"{server.url}/density{query}", json=POINT)
    return answer.json()["version"] if answer.status_code == 200 else answer.json()["error"]["code"]


def states(server):
    return {(entry["name"], entry["version"]): entry for entry in server.control.get_model_repository_index()}


class Asking:
    """Clients that ask one after another until they are told to stop."""

    def __init__(self, url, clients=4):
        self.outcomes = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url, number)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, url, number):
        points = [[0.1 * k, 0.5] for k in range(5 + 40 * number)]
        tensor = {"name": "point", "shape": [len(points), 2], "datatype": "FP32", "data": points}
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                answers = (
                    client.post(f"{url}/density?tol=1e-4", json={"points": points}),
                    client.post(f"{url}/v2/models/{FLOW}/infer", json={"inputs": [tensor]}),
                )
                self.outcomes.update(answer.status_code for answer in answers)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def test_reloads_under_load_cost_no_request(tmp_path):
    with controlled(tmp_path) as server:
        asking = Asking(server.url)
        for number in range(10):
            if number == 5:
                publish(tmp_path, "2")
            server.control.load_model(FLOW)
        answered = asking.outcomes[200]
        eventually(lambda: asking.outcomes[200] > answered + 20)
        asking.stop()
        assert set(asking.outcomes) == {200}
        assert asking.outcomes[200] > 50
        assert version_of(server) == "2"
        assert server.metric("lanes_active") == 0
        assert server.metric("queue_depth") == 0
        assert server.metric("requests_total", status="internal") == 0


def test_new_versions_are_found_and_old_ones_may_go(tmp_path):
    with controlled(tmp_path) as server:
        assert server.control.get_server_metadata()["extensions"][-1] == "model_repository"
        assert version_of(server) == "1"
        publish(tmp_path, "2")
        assert states(server)[FLOW, "2"] == {"name": FLOW, "version": "2", "state": "UNAVAILABLE", "reason": ""}
        assert version_of(server) == "1"
        server.control.load_model(f"{FLOW}@2")
        # The same query as before: what it came to is not remembered beyond the models it was for.
        assert version_of(server) == "2"
        assert version_of(server, f"?model={FLOW}@1") == "1"
        assert server.control.get_model_metadata(FLOW)["versions"] == ["1", "2"]
        assert server.metric("model_info", model=FLOW) == 2
        server.control.unload_model(f"{FLOW}@1")
        assert version_of(server, f"?model={FLOW}@1") == "unknown_model"
        assert server.metric("model_info", model=FLOW) == 1
        assert states(server)[FLOW, "1"]["reason"] == "unloaded"
        shutil.rmtree(tmp_path / FLOW / "2")
        server.control.load_model(FLOW)
        assert version_of(server) == "1"
        assert list(states(server)) == [(FLOW, "1")]


def test_a_model_that_was_not_there_at_the_start_can_be_loaded_and_unloaded(tmp_path):
    with controlled(tmp_path) as server:
        assert not server.control.is_model_ready("more-moons")
        publish(tmp_path, "3", name="more-moons", source=FLOW)
        server.control.load_model("more-moons")
        assert server.control.is_model_ready("more-moons", "3")
        assert version_of(server, "?model=more-moons") == "3"
        assert server.metric("lanes_capacity", model="more-moons") > 0
        server.control.unload_model("more-moons")
        assert not server.control.is_model_ready("more-moons")
        assert version_of(server, "?model=more-moons") == "unknown_model"
        assert server.metric("lanes_capacity", model="more-moons") == 0
        assert server.metric("model_info", model="more-moons") == 0
        server.control.unload_model(FLOW)
        assert version_of(server) == "invalid_input"
        assert server.ready()
        assert [entry["state"] for entry in states(server).values()] == ["UNAVAILABLE"] * 2
        assert httpx.post(f"{server.url}/v2/repository/index", json={"ready": True}).json() == []
        with pytest.raises(InferenceServerException, match="none is loaded"):
            server.control.unload_model(FLOW)
        server.control.load_model(FLOW)
        assert version_of(server) == "1"


@pytest.mark.parametrize("whole", [True, False])
def test_a_load_that_fails_changes_nothing_and_says_why(tmp_path, whole):
    with controlled(tmp_path) as server:
        before = httpx.post(f"{server.url}/density?tol=1e-3", json=POINT).json()["predictions"]
        publish(tmp_path, "2")
        graph = tmp_path / FLOW / "2" / "onnx" / "sample" / "start.onnx"
        if whole:
            graph.write_bytes(graph.read_bytes()[:-1] + b"x")
        else:
            graph.unlink()
        for wanted in (FLOW, f"{FLOW}@2"):
            with pytest.raises(InferenceServerException, match=f"{FLOW}/2/onnx/sample/start.onnx") as refused:
                server.control.load_model(wanted)
            assert refused.value.status() == "422"
            assert str(tmp_path) not in refused.value.message()
        assert httpx.post(f"{server.url}/density?tol=1e-3", json=POINT).json()["predictions"] == before
        assert "start.onnx" in states(server)[FLOW, "2"]["reason"]
        assert states(server)[FLOW, "1"] == {"name": FLOW, "version": "1", "state": "READY", "reason": ""}
        shutil.rmtree(tmp_path / FLOW / "2")
        server.control.load_model(FLOW)


def test_what_runs_when_its_model_is_unloaded_still_ends(tmp_path):
    with controlled(tmp_path) as server:
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.url}/density?tol=1e-4", json=MANY, timeout=120))
        )
        slow.start()
        eventually(lambda: server.metric("lanes_active") > 0)
        server.control.unload_model(FLOW)
        assert version_of(server, f"?model={FLOW}") == "unknown_model"
        slow.join(120)
        assert answers[0].status_code == 200
        assert len(answers[0].json()["predictions"]) == 3_000
        eventually(lambda: server.metric("lanes_active") == 0)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("models/nobody/load", {}, 404, f"no artifact 'nobody' in the repository; there are {FLOW}@1"),
        ("models/..%2f..%2fetc/load", {}, 404, ""),
        ("models/*/load", {}, 404, "no artifact '*'"),
        ("models/nobody/unload", {}, 404, f"no model 'nobody'; known are {FLOW}"),
        (f"models/{FLOW}@7/unload", {}, 404, f"no version '7' of {FLOW}"),
        (f"models/{FLOW}/load", {"parameters": {"config": "{}"}}, 422, "parameters.config: not taken"),
        (f"models/{FLOW}/unload", {"parameters": {"unload_dependents": 3}}, 422, "unload_dependents, a boolean"),
        (f"models/{FLOW}/load", {"colour": "red"}, 422, "colour: unknown field; known are parameters"),
        ("index", {"ready": "yes"}, 422, "ready"),
        ("index?colour=red", {}, 422, "colour"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_there_is(repository, path, body, status, words):
    answer = httpx.post(f"{repository}/v2/repository/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    with controlled(tmp_path_factory.mktemp("repository")) as server:
        yield server.url


def test_without_control_models_stay_as_they_are(tmp_path):
    with controlled(tmp_path, MODEL_CONTROL="none") as server:
        assert "model_repository" not in server.control.get_server_metadata()["extensions"]
        for change in (server.control.load_model, server.control.unload_model):
            with pytest.raises(InferenceServerException, match="ODESERVE_MODEL_CONTROL=explicit"):
                change(FLOW)
        with pytest.raises(InferenceServerException, match="ODESERVE_MODEL_CONTROL=explicit"):
            server.control.get_model_repository_index()
        assert version_of(server) == "1"
