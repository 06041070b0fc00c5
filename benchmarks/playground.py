"""The page at /: how soon it shows something, what it weighs, how long from a touch of the slider to the new result.

In a real Chromium (Debian's, driven by Playwright, which `make install-test` brings) on the same machine as the server.

Paint times are the browser's own entries, from the navigation's start; each loading has a browser context of its own,
so nothing is cached. Weight is what the browser received, bodies and headers. A move of the slider is a real key press;
it lasts from the event's time stamp to the frame after the one in which the result for the new tolerance was painted.
Moves during which the knob was still answering the one before do not occur: each waits for its result.

Run: python -m benchmarks.playground
"""

import json
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.machine import described, training_paused
from benchmarks.servers import ours, running

OUT = Path("docs/benchmarks/playground.json")
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CLASSIFIER, DENSITY = "odenet-mnist", "cnf-pinwheel"
LOADS, MOVES = 20, 50
SETTLING_MS = 600
SCREEN = {"width": 1280, "height": 900}

PAINTS = """() => new Promise((done) => {
  const first = performance.getEntriesByName('first-contentful-paint')[0].startTime;
  let largest = 0;
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) largest = entry.startTime; })
    .observe({type: 'largest-contentful-paint', buffered: true});
  setTimeout(() => done([first, largest]), 100);
})"""
FIRST_ANSWER = """() => new Promise((done) => {
  const look = () => {
    if (document.querySelector('.side.of-A[data-tol]')) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
LISTEN = """() => {
  const side = document.querySelector('.side.of-A');
  window.moves = [];
  let begun = 0;
  document.addEventListener('keydown', (event) => { begun = event.timeStamp; }, true);
  new MutationObserver(() => {
    const from = begun;
    // A finer grid of the same tolerance may follow: the first result counts.
    begun = 0;
    if (!from) return;
    // The frame in which it is painted has begun; once its work is done the next task runs.
    requestAnimationFrame(() => setTimeout(() => window.moves.push(performance.now() - from)));
  }).observe(side, {attributeFilter: ['data-tol']});
}"""


def loading(browser: Browser, url: str) -> dict[str, float]:
    """One visit. Units: milliseconds, bytes."""
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: dict[str, list[float]] = {"page": [], "all": []}
    own: set[str] = set()

    def came(event: dict[str, Any]) -> None:
        path = event["response"]["url"].removeprefix(url)
        if path in ("/", "") or path.startswith(("/playground/", "/docs/")):
            own.add(event["requestId"])

    def ended(event: dict[str, Any]) -> None:
        sizes["all"].append(event["encodedDataLength"])
        if event["requestId"] in own:
            sizes["page"].append(event["encodedDataLength"])

    session.on("Network.responseReceived", came)
    session.on("Network.loadingFinished", ended)
    page.goto(f"{url}/")
    answered = page.evaluate(FIRST_ANSWER)
    page.wait_for_selector(".strip.of-B .accepted")
    first, largest = page.evaluate(PAINTS)
    context.close()
    return {
        "first_contentful_paint_ms": first,
        "largest_contentful_paint_ms": largest,
        "first_answer_ms": answered,
        "page_bytes": sum(sizes["page"]),
        "page_requests": len(sizes["page"]),
        "bytes_with_answers": sum(sizes["all"]),
    }


def moves(page: Page, url: str, model: str) -> list[float]:
    """Milliseconds of moves of the slider, up and down its range."""
    page.goto("about:blank")
    page.goto(f"{url}/#model={model}")
    page.wait_for_selector(".side.of-A[data-tol]")
    page.wait_for_selector(".strip.of-B .accepted")
    page.evaluate(LISTEN)
    page.focus(".side.of-A .tol-slider")
    for number in range(MOVES):
        page.keyboard.press("ArrowRight")
        page.wait_for_function("wanted => window.moves.length >= wanted", arg=number + 1)
        # What else the move set off (a finer grid, samples) comes to its end.
        page.wait_for_timeout(SETTLING_MS)
    found: list[float] = page.evaluate("window.moves")
    return found[:MOVES]


def told(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile, worst."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "worst": round(ordered[-1], 1),
        "n": len(ordered),
    }


def measured(url: str) -> dict[str, Any]:
    """Everything, of a server that runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loading(browser, url)
        visits = [loading(browser, url) for _ in range(LOADS)]
        page = browser.new_page(viewport=SCREEN)
        latencies = {model: moves(page, url, model) for model in (CLASSIFIER, DENSITY)}
        chromium = browser.version
        browser.close()
    return {
        "chromium": chromium,
        "visit": {name: told([visit[name] for visit in visits]) for name in visits[0]},
        "slider_to_result_ms": {model: told(values) for model, values in latencies.items()},
    }


def page_of(recorded: dict[str, Any]) -> str:
    """The record as a page."""
    visit, slider = recorded["visit"], recorded["slider_to_result_ms"]
    rows = [
        ("first contentful paint", visit["first_contentful_paint_ms"], "ms"),
        ("largest contentful paint", visit["largest_contentful_paint_ms"], "ms"),
        ("first answer on the page", visit["first_answer_ms"], "ms"),
        (f"slider to new result, `{CLASSIFIER}`", slider[CLASSIFIER], "ms"),
        (f"slider to new map (576 points), `{DENSITY}`", slider[DENSITY], "ms"),
    ]
    table = "\n".join(
        f"| {name} | {a['median']} {unit} | {a['p95']} {unit} | {a['worst']} {unit} | {a['n']} |"
        for name, a, unit in rows
    )
    weight, requests = visit["page_bytes"]["median"] / 1000, visit["page_requests"]["median"]
    return f"""# The playground page

In a real Chromium {recorded["chromium"]} without a GPU, 1280 x 900, beside the server on the same cores, over
loopback; a fresh browser context for each visit. A move of the slider is a real key press, from the event's time stamp
until the frame with the new result is painted; two tolerances are shown, one moves.

| | median | p95 | worst | n |
|---|---|---|---|---|
{table}

Weight: {weight:.1f} kB over the wire in {requests:.0f} requests, headers included; with the answers of the API for the
first view {visit["bytes_with_answers"]["median"] / 1000:.1f} kB.

{recorded["machine"]}. {recorded["date"]}. {recorded["versions"]}. `{recorded["command"]}`
"""


def main() -> None:
    """Write docs/benchmarks/playground.json and .md."""
    with training_paused(), running(ours(MODELS=f"{CLASSIFIER},{DENSITY}")) as server:
        found = measured(server.url)
    recorded = {**described("odeserve", "uvicorn", "playwright"), "command": "python -m benchmarks.playground", **found}
    OUT.write_text(json.dumps(recorded, indent=1) + "\n")
    OUT.with_suffix(".md").write_text(page_of(recorded))
    print(page_of(recorded))


if __name__ == "__main__":
    main()
