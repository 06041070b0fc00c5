"""Clients that keep connections busy without asking anything: closed in time, while others are answered."""

import json
import resource
import socket
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import pytest
from apps import ODESERVE, eventually, serving
from artifacts import CLOUD
from needed import missing
from test_server import POINT, address, raw

HEAD = "POST /density HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ASK = json.dumps(POINT).encode()
WHOLE = f"{HEAD}Content-Length: {len(ASK)}\r\n\r\n".encode() + ASK


@pytest.fixture(scope="module")
def hasty(models_dir):
    """A server that waits a second for heads and bodies, and two for idle connections."""
    with serving(
        MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, BODY_SECONDS=1, KEEP_ALIVE_SECONDS=2, MAX_BODY_MB=1
    ) as server:
        yield server.url


def connected(server):
    return socket.create_connection(address(server), timeout=20)


def until_closed(connection):
    """What comes back, and seconds until the server closed."""
    begun, received = time.monotonic(), b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received, time.monotonic() - begun


def drip(connection, chunks, seconds=0.1):
    """Send chunks slowly until the server has closed; seconds that took, and what was answered."""
    begun, received = time.monotonic(), b""
    connection.settimeout(seconds)
    for chunk in chunks:
        try:
            connection.sendall(chunk)
            received += (part := connection.recv(65536))
            if not part:
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return received, time.monotonic() - begun


def test_a_head_that_drips_is_refused_in_time(hasty):
    with connected(hasty) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        received, seconds = drip(connection, (b"X-%d: y\r\n" % k for k in range(200)))
    assert received.startswith(b"HTTP/1.1 408")
    assert b'"body_timeout"' in received
    assert 0.5 < seconds < 5


@pytest.mark.parametrize("dripped", [b"\r\n", b"\n"])
def test_lines_that_never_begin_a_request_end(hasty, dripped):
    with connected(hasty) as connection:
        _, seconds = drip(connection, [dripped] * 200)
    assert seconds < 5


def test_a_body_that_drips_is_refused_in_time(hasty):
    with connected(hasty) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode())
        received, seconds = drip(connection, [b" "] * 200)
    assert received.startswith(b"HTTP/1.1 408")
    assert seconds < 5


def test_a_body_that_nobody_wants_does_not_keep_the_connection(hasty):
    with connected(hasty) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        received, seconds = drip(connection, [b" "] * 200)
    assert received.startswith(b"HTTP/1.1 404")
    assert seconds < 6


def test_a_silent_connection_is_closed_after_the_keep_alive_time(hasty):
    with connected(hasty) as connection:
        received, seconds = until_closed(connection)
    assert received == b""
    assert 1 < seconds < 6


def test_an_answered_connection_is_kept_for_the_keep_alive_time(hasty):
    with connected(hasty) as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            received = connection.recv(65536)
            while b'"timing_ms"' not in received:  # the body may come behind its head
                received += connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200")
            time.sleep(0.3)
        connection.sendall(WHOLE)
        received, seconds = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert 1 < seconds < 6


def test_200_silent_connections_are_closed_while_others_are_answered(hasty):
    silent = [connected(hasty) for _ in range(200)]
    for _ in range(20):
        assert httpx.post(f"{hasty}/density", json=POINT).status_code == 200
    for connection in silent:
        assert until_closed(connection)[1] < 6
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live?" + b"x" * 100_000,
        b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET /health/live HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"\r\n" * 100_000,
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /health/live?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["line", "header", "headers", "nothing", "whole header", "whole line"],
)
def test_a_head_that_is_too_large_is_refused(hasty, head):
    with connected(hasty) as connection:
        with suppress(ConnectionError):
            connection.sendall(head)
        received, seconds = until_closed(connection)
    assert seconds < 0.9
    assert received == b"" or received.startswith(b"HTTP/1.1 431")
    if received:
        error = json.loads(received.partition(b"\r\n\r\n")[2])["error"]
        assert error["code"] == "too_large"


@pytest.mark.parametrize(
    "surrounding",
    [
        b"1;" + b"x" * 200_000 + b"\r\n ",
        b"1\r\n \r\n0\r\n" + b"X: y\r\n" * 30_000,
        b"0\r\nX: " + b"y" * 200_000,
    ],
    ids=["extension", "trailers", "trailer"],
)
def test_what_surrounds_chunks_has_a_limit_too(hasty, surrounding):
    with connected(hasty) as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(ConnectionError):
            connection.sendall(surrounding)
        assert until_closed(connection)[1] < 0.9
    assert httpx.post(f"{hasty}/density", json=POINT).status_code == 200


def test_a_body_in_chunks_of_a_byte_is_read(hasty):
    body = ASK + b" " * 30_000
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    answer = raw(hasty, f"{HEAD}Connection: close\r\nTransfer-Encoding: chunked", chunked)
    assert answer.startswith("HTTP/1.1 200")


@pytest.mark.parametrize("sent", ["hello\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n", "\x16\x03\x01\x02\x00\x01"])
def test_what_is_not_http_is_told_so_in_json(hasty, sent):
    with connected(hasty) as connection:
        connection.sendall(sent.encode("latin-1"))
        received, _ = until_closed(connection)
    assert received.startswith(b"HTTP/1.1 400")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_input"


@pytest.mark.parametrize("framing", ["Transfer-Encoding: gzip", "Content-Length: 5\r\nContent-Length: 6"])
def test_an_offer_whose_framing_cannot_be_read_ends_quietly(models_dir, framing, tmp_path):
    both = ("sh", "-c", 'exec "$0" "$@" 2>&1', str(ODESERVE))
    log = tmp_path / "log"
    with log.open("w") as file, serving(both, file, MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4) as server:
        with connected(server.url) as connection:
            connection.sendall(f"{HEAD}Connection: Upgrade\r\nUpgrade: x\r\n{framing}\r\n\r\n".encode())
            received, _ = until_closed(connection)
        assert received == b"" or received.startswith(b"HTTP/1.1 4")
        assert httpx.post(f"{server.url}/density", json=POINT).status_code == 200
    assert "Fatal error" not in log.read_text()
    assert "Traceback" not in log.read_text()


def test_pipelined_requests_are_each_answered_in_order(hasty):
    count = 3000  # several hundred kilobytes, sent before the first answer is read
    paths = ["/health/live", "/models", "/nowhere"]
    with connected(hasty) as connection:
        connection.sendall(
            b"".join(
                f"GET {paths[k % 3]} HTTP/1.1\r\nHost: x\r\nX-Request-ID: n{k}\r\n\r\n".encode() for k in range(count)
            )
            + WHOLE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        )
        received, _ = until_closed(connection)
    answered = [line for line in received.split(b"\r\n") if line.startswith(b"x-request-id: n")]
    assert answered == [b"x-request-id: n%d" % k for k in range(count)]
    assert b'"log_density"' in received


def test_requests_that_are_never_stopped_being_pipelined_do_not_fill_the_memory(models_dir):
    """A client that sends and does not read is paused, then cut off."""
    ask = b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, BODY_SECONDS=1) as server:
        before, sent = resident(server), 0
        with connected(server.url) as connection:
            connection.settimeout(5)
            with suppress(OSError):
                while sent < 200 * 2**20:
                    sent += connection.send(ask * 2000)
            assert sent < 100 * 2**20
            assert resident(server) - before < 30 * 2**20
        assert httpx.post(f"{server.url}/density", json=POINT).status_code == 200


def test_a_client_that_does_not_take_its_answer_is_cut_off(models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=64, BODY_SECONDS=1) as server:
        body = json.dumps({"n": 20_000}).encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(address(server.url))
            connection.sendall(
                f"POST /sample?tol=1e-1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            # The answer is larger than what the system keeps for a client that does not read.
            eventually(lambda: server.metric("requests_total", route="/sample") >= 1, seconds=60)


def resident(server):
    """Bytes of a server's memory."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_with_few_files_the_longest_idle_connections_make_room(models_dir):
    limited = [
        sys.executable,
        "-c",
        "import resource, os, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))\n"
        "os.execv(sys.argv[1], sys.argv[1:])",
        str(ODESERVE),
    ]
    with serving(limited, MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4) as server:
        busy = connected(server.url)
        busy.sendall(f"{HEAD}Content-Length: {len(ASK)}\r\n\r\n".encode())
        silent = [connected(server.url) for _ in range(400)]
        for _ in range(10):
            assert httpx.post(f"{server.url}/density", json=POINT).status_code == 200
        # Whose request had begun was left alone.
        busy.sendall(ASK)
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")
        for connection in (*silent, busy):
            connection.close()


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
@pytest.mark.parametrize("pieces", [1, 2, 40])
def test_a_request_that_offers_another_protocol_is_answered_as_if_it_had_not(hasty, protocol, pieces):
    """Clients of HTTP/2 offer it with their first request; its body and the requests behind it are read as ever."""
    offer = f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n"
    chunked = f"{HEAD}{offer}Transfer-Encoding: chunked\r\n\r\n{len(ASK):x}\r\n".encode() + ASK + b"\r\n0\r\n\r\n"
    whole = f"{HEAD}{offer}Content-Length: {len(ASK)}\r\n\r\n".encode() + ASK
    bare = f"GET /health/live HTTP/1.1\r\nHost: x\r\n{offer}\r\n".encode()
    sent = whole + chunked + bare + WHOLE + bare.replace(b"Upgrade\r\n", b"Upgrade, close\r\n", 1)
    with connected(hasty) as connection:
        for k in range(pieces):
            connection.sendall(sent[k * len(sent) // pieces : (k + 1) * len(sent) // pieces])
            time.sleep(0.01)
        received, _ = until_closed(connection)
    assert received.count(b"HTTP/1.1 200") == 5
    assert received.count(b'"log_density"') == 3


def test_the_command_says_which_files_it_may_open(models_dir):
    """The limit of open files is raised as far as it goes."""
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4) as server:
        limits = subprocess.run(
            ["prlimit", "--nofile", "--output", "SOFT,HARD", "--noheadings", "--pid", str(server.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        if limits.returncode:
            missing("prlimit is missing")
        soft, hard = limits.stdout.split()
        assert soft == hard
