"""Which build of the service this is."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_GIT = Path(__file__).parent.parent / ".git"
_STAMP = Path(__file__).with_name("commit")
"""Written when an image is built."""
_DIGITS = 12


def build_version() -> str:
    """Version of the installed package."""
    try:
        return version("odeserve")
    except PackageNotFoundError:
        return "unknown"


def build_commit() -> str:
    """Commit that was built, or of the checkout the code runs from; `unknown` where there is neither."""
    stamp = _STAMP.read_text().strip() if _STAMP.exists() else ""
    return stamp[:_DIGITS] or checkout_commit(_GIT)


def checkout_commit(git: Path) -> str:
    """Commit of a checkout with this `.git`; `unknown` where it has none."""
    try:
        head = (git / "HEAD").read_text().strip()
        reference = head.removeprefix("ref: ")
        return (head if reference == head else _resolved(git, reference))[:_DIGITS]
    except OSError:
        return "unknown"


def _resolved(git: Path, reference: str) -> str:
    loose = git / reference
    if loose.exists():
        return loose.read_text().strip()
    packed = (git / "packed-refs").read_text().splitlines()
    return next((words[0] for words in map(str.split, packed) if words[-1] == reference), "unknown")


if __name__ == "__main__":
    # A build's own argument, or else the checkout it is made from.
    print(sys.argv[1] or checkout_commit(_GIT))  # noqa: T201
