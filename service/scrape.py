"""Metrics on a port of their own, and the file by which Prometheus finds it."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from service.metrics import CONTENT_TYPE

log = logging.getLogger("odeserve")

STALE_SECONDS = 120.0
"""A file that nobody has touched for so long is that of a replica that was killed, or stopped for a while."""
OURS = "odeserve-replica-"
"""How the names of files begin that replicas write; whatever else is in the folder is somebody else's."""
SCRAPE_SECONDS = 10.0
"""From connecting to having been answered; Prometheus itself waits no longer unless told to."""


class MetricsPort:
    """Answers GET /metrics on a free port, from a thread of its own. Whoever has not asked and been answered after
    `seconds` is hung up on."""

    def __init__(self, text: Callable[[], bytes], seconds: float = SCRAPE_SECONDS) -> None:
        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                """Of http.server. A timeout of the socket would begin anew with every byte that drips in."""
                patience = threading.Timer(seconds, _hang_up, (self.connection,))
                patience.daemon = True
                patience.start()
                # Whoever leaves in the middle is no news either.
                with suppress(ConnectionError):
                    super().handle()
                patience.cancel()

            def do_GET(self) -> None:
                """Of http.server."""
                if self.path != "/metrics":
                    self.send_error(404)
                    return
                body = text()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Of http.server; a scrape is no news."""

        # Prometheus is on another machine, and comes by the address in the file.
        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)  # noqa: S104
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """Which it is."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _hang_up(connection: socket.socket) -> None:
    # It may have ended in this moment.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class TargetFile:
    """A file of Prometheus' `file_sd`, in a folder that several replicas, and people, may share.

    Each replica writes its own and touches it as long as it lives; whoever does so removes those of other replicas that
    are stale. One that had only been stopped for a while writes its own again.
    """

    def __init__(self, folder: Path, name: str, host: str) -> None:
        self._path = folder / f"{OURS}{name}.json"
        self._name, self._host = name, f"[{host}]" if ":" in host else host
        self._port: int | None = None

    def write(self, port: int) -> None:
        """Say where the metrics are. Errors: OSError when the folder cannot be written."""
        self._port = port
        self._path.parent.mkdir(parents=True, exist_ok=True)
        listed = [{"targets": [f"{self._host}:{port}"], "labels": {"replica": self._name}}]
        beside = self._path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(listed) + "\n")
        beside.rename(self._path)

    def touch(self) -> None:
        """This one lives; files of replicas that do not are removed."""
        if self._port is None:
            return
        # A folder that cannot be written, or is full, is no reason to replace a replica that answers.
        try:
            try:
                os.utime(self._path)
            except FileNotFoundError:
                self.write(self._port)
            for path in self._path.parent.glob(f"{OURS}*"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > STALE_SECONDS:
                        path.unlink()
        except OSError as error:
            log.warning("%s: %s", self._path.parent, error.strerror or error)

    def remove(self) -> None:
        """It stops."""
        self._port = None
        self._path.unlink(missing_ok=True)
