"""Closed-loop load by wrk: so many clients, each asks again as soon as it was answered."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".lua")
MIX = ("1e-1", "1e-2", "1e-3", "1e-4")


@dataclass(frozen=True)
class Load:
    """What wrk saw. Units: requests a second, milliseconds; errors are answers other than 200, time-outs, failures."""

    per_second: float
    p50: float
    p99: float
    errors: int


def load(url: str, *, clients: int, seconds: float, tols: tuple[str, ...] = MIX, tol_in_body: bool = False) -> Load:
    """Ask /classify for the drawn digits in turn, the tolerances alternating."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing: install it (Debian: apt-get install wrk)")
    variables = os.environ | {"TOLS": ",".join(tols), "TOL_IN_BODY": "1" if tol_in_body else ""}
    command = [wrk, "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(SCRIPT), url]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, cwd=SCRIPT.parent.parent)
    figures = json.loads(done.stdout.rsplit("FIGURES ", 1)[1])
    return Load(**figures)
