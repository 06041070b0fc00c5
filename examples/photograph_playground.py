"""Pictures of the playground page of a running server, for the documentation: wide, dark, and as a phone shows it.

Needs Chromium, `make install-test` and a server. Run: python examples/photograph_playground.py http://127.0.0.1:8000
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
COLOURS = 160
SETTLING_MS = 1500
PICTURES = {
    "classify": ("#a=1e-1&b=1e-5", "light", (1280, 1000)),
    "density": ("#model=cnf-pinwheel&a=1e-1&b=1e-5", "light", (1280, 1000)),
    "dark": ("#a=1e-1&b=1e-4", "dark", (1280, 1000)),
    "density-dark": ("#model=cnf-two-moons&a=1e-1&b=1e-5", "dark", (1280, 1000)),
    "phone": ("#a=1e-1&b=1e-5", "light", (390, 844)),
}
"""What the address says, light or dark, width and least height, by name."""


def photograph(browser: Browser, url: str, name: str) -> Path:
    """One picture of the whole page, its colours reduced so that it is small."""
    state, scheme, (width, height) = PICTURES[name]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        device_scale_factor=1.5 if width < 500 else 1,
    )
    page.goto(f"{url.rstrip('/')}/{state}")
    page.wait_for_selector(".strip.of-A .accepted")
    page.wait_for_selector(".strip.of-B .accepted")
    # The first answers wait for a page that is still being put together: once more, for usual times.
    for slider in page.query_selector_all(".tol-slider"):
        slider.press("ArrowRight")
        page.wait_for_timeout(SETTLING_MS)
        slider.press("ArrowLeft")
        page.wait_for_timeout(SETTLING_MS)
    if page.query_selector(".flow"):
        page.focus(".flow input[type=range]")
        page.keyboard.press("End")
        for _ in range(7):
            page.keyboard.press("PageDown")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(SETTLING_MS)
    path = FOLDER / f"playground-{name}.png"
    page.screenshot(path=path, full_page=True)
    page.close()
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
    return path


def main(url: str, *names: str) -> None:
    """Write docs/pictures/playground-*.png, all or those named."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in names or PICTURES:
            path = photograph(browser, url, name)
            print(path, f"{path.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
