"""Links of the README and of the pages: what is pointed to is there. Nothing is asked of other hosts."""

import re
from urllib.parse import urlsplit

import pytest
import yaml
from doc_pages import DOCS, PAGES, ROOT, outside_fences

READ = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
AUTOMATIC = re.compile(r"<(https?:[^>]*)>")
HEADING = re.compile(r"^#{1,6} +(.*?)(?: *\{[^}]*\})?$", re.MULTILINE)
# Pages that are made when the site is built.
MADE = {
    DOCS / "reference" / f"{name}.md"
    for name in ("errors", "settings", "metrics", "manifest", "http-schemas", "http-solve", "http-models")
} | {DOCS / "reference" / f"http-{name}.md" for name in ("open-inference-protocol", "operations")}


def links(page):
    text = outside_fences(page.read_text())
    return [*LINK.findall(text), *AUTOMATIC.findall(text)]


def anchors(page):
    """As both GitHub and the site make them of headings."""
    headings = HEADING.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    for link in links(page):
        if ":" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or target in MADE, f"{link} leads nowhere"
        if anchor and target.suffix == ".md" and target not in MADE:
            # A dash more or less is all in which the two differ.
            there = {re.sub("-+", "-", found) for found in anchors(target)}
            assert re.sub("-+", "-", anchor) in there, f"{link}: no such heading"


@pytest.mark.parametrize("page", READ, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_elsewhere_are_whole(page):
    for link in links(page):
        if ":" in link:
            parts = urlsplit(link)
            assert parts.scheme in ("https", "mailto"), f"{link}: expected https"
            assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", parts.hostname or "") or parts.scheme == "mailto", link


def test_every_page_is_in_the_navigation_once():
    named = re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    assert sorted(named) == sorted({str(page.relative_to(DOCS)) for page in (*PAGES, *MADE)})


def test_the_configuration_treats_everything_as_a_warning_and_warnings_as_errors():
    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert configuration["strict"] is True
    assert {level for group in configuration["validation"].values() for level in group.values()} == {"warn"}
