"""What the dashboards share: variables, links, and panels that always have a unit and a description."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# "All" matches everything, and so would choose requests that came to no model and to no solve.
OF_MODEL = 'model=~"$model", model!="none"'
OF_BOTH = 'model=~"$model", tol_class=~"$tol_class", tol_class!="none"'
WINDOW = "[$__rate_interval]"


@dataclass(frozen=True)
class Query:
    """An expression and what its series are called; `column` names it in a table."""

    expr: str
    legend: str = ""
    column: str = ""
    unit: str = "short"


def dashboard(uid: str, title: str, description: str) -> Dashboard:
    """Without panels yet."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["odeserve"])
        .readonly()
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            DashboardLink("odeserve")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["odeserve"])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(VariableOption(text="Prometheus", value="prometheus", selected=True))
        )
        .with_variable(_variable("model", "Model", "label_values(odeserve_model_info, model)"))
        .with_variable(
            _variable("tol_class", "Tolerance", 'label_values(odeserve_calibrated_nfe{model=~"$model"}, tol_class)')
        )
    )


def _variable(name: str, label: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_DESC if name == "tol_class" else VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(text="All", value="$__all", selected=True))
    )


def over_time(
    title: str, description: str, unit: str, *queries: Query, width: int = 12, log: bool = False, stacked: bool = False
) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .line_width(2)
        .fill_opacity(30 if stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if not log:
        panel = panel.min(0)
    else:
        panel = panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, query in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(_target(ref, query).range())
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 4,
    steps: tuple[tuple[float | None, str], ...] = ((None, "green"),),
) -> stat.Panel:
    """The newest value, with its past behind it. `steps`: from which value on it has which colour."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(width)
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(
            ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps([Threshold(value=value, color=color) for value, color in steps])
        )
        .with_target(_target("A", query).range())
    )


def bars(title: str, description: str, unit: str, query: Query, *, width: int = 8) -> bargauge.Panel:
    """One bar for each series, as things are now."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(value=None, color="blue")]))
        .with_target(_target("A", query).instant())
    )


def heat(title: str, description: str, unit: str, query: Query, *, width: int = 12) -> heatmap.Panel:
    """Buckets of a histogram over time."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .unit(unit)
        .with_target(_target("A", query).range().format(PromQueryFormat.HEATMAP))
    )


def listing(title: str, description: str, *queries: Query, rows: int = 8, width: int = 24) -> table.Panel:
    """A row for each set of labels, a column for each query. Every query must have the same labels."""
    refs = "ABCDEFGHIJ"[: len(queries)]
    hidden = {"Time": True, "__name__": True, "instance": True, "job": True}
    names = {f"Value #{ref}": query.column for ref, query in zip(refs, queries, strict=True)}
    if len(queries) == 1:
        names["Value"] = queries[0].column
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .height(rows)
        .span(width)
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize", options={"excludeByName": hidden, "indexByName": {}, "renameByName": names}
            )
        )
    )
    for ref, query in zip(refs, queries, strict=True):
        panel = panel.with_target(_target(ref, query).instant().format(PromQueryFormat.TABLE))
        panel = panel.override_by_name(query.column, [DynamicConfigValue(id_val="unit", value=query.unit)])
    return panel


def _target(ref: str, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(query.expr).legend_format(query.legend or "__auto")
    )


def quantile(q: float, histogram: str, labels: str, by: str) -> str:
    """Expression of a quantile of a histogram."""
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({histogram}_bucket{{{labels}}}{WINDOW})))"
