"""The built site: whole, about the code as it is, and needing nobody but itself."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser

import pytest
from browser import chromium
from doc_pages import DOCS, ROOT
from needed import missing

from node_model.manifest import Manifest
from node_model.solvers.tableaus import ADAPTIVE, FIXED_STEP
from service.api.errors import TABLE
from service.app import create_app
from service.metrics import Metrics
from service.settings import Settings

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What `make docs` makes."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """What a page loads, and the words on it."""

    def __init__(self):
        super().__init__()
        self.addresses = []
        self.words = []
        self._code = False

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self._code = tag in ("script", "style")
        if tag in LOADED and given.get(LOADED[tag]) and given.get("rel") not in ("prev", "next", "canonical"):
            self.addresses.append(given[LOADED[tag]])

    def handle_endtag(self, tag):
        self._code = False

    def handle_data(self, data):
        if not self._code:
            self.words.append(data)


def read(page):
    parser = Loads()
    parser.feed(page.read_text())
    return parser


def text_of(site, page):
    return " ".join("".join(read(site / page / "index.html").words).split())


def test_no_page_loads_anything_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        for address in read(page).addresses:
            assert not re.match(r"(?:[a-z]+:)?//", address), f"{page.relative_to(site)} loads {address}"
    for sheet in site.rglob("*.css"):
        outside = re.findall(r"(?:url\(|@import\s*)[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text())
        assert outside == [], sheet


def test_code_and_what_it_made_stay_apart(site):
    assert not list(site.rglob("*.py"))
    assert sorted(path.name for path in (DOCS / "reference").iterdir()) == [
        "artifacts.md",
        "gradients.md",
        "index.md",
        "models.md",
        "solvers.md",
    ]


def test_every_route_parameter_and_schema_is_there(site):
    document = create_app(Settings()).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            text = text_of(site, f"reference/http-{operation['tags'][0].replace(' ', '-')}")
            assert f"{method.upper()} {path}" in text
            for parameter in operation.get("parameters", ()):
                assert parameter["name"] in text
                assert " ".join(parameter.get("description", "").replace("`", "").split()[:4]) in text
    schemas = text_of(site, "reference/http-schemas")
    for name, schema in document["components"]["schemas"].items():
        assert name in schemas
        assert all(field in schemas for field in schema.get("properties", ()))


def test_every_setting_error_metric_and_manifest_field_is_there(site):
    settings = text_of(site, "reference/settings")
    for name, field in Settings.model_fields.items():
        assert f"ODESERVE_{name.upper()}" in settings
        assert field.description in settings
    errors = text_of(site, "reference/errors")
    for code, (status, meaning) in TABLE.items():
        assert f"{code.value} {status} {meaning.replace('`', '')}" in errors
    metrics = text_of(site, "reference/metrics")
    created = Metrics("onnx", 5)
    for family in created._registry.collect():
        assert family.name in metrics
        assert family.documentation in metrics
    manifest = text_of(site, "reference/manifest")
    schema = Manifest.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        assert all(field in manifest for field in part["properties"])


def test_public_docstrings_are_there_with_their_named_lines(site):
    solvers = text_of(site, "reference/solvers")
    assert "Solve y' = field(t, y, args) from t0 over the stops" in solvers
    assert re.search(r"Shapes: y0 \[lane, dim\]; stops \[stop\] shared by all lanes", solvers)
    assert "Try one step on each running lane" in solvers
    gradients = text_of(site, "reference/gradients")
    for words in ("As odeint, with gradients from a second solve", "adjoint_params", "Source: Chen et al. 2018"):
        assert words in gradients
    assert "export_program" in text_of(site, "reference/artifacts")


def test_the_table_of_methods_is_that_of_the_tableaus():
    rows = re.findall(
        r"^\| (`.*?) \| (.*?) \| (\w+) \| (.*?) \|", (DOCS / "reference" / "solvers.md").read_text(), re.M
    )
    found = {}
    for names, orders, steps, costs in rows:
        each = [part.strip() for part in names.split(",")]
        for name, order, cost in zip(each, orders.split(","), costs.split(","), strict=True):
            found[name.strip("`")] = (int(re.match(r"\s*(\d+)", order)[1]), steps, int(cost))
    wanted = {name: (t.order, "adaptive", t.nfe_attempt) for name, t in ADAPTIVE.items()}
    wanted |= {name: (t.order, "fixed", t.nfe_attempt) for name, t in FIXED_STEP.items()}
    assert found == wanted


def test_figures_are_those_that_were_recorded(site):
    recorded = json.loads((DOCS / "benchmarks" / "serving.json").read_text())
    for page in (".", "comparison"):
        text = text_of(site, page)
        for name, figures in recorded["results"].items():
            assert f"{name} {figures['per_second']:.0f} {figures['p50']:.0f} ms" in text
    table = text_of(site, "calibration")
    manifest = json.loads((ROOT / "checkpoints" / "odenet-mnist" / "1" / "manifest.json").read_text())
    rows = manifest["programs"]["classify"]["calibration"]["rows"]
    tightest = next(row for row in rows if (row["method"], row["tol"]) == ("dopri5", 1e-6))
    assert f"1e-6 dopri5 {tightest['nfe_mean']:.3g} {tightest['nfe_p99']:.3g}" in table


def test_expressions_for_prometheus_are_ones(site, tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool is missing (Debian: prometheus)")
    section = (DOCS / "operations.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    expressions = re.findall(r"^\| .*? \| `(.*)` \|$", section, re.MULTILINE)
    assert len(expressions) > 4
    rules = [{"record": f"asked:{index}", "expr": expression} for index, expression in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def served(site):
    """URL of the site."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, served):
    """A page, what it asked for, and what it complained of."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    yield page, asked, complaints
    page.close()


def test_search_finds_what_is_looked_for_and_nobody_else_is_asked(opened, served):
    page, asked, complaints = opened
    page.goto(served)
    page.click(".md-search__input")
    for looked_for, wanted in (
        ("queue_full", "Error codes"),
        ("odeint_adjoint", "Gradients"),
        ("MAX_BODY_MB", "Settings"),
    ):
        page.fill(".md-search__input", "")
        page.locator(".md-search__input").press_sequentially(looked_for)
        page.wait_for_selector(f".md-search-result__item:has-text({wanted!r})", timeout=30_000)
    assert complaints == []
    assert {url.split("/", 3)[2] for url in asked if not url.startswith("data:")} == {served.removeprefix("http://")}


@pytest.mark.parametrize("page_name", ["", "start/", "tolerance/", "reference/http-solve/", "benchmarks/known-cost/"])
def test_pages_fit_a_phone(opened, served, page_name):
    page, _, complaints = opened
    page.set_viewport_size({"width": 375, "height": 700})
    page.goto(f"{served}/{page_name}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert complaints == []


def test_the_dark_scheme_is_taken_from_the_system_and_can_be_changed(browser, served):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(served)
    assert page.get_attribute("body", "data-md-color-scheme") == "slate"
    page.click("form[data-md-component=palette] label:not([hidden])")
    assert page.get_attribute("body", "data-md-color-scheme") == "default"
    context.close()
