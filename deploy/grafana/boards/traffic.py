"""How the service does: traffic, errors, latency, queue, refusals."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.parts import OF_BOTH, OF_MODEL, WINDOW, Query, dashboard, number, over_time, quantile

REQUESTS = "odeserve_requests_total"
LATENCY = "odeserve_request_duration_seconds"
SOLVING = 'route!~"/health.*|/metrics"'
# Before a model is known a request has model="none": it belongs to every choice of models.
ANY_MODEL = f'model=~"none|$model", {SOLVING}'
REFUSED = 'status=~"queue_full|not_ready|deadline"'
FAULTS = 'status=~"internal|deadline|not_ready|queue_full"'


def board() -> Dashboard:
    return (
        dashboard("odeserve-service", "odeserve / Service", "Traffic, errors, latency, queue and refusals.")
        .with_row(Row("Now"))
        .with_panel(
            number(
                "Servers",
                "Replicas whose last scrape succeeded.",
                "short",
                Query('sum(up{job="odeserve"})'),
                steps=((None, "red"), (1, "green")),
            )
        )
        .with_panel(
            number(
                "Requests",
                "Requests a second, probes and scrapes left out.",
                "reqps",
                Query(f"sum(rate({REQUESTS}{{{ANY_MODEL}}}{WINDOW}))"),
            )
        )
        .with_panel(
            number(
                "Not answered",
                "Share of requests that the server refused or failed: queue full, deadline, not ready, fault. Mistakes "
                "of callers are left out.",
                "percentunit",
                Query(
                    f"sum(rate({REQUESTS}{{{ANY_MODEL}, {FAULTS}}}{WINDOW})) "
                    f"/ sum(rate({REQUESTS}{{{ANY_MODEL}}}{WINDOW}))"
                ),
                steps=((None, "green"), (0.01, "orange"), (0.05, "red")),
            )
        )
        .with_panel(
            number(
                "Latency p99",
                "99 % of the solved requests are answered within this time.",
                "s",
                Query(quantile(0.99, LATENCY, OF_BOTH, "job")),
                steps=((None, "green"), (0.5, "orange"), (1, "red")),
            )
        )
        .with_panel(
            number(
                "Work waiting",
                "Predicted seconds until all that waits has started, at the fullest server.",
                "s",
                Query("max(odeserve_queued_work_seconds)"),
                steps=((None, "green"), (2.5, "orange"), (4, "red")),
            )
        )
        .with_panel(
            number(
                "Firing alerts",
                "Alerts of deploy/prometheus/rules/alerts.yml that fire.",
                "short",
                Query('count(ALERTS{alertname=~"Odeserve.*", alertstate="firing"}) or vector(0)'),
                steps=((None, "green"), (1, "red")),
            )
        )
        .with_row(Row("Traffic and errors"))
        .with_panel(
            over_time(
                "Requests by route",
                "Requests a second by the route they came to, probes and scrapes left out.",
                "reqps",
                Query(f"sum by (route) (rate({REQUESTS}{{{ANY_MODEL}}}{WINDOW})) > 0", "{{route}}"),
                stacked=True,
            )
        )
        .with_panel(
            over_time(
                "Requests by outcome",
                "ok; partial: some items failed and the caller took the others; cancelled: the caller left; otherwise "
                "the code of the error answer.",
                "reqps",
                Query(f"sum by (status) (rate({REQUESTS}{{{ANY_MODEL}}}{WINDOW})) > 0", "{{status}}"),
            )
        )
        .with_row(Row("Latency"))
        .with_panel(
            over_time(
                "Latency by route",
                "Median and 99th percentile from the arrival of a request to the end of its answer, of solves.",
                "s",
                Query(quantile(0.5, LATENCY, OF_BOTH, "route"), "{{route}} p50"),
                Query(quantile(0.99, LATENCY, OF_BOTH, "route"), "{{route}} p99"),
                log=True,
            )
        )
        .with_panel(
            over_time(
                "Where the time goes",
                "Mean seconds that a request waits, and is solved. What is left of its latency is reading and writing.",
                "s",
                *(
                    Query(
                        f"sum(rate(odeserve_{part}_duration_seconds_sum{{{OF_MODEL}}}{WINDOW})) "
                        f"/ sum(rate(odeserve_{part}_duration_seconds_count{{{OF_MODEL}}}{WINDOW}))",
                        part,
                    )
                    for part in ("queue", "solve")
                ),
                stacked=True,
            )
        )
        .with_row(Row("Queue and refusals"))
        .with_panel(
            over_time(
                "Work waiting",
                "Predicted seconds until all that waits has started, and the limit above which requests are refused.",
                "s",
                Query("odeserve_queued_work_seconds", "{{instance}}"),
                Query("max(odeserve_queued_work_limit_seconds)", "limit"),
                width=8,
            )
        )
        .with_panel(
            over_time(
                "Requests waiting",
                "Requests of which an item waits for a lane.",
                "short",
                Query("odeserve_queue_depth", "{{instance}}"),
                width=8,
            )
        )
        .with_panel(
            over_time(
                "Waiting time p99",
                "99 % of the requests of a model have their first item started within this time.",
                "s",
                Query(quantile(0.99, "odeserve_queue_duration_seconds", OF_MODEL, "model"), "{{model}}"),
                width=8,
                log=True,
            )
        )
        .with_panel(
            over_time(
                "Refusals",
                "Requests that were turned away: queue_full (429), deadline that cannot be kept or was not (504), "
                "not_ready (503) while the server starts or stops.",
                "reqps",
                Query(f"sum by (status) (rate({REQUESTS}{{{ANY_MODEL}, {REFUSED}}}{WINDOW}))", "{{status}}"),
            )
        )
        .with_panel(
            over_time(
                "Requests loosened",
                "Requests that were solved at a looser tolerance, within their max_tol, rather than refused or late.",
                "reqps",
                Query(f"sum by (model) (rate(odeserve_tolerance_loosened_total{{{OF_MODEL}}}{WINDOW}))", "{{model}}"),
            )
        )
    )
