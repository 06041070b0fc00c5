"""What the engine does: steps, evaluations, lanes, shards."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.parts import OF_BOTH, OF_MODEL, WINDOW, Query, dashboard, heat, number, over_time, quantile

# At the time of the scrape: from now it would be the age of the scrape.
HEARTBEAT_AGE = "timestamp(odeserve_engine_heartbeat_timestamp_seconds) - odeserve_engine_heartbeat_timestamp_seconds"
STEPS = "odeserve_solver_steps_total"
ISSUED = f"rate(odeserve_function_evaluations_total{{{OF_MODEL}}}{WINDOW})"
USEFUL = f"rate(odeserve_function_evaluations_useful_total{{{OF_MODEL}}}{WINDOW})"


def board() -> Dashboard:
    return (
        dashboard("odeserve-solver", "odeserve / Solver", "Steps, evaluations, lanes and shards of the engine.")
        .with_row(Row("Now"))
        .with_panel(
            number(
                "Evaluations",
                "Evaluations of a network's field a second, counted by lanes.",
                "ops",
                Query(f"sum({ISSUED})"),
                width=6,
            )
        )
        .with_panel(
            number(
                "Useful share",
                "Share of the evaluations that belong to items which were solved while their caller waited.",
                "percentunit",
                Query(f"sum({USEFUL}) / sum({ISSUED})"),
                width=6,
                steps=((None, "red"), (0.8, "orange"), (0.95, "green")),
            )
        )
        .with_panel(
            number(
                "Rejected steps",
                "Share of the steps that were tried and had too large an error. A few are what an adaptive solver "
                "does, many mean that first steps are too long for these inputs.",
                "percentunit",
                Query(
                    f'sum(rate({STEPS}{{{OF_MODEL}, outcome="rejected"}}{WINDOW})) '
                    f"/ sum(rate({STEPS}{{{OF_MODEL}}}{WINDOW}))"
                ),
                width=6,
                steps=((None, "green"), (0.3, "orange"), (0.6, "red")),
            )
        )
        .with_panel(
            number(
                "Oldest heartbeat",
                "Seconds since the slowest shard had last turned when it was asked. Above 10 it counts as hung.",
                "s",
                Query(f"max({HEARTBEAT_AGE})"),
                width=6,
                steps=((None, "green"), (7, "orange"), (10, "red")),
            )
        )
        .with_row(Row("Steps and evaluations"))
        .with_panel(
            over_time(
                "Steps by outcome",
                "Steps of lanes a second: accepted ones go forward, rejected ones are tried again with a shorter step.",
                "ops",
                Query(f"sum by (model, outcome) (rate({STEPS}{{{OF_MODEL}}}{WINDOW}))", "{{model}} {{outcome}}"),
            )
        )
        .with_panel(
            heat(
                "NFE per item",
                "How many evaluations an item takes: requests by the mean of their items, in buckets.",
                "short",
                Query(f"sum by (le) (increase(odeserve_request_nfe_bucket{{{OF_BOTH}}}{WINDOW}))", "{{le}}"),
            )
        )
        .with_panel(
            over_time(
                "Evaluations by method",
                "Evaluations a second by model and Runge-Kutta method.",
                "ops",
                Query(f"sum by (model, method) ({ISSUED}) > 0", "{{model}} {{method}}"),
                stacked=True,
            )
        )
        .with_panel(
            over_time(
                "Useful share",
                "Share of a model's evaluations that belong to items which were solved while their caller waited. The "
                "rest was for callers who left, deadlines that passed and neighbours of items that failed.",
                "percentunit",
                Query(f"sum by (model) ({USEFUL}) / sum by (model) ({ISSUED})", "{{model}}"),
            )
        )
        .with_row(Row("Lanes and shards"))
        .with_panel(
            over_time(
                "Lanes taken",
                "Items under way, by model: the mean over the last minute of what scrapes saw.",
                "short",
                Query(f"sum by (model) (avg_over_time(odeserve_lanes_active{{{OF_MODEL}}}[1m]))", "{{model}}"),
                stacked=True,
                width=8,
            )
        )
        .with_panel(
            over_time(
                "Lanes there are",
                "Width of the steps, over all methods and shards of a model, as measured when it was loaded.",
                "short",
                Query(f"sum by (model) (odeserve_lanes_capacity{{{OF_MODEL}}})", "{{model}}"),
                width=8,
                log=True,
            )
        )
        .with_panel(
            over_time(
                "Time of a step",
                "Median and 99th percentile of a shard's turn: items enter, every lane makes an attempt, ended ones "
                "leave. Newcomers wait for at most one.",
                "s",
                Query(quantile(0.5, "odeserve_engine_step_duration_seconds", OF_MODEL, "model"), "{{model}} p50"),
                Query(quantile(0.99, "odeserve_engine_step_duration_seconds", OF_MODEL, "model"), "{{model}} p99"),
                width=8,
                log=True,
            )
        )
        .with_panel(
            over_time(
                "Heartbeats",
                "Seconds since each shard had last turned when it was asked. An idle one turns every second.",
                "s",
                Query(HEARTBEAT_AGE, "{{instance}} shard {{shard}}"),
                width=24,
            )
        )
    )
