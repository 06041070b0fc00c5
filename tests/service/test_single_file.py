"""A single file beside the service it was made for: the same bits, evaluations and ends, in a process that has neither
the service nor the library."""

import itertools
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from apps import running_app
from artifacts import CLOUD, DECAY, DIGITS, RAW, SPRING
from hypothesis import given
from hypothesis import strategies as st

from node_model.calibrated import measured_rows
from node_model.manifest import read_manifest
from node_model.status import Status
from service.api.wishes import Choice
from service.engine.draws import draw_items
from service.engine.engine import solve_alone
from service.models import load_model
from service.settings import Settings
from training.single_file_export import FileOrder, export_single_file

SHIPPED = Path(__file__).parents[2] / "checkpoints"
MOST_NFE = Settings().max_nfe
INVALID = -1
WIDTH = 5
"""Of the engine's steps: another than the file's, which takes all lanes at once."""
DIGIT_IMAGES = [
    json.loads((Path(__file__).parents[2] / "examples" / "digits" / f"{digit}.json").read_text())["image"]
    for digit in range(10)
]
TOLD = ("nfe", "accepted_steps", "rejected_steps", "error_estimate", "status")

# -S leaves out the .pth files by which an editable install is found: what is left is what pip installed as files.
ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib.util
assert not [name for name in ("service", "node_model", "training", "odeserve") if importlib.util.find_spec(name)]
import numpy, onnxruntime
onnxruntime.set_default_logger_severity(4)
for file, given, found in zip(*[iter(sys.argv[2:])] * 3):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs = session.run(None, dict(numpy.load(given)))
    numpy.savez(found, **dict(zip([one.name for one in session.get_outputs()], outputs)))
assert "torch" not in sys.modules
"""


class Files:
    """Single files of some models, each made once, and the same models in the service's engine."""

    def __init__(self, folder):
        self.folder = folder
        self._programs, self._numbers = {}, itertools.count()

    def file(self, artifact, program=None, method=None, stops=False):
        file = self.folder / f"{artifact.parent.name}-{program}-{method}-{stops}.onnx"
        if not file.exists():
            export_single_file(FileOrder(artifact, file, program, method, stops))
        return file

    def served(self, artifact, program):
        if artifact not in self._programs:
            self._programs[artifact] = load_model(artifact, Settings(lanes=WIDTH)).programs
        return self._programs[artifact][program]

    def elsewhere(self, file, feed):
        """What a process of its own makes of it, in a folder without any of ours."""
        place = self.folder / f"run-{next(self._numbers)}"
        place.mkdir()
        np.savez(place / "given.npz", **feed)
        packages = sysconfig.get_paths()["purelib"]
        command = [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, file, "given.npz", "found.npz"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return dict(np.load(place / "found.npz"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("single"))


def session_of(file):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def run(session, feed):
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, feed), strict=True))


def expected(program, method, inputs, args, tols, budgets, stops=None):
    """What the engine makes of the lanes, each a request of its own."""
    rows = []
    for lane, (tol, budget) in enumerate(zip(tols, budgets, strict=True)):
        usual = int(budget) or program.cost.max_nfe(method, tol, MOST_NFE)
        spare = 0 if budget else MOST_NFE - usual
        choice = Choice(method, tol, tol, usual, program.cost.first_dt(method, tol), spare)
        own = slice(lane, lane + 1)
        problem = choice.problem(program, inputs[own], tuple(arg[own] for arg in args), True, stops=stops)
        request = solve_alone(problem)
        solution = request.solution
        told = (solution.nfe, solution.accepted, solution.rejected, solution.error_estimate, solution.status)
        rows.append([*request.outputs, *told])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def assert_same(found, expected):
    """To the last bit, but for what an item that failed has instead of an answer: NaN."""
    *answers, status = (*expected[: -len(TOLD)], expected[-1])
    for name, array in zip(TOLD, expected[-len(TOLD) :], strict=True):
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    for array, told in zip(answers, found.values(), strict=False):
        assert told.dtype == array.dtype
        ok = status == Status.OK
        np.testing.assert_array_equal(told[ok], array[ok])
        assert told.ndim > 1 or np.isnan(told[~ok]).all()


def repeated(values, count):
    return np.array(list(itertools.islice(itertools.cycle(values), count)))


@pytest.mark.parametrize(
    ("model", "program", "method"),
    [
        ("odenet-mnist", "classify", "dopri5"),
        ("odenet-mnist", "classify", "bosh3"),
        ("cnf-two-moons", "log_density", "dopri5"),
        ("cnf-two-moons", "log_density", "tsit5"),
        ("cnf-two-moons", "sample", "bosh3"),
        ("cnf-protein", "log_density_hutchinson", "dopri5"),
    ],
)
def test_lanes_of_all_tolerances_answer_as_served_where_nothing_of_ours_is(files, rng, model, program, method):
    artifact = SHIPPED / model / "1"
    served, count = files.served(artifact, program), 12
    spec = served.spec
    if program == "classify":
        inputs = np.array([*DIGIT_IMAGES, rng.random((28, 28)), np.zeros((28, 28))], np.float32)
    elif spec.input.draw:
        inputs = draw_items(spec.input, 7, count)
    else:
        inputs = rng.normal(size=(count, *spec.input.shape)).astype(np.float32)
    args = tuple(draw_items(arg, 7, count) for arg in spec.args)
    tols = repeated([1e-1, 3.7e-2, 1e-3, 1e-4, 2e-5, 1e-6], count)
    budgets = repeated([0, 0, 0, 400, 13], count)
    feed = {spec.input.name: inputs, "tol": tols, "max_nfe": budgets}
    feed |= {arg.name: array for arg, array in zip(spec.args, args, strict=True)}
    found = files.elsewhere(files.file(artifact, program, method), feed)
    assert list(found) == [*(output.name for output in spec.outputs), *TOLD]
    assert_same(found, expected(served, method, inputs, args, tols, budgets))
    assert {Status.OK, Status.MAX_NFE} == set(found["status"])


def test_log_densities_are_those_of_the_route_bit_for_bit(files):
    artifact = SHIPPED / "cnf-two-moons" / "1"
    points = np.array([[0.5, 1.0], [-1.25, 0.125], [2.0, -0.5], [0.0, 0.0]], np.float32)
    with running_app(Settings(models_dir=SHIPPED, models=("cnf-two-moons",), lanes=3, shards=1)) as client:
        for tol in (1e-1, 1e-2, 3e-4, 1e-6):
            query = f"/density?model=cnf-two-moons&method=dopri5&tol={tol!r}"
            served = client.post(query, json={"points": points.tolist()}).json()["predictions"]
            feed = {"point": points, "tol": np.array([tol]), "max_nfe": np.array([0])}
            found = run(session_of(files.file(artifact)), feed)
            assert found["log_density"].tolist() == [item["log_density"] for item in served]
            for name, key in (("nfe", "nfe"), ("accepted_steps", "accepted"), ("rejected_steps", "rejected")):
                assert found[name].tolist() == [item["solver"][key] for item in served]
            assert found["error_estimate"].tolist() == [item["solver"]["error_estimate"] for item in served]


@given(
    points=st.lists(
        st.tuples(*[st.floats(-4, 4, width=32) | st.sampled_from([np.nan, np.inf, -3e38, 1e20])] * 2),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
)
def test_any_points_tolerances_and_budgets_end_as_in_the_engine(files, points, data):
    artifact = SHIPPED / "cnf-two-moons" / "1"
    inputs, count = np.array(points, np.float32), len(points)
    some = st.floats(-6, -1).map(lambda power: min(max(10**power, 1e-6), 1e-1))
    tols = np.array(data.draw(st.lists(some, min_size=count, max_size=count)))
    budgets = np.array(data.draw(st.lists(st.integers(-1, 150), min_size=count, max_size=count)))
    found = run(session_of(files.file(artifact)), {"point": inputs, "tol": tols, "max_nfe": budgets})
    served = files.served(artifact, "log_density")
    with np.errstate(all="ignore"):
        assert_same(found, expected(served, "dopri5", inputs, (), tols, budgets))


def test_the_first_attempt_and_the_budget_follow_the_table_on_and_beside_every_row(files, rng):
    artifact = SHIPPED / "cnf-two-moons" / "1"
    served = files.served(artifact, "log_density")
    edges = [row.tol for row in measured_rows(served.spec, "dopri5")]
    tols = [tol for edge in edges for tol in (np.nextafter(edge, 0), edge, np.nextafter(edge, 1))]
    tols = np.array([tol for tol in tols if 1e-6 <= tol <= 1e-1])
    inputs = rng.normal(size=(len(tols), 2)).astype(np.float32)
    # A budget that is not enough shows itself where a solve ends; the first attempt shows itself in every bit.
    feed = {"point": inputs, "tol": tols, "max_nfe": np.zeros(1, np.int64)}
    found = run(session_of(files.file(artifact)), feed)
    assert_same(found, expected(served, "dopri5", inputs, (), tols, np.zeros(len(tols), int)))


@pytest.mark.parametrize("wanted", [0.0, -1e-2, -0.0, np.nan, np.inf, -np.inf, 9.9e-7, 0.11, 5e-324])
def test_a_tolerance_that_the_service_refuses_is_not_solved_and_its_neighbours_are(files, wanted):
    artifact = SHIPPED / "odenet-mnist" / "1"
    session = session_of(files.file(artifact, "classify", "dopri5"))
    images = np.array(DIGIT_IMAGES[:3], np.float32)
    feed = {"image": images, "tol": np.array([1e-3, wanted, 1e-1]), "max_nfe": np.array([0])}
    found = run(session, feed)
    assert found["status"].tolist() == [Status.OK, INVALID, Status.OK]
    assert found["nfe"][1] == found["accepted_steps"][1] == found["rejected_steps"][1] == 0
    assert np.isnan(found["logits"][1]).all()
    assert found["logits"].argmax(1)[[0, 2]].tolist() == [0, 2]
    whole = run(session, {**feed, "tol": np.array([wanted])})
    assert (whole["status"] == INVALID).all()


def test_a_file_of_an_artifact_that_was_never_calibrated_starts_as_the_service_does(files, models_dir, rng):
    artifact = models_dir / RAW / "1"
    served = files.served(artifact, "log_density")
    inputs = rng.normal(size=(4, 2)).astype(np.float32)
    tols, budgets = np.array([1e-1, 1e-2, 1e-3, 1e-4]), np.zeros(4, int)
    feed = {"point": inputs, "tol": tols, "max_nfe": budgets}
    found = run(session_of(files.file(artifact)), feed)
    assert_same(found, expected(served, "bosh3", inputs, (), tols, budgets))


def test_no_lanes_are_no_answers(files):
    for artifact, name, shape in (
        (SHIPPED / "odenet-mnist" / "1", "image", (28, 28)),
        (SHIPPED / "cnf-two-moons" / "1", "point", (2,)),
    ):
        session = session_of(files.file(artifact))
        for tols in (np.array([1e-2]), np.zeros(0)):
            feed = {name: np.zeros((0, *shape), np.float32), "tol": tols, "max_nfe": np.array([0])}
            assert [len(array) for array in session.run(None, feed)] == [0] * 6


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tol": np.array([1e-2], np.float32)}, "expected: (tensor(double))"),
        ({"max_nfe": np.array([100], np.int32)}, "expected: (tensor(int64))"),
        ({"point": np.zeros((3, 2))}, "expected: (tensor(float))"),
        ({"tol": np.array(1e-2)}, "Invalid rank for input: tol"),
        ({"tol": np.array([1e-2, 1e-3])}, "invalid expand shape"),
        ({"point": np.zeros((3, 3), np.float32)}, "invalid dimensions for input: point"),
    ],
)
def test_what_does_not_fit_is_an_error_of_the_runtime(files, changed, words):
    session = session_of(files.file(SHIPPED / "cnf-two-moons" / "1"))
    feed = {"point": np.zeros((3, 2), np.float32), "tol": np.array([1e-2]), "max_nfe": np.array([0])}
    with pytest.raises(
        Exception, match=r"INVALID_ARGUMENT|FAIL"
    ) as raised:  # a class of its own for each status, without a base
        session.run(None, feed | changed)
    assert words in str(raised.value)


# Times of one's own


@pytest.mark.parametrize("model", [SPRING, DECAY])
def test_answers_at_stops_are_those_of_the_engine(files, models_dir, rng, model):
    """Float64 with an argument and two outputs; float32. At the start, close together, at the end."""
    artifact = models_dir / model / "1"
    served, count = files.served(artifact, "predict"), 7
    spec = served.spec
    inputs = rng.normal(size=(count, 2)).astype(spec.input.dtype)
    args = tuple(rng.random(count).astype(arg.dtype) for arg in spec.args)
    tols, budgets = repeated([1e-1, 1e-3, 1e-4], count), repeated([0, 0, 40], count)
    session = session_of(files.file(artifact, stops=True))
    for stops in ([0.0, 0.1, 0.7, 0.700001, 2.0], [0.0], [2.0], [1.3], [0.4, 1.9]):
        feed = {spec.input.name: inputs, "tol": tols, "max_nfe": budgets, "t": np.array(stops)}
        feed |= {arg.name: array for arg, array in zip(spec.args, args, strict=True)}
        found = run(session, feed)
        wanted = expected(served, "bosh3", inputs, args, tols, budgets, stops=np.array(stops))
        for array, told in zip(wanted[: -len(TOLD)], found.values(), strict=False):
            np.testing.assert_array_equal(told, array)  # NaN too, at times that a lane did not come to
        assert_same(found, wanted)


def test_the_default_budget_of_many_stops_is_that_of_the_route(files, models_dir):
    artifact, times = models_dir / DECAY / "1", np.linspace(0.01, 2, 60)
    with running_app(Settings(models_dir=models_dir, models=(DECAY,), default_models=(), lanes=4)) as client:
        body = {"inputs": [[1.0, 0.0], [0.5, -2.0]], "t": times.tolist()}
        served = client.post(f"/predict?model={DECAY}&tol=1e-4", json=body).json()["predictions"]
    feed = {
        "state": np.array(body["inputs"], np.float32),
        "tol": np.array([1e-4]),
        "max_nfe": np.array([0]),
        "t": times,
    }
    found = run(session_of(files.file(artifact, stops=True)), feed)
    np.testing.assert_array_equal(found["state_out"], np.array([item["output"] for item in served], np.float32))
    assert found["nfe"].tolist() == [item["solver"]["nfe"] for item in served]
    assert found["nfe"].min() > 150


@pytest.mark.parametrize("times", [[], [0.5, 0.5], [1.0, 0.5], [-0.1, 1.0], [1.0, 2.5], [np.nan], [0.5, np.nan, 1.0]])
def test_times_that_the_service_refuses_are_not_solved(files, models_dir, times):
    session = session_of(files.file(models_dir / DECAY / "1", stops=True))
    feed = {"state": np.ones((2, 2), np.float32), "tol": np.array([1e-2]), "max_nfe": np.array([0])}
    found = run(session, {**feed, "t": np.array(times, float)})
    assert found["status"].tolist() == [INVALID] * 2
    assert found["state_out"].shape == (2, len(times), 2)
    assert np.isnan(found["state_out"]).all()


def test_stops_of_a_flow_that_runs_backward_come_in_its_direction(files):
    artifact = SHIPPED / "cnf-two-moons" / "1"
    served = files.served(artifact, "log_density")
    inputs = np.array([[0.5, 1.0], [0.0, 0.0]], np.float32)
    session = session_of(files.file(artifact, stops=True))
    tols, budgets, stops = np.array([1e-3, 1e-5]), np.zeros(2, int), np.array([0.75, 0.5, 0.0])
    feed = {"point": inputs, "tol": tols, "max_nfe": budgets, "t": stops}
    wanted = expected(served, "dopri5", inputs, (), tols, budgets, stops=stops)
    found = run(session, feed)
    np.testing.assert_array_equal(found["log_density"], wanted[0])
    assert_same(found, wanted)
    assert (run(session, {**feed, "t": stops[::-1].copy()})["status"] == INVALID).all()


# The file itself


def test_the_file_says_what_it_is(files):
    artifact = SHIPPED / "odenet-mnist" / "1"
    manifest = read_manifest(artifact)
    file = files.file(artifact, "classify", "dopri5")
    told = json.loads(session_of(file).get_modelmeta().custom_metadata_map["odeserve"])
    assert (told["name"], told["version"], told["program"], told["method"]) == (
        "odenet-mnist",
        "1",
        "classify",
        "dopri5",
    )
    assert told["tol"] == {"tightest": 1e-6, "loosest": 0.1, "default": 0.01}
    assert told["labels"] == list(manifest.labels)
    assert told["provenance"]["command"] == manifest.provenance.command
    assert {row["method"] for row in told["calibration"]["rows"]} == {"dopri5"}
    for code, status in told["statuses"].items():
        assert int(code) == INVALID or status["name"] == Status(int(code)).label
    session = session_of(file)
    assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [
        ("image", "tensor(float)", ["lane", 28, 28]),
        ("tol", "tensor(double)", ["one_or_lane"]),
        ("max_nfe", "tensor(int64)", ["one_or_lane"]),
    ]
    assert session.get_outputs()[0].shape == ["lane", 10]


def test_the_file_is_whole_and_checked(files):
    file = files.file(SHIPPED / "odenet-mnist" / "1", "classify", "dopri5")
    model = onnx.load(file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert {function.name for function in model.functions} == {"encode", "start", "step", "decode"}
    assert str(SHIPPED.parent).encode() not in file.read_bytes()
    assert file.stat().st_size < 2e6


def test_a_tiny_classifier_and_a_flow_with_three_dimensions_can_be_files(files, models_dir, rng):
    for model, program, shape in ((DIGITS, "classify", (8, 8)), (CLOUD, "log_density", (3,))):
        artifact = models_dir / model / "1"
        served = files.served(artifact, program)
        inputs = rng.random((3, *shape)).astype(np.float32)
        tols, budgets = np.array([1e-1, 1e-2, 1e-4]), np.zeros(3, int)
        feed = {served.spec.input.name: inputs, "tol": tols, "max_nfe": budgets}
        found = run(session_of(files.file(artifact)), feed)
        assert_same(found, expected(served, "bosh3", inputs, (), tols, budgets))
