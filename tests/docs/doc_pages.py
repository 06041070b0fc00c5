"""The pages of the documentation, and the commands in them that say that they can be run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_MARKED = re.compile(
    r"^<!-- (?P<kind>run|serve|background)(?:: (?P<words>.*?))? -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"^<!-- (?:run|serve|background)\b", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block with a mark above it; `words` is what stands behind the colon."""

    kind: str
    words: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = [Block(m["kind"], m["words"] or "", m["language"], m["text"]) for m in _MARKED.finditer(text)]
    assert len(found) == len(_MARK.findall(text)), f"{page}: a mark without a fence below it"
    return found


def outside_fences(text: str) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)
