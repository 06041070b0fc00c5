"""What the report's sections read from the records of classifiers."""

from typing import Any

Record = dict[str, Any]
Records = dict[str, Record]

TABLE_TOL = 1e-3
PLAIN = "odenet-mnist-plain"
RKNET = "rknet-mnist"
COMPARED = "compare-"


def at_table_tol(metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Test score and cost of a gradient, at Table 1's tolerance where there is one."""
    if "tolerances" in metrics:
        row = row_at(metrics, TABLE_TOL)
        return row, row["gradient"]
    return metrics["test"], metrics["gradient"]


def row_at(metrics: dict[str, Any], tol: float) -> dict[str, Any]:
    """The measurements at a tolerance."""
    found: dict[str, Any] = next(row for row in metrics["tolerances"] if row["tol"] == tol)
    return found


def training_of(metrics: dict[str, Any]) -> str:
    """What sets a run apart."""
    words = [] if metrics["regularize"] == "none" else [_regulariser(metrics)]
    words += [] if metrics["activation"] == "relu" else [metrics["activation"]]
    return " and ".join(words) or "plain"


def _regulariser(metrics: dict[str, Any]) -> str:
    kind = str(metrics["regularize"])
    return kind if kind == "steer" else f"{kind} {metrics['regularize_weight']:g}"


def percent(score: dict[str, Any]) -> str:
    """An error and its interval."""
    return f"{100 * score['error']:.2f} % ({100 * score['low']:.2f} to {100 * score['high']:.2f})"


def tol_of(row: dict[str, Any]) -> str:
    """As 1e-3."""
    return f"{row['tol']:.0e}".replace("e-0", "e-")


def precision_of(metrics: dict[str, Any]) -> str:
    """What the networks were computed in, and in the last epochs if that was another."""
    return " then ".join(dict.fromkeys(metrics["precision"]))
