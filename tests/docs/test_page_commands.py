"""The commands in the pages, run as they stand against a real server.

Only addresses are changed, so that tests can run side by side.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from doc_pages import PAGES, ROOT, blocks
from needed import missing

from tests.browser import npm_installed

RUNNABLE = [page for page in PAGES if blocks(page)]
EVENTUALLY = "eventually "
"""In front of the words of a command that may be asked again until it says them."""
SERVER, PROMETHEUS = "127.0.0.1:8000", "127.0.0.1:9090"
# The pages speak of these two; widths are given, so that starts need not measure them.
QUICK_START = {"ODESERVE_MODELS": "odenet-mnist,cnf-two-moons", "ODESERVE_LANES": "8", "ODESERVE_LOG_LEVEL": "warning"}


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def needs(page):
    """Skip where a program is missing that a page tells to install; in continuous integration that fails."""
    text = "\n".join(block.text for block in blocks(page))
    used = [name for name in ("curl", "openssl", "prometheus") if re.search(rf"^{name} ", text, re.MULTILINE)]
    for program in (*used, *(["node"] if in_javascript(page) else [])):
        if shutil.which(program) is None:
            missing(f"{program} is missing")


def in_javascript(page):
    return any(block.language == "js" for block in blocks(page))


class Place:
    """A folder that looks like a clone with its environment, and the addresses that are used in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        for name in ("checkpoints", "examples"):
            (folder / name).symlink_to(ROOT / name)
        self.addresses = {SERVER: free_address(), PROMETHEUS: free_address()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ODESERVE_")}
        self.environment = kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "COLUMNS": "120"}

    def addressed(self, text):
        for written, used in self.addresses.items():
            text = text.replace(written, used)
        return text

    def run(self, block):
        text = self.addressed(block.text)
        programs = {"python": [sys.executable, "-c"], "js": ["node", "--input-type=module", "--eval"]}
        command = [*programs[block.language], text] if block.language in programs else bash(text)
        # What others bring about, a scrape for instance, may come later on a busy machine.
        expected, until = block.words.removeprefix(EVENTUALLY), time.monotonic() + 60
        wanted = list(filter(None, expected.split(" and ")))
        environment = self.environment | {"ODECLIENT_URL": f"http://{self.addresses[SERVER]}"}
        while True:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            missing = [words for words in wanted if words not in done.stdout]
            if not missing or expected == block.words or time.monotonic() > until:
                break
            time.sleep(1)
        assert not missing, f"{text}\nexpected {missing}\n{done.stdout}\n{done.stderr}"

    @contextmanager
    def serving(self, text=""):
        """A server with the settings that stand in front of a command, at an address of its own."""
        self.addresses[SERVER] = free_address()
        given = dict(re.findall(r"(ODESERVE_\w+)=(\S+)", text))
        # A folder that a page has filled itself is served whole.
        settings = QUICK_START | ({"ODESERVE_MODELS": "*"} if "ODESERVE_MODELS_DIR" in given else {}) | given
        port = self.addresses[SERVER].rpartition(":")[2]
        command = [Path(sys.executable).with_name("odeserve"), "serve", "--port", port]
        with self._process(command, self.environment | settings) as process:
            told = process.stdout.readline()  # it is said once the models are there
            assert self.addresses[SERVER] in told, told
            yield

    @contextmanager
    def in_background(self, text, ready):
        with self._process(bash(f"exec {self.addressed(text)}"), self.environment):
            until = time.monotonic() + 60
            while subprocess.run(["curl", "-sf", self.addressed(ready)], capture_output=True, check=False).returncode:
                assert time.monotonic() < until, f"{ready} does not answer"
                time.sleep(0.2)
            yield

    @contextmanager
    def _process(self, command, environment):
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def bash(text):
    return ["bash", "-euo", "pipefail", "-c", text]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_commands_do_what_their_page_says(page, tmp_path):
    needs(page)
    place = Place(tmp_path)
    if in_javascript(page):
        (tmp_path / "node_modules").symlink_to(npm_installed(ROOT / "examples" / "browser") / "node_modules")
    asked = False
    with ExitStack() as background, ExitStack() as server:
        for block in blocks(page):
            if block.kind == "serve" or (SERVER in block.text and not asked):
                asked = True
                server.close()
                server.enter_context(place.serving(block.text if block.kind == "serve" else ""))
            if block.kind == "background":
                background.enter_context(place.in_background(block.text, block.words))
            elif block.kind == "run":
                place.run(block)


def test_pages_that_a_newcomer_follows_are_run():
    assert {"start", "inputs", "answers", "access", "protocol-v2", "operations", "own-model", "single-file"} <= {
        page.stem for page in RUNNABLE
    }
