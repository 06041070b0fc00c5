"""Which build of the service this is."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_GIT = Path(__file__).parent.parent / ".git"


def build_version() -> str:
    """Version of the installed package."""
    try:
        return version("odeserve")
    except PackageNotFoundError:
        return "unknown"


def build_commit() -> str:
    """Commit of the checkout the code runs from; `unknown` where it is installed without one."""
    try:
        head = (_GIT / "HEAD").read_text().strip()
        reference = head.removeprefix("ref: ")
        return ((_GIT / reference).read_text().strip() if reference != head else head)[:12]
    except OSError:
        return "unknown"
