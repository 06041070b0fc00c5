"""A solve as ONNX nodes: what the engine of the service does around the graphs of a program, lane for lane.

Every lane has its own tolerance and budget; one that has ended takes no further part; one that has come to a stop is
decoded there and sent to the next.

    while a lane is open:
        advance: one attempt on each open lane, until one of them ends
        retire: decode those that ended, and close them or send them on

The graphs are operators of the domain `odeserve`: encode, start, step, decode.
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from node_model.calibrated import first_dt, measured_rows, usual_max_nfe
from node_model.export import CARRIED, LIMITS, START_OUTPUTS, STEP_OUTPUTS
from node_model.manifest import ProgramSpec
from node_model.status import Status
from training.graph_writer import GraphWriter, Tensor

DOMAIN = "odeserve"
INVALID = -1
"""Status of lanes that were not solved, because tol, or a time, is none that the model takes."""
MOST_NFE = 10_000
"""The budget where the table has none, and the most that it gives: what the service is set to."""
TOLD = ("nfe", "accepted_steps", "rejected_steps", "error_estimate", "status")
"""What is told of a lane's solve beside its answers."""
KINDS = dict.fromkeys(("t", "dt", "t_end", "error_estimate"), "float64") | dict.fromkeys(("accepted", "open"), "bool")
"""Of what is known of a lane; the rest are int64."""

_WALKED = (*CARRIED, "status", "accepted_steps", "attempts", "error_estimate")
"""What an attempt changes."""
_SENT = ("status", "accepted", "t_end", "stop", "open")
"""What changes when a lane has ended or come to a stop."""


class SolveGraph:
    """Writes a solve. Tensors are kept in dictionaries, by what they are of a lane."""

    def __init__(self, writer: GraphWriter, spec: ProgramSpec, method: str, state_dtype: str, stops: bool) -> None:
        self._spec = spec
        self._method = method
        self._dtype = state_dtype
        self._stops = stops
        self._args = [one.name for one in spec.args]
        self._main = writer
        self._running = writer.constant(int(Status.RUNNING), np.int64)
        self._zero, self._one = (writer.constant(number, np.int64) for number in (0, 1))
        self._first_axis = writer.constant([0], np.int64)
        self._last = writer.constant([-1], np.int64)

    def write(self) -> list[str]:
        """All of it: the tensors that the file gives, in order."""
        writer, spec = self._main, self._spec
        (y,) = writer.several("encode", [spec.input.name], ["y"], domain=DOMAIN)
        self._lanes = writer("Gather", writer("Shape", y), self._first_axis)
        self._times = "t" if self._stops else writer.constant([spec.interval[1]], np.float64)
        self._count = writer("Size", self._times)
        limits, dt = self._limits()
        lanes = self._started(y, dt, limits)
        done = self._loop(lanes, limits)
        answers = [done[self._answer(index)] for index in range(len(spec.outputs))]
        if not self._stops:
            answers = [writer("Gather", answer, self._zero, axis=1) for answer in answers]
        done["rejected_steps"] = writer("Sub", done["attempts"], done["accepted_steps"])
        return [*answers, *(done[name] for name in TOLD)]

    def _limits(self) -> tuple[dict[str, str], str]:
        """What every lane must keep to, and the length of its first attempt, by the rules of the service."""
        writer, spec = self._main, self._spec
        attempt = spec.methods[self._method].nfe_attempt
        tol, asked = (self._per_lane(name) for name in ("tol", "max_nfe"))
        rows = measured_rows(spec, self._method)
        edges = [row.tol for row in rows]
        # Step functions of tol, so that the rule itself says their values: below every edge, and on each.
        lengths = [first_dt(spec, rows, at) for at in (0.0, *edges)]
        budgets = [usual_max_nfe(rows, at, MOST_NFE) for at in (0.0, *edges)]
        above = writer("GreaterOrEqual", writer("Unsqueeze", tol, self._last), writer.constant(edges, np.float64))
        place = writer("ReduceSum", writer("Cast", above, to=TensorProto.INT64), self._last, keepdims=0)
        dt = writer("Gather", writer.constant(lengths, np.float64), place)
        usual = writer("Gather", writer.constant(budgets, np.int64), place)
        # Each stop on the way cuts a step in two.
        more = writer("Mul", writer("Sub", self._count, self._one), writer.constant(attempt, np.int64))
        usual = writer("Min", writer("Add", usual, more), writer.constant(MOST_NFE, np.int64))
        budget = writer("Where", writer("Equal", asked, self._zero), usual, asked)
        return {"rtol": tol, "atol": tol, "max_nfe": budget}, dt

    def _started(self, y: str, dt: str, limits: dict[str, str]) -> dict[str, str]:
        """Lanes before their first attempt; some have ended here."""
        writer, spec = self._main, self._spec
        t = self._all(spec.interval[0], np.float64)
        # Where the last stop is, so that a lane which is there from the start costs nothing.
        first, end = (writer("Expand", time, self._lanes) for time in self._ends())
        inputs = [y, t, end, limits["max_nfe"], *self._args]
        f, nfe, status = writer.several("start", inputs, START_OUTPUTS, domain=DOMAIN)
        valid = self._valid(limits["rtol"])
        status = writer("Where", valid, status, writer.constant(INVALID, np.int64))
        nfe = writer("Where", valid, nfe, self._zero)
        none = self._all(0, np.int64)
        yes = self._all(True, np.bool_)
        lanes = {"y": y, "f": f, "t": t, "dt": dt, "accepted": yes, "nonfinite": none, "nfe": nfe, "status": status}
        lanes |= {"accepted_steps": none, "attempts": none, "error_estimate": self._all(0.0, np.float64)}
        lanes |= {"t_end": first, "stop": none, "open": valid}
        for index, output in enumerate(spec.outputs):
            rest = writer.constant(output.shape, np.int64)
            shape = writer("Concat", self._lanes, writer("Reshape", self._count, self._last), rest, axis=0)
            lanes[self._answer(index)] = writer("Expand", writer.constant(np.nan, output.dtype), shape)
        return lanes

    def _ends(self) -> tuple[str, str]:
        """The first and the last stop. Shapes: each [1], the end of the interval where no times are given."""
        writer = self._main
        if not self._stops:
            return self._times, self._times
        # No element can be taken of nothing: without times every lane is invalid, but all the nodes are run.
        some = writer("Concat", self._times, writer.constant([self._spec.interval[1]], np.float64), axis=0)
        last = writer("Max", writer("Sub", self._count, self._one), self._zero)
        return writer("Gather", some, self._first_axis), writer("Gather", some, writer("Unsqueeze", last, self._last))

    def _valid(self, tol: str) -> str:
        """Which lanes have a tolerance, and times, that the service would take."""
        writer, spec = self._main, self._spec

        def within(values: str, least: float, most: float) -> str:
            low, high = (writer.constant(edge, np.float64) for edge in (least, most))
            return writer("And", writer("GreaterOrEqual", values, low), writer("LessOrEqual", values, high))

        valid = within(tol, spec.tol.tightest, spec.tol.loosest)
        if not self._stops:
            return valid
        inside = within("t", min(spec.interval), max(spec.interval))
        earlier = writer("Slice", "t", self._first_axis, self._last)
        later = writer("Slice", "t", writer.constant([1], np.int64), writer.constant([np.iinfo(np.int64).max]))
        ordered = writer("Greater" if spec.interval[1] > spec.interval[0] else "Less", later, earlier)
        valid = writer("And", valid, writer("Greater", self._count, self._zero))
        for good in (inside, ordered):
            valid = writer("And", valid, writer("Not", self._any(writer, writer("Not", good))))
        return valid

    def _loop(self, lanes: dict[str, str], limits: dict[str, str]) -> dict[str, str]:
        """Advance and retire, until no lane is open."""
        names, body = list(lanes), self._main.inner()
        before = {name: body.name(name) for name in names}
        rows = body("Transpose", body("NonZero", before["open"]))
        part = {name: body("Compress", before[name], before["open"], axis=0) for name in (*_WALKED, *_SENT)}
        kept = {name: body("Compress", tensor, before["open"], axis=0) for name, tensor in limits.items()}
        args = [body("Compress", name, before["open"], axis=0) for name in self._args]
        walked = self._advance(body, part, kept | {"t_end": part["t_end"]}, args)
        after = before | {name: body("ScatterND", before[name], rows, walked[name]) for name in _WALKED}
        after |= self._retire(body, after, part | walked, rows)
        again = self._any(body, after["open"])
        return self._repeat(self._any(self._main, lanes["open"]), lanes, self._main, before, body, again, after)

    def _advance(
        self, writer: GraphWriter, lanes: dict[str, str], limits: dict[str, str], args: Sequence[str]
    ) -> dict[str, str]:
        """One attempt on each of some lanes, again and again until one has ended; none where one has already."""
        body = writer.inner()
        before = {name: body.name(name) for name in _WALKED}
        inputs = [*(before[name] for name in CARRIED), *(limits[name] for name in LIMITS), *args]
        step = dict(zip(STEP_OUTPUTS, body.several("step", inputs, STEP_OUTPUTS, domain=DOMAIN), strict=True))
        after = {name: step[name] for name in (*CARRIED, "status")}
        whole = TensorProto.INT64
        after["accepted_steps"] = body("Add", before["accepted_steps"], body("Cast", step["accepted"], to=whole))
        # A lane may end without an attempt (no budget left): then its nfe stays.
        tried = body("Not", body("Equal", step["nfe"], before["nfe"]))
        after["attempts"] = body("Add", before["attempts"], body("Cast", tried, to=whole))
        error = body("Where", step["accepted"], step["err_norm"], body.constant(0.0, np.float64))
        after["error_estimate"] = body("Add", before["error_estimate"], error)
        again = self._none_ended(body, after["status"])
        given = {name: lanes[name] for name in _WALKED}
        return self._repeat(self._none_ended(writer, lanes["status"]), given, writer, before, body, again, after)

    def _repeat(
        self,
        begin: str,
        lanes: dict[str, str],
        writer: GraphWriter,
        before: dict[str, str],
        body: GraphWriter,
        again: str,
        after: dict[str, str],
    ) -> dict[str, str]:
        """`lanes` after a loop whose body has been written and makes `after` of `before`.

        Shapes: begin and again [], whether the body is to be run, and to be run again.
        """
        turn, go = Tensor(body.name("turn"), "int64", ()), Tensor(body.name("go"), "bool", ())
        changed = {name: after[name] for name in before}
        graph = body.graph(
            "body", [turn, go, *self._tensors(before)], [Tensor(again, "bool", ()), *self._tensors(changed)]
        )
        # No number of turns is given: every attempt is paid for from a lane's budget, or ends the lane.
        done = writer.several("Loop", ["", begin, *(lanes[name] for name in before)], list(before), body=graph)
        return dict(zip(before, done, strict=True))

    def _retire(self, writer: GraphWriter, whole: dict[str, str], lanes: dict[str, str], rows: str) -> dict[str, str]:
        """Lanes that have ended, at least one: decode them, write down their answers, close them or send them on.

        Shapes: `whole` each [lane, ...]; `lanes` and rows those that are open.
        """
        ended = writer("Not", writer("Equal", lanes["status"], self._running))
        rows = writer("Compress", rows, ended, axis=0)
        y, *sent = (writer("Compress", lanes[name], ended, axis=0) for name in ("y", *_SENT))
        status, accepted, t_end, stop, _ = sent
        outputs = writer.several("decode", [y], [output.name for output in self._spec.outputs], domain=DOMAIN)
        # A state far out may end well and still have no finite answer.
        ok = writer.constant(int(Status.OK), np.int64)
        astray = writer("And", writer("Equal", status, ok), self._any_infinite(writer, outputs))
        status = writer("Where", astray, writer.constant(int(Status.NON_FINITE), np.int64), status)
        landed = writer("Equal", status, ok)
        place = writer("Concat", rows, writer("Unsqueeze", stop, self._last), axis=1)
        changed = {}
        for index, output in enumerate(self._spec.outputs):
            mask = landed
            if output.shape:
                mask = writer("Unsqueeze", landed, writer.constant(range(1, 1 + len(output.shape)), np.int64))
            answer = writer("Where", mask, outputs[index], writer.constant(np.nan, output.dtype))
            name = self._answer(index)
            changed[name] = writer("ScatterND", whole[name], place, answer)
        stop = writer("Add", stop, writer("Cast", landed, to=TensorProto.INT64))
        further = writer("And", landed, writer("Less", stop, self._count))
        following = writer("Gather", self._times, writer("Min", stop, writer("Sub", self._count, self._one)))
        new = {
            "status": writer("Where", further, self._running, status),
            # A lane that found itself at its stop made no attempt, hence no rejection that dt should heed.
            "accepted": writer("Or", accepted, further),
            "t_end": writer("Where", further, following, t_end),
            "stop": stop,
            "open": further,
        }
        return changed | {name: writer("ScatterND", whole[name], rows, new[name]) for name in _SENT}

    def _any_infinite(self, writer: GraphWriter, outputs: Sequence[str]) -> str:
        """Which rows have a number that is NaN or infinite, in any output."""
        found = []
        for name, spec in zip(outputs, self._spec.outputs, strict=True):
            bad = writer("Or", writer("IsNaN", name), writer("IsInf", name))
            if spec.shape:
                axes = writer.constant(range(1, 1 + len(spec.shape)), np.int64)
                count = writer("ReduceSum", writer("Cast", bad, to=TensorProto.INT64), axes, keepdims=0)
                bad = writer("Greater", count, self._zero)
            found.append(bad)
        some = found[0]
        for bad in found[1:]:
            some = writer("Or", some, bad)
        return some

    def _none_ended(self, writer: GraphWriter, status: str) -> str:
        """Of open lanes, of which there is one at least. Shapes: [n] -> []."""
        return writer("Equal", writer("ReduceMax", status, keepdims=0), self._running)

    def _any(self, writer: GraphWriter, mask: str) -> str:
        """Whether any of it holds; of nothing, none. Shapes: any -> []."""
        # A sum, because a maximum of nothing is an error.
        count = writer("ReduceSum", writer("Cast", mask, to=TensorProto.INT64), keepdims=0)
        return writer("Greater", count, self._zero)

    def _per_lane(self, name: str) -> str:
        """An input that is one number, or one for each lane; other counts are an error of the runtime."""
        # Expand would as well widen the lanes to more numbers.
        return self._main("Reshape", self._main("Expand", name, self._lanes), self._lanes, allowzero=1)

    def _all(self, value: float | bool, dtype: type) -> str:
        """The same for each lane."""
        return self._main("Expand", self._main.constant([value], dtype), self._lanes)

    def _answer(self, index: int) -> str:
        """What carries an output of the program through the loops."""
        return f"answer {index}"

    def _tensors(self, names: dict[str, str]) -> list[Tensor]:
        """Carried tensors with their types."""
        outputs = {self._answer(index): output for index, output in enumerate(self._spec.outputs)}
        tensors = []
        for name, tensor in names.items():
            if name in outputs:
                tensors.append(Tensor(tensor, outputs[name].dtype, (None, None, *outputs[name].shape)))
            elif name in ("y", "f"):
                tensors.append(Tensor(tensor, self._dtype, (None, self._spec.dim)))
            else:
                tensors.append(Tensor(tensor, KINDS.get(name, "int64"), (None,)))
        return tensors
