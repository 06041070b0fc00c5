"""What each decade of tolerance costs now, beside what it is worth."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.parts import OF_BOTH, WINDOW, Query, bars, dashboard, listing, over_time, quantile

LATENCY = "odeserve_request_duration_seconds"
NFE_NOW = (
    f"sum by (model, tol_class) (rate(odeserve_request_nfe_sum{{{OF_BOTH}}}{WINDOW})) "
    f"/ sum by (model, tol_class) (rate(odeserve_request_nfe_count{{{OF_BOTH}}}{WINDOW}))"
)
NFE_BY_DECADE = NFE_NOW.replace("model, tol_class", "tol_class")
ANSWERS = 'program=~"classify|log_density|predict"'


def board() -> Dashboard:
    return (
        dashboard(
            "odeserve-tradeoff",
            "odeserve / Trade-off",
            "What each decade of tolerance costs now, beside its calibrated error and accuracy.",
        )
        .with_row(Row("What a tolerance costs, and what it is worth"))
        .with_panel(
            listing(
                "The trade-off now",
                "Each decade of tolerance: traffic, latency and evaluations of the last minutes; beside them what the "
                "calibration measured of the same model on held-back data. A request belongs to the decade of its "
                "loosest tolerance, rounded down: 5e-3 counts as 1e-3.",
                Query(
                    f"sum by (model, tol_class) (rate({LATENCY}_count{{{OF_BOTH}}}{WINDOW}))",
                    column="requests",
                    unit="reqps",
                ),
                Query(quantile(0.5, LATENCY, OF_BOTH, "model, tol_class"), column="latency p50", unit="s"),
                Query(quantile(0.99, LATENCY, OF_BOTH, "model, tol_class"), column="latency p99", unit="s"),
                Query(NFE_NOW, column="NFE per item"),
                Query(
                    f'max by (model, tol_class) (odeserve_calibrated_nfe{{{OF_BOTH}, {ANSWERS}, statistic="mean"}})',
                    column="NFE calibrated",
                ),
                Query(
                    f"max by (model, tol_class) (odeserve_calibrated_error_p99{{{OF_BOTH}, {ANSWERS}}})",
                    column="error p99 (logits, nats)",
                    unit="sci",
                ),
                Query(
                    f"max by (model, tol_class) (odeserve_calibrated_agreement{{{OF_BOTH}, {ANSWERS}}})",
                    column="agrees with the reference",
                    unit="percentunit",
                ),
                Query(
                    f'max by (model, tol_class) (odeserve_calibrated_metric{{{OF_BOTH}, metric="accuracy"}})',
                    column="accuracy",
                    unit="percentunit",
                ),
                rows=12,
            )
        )
        .with_row(Row("Cost by decade"))
        .with_panel(
            bars(
                "Latency p50",
                "Median time from the arrival of a request to the end of its answer, over the last minutes; all chosen "
                "models together.",
                "s",
                Query(f"sort({quantile(0.5, LATENCY, OF_BOTH, 'tol_class')})", "{{tol_class}}"),
            )
        )
        .with_panel(
            bars(
                "NFE per item",
                "Mean evaluations of the network per image or point, lately; all chosen models together.",
                "short",
                Query(f"sort({NFE_BY_DECADE})", "{{tol_class}}"),
            )
        )
        .with_panel(
            bars(
                "Calibrated error",
                "Error of an answer that 99 % of held-back items stay within: logits of a classifier, nats of a "
                "density. The largest of the chosen models.",
                "sci",
                Query(
                    f"sort_desc(max by (tol_class) (odeserve_calibrated_error_p99{{{OF_BOTH}, {ANSWERS}}}))",
                    "{{tol_class}}",
                ),
            )
        )
        .with_row(Row("Over time"))
        .with_panel(
            over_time(
                "Latency p99",
                "99 % of the requests of a decade are answered within this time; all chosen models together.",
                "s",
                Query(quantile(0.99, LATENCY, OF_BOTH, "tol_class"), "{{tol_class}}"),
                log=True,
            )
        )
        .with_panel(
            over_time(
                "NFE per item",
                "Mean evaluations of the network per image or point, by decade; all chosen models together.",
                "short",
                Query(NFE_BY_DECADE, "{{tol_class}}"),
            )
        )
        .with_panel(
            over_time(
                "Which tolerances are asked for",
                "Solved requests by decade of tolerance.",
                "reqps",
                Query(f"sum by (tol_class) (rate({LATENCY}_count{{{OF_BOTH}}}{WINDOW}))", "{{tol_class}}"),
                stacked=True,
            )
        )
        .with_panel(
            over_time(
                "Requests loosened",
                "Requests that were solved at a looser tolerance than they asked for, within their max_tol, because "
                "their deadline or the queue asked for it.",
                "reqps",
                Query(
                    f'sum by (model) (rate(odeserve_tolerance_loosened_total{{model=~"$model"}}{WINDOW}))', "{{model}}"
                ),
            )
        )
    )
