"""A program of a package beside the manifest that was made of another."""

from dataclasses import replace

import pytest
from torch import nn

from node_model.calibration_table import TolLimits
from node_model.manifest import Graphs, MethodSpec, PartSpec, ProgramSpec
from node_model.own import OwnArg, OwnModel, OwnProgram, Shapes

WANTED = OwnProgram(
    nn.Identity(),
    nn.Identity(),
    nn.Identity(),
    interval=(0, 2),
    input="state",
    args=(OwnArg("damping", range=(0, 1)), OwnArg("probe", (2,), draw="standard_normal")),
    parts={"position": 1, "velocity": 1},
    range=(-3, 3),
)


def spec_of(wanted):
    """What the manifest says of it."""
    model = OwnModel("predict", wanted)
    model.take_shapes({"predict": Shapes((2,), 2, ((2,),), (False,))})
    program = model.program("predict")
    return ProgramSpec(
        graphs=Graphs(encode="e.onnx", start="s.onnx", decode="d.onnx", step={"dopri5": "p.onnx"}),
        input=program.input,
        outputs=program.outputs,
        args=program.args,
        interval=program.interval,
        parts=tuple(PartSpec(name=name, size=size) for name, size in program.part_sizes.items()),
        methods={"dopri5": MethodSpec(order=5, nfe_start=1, nfe_attempt=6)},
        tol=TolLimits(tightest=1e-6, loosest=1e-1, default=1e-3),
    )


def test_a_program_is_the_same_as_its_own_manifest():
    OwnModel("predict", WANTED).take_specs({"predict": spec_of(WANTED)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": (0, 3)}, "interval: (0.0, 2.0) here, (0.0, 3.0) in the artifact"),
        ({"input": "y0"}, "input: state here, y0 in the artifact"),
        ({"range": (-3, 4)}, "input range: (-3.0, 3.0) here, (-3.0, 4.0) in the artifact"),
        ({"range": None}, "input range: (-3.0, 3.0) here, None in the artifact"),
        ({"outputs": ("end",)}, "outputs: ('output',) here, ('end',) in the artifact"),
        ({"args": WANTED.args[:1]}, "args: ('damping', 'probe') here, ('damping',) in the artifact"),
        ({"args": WANTED.args[::-1]}, "args: ('damping', 'probe') here, ('probe', 'damping') in the artifact"),
        (
            {"args": (OwnArg("damping", range=(0, 2)), WANTED.args[1])},
            "damping range: (0.0, 1.0) here, (0.0, 2.0) in the artifact",
        ),
        ({"args": (OwnArg("damping", (1,), (0, 1)), WANTED.args[1])}, "damping shape: () here, (1,) in the artifact"),
        (
            {"args": (WANTED.args[0], OwnArg("probe", (2,), draw="rademacher"))},
            "probe draw: standard_normal here, rademacher in the artifact",
        ),
        ({"parts": {"velocity": 1, "position": 1}}, "parts: {'position': 1, 'velocity': 1} here, {'velocity': 1,"),
        ({"parts": None}, "parts: {'position': 1, 'velocity': 1} here, {'state': 2} in the artifact"),
    ],
)
def test_what_differs_is_named(changes, words):
    with pytest.raises(ValueError, match=r"^predict: ") as refusal:
        OwnModel("predict", WANTED).take_specs({"predict": spec_of(replace(WANTED, **changes))})
    assert words in str(refusal.value)


def test_a_state_of_another_size_is_named():
    wanted = replace(WANTED, parts=None, state_shape=(3,))
    with pytest.raises(ValueError, match="state_shape: 3 here, 2 in the artifact"):
        OwnModel("predict", wanted).take_specs({"predict": spec_of(replace(WANTED, parts=None))})


def test_programs_that_one_of_the_two_has_alone_are_named():
    field = nn.Identity()
    flow = OwnProgram(field, field, field, name="log_density")
    sample = OwnProgram(field, field, field, name="sample", draw="standard_normal", drawn_shape=(2,))
    with pytest.raises(ValueError, match="programs: log_density, sample here, log_density in the artifact"):
        OwnModel("density", flow, sample).take_specs({"log_density": spec_of(replace(WANTED))})


def test_a_draw_of_another_shape_is_named():
    field = nn.Identity()
    sample = OwnProgram(field, field, field, name="sample", draw="standard_normal", drawn_shape=(3,))
    flow = OwnProgram(field, field, field, name="log_density")
    spec = spec_of(replace(WANTED, input="input", range=None, interval=(0, 1), args=(), parts=None))
    drawn = spec.model_copy(update={"input": spec.input.model_copy(update={"draw": "standard_normal"})})
    with pytest.raises(ValueError, match=r"sample: drawn_shape: \(3,\) here, \(2,\) in the artifact"):
        OwnModel("density", flow, sample).take_specs({"log_density": spec, "sample": drawn})
