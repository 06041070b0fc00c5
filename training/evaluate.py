"""odetrain evaluate: an artifact's exported graphs scored on its test set, at stated tolerance and method."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from node_model.manifest import Manifest, read_manifest, write_manifest
from node_model.status import Status
from training.data import IMAGE_SETS, check_same_data, load_images, load_points
from training.graphs import GraphProgram


@dataclass(frozen=True)
class Scores:
    """What was measured on `items` test items.

    `metrics` holds error and its 95 % interval for a classifier; mean log-density in the input's units and, in
    standardised units, for a density (nats). NFE per item.
    """

    items: int
    metrics: dict[str, float]
    nfe_mean: float
    failed: int


def evaluate(
    directory: Path, *, tol: float, method: str, limit: int | None, data_dir: Path | None, threads: int
) -> Scores:
    """Score an artifact on the first `limit` items of its test set.

    Errors: ArtifactError for a damaged artifact; ValueError for a tolerance that is not one, an unknown method, a data
        set that is missing or is not the one the artifact was trained on.
    """
    if not 0 < tol < math.inf:
        raise ValueError(f"tol: expected a finite number above 0, got {tol}")
    manifest = read_manifest(directory)
    program = "classify" if manifest.task == "classify" else "log_density"
    graphs = GraphProgram(directory, manifest, program, threads)
    if method not in graphs.spec.methods:
        raise ValueError(f"method: expected one of {', '.join(graphs.spec.methods)}; got {method!r}")
    inputs, labels = _test_items(manifest, limit, data_dir)
    start, end = graphs.spec.interval
    solved = graphs.solve(
        graphs.encode(inputs.astype(graphs.spec.input.dtype)),
        {},
        method=method,
        tol=tol,
        dt=_first_dt(graphs, method, tol) or abs(end - start) / 10,
        max_nfe=100_000,
    )
    values = graphs.decode(solved.y)[0]
    return Scores(
        items=len(inputs),
        metrics=_metrics(manifest, values, labels),
        nfe_mean=float(solved.nfe.mean()),
        failed=int((solved.status != Status.OK).sum()),
    )


def record(directory: Path, scores: Scores, tol: float, method: str) -> None:
    """Write the scores into the manifest's provenance, under names that carry tolerance and method.

    Errors: ValueError when any solve failed: what it left is no answer to score.
    """
    if scores.failed:
        raise ValueError(f"tol {tol:g} {method}: {scores.failed} of {scores.items} items failed; nothing is recorded")
    manifest = read_manifest(directory)
    named = {f"{key}@{method},{tol:g}": float(f"{value:.6g}") for key, value in scores.metrics.items()}
    named[f"nfe@{method},{tol:g}"] = float(f"{scores.nfe_mean:.6g}")
    provenance = manifest.provenance.model_copy(update={"test": manifest.provenance.test | named})
    write_manifest(directory, manifest.model_copy(update={"provenance": provenance}))


def _test_items(
    manifest: Manifest, limit: int | None, data_dir: Path | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    data, seed = manifest.provenance.data, manifest.provenance.seed
    if data in IMAGE_SETS:
        images = load_images(data, data_dir)
        check_same_data(images, manifest.provenance.data_sha256)
        return images.test_images[:limit], images.test_labels[:limit]
    points = load_points(data, seed, data_dir)
    check_same_data(points, manifest.provenance.data_sha256)
    return points.test[:limit], None


def _first_dt(graphs: GraphProgram, method: str, tol: float) -> float | None:
    """The first dt of the tightest calibrated row that is no tighter than needed, if there is a table."""
    table = graphs.spec.calibration
    rows = [row for row in (table.rows if table else ()) if row.method == method and row.first_dt and row.tol <= tol]
    return max(rows, key=lambda row: row.tol).first_dt if rows else None


def _metrics(manifest: Manifest, values: npt.NDArray[Any], labels: npt.NDArray[Any] | None) -> dict[str, float]:
    if labels is not None:
        low, high = wilson_interval(int((values.argmax(-1) != labels).sum()), len(labels))
        return {"error": float((values.argmax(-1) != labels).mean()), "error_low": low, "error_high": high}
    mean = float(np.mean(values))
    metrics = {"log_density": mean, "log_density_standard_error": float(np.std(values) / math.sqrt(len(values)))}
    if manifest.standardised_log_density_offset is not None:
        metrics["log_density_standardised"] = mean + manifest.standardised_log_density_offset
    return metrics


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927, Probable inference."""
    z = 1.959964
    share = hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half, centre + half
