"""The models: what is served, how they are used, and whether their inputs are still those of the calibration."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from boards.parts import OF_BOTH, OF_MODEL, WINDOW, Query, dashboard, listing, over_time

NFE = "model_tol_class:odeserve_request_nfe"


def board() -> Dashboard:
    return (
        dashboard("odeserve-models", "odeserve / Models", "What is served, how it is used, and whether inputs drift.")
        .with_row(Row("What is served"))
        .with_panel(
            listing(
                "Models",
                "Loaded models with version and task, and on how many servers.",
                Query(f"count by (model, version, task) (odeserve_model_info{{{OF_MODEL}}})", column="servers"),
                rows=6,
                width=12,
            )
        )
        .with_panel(
            listing(
                "Builds",
                "Version, commit and backend of the servers that run.",
                Query("count by (version, commit, backend) (odeserve_build_info)", column="servers"),
                rows=6,
                width=12,
            )
        )
        .with_row(Row("Use"))
        .with_panel(
            over_time(
                "Requests",
                "Requests a second by the model that answered.",
                "reqps",
                Query(f"sum by (model) (rate(odeserve_requests_total{{{OF_MODEL}}}{WINDOW}))", "{{model}}"),
                stacked=True,
                width=8,
            )
        )
        .with_panel(
            over_time(
                "Evaluations",
                "Evaluations of a model's field a second, counted by lanes.",
                "ops",
                Query(f"sum by (model) (rate(odeserve_function_evaluations_total{{{OF_MODEL}}}{WINDOW}))", "{{model}}"),
                stacked=True,
                width=8,
            )
        )
        .with_panel(
            over_time(
                "Requests with failing items",
                "Share of a model's solved requests in which an item ended max_nfe, dt_min, non_finite or late.",
                "percentunit",
                Query(f"model:odeserve_requests:failed_lanes_ratio_rate5m{{{OF_MODEL}}}", "{{model}}"),
                width=8,
            )
        )
        .with_row(Row("Drift: do inputs cost what those of the calibration did?"))
        .with_panel(
            over_time(
                "Easier? NFE beside the calibrated mean",
                "Mean NFE per item over half an hour, divided by the mean that the calibration table gives for these "
                "very requests. Below 90 % the alert OdeserveNfeDrift is due: inputs have become easier. A request "
                "that was cut short by its budget or deadline is expected to take nothing, so above 100 % says little.",
                "percentunit",
                Query(
                    f"{NFE}:mean_rate30m{{{OF_BOTH}}} / {NFE}:calibrated_mean_rate30m{{{OF_BOTH}}}",
                    "{{model}} {{tol_class}}",
                ),
            )
        )
        .with_panel(
            over_time(
                "Harder? NFE beside the calibrated p99",
                "Mean NFE per item over half an hour, divided by the 99th percentile that the calibration table gives "
                "for these very requests. Above 110 % the alert OdeserveNfeDrift is due: inputs have become harder, "
                "and calibrated errors may not hold for them.",
                "percentunit",
                Query(
                    f"{NFE}:mean_rate30m{{{OF_BOTH}}} / {NFE}:calibrated_p99_rate30m{{{OF_BOTH}}}",
                    "{{model}} {{tol_class}}",
                ),
            )
        )
        .with_row(Row("Calibration"))
        .with_panel(
            listing(
                "Calibration tables",
                "What was measured of each program at each decade of tolerance, by the method that method=auto takes.",
                Query(
                    f'max by (model, program, tol_class) (odeserve_calibrated_nfe{{{OF_BOTH}, statistic="mean"}})',
                    column="NFE mean",
                ),
                Query(
                    f'max by (model, program, tol_class) (odeserve_calibrated_nfe{{{OF_BOTH}, statistic="p99"}})',
                    column="NFE p99",
                ),
                Query(
                    f"max by (model, program, tol_class) (odeserve_calibrated_error_p99{{{OF_BOTH}}})",
                    column="error p99",
                    unit="sci",
                ),
                Query(
                    f"max by (model, program, tol_class) (odeserve_calibrated_metric{{{OF_BOTH}}})",
                    column="accuracy, mean log-density",
                ),
                Query(
                    f"max by (model, program, tol_class) (odeserve_calibrated_agreement{{{OF_BOTH}}})",
                    column="agrees with the reference",
                    unit="percentunit",
                ),
                rows=12,
            )
        )
    )
