"""tol=auto, stable, deadlines and max_tol on the app, with a model whose margins call for several tries."""

import json
import shutil

import numpy as np
import pytest
from apps import running_app
from artifacts import CLOUD, DIGITS, RAW

TOLS = (1e-1, 1e-2, 1e-3, 1e-4)


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(11).random((60, 8, 8)).round(3).tolist()


@pytest.fixture(scope="session")
def wary(models_dir, settings, images, tmp_path_factory):
    """A client of an app whose classifier trusts its margins less: about a third goes on at each tolerance."""
    with running_app(settings) as plain:
        answers = plain.post("/classify?tol=1e-4", json={"images": images}).json()["predictions"]
    logits = [np.sort(np.log(answer["probabilities"]))[::-1] for answer in answers]
    leads = [row[0] - row[1] for row in logits]
    margins = dict(zip(TOLS, (*np.quantile(leads, (0.6, 0.3, 0.1)), 1e-6), strict=True))
    root = tmp_path_factory.mktemp("wary")
    shutil.copytree(models_dir / DIGITS, root / DIGITS)
    shutil.copytree(models_dir / CLOUD, root / CLOUD)
    path = root / DIGITS / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    for row in manifest["programs"]["classify"]["calibration"]["rows"]:
        row["margin_error_p99"] = margins[row["tol"]]
    path.write_text(json.dumps(manifest))
    with running_app(settings.model_copy(update={"models_dir": root})) as client:
        yield client


def at(client, tol, images):
    answer = client.post(f"/classify?tol={tol}", json={"images": images})
    assert answer.status_code == 200, answer.text
    return answer


def test_auto_gives_each_item_the_answer_of_the_loosest_tolerance_at_which_it_is_stable(wary, images):
    fixed = {tol: at(wary, tol, images).json()["predictions"] for tol in TOLS}
    answer = at(wary, "auto", images)
    found = answer.json()["predictions"]
    expected = [next((tol for tol in TOLS if fixed[tol][k]["stable"]), TOLS[-1]) for k in range(len(images))]
    assert len(set(expected)) >= 3
    for k, (prediction, tol) in enumerate(zip(found, expected, strict=True)):
        solver, same = prediction["solver"], fixed[tol][k]
        assert (solver["rtol"], prediction["probabilities"]) == (tol, same["probabilities"])
        assert prediction["stable"] == same["stable"]
        attempts = solver["attempts"]
        assert [attempt["tol"] for attempt in attempts] == [t for t in TOLS if t >= tol]
        # The field at the start is evaluated once; the later tries begin with it.
        again = [fixed[attempt["tol"]][k]["solver"]["nfe"] - (n > 0) for n, attempt in enumerate(attempts)]
        assert [attempt["nfe"] for attempt in attempts] == again
        assert solver["nfe"] == sum(again)
    assert float(answer.headers["X-Tol"]) == max(expected)
    assert int(answer.headers["X-NFE"]) == sum(prediction["solver"]["nfe"] for prediction in found)


def test_auto_is_the_same_alone_and_in_slices(wary, images):
    together = at(wary, "auto", images).json()["predictions"]
    for k in (0, 17, 59):
        assert at(wary, "auto", [images[k]]).json()["predictions"] == [together[k]]
    many = (images * 10)[:590]
    assert at(wary, "auto", many).json()["predictions"] == (together * 10)[:590]


def test_auto_stops_tightening_when_the_deadline_leaves_no_time(wary, images, monkeypatch):
    context = wary.app.state.context
    solve = context.runner.solve

    async def slow_after_the_first(problems, **options):
        if problems[0].begun is not None:
            problems[0].program.worst.factor = 1e9
        return await solve(problems, **options)

    monkeypatch.setattr(context.runner, "solve", slow_after_the_first)
    answer = wary.post("/classify?tol=auto&deadline_ms=5000", json={"images": images})
    for model in context.models:
        for served in model.programs.values():
            served.worst.factor = 2.0
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert {len(prediction["solver"]["attempts"]) for prediction in predictions} == {1}
    assert False in {prediction["stable"] for prediction in predictions}


def test_an_item_that_fails_in_a_later_try_keeps_the_answer_it_had(wary, images):
    answer = wary.post("/classify?tol=auto&max_nfe=10", json={"images": images})
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    cut = [p for p in predictions if p["solver"]["attempts"][-1]["status"] == "max_nfe"]
    assert cut
    for prediction in cut:
        assert prediction["status"] == "ok"
        assert prediction["label"] is not None
        assert prediction["stable"] is False


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("tol=auto&rtol=1e-2", "rtol: not with tol=auto"),
        ("tol=auto&max_tol=1e-1", "max_tol: not with tol=auto"),
        ("tol=automatic", "tol: expected a number"),
        ("tol=1e-2&max_tol=1e-3", "max_tol: expected a number from 0.01 to 0.1"),
        ("tol=1e-3&rtol=1e-1&max_tol=1e-2", "max_tol: expected a number from 0.1 to 0.1"),
        ("deadline_ms=0", "deadline_ms: expected a number"),
        ("deadline_ms=1e9", "deadline_ms: expected a number"),
        ("deadline_ms=soon", "deadline_ms: expected a number"),
    ],
)
def test_wishes_that_cannot_be_are_named(client, images, query, words):
    answer = client.post(f"/classify?{query}", json={"image": images[0]})
    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]


def test_only_classifiers_have_auto(client):
    answer = client.post(f"/density?model={CLOUD}&tol=auto", json={"point": [0, 1, 0]})
    assert (answer.status_code, "tol: expected a number" in answer.text) == (422, True)


def test_a_deadline_that_cannot_be_kept_is_refused_before_compute(client, images):
    before = client.app.state.context.metrics.value(
        "odeserve_function_evaluations_total", {"model": DIGITS, "method": "bosh3"}
    )
    answer = client.post("/classify?tol=1e-4&deadline_ms=0.01", json={"image": images[0]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (504, "deadline")
    assert error["details"]["predicted_ms"] > 0.01
    assert f"{error['details']['predicted_ms']:g} ms" in error["message"]
    after = client.app.state.context.metrics.value(
        "odeserve_function_evaluations_total", {"model": DIGITS, "method": "bosh3"}
    )
    assert after == before


def test_a_deadline_is_kept_by_loosening_within_max_tol_and_the_answer_says_so(client, images):
    context = client.app.state.context
    program = context.models.find(DIGITS).programs["classify"]
    loosened = {"model": DIGITS}
    before = context.metrics.value("odeserve_tolerance_loosened_total", loosened)
    cost = {tol: program.nfe_p99("bosh3", tol) for tol in TOLS}
    assert cost[1e-4] > 3 * cost[1e-2]
    speed = program.speed
    usual, speed.stretch = speed.stretch, 1e3
    try:
        tight = client.post("/classify?tol=1e-4&deadline_ms=10000", json={"image": images[0]})
        assert tight.status_code == 504
        predicted = tight.json()["error"]["details"]["predicted_ms"]
        speed.stretch *= 5000 / predicted
        loose = client.post("/classify?tol=1e-4&max_tol=1e-1&deadline_ms=2000", json={"image": images[0]})
    finally:
        speed.stretch = usual
    assert loose.status_code == 200, loose.text
    solver = loose.json()["predictions"][0]["solver"]
    assert solver["rtol"] in (1e-3, 1e-2)
    assert float(loose.headers["X-Tol"]) == solver["rtol"]
    assert context.metrics.value("odeserve_tolerance_loosened_total", loosened) == before + 1


def test_the_tradeoff_has_every_calibrated_cell_and_milliseconds_that_grow(client):
    rows = client.get(f"/models/{DIGITS}/tradeoff").json()["rows"]
    assert [row["tol"] for row in rows] == list(TOLS)
    predicted = [row["predicted_ms"] for row in rows]
    assert predicted == sorted(predicted)
    assert predicted[0] > 0
    assert rows[1] == {
        "program": "classify",
        "method": "bosh3",
        "tol": 0.01,
        "nfe_mean": 14,
        "nfe_p50": 14,
        "nfe_p99": 28,
        "error_rms": 5e-5,
        "error_p99": 1e-4,
        "unit": "logit",
        "metric": None,
        "agreement": None,
        "predicted_ms": predicted[1],
    }
    assert client.get(f"/models/{RAW}/tradeoff").json() == {"rows": []}
    assert client.get("/models/nobody/tradeoff").status_code == 404
