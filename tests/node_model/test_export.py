"""Exported graphs against PyTorch on the same inputs, and against themselves at other batch widths."""

import fcntl
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from graph_loop import Host, session

from node_model.cnf import CNF, CNFConfig
from node_model.export import (
    DEFAULT_METHODS,
    NFE_START,
    STEP_OUTPUTS,
    StartGraph,
    StepGraph,
    export_program,
    method_specs,
)
from node_model.manifest import Graphs
from node_model.odenet import ODENet, ODENetConfig
from node_model.program import Program
from node_model.solvers import ADAPTIVE, solve_ivp
from node_model.status import Status
from node_model.warp import Warp

PROGRAMS = (
    "odenet",
    "cnf-float64",
    "cnf-hutchinson",
    "cnf-warped",
    "cnf-warped-sample",
    "odenet-softplus",
    "odenet-silu",
)
WHITENING = ((1.5, 0.0, 0.0), (-0.7, 1.2, 0.0), (0.4, 0.1, 0.8))


@dataclass(frozen=True)
class Exported:
    """A program, its graphs, and the method they step with."""

    program: Program
    graphs: Graphs
    host: Host
    method: str
    directory: object

    @property
    def dtype(self):
        return getattr(torch, self.program.input.dtype)

    def draw(self, rng, count):
        """Inputs and args of that many items."""
        spec = self.program.input
        inputs = rng.random((count, *spec.shape)) if spec.range else 1.5 * rng.standard_normal((count, *spec.shape))
        args = {
            arg.name: np.sign(rng.standard_normal((count, *arg.shape))).astype(arg.dtype) for arg in self.program.args
        }
        return inputs.astype(spec.dtype), args


def programs():
    """Programs by name, always with the same weights: the workers of xdist share the exported files."""
    torch.manual_seed(20)
    classifier = ODENet(ODENetConfig(image_size=8, channels=8))
    # Three and five numbers a row are the hard case: SIMD lanes then begin elsewhere in every row.
    exact = CNF(CNFConfig(mean=(0.1, -0.2, 0.4), std=(1.5, 0.8, 1.0), hidden=(16, 16))).double()
    estimated = CNF(CNFConfig(mean=(0.1, -0.2, 0.4, 0.0, 1.0), std=(1.5, 0.8, 1.0, 2.0, 0.5), hidden=(16, 16)))
    warp = Warp(centre=(0.5, -0.5, 0.0), width=(0.3, 2.0, 1.0), offset=(0.1, 0.0, -0.3), matrix=WHITENING)
    warped = CNF(CNFConfig(mean=(0.1, -0.2, 0.4), std=(1.5, 0.8, 1.0), hidden=(16, 16), warp=warp))
    smooth = ODENet(ODENetConfig(image_size=8, channels=8, activation="softplus"))
    gated = ODENet(ODENetConfig(image_size=8, channels=8, activation="silu"))
    with torch.no_grad():
        for model in (exact, estimated, warped):
            for parameter in model.parameters():
                parameter.mul_(3)
    return {
        "odenet": (classifier.programs()[0], "bosh3"),
        "cnf-float64": (exact.programs()[0], "dopri5"),
        "cnf-hutchinson": (estimated.programs()[2], "tsit5"),
        "cnf-warped": (warped.programs()[0], "bosh3"),
        "cnf-warped-sample": (warped.programs()[1], "bosh3"),
        "odenet-softplus": (smooth.programs()[0], "bosh3"),
        "odenet-silu": (gated.programs()[0], "bosh3"),
    }


@pytest.fixture(scope="session", params=PROGRAMS)
def exported(request, tmp_path_factory):
    program, method = programs()[request.param]
    root = tmp_path_factory.getbasetemp()
    root = root.parent if hasattr(request.config, "workerinput") else root
    directory, listing = root / f"exported-{request.param}", root / f"exported-{request.param}.json"
    with (root / f"exported-{request.param}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not listing.exists():
            graphs = export_program(program, directory, (method,))
            listing.write_text(graphs.model_dump_json())
    graphs = Graphs.model_validate(json.loads(listing.read_text()))
    return Exported(program, graphs, Host.of(directory, graphs), method, directory)


def assert_near(found, expected):
    """Within 1e-5, or 1e-12 where the graph is float64."""
    expected = expected.numpy()
    tolerance = 1e-12 if expected.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max()))


def step_inputs(exported, rng, count=24, tightest=-4):
    """Lanes somewhere on their way, as a feed of the step graph and as the arguments of StepGraph.forward."""
    inputs, args = exported.draw(rng, count)
    begin, end = exported.program.interval
    t = begin + (end - begin) * rng.uniform(0, 0.9, count)
    tensors = {name: torch.from_numpy(value) for name, value in args.items()}
    with torch.no_grad():
        y = exported.program.encode(torch.from_numpy(inputs))
        f = exported.program.field(torch.from_numpy(t).to(y.dtype), y, tuple(tensors.values()))
    feed = {
        "y_in": y.numpy(),
        "f_in": f.numpy(),
        "t_in": t,
        "dt_in": 10 ** rng.uniform(-2.5, 0.2, count),
        "accepted_in": rng.random(count) < 0.7,
        "nonfinite_in": rng.integers(0, 3, count),
        "nfe_in": rng.integers(1, 50, count),
        "t_end": np.full(count, end),
        "rtol": 10 ** rng.uniform(tightest, -1, count),
        "atol": 10 ** rng.uniform(tightest, -1, count),
        "max_nfe": rng.integers(40, 100, count),
    }
    return feed | args


def torch_step(exported, feed):
    graph = StepGraph(exported.program, ADAPTIVE[exported.method])
    with torch.no_grad():
        values = graph(*(torch.from_numpy(np.asarray(value)) for value in feed.values()))
    return dict(zip(STEP_OUTPUTS, values, strict=True))


def onnx_step(exported, feed):
    return dict(zip(STEP_OUTPUTS, exported.host.step[exported.method].run(None, feed), strict=True))


# -- against torch -----------------------------------------------------------------------------------------------------


def test_encode_start_and_decode_agree_with_torch(exported, rng):
    inputs, args = exported.draw(rng, 7)
    program = exported.program
    with torch.no_grad():
        y = program.encode(torch.from_numpy(inputs))
        (found,) = exported.host.encode.run(None, {program.input.name: inputs})
        assert_near(found, y)
        begin, end = program.interval
        t, t_end = np.full(7, begin), np.full(7, end)
        t[2], max_nfe = end, np.array([9, 9, 9, 0, 9, 9, 1])
        start = {"y": y.numpy(), "t": t, "t_end": t_end, "max_nfe": max_nfe, **args}
        f, nfe, status = StartGraph(program)(*(torch.from_numpy(value) for value in start.values()))
        found = exported.host.start.run(None, start)
        assert_near(found[0], f)
        np.testing.assert_array_equal(found[1], nfe.numpy())
        np.testing.assert_array_equal(found[2], status.numpy())
        assert status.tolist() == [0, 0, Status.OK, Status.MAX_NFE, 0, 0, 0]
        found = exported.host.decode.run(None, {"y": y.numpy()})
        for mine, theirs, spec in zip(found, program.decode(y), program.outputs, strict=True):
            assert_near(mine, theirs)  # of a CNF float64 always
            assert mine.dtype == spec.dtype
            assert mine.shape == (7, *spec.shape)


def test_a_step_agrees_with_torch(exported, rng):
    double = exported.dtype == torch.float64
    feed = step_inputs(exported, rng, count=64, tightest=-9 if double else -4)
    found, expected = onnx_step(exported, feed), torch_step(exported, feed)
    for name in STEP_OUTPUTS:
        assert found[name].dtype == expected[name].numpy().dtype, name
        assert found[name].shape == expected[name].shape, name
    decided = np.abs(expected["ratio"].numpy() - 1) > 0.01
    assert decided.sum() > 40
    accepted = expected["accepted"].numpy()
    assert accepted[decided].any()
    assert not accepted[decided].all()
    for name in ("accepted", "nonfinite", "nfe", "status"):
        np.testing.assert_array_equal(found[name][decided], expected[name].numpy()[decided], err_msg=name)
    for name in ("y", "f"):
        assert_near(found[name][decided], expected[name][torch.from_numpy(decided)])
    np.testing.assert_array_equal(found["t"][decided], expected["t"].numpy()[decided])
    # Rounding of float32 at a tolerance of 1e-4 is a ratio of up to 1e-3.
    large = expected["ratio"].numpy() > (1e-2 if double else 0.05)
    # Constants rounded to float32 on export would show here: their sums are then off by more than 1e-8.
    rtol = 1e-6 if double else 0.02
    np.testing.assert_allclose(found["ratio"][large], expected["ratio"].numpy()[large], rtol=rtol)
    np.testing.assert_allclose(found["err_norm"][large], expected["err_norm"].numpy()[large], rtol=rtol)
    if double:
        np.testing.assert_allclose(found["dt"][large], expected["dt"].numpy()[large], rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_ends_as_in_torch_and_disturbs_no_other_row(exported, bad, rng):
    feed = step_inputs(exported, rng, count=12)
    feed["max_nfe"][:] = 1000
    clean = onnx_step(exported, feed)
    feed["nonfinite_in"][0:8] = [0, 0, 0, 0, 9, 9, 0, 0]
    dim = exported.program.dim
    for row, name, place in ((0, "y_in", 0), (1, "y_in", dim - 1), (2, "f_in", 0), (3, "f_in", dim - 1)):
        feed[name][row, place] = bad
    feed["y_in"][4] = bad
    feed["f_in"][5] = bad
    feed["y_in"][6, 0], feed["f_in"][6, -1] = bad, -bad
    feed["y_in"][7, :2] = math.inf, -math.inf
    found, expected = onnx_step(exported, feed), torch_step(exported, feed)
    for name in ("ratio", "status", "accepted", "nonfinite", "nfe", "t"):
        np.testing.assert_array_equal(found[name][:8], expected[name].numpy()[:8], err_msg=name)
    log_det = exported.program.parts[-1].name == "log_det"
    for row in range(8):
        # Nothing depends on the log-determinant itself: a NaN there stays in its own component, yet is refused.
        assert np.isinf(found["ratio"][row]), (row, log_det)
        assert not found["accepted"][row]
    assert found["status"][:8].tolist() == [0, 0, 0, 0, Status.NON_FINITE, Status.NON_FINITE, 0, 0]
    np.testing.assert_allclose(found["dt"][:8], expected["dt"].numpy()[:8], rtol=1e-12)
    for name in STEP_OUTPUTS:
        np.testing.assert_array_equal(found[name][8:], clean[name][8:], err_msg=name)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_start_sees_what_is_not_finite(exported, bad, rng):
    inputs, args = exported.draw(rng, 4)
    (y,) = exported.host.encode.run(None, {exported.program.input.name: inputs})
    y[1, 0] = bad
    begin, end = exported.program.interval
    feed = {"y": y, "t": np.full(4, begin), "t_end": np.full(4, end), "max_nfe": np.full(4, 99), **args}
    with torch.no_grad():
        expected = StartGraph(exported.program)(*(torch.from_numpy(value) for value in feed.values()))
    _f, nfe, status = exported.host.start.run(None, feed)
    np.testing.assert_array_equal(status, expected[2].numpy())
    np.testing.assert_array_equal(nfe, expected[1].numpy())
    assert status[[0, 2, 3]].tolist() == [Status.RUNNING] * 3
    if math.isnan(bad):
        assert status[1] == Status.NON_FINITE


# -- whole solves over the graphs --------------------------------------------------------------------------------------


def lanes_for(exported, rng, count):
    inputs, args = exported.draw(rng, count)
    (y,) = exported.host.encode.run(None, {exported.program.input.name: inputs})
    begin, end = exported.program.interval
    return {
        "y": y,
        "t": np.full(count, begin),
        "t_end": np.full(count, end),
        "dt": 10 ** rng.uniform(-2, 0, count),
        "rtol": np.tile(10.0 ** -np.arange(1, 7), count)[:count],
        "atol": np.tile(10.0 ** -np.arange(1, 7), count)[:count],
        "max_nfe": np.full(count, 400),
        "args": args,
    }


def rows_of(lanes, rows):
    taken = {name: value[rows] for name, value in lanes.items() if name != "args"}
    return taken | {"args": {name: value[rows] for name, value in lanes["args"].items()}}


def test_each_lane_ends_bit_for_bit_as_alone_whatever_its_company(exported, rng):
    count = 32
    lanes = lanes_for(exported, rng, count)
    lanes["y"][3::8] = math.nan
    lanes["y"][5::8, 0] = math.inf
    lanes["y"][6::8] *= 1e18  # far outside the data: a hard neighbour
    lanes["max_nfe"][4::8] = rng.integers(0, 30, 4)
    lanes["t"][7] = lanes["t_end"][7]
    together, attempts = exported.host.solve(exported.method, **lanes)
    statuses = set(together["status"].tolist())
    assert {Status.OK, Status.NON_FINITE, Status.MAX_NFE} <= statuses
    assert (together["nfe"] <= lanes["max_nfe"]).all()
    assert (together["status"][7], together["nfe"][7]) == (Status.OK, 0)
    ended = together["status"] == Status.OK
    np.testing.assert_array_equal(together["t"][ended], lanes["t_end"][ended])
    for lane in range(count):
        alone, alone_attempts = exported.host.solve(exported.method, **rows_of(lanes, [lane]))
        assert alone_attempts[0] == attempts[lane]
        for name, value in alone.items():
            np.testing.assert_array_equal(value[0], together[name][lane], err_msg=f"{name} of lane {lane}")


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_a_row_is_the_same_bits_in_a_batch_of_any_width_and_at_any_place(exported, width, rng):
    for _ in range(20):
        feed = step_inputs(exported, rng, count=16, tightest=-6)
        whole = onnx_step(exported, feed)
        rows = rng.permutation(16)[:width]
        part = onnx_step(exported, {name: value[rows] for name, value in feed.items()})
        for name in STEP_OUTPUTS:
            np.testing.assert_array_equal(part[name], whole[name][rows], err_msg=name)
        inputs, _ = exported.draw(rng, 16)
        for graph, name, value in (
            (exported.host.encode, exported.program.input.name, inputs),
            (exported.host.decode, "y", feed["y_in"]),
        ):
            (all_rows,) = graph.run(None, {name: value})
            np.testing.assert_array_equal(graph.run(None, {name: value[rows]})[0], all_rows[rows])


def test_a_solve_over_the_graphs_is_the_library_solve(exported, rng):
    lanes = lanes_for(exported, rng, 6)
    lanes["rtol"], lanes["atol"] = (10.0 ** -np.array([1, 2, 3, 4, 4, 4]) for _ in range(2))
    # The error of a very short first step is rounding alone in float32, and so would be the length of the second.
    lanes["dt"] = 10 ** rng.uniform(-1, 0, 6)
    found, _ = exported.host.solve(exported.method, **lanes)
    program = exported.program
    with torch.no_grad():
        solution = solve_ivp(
            program.field,
            torch.from_numpy(lanes["y"]),
            torch.from_numpy(lanes["t"]),
            [program.interval[1]],
            rtol=torch.from_numpy(lanes["rtol"]),
            atol=torch.from_numpy(lanes["atol"]),
            method=exported.method,
            parts=program.parts,
            args=tuple(torch.from_numpy(value) for value in lanes["args"].values()),
            dt0=torch.from_numpy(lanes["dt"]),
        )
    assert solution.status.tolist() == found["status"].tolist() == [Status.OK] * 6
    # Rounding may tip a decision that hangs on the last digits of float32, and a rejection may bring another.
    slack = 0 if exported.dtype == torch.float64 else 3 * ADAPTIVE[exported.method].nfe_attempt
    assert (np.abs(solution.nfe.numpy() - found["nfe"]) <= slack).all()
    difference = np.abs(solution.ys[-1].numpy() - found["y"]).max(1)
    assert (difference <= (1e-4 + 100 * lanes["atol"] if slack else 1e-9)).all()


def test_a_float64_graph_solves_to_the_tightest_float64_tolerance(exported, rng):
    if exported.dtype != torch.float64:
        pytest.skip("a float32 graph ends at 1e-6")
    lanes = lanes_for(exported, rng, 4)
    lanes["rtol"], lanes["atol"] = np.full(4, 1e-12), np.full(4, 1e-12)
    lanes["max_nfe"] = np.full(4, 20_000)
    found, _ = exported.host.solve(exported.method, **lanes)
    assert found["status"].tolist() == [Status.OK] * 4
    program = exported.program
    y0 = torch.from_numpy(lanes["y"])
    options = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12, "parts": program.parts}
    with torch.no_grad():
        exact = solve_ivp(program.field, y0, program.interval[0], [program.interval[1]], **options).ys[-1]
    np.testing.assert_allclose(found["y"], exact.numpy(), rtol=0, atol=1e-9)


# -- the files ---------------------------------------------------------------------------------------------------------


def test_graphs_have_the_agreed_names_and_nothing_random_or_external(exported):
    assert [path.relative_to(exported.directory).as_posix() for path in sorted(exported.directory.rglob("*.onnx"))] == [
        f"onnx/{exported.program.name}/{name}.onnx" for name in ("decode", "encode", "start", f"step-{exported.method}")
    ]
    assert not [p for p in exported.directory.rglob("*") if p.is_file() and p.suffix != ".onnx"]
    args = [spec.name for spec in exported.program.args]
    names = {
        "encode": ([exported.program.input.name], ["y"]),
        "start": (["y", "t", "t_end", "max_nfe", *args], ["f", "nfe", "status"]),
        f"step-{exported.method}": (
            [
                *("y_in", "f_in", "t_in", "dt_in", "accepted_in", "nonfinite_in", "nfe_in"),
                *("t_end", "rtol", "atol", "max_nfe", *args),
            ],
            ["y", "f", "t", "dt", "accepted", "nonfinite", "nfe", "status", "ratio", "err_norm"],
        ),
        "decode": (["y"], [spec.name for spec in exported.program.outputs]),
    }
    for name, (inputs, outputs) in names.items():
        path = exported.directory / "onnx" / exported.program.name / f"{name}.onnx"
        loaded = session(path)
        assert [value.name for value in loaded.get_inputs()] == inputs
        assert [value.name for value in loaded.get_outputs()] == outputs
        assert all(not isinstance(value.shape[0], int) for value in (*loaded.get_inputs(), *loaded.get_outputs()))
        operators = {node.op_type for node in onnx.load(path).graph.node}
        assert not {op for op in operators if op.startswith("Random") or op in {"Bernoulli", "Multinomial"}}


def test_method_specs_say_what_a_step_costs():
    specs = method_specs(DEFAULT_METHODS)
    assert {name: (spec.order, spec.nfe_start, spec.nfe_attempt) for name, spec in specs.items()} == {
        "bosh3": (3, NFE_START, 3),
        "dopri5": (5, NFE_START, 6),
        "tsit5": (5, NFE_START, 6),
    }


def test_a_graph_says_nothing_of_the_machine_that_made_it(tmp_path):
    (program, *_) = CNF(CNFConfig(mean=(0.0, 0.0), std=(1.0, 1.0), hidden=(8, 8))).programs()
    export_program(program, tmp_path, ("bosh3",))
    here = str(Path(export_program.__code__.co_filename).parent).encode()
    assert list(tmp_path.rglob("*.onnx"))
    assert not any(here in path.read_bytes() for path in tmp_path.rglob("*.onnx"))
