"""The page at /docs in a real browser: it shows the API and asks nobody but this server."""

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from apps import serving
from artifacts import CLOUD
from browser import chromium
from needed import missing

from service.api.docs_page import FOLDER, NAMES
from service.api.page_files import media_type_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page_server(models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, API_KEYS="open-sesame") as server:
        yield server.url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def opened(browser, url):
    """A page, what it asked for, and what it complained of."""
    page = browser.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(url)
    page.wait_for_selector("#operations-solve-classify", timeout=60_000)
    return page, asked, complaints


def test_the_page_shows_the_api_without_errors_and_asks_nobody_else(browser, page_server):
    page, asked, complaints = opened(browser, f"{page_server}/docs")
    text = page.inner_text("#api")
    assert "/classify" in text
    assert "/models/{name}/tradeoff" in text
    assert complaints == []
    assert {url.split("/", 3)[2] for url in asked if not url.startswith("data:")} == {
        page_server.removeprefix("http://")
    }
    page.close()


def test_a_request_can_be_tried_with_a_key(browser, page_server):
    page, _, complaints = opened(browser, f"{page_server}/docs")
    page.click("button.authorize")
    page.fill("#auth-bearer-value", "open-sesame")
    page.click(".auth-container:has(#auth-bearer-value) button[type=submit]")
    page.click(".btn-done")
    page.click("#operations-models-list_models .opblock-summary-control")
    page.click("#operations-models-list_models .try-out__btn")
    page.click("#operations-models-list_models .execute")
    page.wait_for_selector("#operations-models-list_models .live-responses-table", timeout=60_000)
    assert CLOUD in page.inner_text("#operations-models-list_models .live-responses-table")
    assert complaints == []
    page.close()


def test_the_page_works_under_a_prefix(browser, models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, ROOT_PATH="/ode") as server:
        page, asked, complaints = opened(browser, f"{server.url}/ode/docs")
        assert complaints == []
        assert all(url.startswith((f"{server.url}/ode", "data:")) for url in asked)
        page.click("#operations-models-list_models .opblock-summary-control")
        page.click("#operations-models-list_models .try-out__btn")
        page.click("#operations-models-list_models .execute")
        page.wait_for_selector("#operations-models-list_models .live-responses-table", timeout=60_000)
        assert f"{server.url}/ode/models" in asked
        page.close()


def test_what_the_page_weighs(client):
    total = 0
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "favicon.svg"):
        with client.stream("GET", f"/docs/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Type"].startswith(media_type_of(name))
            assert answer.headers["Content-Encoding"] == "gzip"
            total += sum(len(part) for part in answer.iter_raw())
    assert total < 600_000
    plain = client.get("/docs/docs.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


def test_files_of_the_page_are_there_with_their_licence_and_no_others(client):
    for name in NAMES:
        assert client.get(f"/docs/{name}").content == (FOLDER / name).read_bytes()
    for name in ("docs.html", "README.md", "..%2Fkeys.py", "nothing"):
        answer = client.get(f"/docs/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert client.get("/favicon.ico").headers["Content-Type"].startswith("image/svg")
    assert "Apache License" in client.get("/docs/LICENSE").text


def test_the_page_names_no_other_host():
    for name in ("docs.html", "docs.js"):
        assert re.findall(r"(?:https?:)?//[a-z]", (FOLDER / name).read_text()) == []


def test_a_wheel_has_the_page(tmp_path):
    """As setuptools puts it together, without asking anybody for build tools."""
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1], {}))"
    copy = tmp_path / "source"
    shutil.copytree(ROOT / "service", copy / "service", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    if importlib.util.find_spec("setuptools") is None:
        missing("setuptools is missing")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        cwd=copy,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (*NAMES, "docs.html"):
        assert f"service/api/swagger_ui/{name}" in names


def test_the_page_may_load_nothing_from_elsewhere(page_server):
    policy = httpx.get(f"{page_server}/docs").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
