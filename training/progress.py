"""What a user sees of a training run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Show = Callable[[dict[str, Any]], None]
"""Takes the log's entry of a step."""


@contextmanager
def shown_progress(steps: int, first: int, *, visible: bool = True) -> Iterator[Show]:
    """A bar with loss, NFE and the time left; a line per epoch where nobody watches a terminal."""
    console = Console(stderr=True, quiet=not visible)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  NFE {task.fields[forward]}+{task.fields[backward]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    item = bar.add_task("training", total=steps, completed=first, loss=float("nan"), forward=0, backward=0)
    smooth: float | None = None

    def show(entry: dict[str, Any]) -> None:
        nonlocal smooth
        smooth = entry["loss"] if smooth is None else 0.98 * smooth + 0.02 * entry["loss"]
        bar.update(item, advance=1, loss=smooth, forward=entry["nfe_forward"], backward=entry["nfe_backward"])
        if "epoch" in entry:
            held = "  ".join(f"{name} {value:.4g}" for name, value in entry["held_out"].items())
            console.print(f"epoch {entry['epoch']}  loss {smooth:.4f}  held out: {held}")

    with bar:
        yield show
