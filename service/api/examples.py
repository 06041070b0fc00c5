"""Examples of what the API takes and gives, for its description. A test checks each against its schema."""

from typing import Any


def _seven() -> list[list[int]]:
    image = [[0] * 28 for _ in range(28)]
    for column in range(7, 21):
        image[6][column] = image[7][column] = 1
    for row in range(8, 24):
        column = 19 - (row - 8) // 2
        image[row][column] = image[row][column + 1] = 1
    return image


SEVEN = _seven()
"""An image for `odenet-mnist`."""

_CALIBRATED = {"p99": 0.0598, "unit": "logit"}
_ATTEMPT = {"tol": 0.1, "method": "dopri5", "nfe": 7, "accepted": 1, "rejected": 0, "status": "ok"}
_SOLVER = {
    "method": "bosh3",
    "rtol": 0.01,
    "atol": 0.01,
    "nfe": 7,
    "accepted": 2,
    "rejected": 0,
    "error_estimate": 0.0031,
    "calibrated_error": _CALIBRATED,
}
_TIMING = {"queue": 0.2, "solve": 1.1, "total": 1.9, "predicted": 1.7}
_CLASSIFICATION = {
    "label": "7",
    "index": 7,
    "probabilities": [0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.98, 0.0, 0.01],
    "status": "ok",
    "stable": True,
    "solver": _SOLVER,
}
_DENSITY_SOLVER = _SOLVER | {"calibrated_error": {"p99": 0.0009, "unit": "nat"}}
_DENSITY = {"log_density": -1.43, "status": "ok", "solver": _DENSITY_SOLVER}
_DRAWN = {"status": "ok", "solver": _SOLVER | {"calibrated_error": {"p99": 0.0012, "unit": "output"}}}
_PREDICTION = {"output": [[0.88, -0.44], [0.54, -0.76]], "status": "ok", "solver": _SOLVER}
_START = {"t": 1.0, "position": [0.5, 1.0], "velocity": [0.3, -0.2], "log_det": 0.0}
_STEP = {
    "t": 0.6,
    "dt": 0.4,
    "accepted": True,
    "error_ratio": 0.31,
    "position": [0.41, 0.87],
    "velocity": [0.21, 0.4],
    "log_det": 0.12,
}
_TRAJECTORY = {"log_density": -1.43, "status": "ok", "solver": _DENSITY_SOLVER, "start": _START, "steps": [_STEP]}
_MODEL = {"name": "odenet-mnist", "version": "1", "task": "classify", "default": True, "ready": True}
_ROW = {
    "program": "classify",
    "method": "bosh3",
    "tol": 0.01,
    "nfe_mean": 7.0,
    "nfe_p50": 7.0,
    "nfe_p99": 7.0,
    "error_rms": 0.012,
    "error_p99": 0.0598,
    "unit": "logit",
    "metric": 0.9972,
    "agreement": 0.9998,
    "predicted_ms": 0.6,
}
_PICTURE = {"shows": "ink", "box": 20, "centre": "mass", "stroke": 1.4}
_TENSOR = {
    "name": "image",
    "shape": [28, 28],
    "dtype": "float32",
    "range": [0.0, 1.0],
    "normalisation": None,
    "draw": None,
    "picture": _PICTURE,
}
_LOGITS = _TENSOR | {"name": "logits", "shape": [10], "range": None, "picture": None}
_GRAPHS = {
    "encode": "onnx/classify/encode.onnx",
    "start": "onnx/classify/start.onnx",
    "decode": "onnx/classify/decode.onnx",
    "step": {"bosh3": "onnx/classify/step-bosh3.onnx"},
}
_PART, _METHOD = {"name": "y", "size": 2304}, {"order": 3, "nfe_start": 1, "nfe_attempt": 3}
_TOL = {"tightest": 1e-6, "loosest": 0.1, "default": 0.01}
_CELL = {
    "method": "bosh3",
    "tol": 0.01,
    "skipped": None,
    "nfe_mean": 7.0,
    "nfe_p50": 7.0,
    "nfe_p99": 7.0,
    "nfe_between": [7.0, 7.0, 7.0, 7.0],
    "error_rms": 0.012,
    "error_p99": 0.0598,
    "margin_error_p99": 0.07,
    "metric": 0.9972,
    "agreement": 0.9998,
    "first_dt": 0.5,
}
_CALIBRATION = {
    "unit": "logit",
    "metric": "accuracy",
    "data": "the last 5,000 training images",
    "items": 5000,
    "reference": "torch float64 dopri5 at 1e-8",
    "command": "odetrain calibrate",
    "rows": [_CELL],
}
_PROGRAM = {
    "graphs": _GRAPHS,
    "input": _TENSOR,
    "outputs": [_LOGITS],
    "args": [],
    "interval": [0.0, 1.0],
    "parts": [_PART],
    "methods": {"bosh3": _METHOD},
    "tol": _TOL,
    "calibration": _CALIBRATION,
}
_PROVENANCE = {
    "data": "mnist",
    "seed": 0,
    "command": "odetrain odenet",
    "epochs": 30.0,
    "date": "2026-11-01",
    "train": {"loss": 0.003},
    "test": {"error": 0.0028},
}
_SIGNATURE = {
    "program": "classify",
    "input": _TENSOR,
    "outputs": [_LOGITS],
    "args": [],
    "interval": [0.0, 1.0],
    "methods": ["bosh3"],
    "tol": _TOL,
}
_WHERE = {"model": "cnf-two-moons", "version": "1"}
_OWN = {"model": "spring", "version": "1"}

ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "invalid_input": (
        "tol: expected a number from 1e-06 to 0.1; got '2'",
        {"field": "tol", "least": 1e-6, "most": 0.1},
    ),
    "solver_failed": (
        "item 0: max_nfe: give more evaluations with max_nfe, or loosen tol",
        {"index": 0, "status": "max_nfe", "t": 0.62, "nfe": 199, "advice": "give more evaluations, or loosen tol"},
    ),
    "too_large": ("the body is above 16 MiB", {"limit_bytes": 16777216}),
    "unknown_model": ("no model 'resnet'; known are odenet-mnist", {"known": ["odenet-mnist"]}),
    "not_found": ("no path /nowhere; see /docs", {}),
    "method_not_allowed": ("GET /classify: expected POST", {"allowed": ["POST"]}),
    "unsupported_media_type": (
        "Content-Type: expected application/json, got 'text/plain'",
        {"expected": ["application/json"]},
    ),
    "unauthorized": ("expected an API key, as Authorization: Bearer KEY or X-API-Key: KEY", {}),
    "body_timeout": ("the body did not arrive within 30 s", {"limit_seconds": 30}),
    "queue_full": (
        "5.2 s of work are waiting ahead of it",
        {"waiting_seconds": 5.2, "retry_after_seconds": 2},
    ),
    "not_ready": ("models are still being loaded", {"state": "starting"}),
    "deadline": (
        "would take up to 12.4 ms, and 4.8 ms of the deadline's 5 ms are left; give more time; or loosen tol, "
        "or allow a looser one by max_tol",
        {"predicted_ms": 12.4, "left_ms": 4.8, "deadline_ms": 5.0, "nfe": 0},
    ),
    "internal": ("internal error; the log has it", {"request_id": "5f0c9a1be2d34c77-1a"}),
}
"""Message and details of an error of each code."""


def error_example(code: str, meaning: str) -> dict[str, Any]:
    """The body of an error; what it means where there is no better message."""
    message, details = ERRORS.get(code, (meaning, {}))
    return {"error": {"code": code, "message": message, "details": details}}


SCHEMAS: dict[str, Any] = {
    "CalibratedError": _CALIBRATED,
    "Attempt": _ATTEMPT,
    "Solver": _SOLVER,
    "Timing": _TIMING,
    "Classification": _CLASSIFICATION,
    "Density": _DENSITY,
    "Drawn": _DRAWN,
    "ClassifyAnswer": {
        "model": "odenet-mnist",
        "version": "1",
        "predictions": [_CLASSIFICATION],
        "timing_ms": _TIMING,
    },
    "DensityAnswer": {**_WHERE, "predictions": [_DENSITY], "timing_ms": _TIMING},
    "SampleAnswer": {**_WHERE, "samples": [[0.42, -0.17]], "seed": 7, "predictions": [_DRAWN], "timing_ms": _TIMING},
    "Prediction": _PREDICTION,
    "PredictAnswer": {**_OWN, "predictions": [_PREDICTION], "t": [0.5, 1.0], "timing_ms": _TIMING},
    "OnTheWay": _START,
    "Step": _STEP,
    "Trajectory": _TRAJECTORY,
    "TrajectoryAnswer": {**_WHERE, "items": [_TRAJECTORY], "units": "input", "timing_ms": _TIMING},
    "ModelEntry": _MODEL,
    "ModelList": {"models": [_MODEL]},
    "ModelDescription": {
        "format": 1,
        "name": "odenet-mnist",
        "version": "1",
        "task": "classify",
        "description": "",
        "state_dtype": "float32",
        "architecture": {"channels": 64},
        "parameters": 208266,
        "programs": {"classify": _PROGRAM},
        "labels": list("0123456789"),
        "standardised_log_density_offset": None,
        "provenance": _PROVENANCE,
        "signature": {"/classify": _SIGNATURE},
    },
    "TensorSpec": _TENSOR,
    "PictureSpec": _PICTURE,
    "Normalisation": {"mean": [0.5, 0.25], "std": [0.87, 0.5]},
    "Graphs": _GRAPHS,
    "PartSpec": _PART,
    "MethodSpec": _METHOD,
    "TolLimits": _TOL,
    "CalibrationRow": _CELL,
    "Calibration": _CALIBRATION,
    "ProgramSpec": _PROGRAM,
    "ModelProvenance": _PROVENANCE,
    "Signature": _SIGNATURE,
    "Liveness": {"status": "live"},
    "Readiness": {"status": "ready", "models": ["odenet-mnist@1"]},
    "TradeoffRow": _ROW,
    "Tradeoff": {"rows": [_ROW]},
    "Error": error_example("invalid_input", "")["error"],
    "ErrorAnswer": error_example("invalid_input", ""),
    "ClassifyBody": {"image": SEVEN},
    "DensityBody": {"points": [[0.5, 1.0]]},
    "SampleBody": {"n": 100, "seed": 7},
    "PredictBody": {"inputs": [[1.0, 0.0]], "t": [0.5, 1.0]},
}
"""By the names of schemas."""
