"""What mkdocs calls: pages made from the code, and tables put into pages from recorded files, at each build.

None of this is written into docs/, so that it can never be stale.
"""

import re
from collections.abc import Iterator

from errors_page import errors_page
from figures import FIGURES
from http_pages import http_pages
from manifest_page import manifest_page
from metrics_page import metrics_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from settings_page import settings_page

from service.app import create_app
from service.settings import Settings

_WANTED = re.compile(r"<!-- figures: (\w+)((?: [\w.-]+)*) -->")


def _pages() -> Iterator[tuple[str, str]]:
    """(path below reference/, text)."""
    document = create_app(Settings()).openapi()
    yield from http_pages(document)
    yield "errors.md", errors_page(document)
    yield "settings.md", settings_page()
    yield "metrics.md", metrics_page()
    yield "manifest.md", manifest_page()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for path, text in _pages():
        files.append(File.generated(config, f"reference/{path}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in the tables that a page wants."""
    return _WANTED.sub(lambda wanted: FIGURES[wanted[1]](*wanted[2].split()), markdown)
