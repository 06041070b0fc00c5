"""A program without a network: a row's input says how many attempts it takes, its answer who it was.

Shapes: inputs [row, 2]: attempts until the row ends well (0: at its start; negative: fails after so many), name.
"""

import itertools
import math

import numpy as np

from node_model.calibration_table import TolLimits
from node_model.manifest import Graphs, MethodSpec, PartSpec, ProgramSpec, TensorSpec
from node_model.status import Status
from service.engine.cost import CostTable
from service.engine.program import ServedProgram
from service.engine.request import Problem, Request
from service.engine.speed import Speed
from service.engine.stepper import Lanes, Stepped

METHODS = ("bosh3", "dopri5")
EVALUATIONS = 3
"""Of an attempt, whatever the method; the start costs one."""
ATTEMPT_SECONDS = 1e-3

_names = itertools.count()


def spec(table=None):
    methods = {name: MethodSpec(order=3, nfe_start=1, nfe_attempt=EVALUATIONS) for name in METHODS}
    return ProgramSpec(
        graphs=Graphs(encode="e.onnx", start="s.onnx", step={m: f"{m}.onnx" for m in methods}, decode="d.onnx"),
        input=TensorSpec(name="x", shape=(2,), dtype="float64"),
        outputs=(TensorSpec(name="name", shape=(), dtype="float64"),),
        interval=(0.0, 1.0),
        parts=(PartSpec(name="y", size=2),),
        methods=methods,
        tol=TolLimits(tightest=1e-4, loosest=1e-1, default=1e-2),
        calibration=table,
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Countdown:
    """The stepper. `before_step` is called in front of every attempt, with the method and the lanes."""

    def __init__(self, clock=None, seconds_of=lambda lanes: ATTEMPT_SECONDS, before_step=lambda method, lanes: None):
        self.spec = spec()
        self.clock = clock
        self.seconds_of = seconds_of
        self.before_step = before_step
        self.widths = []

    def start(self, rows):
        count, terms = len(rows.inputs), rows.terms
        y, zeros, ones = np.array(rows.inputs, float), np.zeros(count), np.ones(count, np.int64)
        status = np.where(y[:, 0] == 0, Status.OK, Status.RUNNING)
        lanes = Lanes(
            y, y, zeros, terms.first_dt, ones > 0, ones * 0, ones, zeros + 1, terms.rtol, terms.atol, terms.max_nfe, ()
        )
        return Stepped(lanes, status, zeros, ones, ones > 0, zeros, zeros)

    def restart(self, lanes, terms):
        none = np.zeros(len(lanes.t), np.int64)
        return Stepped(
            lanes._replace(nfe=none, dt=terms.first_dt, max_nfe=terms.max_nfe),
            none,
            lanes.t,
            none,
            lanes.accepted,
            lanes.t,
            lanes.t,
        )

    def step(self, method, lanes):
        self.before_step(method, lanes)
        self.widths.append(len(lanes.y))
        if self.clock:
            self.clock.now += self.seconds_of(len(lanes.y))
        y = lanes.y - np.sign(lanes.y[:, :1]) * [1, 0]
        status = np.where(y[:, 0] != 0, Status.RUNNING, np.where(lanes.y[:, 0] > 0, Status.OK, Status.DT_MIN))
        nfe, t = lanes.nfe + EVALUATIONS, lanes.t + 0.01
        accepted = np.ones(len(y), bool)
        error, ratio = np.full(len(y), 1e-3), np.full(len(y), 0.5)
        return Stepped(lanes._replace(y=y, nfe=nfe, t=t), status, t, nfe, accepted, error, ratio)

    def select(self, lanes, index):
        return Lanes._make((*(array[index] for array in lanes[:-1]), ()))

    def join(self, *parts):
        return Lanes._make(
            (*(np.concatenate(arrays) for arrays in zip(*(part[:-1] for part in parts), strict=True)), ())
        )

    def peek(self, lanes, names):
        return tuple(getattr(lanes, name) for name in names)

    def decode(self, y):
        return (y[:, 1],)


def program(stepper=None, lanes=4, key=None):
    stepper = stepper or Countdown()
    seconds = dict.fromkeys(METHODS, ATTEMPT_SECONDS / EVALUATIONS)
    widths = dict.fromkeys(METHODS, lanes)
    steps = {method: {1: ATTEMPT_SECONDS, lanes: ATTEMPT_SECONDS} for method in METHODS}
    name = key or f"countdown-{next(_names)}"
    return ServedProgram(name, name, stepper, CostTable(stepper.spec), Speed(1e-6, seconds, steps), widths)


def problem(program, attempts, names=None, *, method="bosh3", partial=False):
    names = range(len(attempts)) if names is None else names
    inputs = np.array([*zip(attempts, names, strict=True)], float)
    return Problem(program, method, inputs, (), 1e-2, 1e-2, 10**6, 0.1, partial)


def request(problem, received=0.0, deadline=math.inf, ended=lambda request: None):
    return Request(problem, received=received, deadline=deadline, ended=ended)
