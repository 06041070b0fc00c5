"""The page at / in a real browser, asking a real server: people draw, turn the knob, and see what comes of it."""

import base64
import io
import json
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from apps import ODESERVE, environment, eventually, serving
from artifacts import CLOUD, DIGITS, RAW, SPRING
from browser import Watched, chromium, violations
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
from draw_digits import STROKES  # noqa: E402

SHIPPED = ("odenet-mnist", "odenet-fashion", "cnf-two-moons", "cnf-pinwheel", "cnf-checkerboard", "cnf-protein")
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}
NOTHING = "\u2013"
"""Where no answer is."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shipped():
    """A server with the shipped models."""
    with serving(MODELS_DIR=ROOT / "checkpoints", LOG_LEVEL="warning") as server:
        yield server.url


@pytest.fixture(scope="module")
def others(models_dir):
    """A server with models that the page has never heard of, behind a prefix and with a key."""
    with serving(
        MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, ROOT_PATH="/ode", API_KEYS="open-sesame"
    ) as server:
        yield f"{server.url}/ode/"


@contextmanager
def opened(browser, url, complaining=False, script="", **options):
    """The page at an address. Afterwards: nothing was complained of, and nobody else was asked."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    context.add_init_script(script)
    watched = Watched(context.new_page())
    watched.page.goto(url)
    try:
        yield watched.page
        origin = url.split("/", 3)[2]
        assert {address.split("/", 3)[2] for address in watched.asked if not address.startswith("data:")} == {origin}
        assert complaining or watched.complaints == []
    finally:
        context.close()


def settled(page, letter="A", tol=None):
    """A side's article, once it shows an answer, if need be at a certain tolerance."""
    wanted = f".side.of-{letter}[data-tol{'' if tol is None else f'={json.dumps(tol)}'}]"
    return page.wait_for_selector(wanted, timeout=20_000)


def figure(page, name, letter="A"):
    return page.inner_text(f".side.of-{letter} [data-figure={name}]")


def number(page, name, letter="A"):
    return float(figure(page, name, letter).replace(",", "").split()[0])


def label(page, letter="A"):
    return page.inner_text(f".side.of-{letter} .label")


def becomes(page, expression, wanted=True):
    """Waits until it does. A function, which is read once: the page's policy forbids reading text as code later on."""
    page.wait_for_function(f"wanted => ({expression}) === wanted", arg=wanted, timeout=20_000)


def label_becomes(page, wanted, letter="A"):
    becomes(page, f"document.querySelector('.side.of-{letter} .label').textContent", wanted)


def stroke(page, points, size=28):
    """By mouse, on the drawing area."""
    box = page.locator("canvas.pad").bounding_box()
    places = [(box["x"] + x / size * box["width"], box["y"] + y / size * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


# A classifier


@pytest.mark.parametrize("digit", [3, 4])
def test_a_digit_drawn_by_mouse_gets_its_label_at_both_tolerances(browser, shipped, digit):
    with opened(browser, shipped) as page:
        settled(page)
        page.click("text=Clear")
        label_becomes(page, NOTHING)
        for points in STROKES[digit]:
            stroke(page, points)
        label_becomes(page, str(digit), "A")
        label_becomes(page, str(digit), "B")
        assert float(page.inner_text(".side.of-A .best .bar-value").strip("> %")) > 90


def test_the_slider_moves_by_keyboard_and_tighter_costs_more(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page, tol="1e-1")
        loose = number(page, "nfe")
        page.focus(".side.of-A .tol-slider")
        page.keyboard.press("End")
        settled(page, tol="1e-6")
        assert number(page, "nfe") > 2 * loose
        assert page.inner_text(".side.of-A .tol-value") == "10⁻⁶"
        page.keyboard.press("ArrowLeft")
        settled(page, tol="1.3e-6")
        page.keyboard.press("Home")
        settled(page, tol="1e-1")
        assert number(page, "nfe") == loose
        becomes(page, "document.querySelector('.curl code').textContent.includes('tol=1e-1')")
        becomes(page, "location.hash.includes('a=1e-1')")


def test_both_sides_show_their_steps_and_how_they_differ(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page, "A"), settled(page, "B")
        for letter in "AB":
            accepted, rejected = map(int, re.findall(r"\d+", figure(page, "steps", letter)))
            becomes(page, f"document.querySelectorAll('.strip.of-{letter} .accepted').length", accepted)
            assert page.locator(f".strip.of-{letter} .rejected").count() == rejected
            assert f"{accepted} accepted, {rejected} rejected" in page.get_attribute(
                f".strip.of-{letter}", "aria-label"
            )
        assert float(page.inner_text(".difference [data-figure=nfe]").strip("\u00d7 ")) == pytest.approx(
            number(page, "nfe", "B") / number(page, "nfe", "A"), rel=0.01
        )
        page.click("text=compare two tolerances")
        assert not page.is_visible(".side.of-B")
        assert not page.is_visible(".strip.of-B")
        becomes(page, "location.hash.includes('compare=no')")


def test_auto_finds_a_tolerance_and_says_which(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page)
        page.click("[aria-label='Example: 7']")
        label_becomes(page, "7", "B")
        page.click(".side.of-B .switch >> text=auto")
        settled(page, "B", "1e-1")
        assert page.is_disabled(".side.of-B .tol-slider")
        assert page.inner_text(".side.of-B .badge") == "stable"
        assert page.inner_text(".side.of-B .verdict .note").startswith("tried 10⁻¹")
        becomes(page, "document.querySelector('.side.of-B .tol-value').textContent", "10⁻¹")


def test_a_method_can_be_chosen_and_a_mark_of_the_curve_turns_the_knob(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page)
        page.select_option(".side.of-A .method", "tsit5")
        becomes(page, "document.querySelector('.curl code').textContent.includes('method=tsit5')")
        page.locator(".tradeoff .u-over").scroll_into_view_if_needed()
        marks = page.locator(".tradeoff .u-over").bounding_box()
        # The leftmost and loosest of all: bosh3 at 1e-1, four evaluations.
        found = page.evaluate(
            """() => {
                const over = document.querySelector('.tradeoff .u-over').getBoundingClientRect();
                const chart = document.querySelector('.tradeoff .chart');
                for (let y = 0; y < over.height; y += 6) for (let x = 0; x < over.width; x += 6) {
                    chart.dispatchEvent(new PointerEvent('pointermove', {clientX: over.x + x, clientY: over.y + y}));
                    const told = document.querySelector('.tradeoff .note').textContent;
                    if (told.startsWith('bosh3') && told.includes(', tol 10⁻²')) return [x, y];
                }
            }"""
        )
        page.mouse.click(marks["x"] + found[0], marks["y"] + found[1])
        settled(page, tol="1e-2")
        assert page.input_value(".side.of-A .method") == "bosh3"


def test_drawing_works_by_keyboard(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page)
        page.focus("canvas.pad")
        page.keyboard.press("Delete")
        label_becomes(page, NOTHING)
        for key in ["ArrowUp"] * 8 + ["Space"] + ["ArrowDown"] * 16 + ["Space"]:
            page.keyboard.press(key)
        label_becomes(page, "1")


def test_a_mouse_that_merely_passes_draws_nothing_while_the_keyboards_pen_is_down(browser, shipped):
    with opened(browser, f"{shipped}/#b=1e-3") as page:
        settled(page)
        image = "document.querySelector('canvas.pad').toDataURL()"
        page.focus("canvas.pad")
        for key in ["Delete", "Space", "ArrowDown"]:
            page.keyboard.press(key)
        before = page.evaluate(image)
        box = page.locator("canvas.pad").bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.move(box["x"] + 200, box["y"] + 60, steps=5)
        assert page.evaluate(image) == before
        page.keyboard.press("ArrowDown")
        assert page.evaluate(image) != before


@pytest.mark.parametrize("model", ["odenet-mnist", "odenet-fashion"])
def test_every_example_chosen_by_keyboard_gets_its_label(browser, shipped, model):
    with opened(browser, f"{shipped}/#model={model}&b=1e-3") as page:
        settled(page)
        labels = httpx.get(f"{shipped}/models/{model}").json()["labels"]
        examples = page.locator(".examples button")
        names = [examples.nth(index).get_attribute("title") for index in range(examples.count())]
        assert len(names) >= 8
        for index, name in enumerate(names):
            if name not in labels:
                continue
            examples.nth(index).focus()
            page.keyboard.press("Enter")
            label_becomes(page, name, "A")
            label_becomes(page, name, "B")


def test_a_picture_can_be_chosen_and_pasted_and_what_is_none_is_told(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page)
        page.set_input_files("input[type=file]", ROOT / "examples" / "pictures" / "4.jpg")
        label_becomes(page, "4")
        page.set_input_files("input[type=file]", ROOT / "README.md")
        page.wait_for_selector(".pad-box .error:visible")
        seven = list((ROOT / "examples" / "pictures" / "7.png").read_bytes())
        page.evaluate(
            """bytes => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], '7.png', {type: 'image/png'}));
                document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
            }""",
            seven,
        )
        label_becomes(page, "7")
        assert not page.is_visible(".pad-box .error")


KEPT = """
window.sent = [];
const real = window.fetch;
window.fetch = (address, options) => {
    if (String(address).includes('classify')) window.sent.push(JSON.parse(options.body).image);
    return real(address, options);
};"""


def photo(size, digit=4, paper=(186, 178, 160)):
    """Of a digit in pencil on tinted paper."""
    picture = Image.new("RGB", size, paper)
    scale = 0.8 * min(size) / 28
    left, top = ((side - 28 * scale) / 2 for side in size)
    for points in STROKES[digit]:
        line = [(left + x * scale, top + y * scale) for x, y in points]
        ImageDraw.Draw(picture).line(line, fill=(70, 66, 80), width=round(2.2 * scale), joint="curve")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.parametrize("size", [(900, 1200), (1200, 675)])
def test_a_photo_of_tinted_paper_is_read_as_the_api_reads_it(browser, shipped, size):
    content = photo(size)
    image = {"b64": base64.b64encode(content).decode()}
    answer = httpx.post(f"{shipped}/classify", params={"tol": 1e-3}, json={"image": image})
    read = answer.json()["predictions"][0]["label"]
    assert read == "4"
    with opened(browser, f"{shipped}/#a=1e-3&compare=no", script=KEPT) as page:
        settled(page)
        page.click("[aria-label='Example: 7']")
        label_becomes(page, "7")
        page.set_input_files("input[type=file]", {"name": "4.jpg", "mimeType": "image/jpeg", "buffer": content})
        label_becomes(page, read)
        sent = base64.b64decode(page.evaluate("window.sent.at(-1).b64"))
        width, height = Image.open(io.BytesIO(sent)).size
        assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
        # Drawn over, the picture stands in a square: what is beside it looks as the paper does.
        stroke(page, [(13.9, 13), (14, 14)])
        becomes(page, "window.sent.length > 2")
        page.wait_for_timeout(300)
        label_becomes(page, read)
        square = Image.open(io.BytesIO(base64.b64decode(page.evaluate("window.sent.at(-1).b64"))))
        assert square.width == square.height
        assert square.getpixel((2, 2)) == pytest.approx((186, 178, 160), abs=6)


COUNTED = """
window.asked = window.now = window.most = 0;
const real = window.fetch;
window.fetch = async (address, options) => {
    const counts = /classify|trajectory/.test(address);
    if (counts) { window.asked += 1; window.now += 1; window.most = Math.max(window.most, window.now); }
    try { return await real(address, options); } finally { if (counts) window.now -= 1; }
};"""


def test_dragging_makes_no_flood_and_ends_at_the_last_value(browser, shipped):
    with opened(browser, f"{shipped}/#compare=no", script=COUNTED) as page:
        settled(page)
        slider = page.locator(".side.of-A .tol-slider").bounding_box()
        page.mouse.move(slider["x"] + 8, slider["y"] + slider["height"] / 2)
        page.mouse.down()
        page.mouse.move(slider["x"] + slider["width"] - 8, slider["y"] + slider["height"] / 2, steps=100)
        page.mouse.up()
        settled(page, tol="1e-6")
        becomes(page, "document.querySelectorAll('.strip.of-A .accepted').length > 10")
        assert page.evaluate("window.asked") >= 4
        assert page.evaluate("window.most") == 1


def test_the_shell_line_does_the_same(browser, shipped):
    with opened(browser, shipped, permissions=["clipboard-read", "clipboard-write"]) as page:
        settled(page)
        page.click(".curl button")
        page.wait_for_selector("text=Copied")
        line = page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run(
            ["bash", "-c", f"{line.replace('curl', 'curl -s', 1)}"], capture_output=True, check=True, timeout=30
        )
        prediction = json.loads(done.stdout)["predictions"][0]
        assert prediction["label"] == label(page)
        assert prediction["solver"]["nfe"] == number(page, "nfe")


# A density

PIXELS = """selector => {
    const canvas = document.querySelector(selector);
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4) seen.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
    return seen.size;
}"""


def test_a_density_is_a_map_at_two_tolerances_with_samples_and_a_difference(browser, shipped):
    with opened(browser, f"{shipped}/#model=cnf-pinwheel") as page:
        settled(page, "A", "1e-1")
        settled(page, "B", "1e-5")
        for letter in "AB":
            becomes(page, f"document.querySelector('.side.of-{letter} [data-figure=points]').textContent", "5,184")
            assert page.evaluate(PIXELS, f".side.of-{letter} canvas.plane") > 100
        assert page.evaluate(PIXELS, ".apart canvas.plane") > 100
        assert number(page, "nfe", "B") > 2 * number(page, "nfe", "A")
        assert float(page.inner_text(".apart [data-figure=largest]").split()[0]) > 0.01
        image = "document.querySelector('.side.of-A canvas.plane').toDataURL()"
        page.wait_for_selector(".strip.of-B .accepted")
        before = page.evaluate(image)
        page.click(".answers-head >> text=samples")
        assert page.evaluate(image) != before
        page.click(".answers-head >> text=samples")
        page.click("text=New seed")
        page.wait_for_function(f"before => {image} !== before", arg=before, timeout=20_000)
        assert page.inner_text(".seed") != "seed 7"


def test_the_flow_plays_pauses_and_can_be_scrubbed(browser, shipped):
    with opened(browser, f"{shipped}/#model=cnf-two-moons&b=1e-3") as page:
        page.wait_for_selector(".strip.of-A .accepted")
        time = "Number(document.querySelector('.flow-t').textContent.split('= ')[1])"
        becomes(page, f"{time} > 0.1")
        page.click(".flow .play")
        paused = page.evaluate(time)
        page.wait_for_timeout(100)
        assert page.evaluate(time) == paused
        image = "document.querySelector('.flow canvas').toDataURL()"
        page.focus(".flow input[type=range]")
        page.keyboard.press("Home")
        begun = page.evaluate(image)
        page.keyboard.press("End")
        assert page.evaluate(time) == 1
        assert page.evaluate(image) != begun
        page.click(".flow .play")
        becomes(page, f"{time} < 0.9")


def test_nothing_moves_by_itself_for_those_who_want_it_so(browser, shipped):
    with opened(browser, f"{shipped}/#model=cnf-two-moons&b=1e-3", reduced_motion="reduce") as page:
        page.wait_for_selector(".strip.of-A .accepted")
        assert page.inner_text(".flow .play") == "Play"
        assert page.inner_text(".flow-t") == "t = 1.00"


def test_a_density_of_many_dimensions_shows_its_samples(browser, shipped):
    with opened(browser, f"{shipped}/#model=cnf-protein&b=1e-3") as page:
        settled(page, "A"), settled(page, "B")
        assert "8 dimensions" in page.inner_text(".axes-choice")
        image = "document.querySelector('.side.of-A canvas.plane').toDataURL()"
        before = page.evaluate(image)
        assert page.evaluate(PIXELS, ".side.of-A canvas.plane") > 100
        page.select_option(".axes-choice select >> nth=1", "4")
        assert page.evaluate(image) != before
        page.wait_for_selector(".flow canvas")


# Any model, any server


def test_a_key_is_asked_for_under_a_prefix_and_kept_for_the_tab_alone(browser, others):
    with opened(browser, f"{others}#model={DIGITS}", complaining=True) as page:
        page.wait_for_selector("#key-form:visible")
        assert "401" in page.inner_text("#key-why")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        becomes(page, "document.querySelector('#key-why').textContent.includes('does not know')")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("canvas.pad")
        stroke(page, [(8, 6), (20, 6), (12, 23)])
        settled(page)
        becomes(page, "document.querySelector('.curl code').textContent.includes('$ODESERVE_KEY')")
        assert "open-sesame" not in page.inner_text(".curl code")
        page.reload()
        page.wait_for_selector("canvas.pad")
        assert not page.is_visible("#key-form")
        page.click("text=Forget the key")
        page.wait_for_selector("#key-form:visible")
        assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("wrong", ["schl\u00fcssel", "two words", "open\u200bsesame"])
def test_a_key_that_no_header_can_carry_is_told_of_and_never_kept(browser, others, wrong):
    with opened(browser, f"{others}#model={DIGITS}", complaining=True) as page:
        page.wait_for_selector("#key-form:visible")
        page.fill("#key", wrong)
        page.keyboard.press("Enter")
        becomes(page, "document.querySelector('#key-why').textContent.includes('ASCII')")
        assert page.evaluate("sessionStorage.length") == 0
        assert not page.is_visible("#notice")
        with_key(page)
        page.wait_for_selector("canvas.pad")
        page.evaluate("wrong => sessionStorage.setItem('odeserve-key', wrong)", wrong)
        page.reload()
        page.wait_for_selector("#key-form:visible")
        assert page.evaluate("sessionStorage.length") == 0


def with_key(page):
    page.fill("#key", "open-sesame")
    page.keyboard.press("Enter")


def test_a_model_of_ones_own_is_asked_in_json(browser, others):
    with opened(browser, f"{others}#model={SPRING}", complaining=True) as page:
        with_key(page)
        page.wait_for_selector(".view.json .strip .accepted")
        assert '"damping"' in page.input_value("textarea")
        before = page.inner_text(".answer pre")
        page.fill("textarea", '{"input": [1.0, 0.0], "args": {"damping": 0.1}}')
        page.wait_for_function("before => document.querySelector('.answer pre').textContent !== before", arg=before)
        page.fill("textarea", '{"input": [1.0, 0.0, 2.0], "args": {"damping": 0.1}}')
        page.wait_for_selector(".error:visible")
        assert "input" in page.inner_text(".input .error")


@pytest.mark.parametrize("model", [CLOUD, RAW])
def test_densities_of_other_dimensions_and_without_a_table_are_shown(browser, others, model):
    with opened(browser, f"{others}#model={model}", complaining=True) as page:
        with_key(page)
        settled(page, "A"), settled(page, "B")
        assert page.evaluate(PIXELS, ".side.of-A canvas.plane") > 20
        assert (page.locator(".tradeoff").count() == 0) == (model == RAW)


def test_a_server_that_goes_away_is_waited_for(browser, models_dir):
    def served(port):
        command = [ODESERVE, "serve", "--port", str(port)]
        variables = environment(
            MODELS_DIR=models_dir, MODELS=f"{DIGITS},{CLOUD}", DEFAULT_MODELS=DIGITS, LANES=4, LOG_LEVEL="warning"
        )
        process = subprocess.Popen(command, env=variables)
        eventually(lambda: up(port))
        return process

    def up(port):
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = served(port)
    try:
        with opened(browser, f"http://127.0.0.1:{port}/#b=1e-3", complaining=True) as page:
            page.wait_for_selector("canvas.pad")
            stroke(page, [(8, 6), (20, 6), (12, 23)])
            settled(page, tol="1e-1")
            process.kill()
            process.wait(20)
            page.focus(".side.of-A .tol-slider")
            page.keyboard.press("End")
            page.wait_for_selector("#notice:visible")
            assert "does not answer" in page.inner_text("#notice")
            page.wait_for_selector(".side.of-A[aria-busy=true]")
            process = served(port)
            settled(page, tol="1e-4")
            assert not page.is_visible("#notice")
            page.wait_for_selector(".side[aria-busy]", state="detached")
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize(("model", "path"), [("odenet-mnist", "classify"), ("cnf-two-moons", "density")])
def test_an_answer_to_an_earlier_setting_is_dimmed_and_the_notice_stays_in_sight(
    browser, shipped, model, path, viewport
):
    url = f"{shipped}/#model={model}&b=1e-3"
    with opened(browser, url, complaining=True, viewport=viewport, reduced_motion="reduce") as page:
        settled(page, tol="1e-1")
        page.wait_for_selector(".strip.of-A .accepted"), page.wait_for_selector(".strip.of-B .accepted")
        content = ".side.of-A > .figures"
        opacity = f"Number(getComputedStyle(document.querySelector('{content}')).opacity)"
        becomes(page, opacity, 1)
        page.route(f"**/{path}?*", lambda route: route.abort())
        page.focus(".side.of-A .tol-slider")
        page.keyboard.press("End")
        page.wait_for_selector(".side.of-A[aria-busy=true]")
        assert page.evaluate(opacity) < 0.5
        assert page.locator(".side.of-B[aria-busy]").count() == 0
        page.wait_for_selector("#notice:visible")
        page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        becomes(page, "scrollY > 300")
        notice = page.locator("#notice").bounding_box()
        assert 0 <= notice["y"] <= viewport["height"] - notice["height"]
        page.unroute_all()
        settled(page, tol="1e-6")
        page.wait_for_selector(".side[aria-busy]", state="detached")
        becomes(page, opacity, 1)


# For everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, shipped, others, scheme):
    for url in (
        f"{shipped}/",
        f"{shipped}/#model=cnf-pinwheel&b=1e-2",
        f"{shipped}/#model=cnf-protein&compare=no",
    ):
        with opened(browser, url, color_scheme=scheme, reduced_motion="reduce") as page:
            settled(page)
            page.wait_for_selector(".strip.of-A .accepted")
            page.wait_for_selector(".side[aria-busy]", state="detached")
            assert violations(page) == []
    with opened(browser, f"{others}#model={SPRING}", complaining=True, color_scheme=scheme) as page:
        page.wait_for_selector("#key-form:visible")
        assert violations(page) == []
        with_key(page)
        page.wait_for_selector(".view.json .strip .accepted")
        assert violations(page) == []


def test_an_address_changed_by_hand_leads_to_its_model(browser, shipped):
    with opened(browser, f"{shipped}/#b=1e-3") as page:
        settled(page)
        page.evaluate("location.hash = 'model=cnf-two-moons&a=1e-2&b=1e-3'")
        page.wait_for_selector(".flow")
        settled(page, tol="1e-2")


def test_light_and_dark_differ_and_follow_the_system(browser, shipped):
    with opened(browser, shipped) as page:
        settled(page)
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light, drawn = page.evaluate(ground), page.evaluate("document.querySelector('canvas.pad').toDataURL()")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) != light
        page.wait_for_function("drawn => document.querySelector('canvas.pad').toDataURL() !== drawn", arg=drawn)


@pytest.mark.parametrize("model", ["odenet-mnist", "odenet-fashion", "cnf-pinwheel", "cnf-protein"])
def test_nothing_is_wider_than_a_phone(browser, shipped, model):
    with opened(browser, f"{shipped}/#model={model}", viewport=PHONE, has_touch=True, is_mobile=True) as page:
        settled(page)
        page.wait_for_selector(".strip.of-A .accepted")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, select, input:not([type=file])')]
                .filter((element) => element.checkVisibility())
                .filter((element) => !element.closest('.chips, .segmented, .switch, .check'))
                .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect().height])
                .filter(([, height]) => height < 24)"""
        )
        assert small == []


def test_a_finger_draws(browser, shipped):
    with opened(browser, f"{shipped}/#b=1e-3", viewport=PHONE, has_touch=True, is_mobile=True) as page:
        settled(page)
        page.click("text=Clear")
        label_becomes(page, NOTHING)
        page.locator("canvas.pad").scroll_into_view_if_needed()
        box = page.locator("canvas.pad").bounding_box()
        client = page.context.new_cdp_session(page)
        at = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            for x, y in ((0.5, 0.2), (0.5, 0.5), (0.5, 0.8))
        ]
        client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at[0]]})
        for point in at[1:]:
            client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        label_becomes(page, "1")
