"""A real Chromium, and pages in it that remember what they asked for and what went wrong."""

import fcntl
import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from needed import missing

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOOLS = Path(__file__).parent / "service" / "playground"
"""Where npm puts what only tests need: a type checker and axe."""


@contextmanager
def chromium():
    """Skips, saying so, where there is none; fails there where CI is set."""
    if not CHROMIUM.exists():
        missing("chromium is missing")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A page with what it asked for and what it complained of."""

    def __init__(self, page):
        self.page = page
        self.asked, self.complaints = [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, request):
        # What the page itself no longer wants is no failure.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.url}: {request.failure}")


def npm_tools():
    """The folder with what its package.json names, fetched once."""
    return npm_installed(TOOLS)


def npm_installed(folder):
    """A folder with what its package.json names, fetched once, by whichever test asks first."""
    wanted = json.loads((folder / "package.json").read_text())
    names = [*wanted.get("dependencies", ()), *wanted.get("devDependencies", ())]
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / "node_modules" / name / "package.json").is_file() for name in names):
            npm = shutil.which("npm") or missing("npm is missing")
            command = (npm, "install", "--no-audit", "--no-fund", "--no-package-lock")
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                missing(f"npm could not fetch what {folder.name} needs: {done.stderr[-500:]}")
    return folder


def violations(page):
    """What axe finds wrong, of some weight: [(rule, element)]."""
    page.evaluate((npm_tools() / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")["violations"]
    return [
        (rule["id"], json.dumps(node["target"]), node["failureSummary"])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
