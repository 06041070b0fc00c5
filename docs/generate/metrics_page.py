"""The table of metrics, from the objects that service/metrics.py makes."""

from pieces import code, page, table
from prometheus_client.metrics import MetricWrapperBase

from service.metrics import NFE, SECONDS, Metrics


def metrics_page() -> str:
    """Every metric with its type, labels and help text."""
    metrics = Metrics(backend="onnx", queue_seconds=5)
    collectors = [c for c in metrics._registry._collector_to_names if isinstance(c, MetricWrapperBase)]
    rows = [
        (code(_sample_name(metric)), metric._type, ", ".join(map(code, metric._labelnames)), metric._documentation)
        for metric in collectors
    ]
    return page("Metrics", INTRODUCTION, table(("metric", "type", "labels", "meaning"), rows), _buckets())


def _sample_name(metric: MetricWrapperBase) -> str:
    return metric._name + ("_total" if metric._type == "counter" else "")


def _buckets() -> str:
    seconds, nfe = (", ".join(f"{bound:g}" for bound in bounds) for bounds in (SECONDS, NFE))
    return (
        f"## Buckets\n\nOf histograms in seconds: {seconds}.\n\nOf `odeserve_request_nfe`: {nfe}.\n\n"
        "## Labels\n\n"
        + table(
            ("label", "values"),
            (
                (
                    "`route`",
                    "the path as it is declared, such as `/models/{name}`; `none` for a path that there is not",
                ),
                ("`model`", "the name of a loaded model; `none` where the request came to none, never a client's text"),
                ("`status`", "`ok`, `partial`, `cancelled`, or an [error code](errors.md)"),
                (
                    "`tol_class`",
                    "the decade of the loosest tolerance used, rounded down: 5e-3 counts as `1e-3`, and `tol=auto` as "
                    "what it ended at; `none` without a solve",
                ),
                ("`method`", "a Runge-Kutta method of the model"),
                ("`outcome`", "`accepted`, `rejected`"),
                ("`shard`", "the number of a solver thread"),
                ("`program`", "`classify`, `log_density`, `sample`, `predict`, `log_density_hutchinson`"),
                ("`statistic`", "`mean`, `p99`"),
            ),
        )
    )


INTRODUCTION = """`GET /metrics` is for Prometheus. All counters are there from the start, so that `rate()` sees the
first request; histograms come with their first observation. What to look at first, the alerts and the dashboards:
[operations](../operations.md#metrics)."""
