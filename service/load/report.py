"""Outcomes summed up: by tolerance and in all."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.load.client import Outcome

PERCENTILES = (50, 90, 99)


def summarise(outcomes: Sequence[Outcome], seconds: float, rate: float) -> dict[str, Any]:
    """Plain data for JSON. Units: milliseconds, requests a second."""
    classes = {tol: _of([o for o in outcomes if o.tol == tol]) for tol in dict.fromkeys(o.tol for o in outcomes)}
    late = [o.late for o in outcomes]
    return {
        "rate": rate,
        "seconds": seconds,
        "answered_per_second": round(sum(o.status == 200 for o in outcomes) / seconds, 1),
        "client_late_p99_ms": _milliseconds(late, 99),
        "all": _of(outcomes),
        "by_tol": dict(sorted(classes.items(), key=lambda item: -math.inf if item[0] == "auto" else -float(item[0]))),
    }


def _of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    fine = [o for o in outcomes if o.status == 200]
    nfe = [o.nfe for o in fine if o.nfe is not None]
    return {
        "sent": len(outcomes),
        "ok": len(fine),
        "refused": sum(o.status == 429 for o in outcomes),
        "too_late": sum(o.status == 504 for o in outcomes),
        "failed": sum(o.status not in (200, 429, 504) for o in outcomes),
        "nfe_mean": round(float(np.mean(nfe)), 2) if nfe else None,
        "loosened": sum(o.used_tol is not None and o.tol != "auto" and o.used_tol > 1.001 * float(o.tol) for o in fine),
        "predicted_over_taken": _ratio(fine),
        **{f"p{p}_ms": _milliseconds([o.latency for o in fine], p) for p in PERCENTILES},
        "max_ms": _milliseconds([o.latency for o in fine], 100),
    }


def _ratio(outcomes: Sequence[Outcome]) -> float | None:
    """Median of what the server predicted over what it took."""
    ratios = [o.timing["predicted"] / o.timing["total"] for o in outcomes if {"predicted", "total"} <= o.timing.keys()]
    return round(float(np.median(ratios)), 3) if ratios else None


def _milliseconds(seconds: Sequence[float], percentile: float) -> float | None:
    return round(1e3 * float(np.percentile(seconds, percentile)), 2) if seconds else None
