"""The server in a process of its own, over real sockets."""

import shutil
import socket
import subprocess
import sys

import httpx
from apps import ODESERVE, environment
from artifacts import CLOUD, DIGITS

POINT = {"points": [[0.0, 1.0, 0.0]]}


def address(server):
    host, port = server.removeprefix("http://").split(":")
    return host, int(port)


def raw(server, head, body=b""):
    """What comes back to bytes written by hand."""
    with socket.create_connection(address(server), timeout=20) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received.decode()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(server):
    head = "POST /density HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600"
    answer = raw(server, head)
    assert answer.startswith("HTTP/1.1 413")
    assert '"too_large"' in answer
    assert httpx.post(f"{server}/density", json=POINT).status_code == 200


def test_a_chunked_body_is_counted(server):
    def chunks():
        for _ in range(64):
            yield b" " * 65536

    try:
        answer = httpx.post(f"{server}/density", content=chunks(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    except httpx.WriteError:  # answered and closed while the client was still writing
        pass
    assert httpx.post(f"{server}/density", json=POINT).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(server):
    head = "POST /density HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50"
    answer = raw(server, head, b'{"points"')
    assert answer.startswith("HTTP/1.1 408")
    assert '"body_timeout"' in answer


def test_torch_is_never_loaded(models_dir):
    code = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from service.app import create_app
from service.settings import Settings
settings = Settings(models_dir=Path({str(models_dir)!r}), default_models=({DIGITS!r},), lanes=2, shards=1)
with TestClient(create_app(settings)) as client:
    while client.get("/health/ready").status_code != 200:
        pass
    answer = client.post("/classify?tol=1e-2", json={{"image": [[0.5] * 8] * 8}})
assert answer.status_code == 200, answer.text
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_onnx_runtime_is_not_allowed_to_tell_others_of_its_use():
    code = """
import os, sys
import service.backends
assert "onnxruntime" not in sys.modules
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
import service.backends.onnx
"""
    variables = environment()
    variables.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_altered_artifact_ends_the_start_with_its_name(models_dir, tmp_path):
    shutil.copytree(models_dir / CLOUD, tmp_path / CLOUD)
    graph = tmp_path / CLOUD / "1" / "onnx" / "log_density" / "start.onnx"
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    for command in (["serve", "--port", "0"], ["check", str(tmp_path / CLOUD / "1")]):
        done = subprocess.run(
            [ODESERVE, *command],
            env=environment(MODELS_DIR=tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1
        assert "start.onnx: sha256" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_setting_ends_the_start_with_its_name():
    done = subprocess.run(
        [ODESERVE, "serve", "--port", "0"],
        env=environment(COLOUR="red"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "ODESERVE_COLOUR" in done.stderr
