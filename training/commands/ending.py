"""How a command ends that cannot do what it was asked: in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from node_model.errors import SolveFailedError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What a user can put right is said in a line; anything else keeps its traceback."""
    try:
        yield
    except (ValueError, OSError, FloatingPointError, SolveFailedError) as error:
        raise SystemExit(f"odetrain: {error}") from error


def refuse(what: str, **options: object) -> None:
    """Errors: one line for an option that was given and has no meaning there."""
    for name, value in options.items():
        if value is not None:
            raise SystemExit(f"odetrain: --{name.replace('_', '-')}: not with {what}")
