"""Draw the dashboards from a Prometheus that has seen load: python deploy/grafana/preview.py http://127.0.0.1:9090

Pictures go into docs/dashboards/. They show which data a panel asks for and what comes, drawn with matplotlib and
labelled as a preview: how Grafana itself draws a panel they do not show.
"""

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "dashboards"
COLUMN, LINE, GAP = 0.72, 0.36, 0.08
"""Inches: a column and a line of Grafana's grid, and what is left between panels."""
PALETTE = ["#3274d9", "#e0752d", "#508642", "#b84d9f", "#c4162a", "#7d64c2", "#0f8b8d", "#a67c00", "#5c6773", "#ef6f6c"]
MOST_SERIES = 10


class Source:
    """A Prometheus, and the time that is shown."""

    def __init__(self, url: str, minutes: float) -> None:
        self._url = url
        self.until = time.time()
        self.since = self.until - 60 * minutes

    def _get(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}") as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found

    def instant(self, target: dict[str, Any]) -> list[tuple[dict[str, str], float]]:
        """[(labels, value)]."""
        found = self._get("query", query=filled(target["expr"]), time=self.until)
        return [(series["metric"], float(series["value"][1])) for series in found]

    def lately(self, target: dict[str, Any]) -> list[tuple[dict[str, str], list[float], list[float]]]:
        """[(labels, times, values)]."""
        step = max(1, (self.until - self.since) / 150)
        found = self._get("query_range", query=filled(target["expr"]), start=self.since, end=self.until, step=step)
        return [
            (s["metric"], [float(at) for at, _ in s["values"]], [float(value) for _, value in s["values"]])
            for s in found
        ]


def filled(expression: str) -> str:
    """With every model and tolerance chosen."""
    for name, value in (("$__rate_interval", "1m"), ("$model", ".*"), ("$tol_class", ".*")):
        expression = expression.replace(name, value)
    return expression


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    """What a series is called."""
    wanted = target.get("legendFormat", "__auto")
    if wanted == "__auto":
        return " ".join(value for name, value in labels.items() if name != "__name__")
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), wanted)


def shown(value: float, unit: str) -> str:
    """A number in its unit."""
    if math.isnan(value):
        return "NaN"
    if unit == "s":
        return f"{1e3 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "sci":
        return f"{value:.1e}"
    suffix = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    return f"{value / 1e3:.3g} k{suffix}" if abs(value) >= 1e4 else f"{value:.3g}{suffix}"


def draw_timeseries(axes: Any, panel: dict[str, Any], source: Source) -> None:
    """Lines, or areas on each other."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    series = [
        (legend(target, labels), times, values)
        for target in panel["targets"]
        for labels, times, values in source.lately(target)
        if any(value == value for value in values)
    ]
    series.sort(key=lambda s: -max((v for v in s[2] if v == v), default=0))
    series = series[:MOST_SERIES]
    if custom.get("stacking", {}).get("mode") == "normal" and series:
        grid = sorted({at for _, times, _ in series for at in times})
        rows = [dict(zip(times, values, strict=True)) for _, times, values in series]
        stack = [[0.0 if math.isnan(v := row.get(at, 0.0)) else v for at in grid] for row in rows]
        when = [datetime.fromtimestamp(at) for at in grid]
        axes.stackplot(when, stack, labels=[name for name, _, _ in series], colors=PALETTE, alpha=0.75)
    else:
        for (name, times, values), color in zip(series, PALETTE, strict=False):
            axes.plot([datetime.fromtimestamp(at) for at in times], values, label=name, lw=1.3, color=color)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    elif series:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, defaults["unit"]))
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    axes.set_xlim(datetime.fromtimestamp(source.since), datetime.fromtimestamp(source.until))
    axes.grid(alpha=0.25)
    if series:
        axes.legend(fontsize=5, loc="upper left", ncols=2, framealpha=0.6)


def draw_stat(axes: Any, panel: dict[str, Any], source: Source) -> None:
    """The newest value over its past."""
    axes.set_axis_off()
    for _, times, values in source.lately(panel["targets"][0])[:1]:
        finite = [value for value in values if value == value]
        if not finite:
            break
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        color = [step["color"] for step in steps if step.get("value") is None or finite[-1] >= step["value"]][-1]
        color = {"green": "#508642", "orange": "#e0752d", "red": "#c4162a"}.get(color, color)
        axes.fill_between(times, [0 if value != value else value for value in values], color=color, alpha=0.2)
        axes.set_ylim(0, 2.2 * max(*finite, 1e-12))
        text = shown(finite[-1], panel["fieldConfig"]["defaults"]["unit"])
        axes.text(0.5, 0.6, text, transform=axes.transAxes, ha="center", va="center", fontsize=17, color=color)


def draw_bargauge(axes: Any, panel: dict[str, Any], source: Source) -> None:
    """A bar for each series."""
    target, unit = panel["targets"][0], panel["fieldConfig"]["defaults"]["unit"]
    found = [(legend(target, labels), value) for labels, value in source.instant(target) if value == value]
    names, values = [name for name, _ in found][::-1], [value for _, value in found][::-1]
    axes.barh(names, values, color=PALETTE[0])
    for at, value in enumerate(values):
        axes.text(value, at, " " + shown(value, unit), va="center", fontsize=5)
    axes.tick_params(labelsize=5)
    axes.set_xlim(0, 1.25 * max(values, default=1))
    axes.set_xticks([])


def draw_heatmap(axes: Any, panel: dict[str, Any], source: Source) -> None:
    """Buckets over time: how many fell between one bound and the next."""
    rows = sorted(
        ((float(labels["le"]), times, values) for labels, times, values in source.lately(panel["targets"][0])),
        key=lambda row: row[0],
    )
    rows = [row for row in rows if math.isfinite(row[0])]
    grid = sorted({at for _, times, _ in rows for at in times})
    below = [[dict(zip(times, values, strict=True)).get(at, 0.0) for at in grid] for _, times, values in rows]
    counts = [
        [max(0.0, value - (below[k - 1][i] if k else 0.0)) for i, value in enumerate(row)]
        for k, row in enumerate(below)
    ]
    used = [k for k, row in enumerate(counts) if any(row)]
    if used:
        most = max(used) + 2
        axes.pcolormesh(
            [datetime.fromtimestamp(at) for at in grid], range(len(counts[:most])), counts[:most], cmap="Oranges"
        )
        bounds = [row[0] for row in rows][:most]
        axes.set_yticks(range(0, len(bounds), 2), [f"{bound:g}" for bound in bounds[::2]])
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))


def draw_table(axes: Any, panel: dict[str, Any], source: Source) -> None:
    """Rows by labels, a column for each query."""
    axes.set_axis_off()
    renamed = next(t for t in panel["transformations"] if t["id"] == "organize")["options"]["renameByName"]
    units = {o["matcher"]["options"]: o["properties"][0]["value"] for o in panel["fieldConfig"]["overrides"]}
    columns = [renamed[f"Value #{target['refId']}"] for target in panel["targets"]]
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for target, column in zip(panel["targets"], columns, strict=True):
        for labels, value in source.instant(target):
            rows.setdefault(tuple(sorted(labels.items())), {})[column] = value
    if not rows:
        return
    names = [name for name, _ in next(iter(rows))]
    cells = [
        [value for _, value in key]
        + [shown(row[column], units.get(column, "short")) if column in row else "" for column in columns]
        for key, row in sorted(rows.items())
    ]
    fits = int((panel["gridPos"]["h"] - 2) * LINE / 0.12) - 2
    drawn = axes.table(
        cellText=cells[:fits], colLabels=[*names, *columns], loc="upper center", cellLoc="left", edges="horizontal"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(5.5)
    drawn.scale(1, 0.75)
    if len(cells) > fits:
        axes.text(0, -0.02, f"and {len(cells) - fits} rows more", transform=axes.transAxes, fontsize=5, va="top")


DRAWN = {
    "timeseries": draw_timeseries,
    "stat": draw_stat,
    "bargauge": draw_bargauge,
    "heatmap": draw_heatmap,
    "table": draw_table,
}


def draw(board: dict[str, Any], source: Source) -> Figure:
    """A dashboard, panels where its grid has them."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width_inches, height_inches = 24 * COLUMN, (height + 2) * LINE
    figure = plt.figure(figsize=(width_inches, height_inches), facecolor="#f4f5f5")
    label = "PREVIEW drawn with matplotlib from a Prometheus that scraped odeserve under load; this is not Grafana"
    figure.text(0.01, 1 - 0.25 / height_inches, board["title"], fontsize=13, weight="bold", va="top")
    figure.text(0.99, 1 - 0.3 / height_inches, label, fontsize=9, color="#c4162a", va="top", ha="right")
    for panel in board["panels"]:
        at = panel["gridPos"]
        left, top = at["x"] * COLUMN, height_inches - (at["y"] + 2) * LINE
        if panel["type"] == "row":
            figure.text(0.08 / width_inches, (top - 0.28) / height_inches, panel["title"], fontsize=9, weight="bold")
            continue
        right, bottom = left + at["w"] * COLUMN, top - at["h"] * LINE
        side = {"timeseries": 0.75, "heatmap": 0.5, "bargauge": 1.6}.get(panel["type"], 0.15)
        box = (left + side, bottom + 0.3, right - GAP - 0.15, top - 0.38)
        frame = (left + GAP / 2, bottom + GAP / 2, at["w"] * COLUMN - GAP, at["h"] * LINE - GAP)
        figure.add_artist(
            mpl.patches.Rectangle(
                (frame[0] / width_inches, frame[1] / height_inches),
                frame[2] / width_inches,
                frame[3] / height_inches,
                facecolor="white",
                edgecolor="#d8d9da",
                zorder=-1,
            )
        )
        axes = figure.add_axes(
            (
                box[0] / width_inches,
                box[1] / height_inches,
                (box[2] - box[0]) / width_inches,
                (box[3] - box[1]) / height_inches,
            )
        )
        figure.text((left + 0.12) / width_inches, (top - 0.24) / height_inches, panel["title"], fontsize=7.5)
        axes.tick_params(labelsize=6)
        for edge in ("top", "right"):
            axes.spines[edge].set_visible(False)
        DRAWN[panel["type"]](axes, panel, source)
    return figure


def main() -> None:
    """Draw every dashboard of dashboards/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus", help="for instance http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=10, help="how much of the past is shown")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    source = Source(given.prometheus, given.minutes)
    for path in sorted((HERE / "dashboards").glob("*.json")):
        figure = draw(json.loads(path.read_text()), source)
        figure.savefig(given.out / f"{path.stem}.png", dpi=80)
        plt.close(figure)


if __name__ == "__main__":
    main()
