"""The app for hosts that run ASGI apps themselves, and the port and file of its metrics."""

import json
import os
import shutil
import time

import httpx
import pytest
from artifacts import CLOUD
from starlette.testclient import TestClient

from node_model.errors import ArtifactError
from service.api.errors import ApiError
from service.replica import ReplicaApp
from service.scrape import STALE_SECONDS, TargetFile
from service.settings import Settings

POINT = {"points": [[0.0, 1.0, 0.0]]}


def scraped(path):
    (listed,) = json.loads(path.read_text())
    (target,) = listed["targets"]
    return listed, f"http://{target}"


def test_it_starts_once_the_models_are_there_and_leaves_nothing_behind(settings, tmp_path):
    app = ReplicaApp(settings, TargetFile(tmp_path, "mine", "127.0.0.1"))
    with TestClient(app) as client:
        # No waiting: whoever may ask it is answered.
        assert client.post(f"/density?model={CLOUD}", json=POINT).status_code == 200
        listed, url = scraped(tmp_path / "mine.json")
        assert listed["labels"] == {"replica": "mine"}
        text = httpx.get(f"{url}/metrics").text
        assert f'odeserve_requests_total{{model="{CLOUD}",route="/density",status="ok"}} 1.0' in text
        assert httpx.get(f"{url}/classify").status_code == 404
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/metrics")


def test_a_model_that_cannot_be_loaded_fails_the_start(settings, tmp_path):
    shutil.copytree(settings.models_dir, tmp_path / "models")
    next((tmp_path / "models" / CLOUD).glob("*/onnx/*/step-*.onnx")).write_bytes(b"damaged")
    app = ReplicaApp(Settings(**(settings.model_dump() | {"models_dir": tmp_path / "models"})))
    with pytest.raises(ArtifactError, match="step-"), TestClient(app):
        pass


def test_its_host_alone_puts_the_id_on_answers(settings):
    with TestClient(ReplicaApp(settings)) as client:
        answer = client.get("/models", headers={"X-Request-ID": "mine"})
    assert "X-Request-ID" not in answer.headers


def test_health_is_the_heartbeat_of_the_engine(settings, monkeypatch):
    app = ReplicaApp(settings)
    with TestClient(app):
        app.check_health()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 60)
        with pytest.raises(ApiError, match="a shard of the engine hangs"):
            app.check_health()
        monkeypatch.undo()


def test_whoever_lives_removes_the_files_of_those_that_were_killed(tmp_path):
    files = {name: TargetFile(tmp_path, name, "::1") for name in ("mine", "neighbour", "killed")}
    for file in files.values():
        file.write(9000)
    for name in ("mine", "killed"):
        long_ago = time.time() - STALE_SECONDS - 1
        os.utime(tmp_path / f"{name}.json", (long_ago, long_ago))
    files["mine"].touch()
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["mine", "neighbour"]
    assert json.loads((tmp_path / "mine.json").read_text())[0]["targets"] == ["[::1]:9000"]
    files["mine"].remove()
    # A folder that is gone is no reason to replace a replica.
    files["mine"].touch()
