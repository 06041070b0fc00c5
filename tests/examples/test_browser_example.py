"""The page of examples/browser in a real Chromium: a solve with a tolerance and no server to ask."""

import json
import shutil
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests.browser import Watched, chromium, npm_installed, violations
from training.single_file_export import FileOrder, export_single_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
from draw_digits import STROKES  # noqa: E402

WIDE = {"width": 1120, "height": 900}
PHONE = {"width": 360, "height": 780}
NEAR = 1e-4
"""Of logits, between two builds of ONNX Runtime whose kernels add in other orders."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def file_server(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/browser/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """examples/ as a reader has it after npm install and the export."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "examples" / "digits", folder / "digits")
    shutil.copytree(
        ROOT / "examples" / "browser", folder / "browser", ignore=shutil.ignore_patterns("node_modules", "*.onnx")
    )
    (folder / "browser" / "node_modules").symlink_to(npm_installed(ROOT / "examples" / "browser") / "node_modules")
    for name in ("odenet-mnist", "odenet-fashion", "cnf-two-moons"):
        export_single_file(FileOrder(ROOT / "checkpoints" / name / "1", folder / "browser" / f"{name}.onnx"))
    return folder


@pytest.fixture(scope="module")
def url(folder):
    with file_server(folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser, url, complaining=False, **options):
    """The page. Afterwards: nothing was complained of, and nobody but the file server was asked."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    watched = Watched(context.new_page())
    watched.page.goto(url)
    try:
        yield watched
        origin = url.split("/", 3)[2]
        asked = {address.split("/", 3)[2] for address in watched.asked if not address.startswith(("data:", "blob:"))}
        assert asked == {origin}
        assert complaining or watched.complaints == []
    finally:
        context.close()


def settled(page, tol=None):
    """Once it shows the answer, and the six tolerances below it."""
    wanted = "[data-tol]:not([data-tol=''])" if tol is None else f"[data-tol='{tol}']"
    page.wait_for_selector(f"main[aria-busy=false]{wanted}[data-ladder]", timeout=60_000)


def nfe(page):
    return int(page.inner_text("#nfe"))


def test_the_slider_needs_no_server_once_the_page_is_there(browser, folder):
    with file_server(folder) as url:
        context = browser.new_context(viewport=WIDE)
        watched = Watched(context.new_page())
        page = watched.page
        page.goto(url)
        settled(page, 0.01)
    try:  # from here on there is no server
        asked, costs = list(watched.asked), []
        for key, tol in (("Home", 0.1), ("End", 1e-6), ("ArrowLeft", 1.3e-6)):
            page.focus("#tol")
            page.keyboard.press(key)
            page.wait_for_selector(
                f"main[data-tol='{tol if tol > 1e-5 else np.format_float_positional(tol)}']", timeout=60_000
            )
            assert page.inner_text("#label") == "7"
            costs.append(nfe(page))
        assert costs[0] < costs[2] <= costs[1]
        page.click("#examples button:has-text('4')")
        page.wait_for_function("document.getElementById('label').textContent === '4'", timeout=60_000)
        assert (watched.asked, watched.complaints) == (asked, [])
    finally:
        context.close()


@pytest.fixture(scope="module")
def page(browser, url):
    """One page for the tests that leave it as it was: an open page with a drawn seven."""
    with opened(browser, url) as watched:
        settled(watched.page)
        yield watched.page


def test_the_browser_answers_as_python_does(page, folder):
    """Same label, same evaluations and steps, logits within NEAR: ten digits at six tolerances, each a lane."""
    session = ort.InferenceSession(folder / "browser" / "odenet-mnist.onnx", providers=["CPUExecutionProvider"])
    tols = [10.0**-power for power in range(1, 7)]
    images = [json.loads((ROOT / "examples" / "digits" / f"{digit}.json").read_text())["image"] for digit in range(10)]
    found = page.evaluate(
        """async ([images, tols]) => {
            const { solve } = await import(new URL("model.js", location.href));
            const lanes = [];
            for (const image of images) lanes.push(await solve(Float32Array.from(image.flat()), tols));
            return lanes;
        }""",
        [images, tols],
    )
    differences = []
    for digit, (image, lanes) in enumerate(zip(images, found, strict=True)):
        feed = {
            "image": np.repeat(np.array(image, np.float32)[None], 6, 0),
            "tol": np.array(tols),
            "max_nfe": np.array([0]),
        }
        logits, used, *_, status = session.run(None, feed)
        assert [lane["status"] for lane in lanes] == ["ok"] * 6
        assert (status == 1).all()
        assert [np.argmax(lane["answer"]) for lane in lanes] == logits.argmax(1).tolist() == [digit] * 6
        differences += [lane["nfe"] - int(theirs) for lane, theirs in zip(lanes, used, strict=True)]
        np.testing.assert_allclose([lane["answer"] for lane in lanes], logits, atol=NEAR, rtol=0)
    # A step whose error lies on the tolerance to the last bit may be taken by one and not by the other.
    assert np.count_nonzero(differences) <= 3, differences


def test_the_six_tolerances_cost_more_and_more(page):
    costs = [int(word) for word in page.get_attribute("main", "data-ladder").split()]
    assert costs == sorted(costs)
    assert costs[-1] > 3 * costs[0]
    assert page.locator("#ladder tr").count() == 6
    assert {cell.inner_text() for cell in page.locator("#ladder td:nth-child(2)").all()} == {"7"}


def test_without_its_runtime_or_its_digits_the_page_says_so_or_goes_on(browser, folder, tmp_path):
    shutil.copytree(folder / "browser", tmp_path / "browser", symlinks=True)
    with file_server(tmp_path) as url, opened(browser, url, complaining=True) as watched:
        page = watched.page
        page.wait_for_selector("main[aria-busy=false]", timeout=60_000)
        page.click("#examples button:has-text('3')")
        page.wait_for_function("document.querySelectorAll('#examples button').length === 8")  # nor is there a seven
        box = page.locator("#pad").bounding_box()
        page.mouse.click(box["x"] + 50, box["y"] + 50)
        settled(page)
    (tmp_path / "browser" / "node_modules").unlink()
    with file_server(tmp_path) as url, opened(browser, url, complaining=True) as watched:
        watched.page.wait_for_selector("#notice:not([hidden])", timeout=60_000)
        assert "run npm install" in watched.page.inner_text("#notice")


def test_it_fits_and_can_be_read_by_everyone(page):
    for viewport in (PHONE, WIDE):
        page.set_viewport_size(viewport)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert violations(page) == []


def test_a_digit_drawn_by_mouse_is_read(page):
    page.click("#clear")
    page.wait_for_selector("main[data-tol='']")
    box = page.locator("#pad").bounding_box()
    for points in STROKES[3]:
        places = [(box["x"] + x / 28 * box["width"], box["y"] + y / 28 * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
    settled(page)
    assert page.inner_text("#label") == "3"
    assert float(page.inner_text("#bars .best > span:last-child").split()[0]) > 80


def test_another_classifier_is_shown_with_its_own_labels(browser, url):
    with opened(browser, f"{url}?model=odenet-fashion.onnx") as watched:
        settled(watched.page)
        assert watched.page.inner_text("#bars li:first-child span:first-child") == "T-shirt/top"
        assert "odenet-fashion" in watched.page.inner_text("#about")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nothing.onnx", "nothing.onnx: 404"),
        ("cnf-two-moons.onnx", "this page draws for classifiers"),
        ("../digits/7.json", "is no file of odetrain export --single-file"),
    ],
)
def test_what_is_no_classifier_is_said(browser, url, model, words):
    with opened(browser, f"{url}?model={model}", complaining=True) as watched:
        watched.page.wait_for_selector("#notice:not([hidden])", timeout=60_000)
        assert words in watched.page.inner_text("#notice")
