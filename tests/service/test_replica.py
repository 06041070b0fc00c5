"""The app for hosts that run ASGI apps themselves, and the port and file of its metrics."""

import json
import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml
from artifacts import CLOUD
from starlette.testclient import TestClient

from node_model.errors import ArtifactError
from service.api.errors import ApiError
from service.replica import ReplicaApp
from service.scrape import OURS, STALE_SECONDS, MetricsPort, TargetFile
from service.settings import Settings

ROOT = Path(__file__).parents[2]
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
        listed, url = scraped(tmp_path / "odeserve-replica-mine.json")
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


def test_whoever_asks_nothing_or_drips_is_hung_up_on_and_others_are_answered():
    port = MetricsPort(lambda: b"up 1\n", seconds=0.5)
    with socket.create_connection(("127.0.0.1", port.port)) as silent:
        with socket.create_connection(("127.0.0.1", port.port)) as dripping:
            for connection in (silent, dripping):
                connection.settimeout(0.1)
            until = time.monotonic() + 30
            open_ = [silent, dripping]
            while open_ and time.monotonic() < until:
                with suppress(OSError):
                    dripping.sendall(b"G")
                open_ = [connection for connection in open_ if not ended(connection)]
            assert open_ == []
        assert httpx.get(f"http://127.0.0.1:{port.port}/metrics").text == "up 1\n"
    port.close()


def ended(connection):
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def old(path):
    long_ago = time.time() - STALE_SECONDS - 1
    os.utime(path, (long_ago, long_ago))


def test_whoever_lives_removes_the_files_of_those_that_were_killed(tmp_path):
    files = {name: TargetFile(tmp_path, name, "::1") for name in ("mine", "neighbour", "killed")}
    for file in files.values():
        file.write(9000)
    (tmp_path / "odeserve-replica-killed.12.tmp").write_text("[")
    for path in tmp_path.glob("*"):
        if "neighbour" not in path.name:
            old(path)
    files["mine"].touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "odeserve-replica-mine.json",
        "odeserve-replica-neighbour.json",
    ]
    assert json.loads((tmp_path / "odeserve-replica-mine.json").read_text())[0]["targets"] == ["[::1]:9000"]


def test_what_others_wrote_into_the_folder_stays_however_old(tmp_path):
    by_hand = [tmp_path / name for name in ("machines.json", "odeserve-machines.json", "notes.txt")]
    for path in by_hand:
        path.write_text("[]")
        old(path)
    mine = TargetFile(tmp_path, "mine", "127.0.0.1")
    mine.write(9000)
    mine.touch()
    assert all(path.exists() for path in by_hand)


def test_whoever_was_only_stopped_for_a_while_is_found_again(tmp_path):
    stopped, neighbour = (TargetFile(tmp_path / "targets", name, "127.0.0.1") for name in ("stopped", "neighbour"))
    path = tmp_path / "targets" / "odeserve-replica-stopped.json"
    for file in (stopped, neighbour):
        file.write(9000)
    written = path.read_bytes()
    old(path)
    neighbour.touch()
    assert not path.exists()
    stopped.touch()
    assert path.read_bytes() == written
    # The whole folder may be gone.
    shutil.rmtree(path.parent)
    stopped.touch()
    assert path.read_bytes() == written
    # Whoever has ended does not come back.
    stopped.remove()
    stopped.touch()
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_no_reason_to_replace_a_replica(tmp_path, caplog):
    mine = TargetFile(tmp_path / "targets", "mine", "127.0.0.1")
    mine.write(9000)
    shutil.rmtree(tmp_path / "targets")
    (tmp_path / "targets").write_text("a file")
    mine.touch()
    assert str(tmp_path / "targets") in caplog.text


def test_prometheus_looks_for_the_files_that_replicas_write():
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (job,) = (one for one in config["scrape_configs"] if "file_sd_configs" in one)
    patterns = [pattern for one in job["file_sd_configs"] for pattern in one["files"]]
    assert any(Path(f"targets/{OURS}mine.json").match(pattern) for pattern in patterns)
