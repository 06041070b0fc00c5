"""The files of the page at /: what they weigh, how they are cached, what they may do, and that their types hold."""

import re
import shutil
import subprocess

import pytest
from browser import missing, npm_tools

from service.api.page_files import media_type_of
from service.api.playground_page import FOLDER, NAMES, PAGE

MOST_BYTES = 300_000
OURS = [name for name in NAMES if not name.startswith("uplot/")]


def test_the_whole_page_weighs_less_than_300_kb_even_unpacked(client):
    plain = packed = 0
    for name in NAMES:
        content = client.get(f"/playground/{name}", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in content.headers
        plain += len(content.content)
        with client.stream("GET", f"/playground/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            packed += sum(len(part) for part in answer.iter_raw())
    assert packed < plain < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_its_type_and_is_sent_once(client, name):
    answer = client.get(f"/playground/{name}")
    assert answer.text == FOLDER.joinpath(*name.split("/")).read_text()
    assert answer.headers["Content-Type"].startswith(media_type_of(name))
    assert answer.headers["Cache-Control"] == "no-cache"
    again = client.get(f"/playground/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/playground/{name}", headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "..%2Fkeys.py", "../keys.py", "uplot/..%2F..%2Fkeys.py", "uplot", "uplot/README.md"]
)
def test_there_are_no_other_files(client, name):
    answer = client.get(f"/playground/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_page_may_do_nothing_but_run_its_own_files_and_ask_this_server(client):
    answer = client.get("/", follow_redirects=False)
    assert answer.status_code == 200
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_every_module_is_asked_for_at_once(client):
    page = client.get("/").text
    modules = {name for name in OURS if name.endswith(".js")}
    assert set(re.findall(r'"playground/([a-z-]+\.js)"', page)) == modules
    imported = {
        found for name in modules for found in re.findall(r'from "\./([a-z-]+\.js)"', (FOLDER / name).read_text())
    }
    assert imported | {"main.js"} == modules


def test_the_page_names_no_other_host_and_writes_no_markup():
    for name in OURS:
        text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[a-z]", text) == [], name
        assert "innerHTML" not in text
    assert re.findall(r"\s(?:style|on\w+)=", (FOLDER / PAGE).read_text()) == []


def test_no_module_knows_a_shipped_model():
    for name in OURS:
        assert not re.search(r"odenet|mnist|cnf-|moons|pinwheel", (FOLDER / name).read_text(), re.IGNORECASE), name


def test_the_plotting_library_is_the_published_one_with_its_licence():
    published = npm_tools() / "node_modules" / "uplot"
    for name, source in (("uPlot.iife.min.js", "dist"), ("uPlot.min.css", "dist"), ("LICENSE", "")):
        assert (FOLDER / "uplot" / name).read_bytes() == (published / source / name).read_bytes()


def compiled(folder, *options):
    node = shutil.which("node") or shutil.which("nodejs") or missing("node is missing")
    command = (node, "node_modules/typescript/bin/tsc", *options)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout


def test_the_modules_types_hold():
    assert compiled(npm_tools(), "--project", "tsconfig.json") == ""
