"""Tables on standard output; what happens meanwhile on standard error, where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


def show(*things: RenderableType) -> None:
    """Print for people. Names of files and models are text, whatever brackets they have."""
    console = Console(markup=False, emoji=False, highlight=False)
    for thing in things:
        console.print(thing)


def width() -> int:
    """Columns that there are to print in."""
    return Console().width


def bar(share: float, width: int, style: str = "cyan") -> ProgressBar:
    """A bar of some length; `share` from 0 to 1."""
    return ProgressBar(total=1.0, completed=share, width=width, complete_style=style, finished_style=style)


def facts(**known: str) -> Text:
    """`name value` pairs on a line."""
    line = Text()
    for number, (name, value) in enumerate(known.items()):
        line.append(" · " if number else "", "dim")
        line.append(f"{name.replace('_', ' ')} ", "dim").append(value)
    return line


def plain_table(*columns: str, title: str | None = None) -> Table:
    """Without lines between rows; columns with numbers are aligned by whoever fills it."""
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """A spinner with the seconds so far; nothing where standard error is no terminal."""
    with _progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        progress.add_task(words, total=None)
        yield


@contextmanager
def counting(words: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar; call what it gives with how many are done, and of how many where that was not known before. Nothing where
    standard error is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _progress(*columns) as progress:
        task = progress.add_task(words, total=total)
        yield lambda done, total=None: progress.update(task, completed=done, total=total)


def _progress(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
