"""Records of what was measured: the one source of the figures in docs/paper.md."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from node_model.whole_file import write_whole

ROOT = Path("docs/runs")
SOURCE = Path(__file__).parent.parent


def write_record(name: str, *, command: str, seed: int, metrics: dict[str, Any], root: Path = ROOT) -> Path:
    """`root/name.json` with {command, seed, date, machine, commit, metrics}; the file."""
    root.mkdir(parents=True, exist_ok=True)
    record = {"command": command, "seed": seed, **origin(), "metrics": metrics}
    path = root / f"{name}.json"
    write_whole(path, f"{json.dumps(record, indent=1, allow_nan=False)}\n".encode())
    return path


def read_records(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Every record by its name. Errors: ValueError naming a file that is no record."""
    records = {}
    for path in sorted(root.glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: is not JSON: {error}") from error
        missing = {"command", "seed", "date", "machine", "commit", "metrics"} - set(record)
        if missing:
            raise ValueError(f"{path}: has no {', '.join(sorted(missing))}")
        records[path.stem] = record
    return records


def origin() -> dict[str, str]:
    """Of what is done now: {date, machine, commit}."""
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "commit": commit()}


def machine() -> str:
    """Processor, cores and versions, in a line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit of this code, marked where files differ from it; `unknown` outside a repository.

    What lies in docs is no code: one record written does not make the next one's commit differ.
    """
    try:
        named = _git("describe", "--always", "--abbrev=10")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{named}-dirty" if changed else named


def _git(*words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return done.stdout.strip()


def rounded(value: float, digits: int = 5) -> float:
    """So many significant digits: more would only make records differ."""
    return float(f"{value:.{digits}g}")


def history(log: Path) -> list[dict[str, float]]:
    """A run's log by epochs: held-out scores, mean loss, evaluations and seconds of a step."""
    epochs: list[dict[str, float]] = []
    steps: list[dict[str, Any]] = []
    for line in log.read_text().splitlines():
        steps.append(json.loads(line))
        if "epoch" in steps[-1]:
            means = {
                key: rounded(sum(step[key] for step in steps) / len(steps))
                for key in ("loss", "nfe_forward", "nfe_backward", "seconds")
            }
            held = {f"held_{key}": rounded(value) for key, value in steps[-1]["held_out"].items()}
            epochs.append({"epoch": steps[-1]["epoch"], **means, **held})
            steps = []
    return epochs
