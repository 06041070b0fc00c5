"""Time-outs that do not all come at once."""

import random

SPREAD = 0.1


def spread(seconds: float) -> float:
    """Up to a tenth more: connections that came together, as those of an attack do, would also end together, and others
    would wait for that."""
    return seconds * random.uniform(1, 1 + SPREAD)  # noqa: S311 - nothing secret
