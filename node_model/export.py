"""Programs as ONNX graphs: encode, start, one step per method, decode. The step is solvers.advance itself, traced.

What a graph takes and gives back, each with the lane axis first:

    encode   the program's input -> y
    start    y, t, t_end, max_nfe, args -> f, nfe, status
    step     y_in, f_in, t_in, dt_in, accepted_in, nonfinite_in, nfe_in, t_end, rtol, atol, max_nfe, args
             -> y, f, t, dt, accepted, nonfinite, nfe, status, ratio, err_norm
    decode   y -> the program's outputs

A step's outputs are the next step's inputs of the same name with `_in` behind it. Every lane given to a step is taken
to be running.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from node_model.errors import ExportError
from node_model.export_errors import explained
from node_model.export_float64 import TRANSLATIONS
from node_model.manifest import Graphs, MethodSpec, TensorSpec
from node_model.program import Program
from node_model.solvers.advance import advance
from node_model.solvers.lanes import Lanes, first_status
from node_model.solvers.tableaus import ADAPTIVE, ButcherTableau
from node_model.status import Status

DEFAULT_METHODS = ("bosh3", "dopri5", "tsit5")
NFE_START = 1
"""A served lane starts with one evaluation, f(t0, y0); its first dt comes from the calibration table."""

CARRIED = ("y", "f", "t", "dt", "accepted", "nonfinite", "nfe")
"""What a step takes as `<name>_in` and gives back as `<name>`."""
LIMITS = ("t_end", "rtol", "atol", "max_nfe")
START_INPUTS = ("y", "t", "t_end", "max_nfe")
START_OUTPUTS = ("f", "nfe", "status")
STEP_OUTPUTS = (*CARRIED, "status", "ratio", "err_norm")


class StartGraph(nn.Module):
    """f(t0, y0), and the lanes that end before their first attempt."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.field = program.field

    def forward(
        self, y: Tensor, t: Tensor, t_end: Tensor, max_nfe: Tensor, *args: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes: y [lane, dim], the others [lane] -> f [lane, dim], nfe, status [lane]."""
        f = self.field(t.to(y.dtype), y, args)
        status, nfe = first_status(f, t0=t, t_end=t_end, max_nfe=max_nfe, nfe_start=NFE_START)
        return f, nfe, status


class StepGraph(nn.Module):
    """One attempt on every lane: `advance`, its record taken apart into tensors."""

    def __init__(self, program: Program, tableau: ButcherTableau) -> None:
        super().__init__()
        self.field = program.field
        self.tableau = tableau
        self.parts = program.parts

    def forward(
        self,
        y: Tensor,
        f: Tensor,
        t: Tensor,
        dt: Tensor,
        accepted: Tensor,
        nonfinite: Tensor,
        nfe: Tensor,
        t_end: Tensor,
        rtol: Tensor,
        atol: Tensor,
        max_nfe: Tensor,
        *args: Tensor,
    ) -> tuple[Tensor, ...]:
        """Shapes: as in Lanes; the outputs in the order of STEP_OUTPUTS."""
        zeros = torch.zeros_like(t)
        lanes = Lanes(
            y=y,
            f=f,
            t=t,
            dt=dt,
            accepted=accepted,
            nonfinite=nonfinite,
            status=torch.full_like(nfe, Status.RUNNING),
            t_end=t_end,
            rtol=rtol,
            atol=atol,
            max_nfe=max_nfe,
            args=args,
            nfe=nfe,
            steps_accepted=torch.zeros_like(nfe),
            steps_rejected=torch.zeros_like(nfe),
            ratio=zeros,
            err_norm=zeros,
            error_estimate=zeros,
        )
        after = advance(self.field, lanes, self.tableau, self.parts)
        return tuple(getattr(after, name) for name in STEP_OUTPUTS)


def method_specs(methods: Sequence[str]) -> dict[str, MethodSpec]:
    """Order and cost of adaptive methods, for the manifest."""
    return {
        name: MethodSpec(order=ADAPTIVE[name].order, nfe_start=NFE_START, nfe_attempt=ADAPTIVE[name].nfe_attempt)
        for name in methods
    }


def export_program(program: Program, directory: Path, methods: Sequence[str] = DEFAULT_METHODS) -> Graphs:
    """Write `onnx/<program>/{encode,start,step-<method>,decode}.onnx` below `directory`.

    Errors: ExportError naming the graph, and the operator or the line that cannot be exported.
    """
    folder = Path("onnx") / program.name
    (directory / folder).mkdir(parents=True)
    paths = {name: str(folder / f"{name}.onnx") for name in ("encode", "start", "decode")}
    steps = {method: str(folder / f"step-{method}.onnx") for method in methods}
    lanes = 3  # any number but 0 and 1, which the exporter would take for constants
    args = [_example(spec, lanes) for spec in program.args]
    names = [spec.name for spec in program.args]

    _export(program.encode, [_example(program.input, lanes)], [program.input.name], ["y"], directory / paths["encode"])
    # Each input is a tensor of its own: the exporter takes one tensor object given twice for one input.
    y, f = (torch.rand(lanes, program.dim, dtype=_dtype(program)) for _ in range(2))
    t, dt, t_end, rtol, atol = (torch.rand(lanes, dtype=torch.float64) for _ in range(5))
    nonfinite, nfe, max_nfe = (torch.full((lanes,), count) for count in (0, 1, 1000))
    accepted = torch.ones(lanes, dtype=torch.bool)
    _export(
        StartGraph(program),
        [y, t, t_end, max_nfe, *args],
        [*START_INPUTS, *names],
        list(START_OUTPUTS),
        directory / paths["start"],
    )
    for method, path in steps.items():
        _export(
            StepGraph(program, ADAPTIVE[method]),
            [y, f, t, dt, accepted, nonfinite, nfe, t_end, rtol, atol, max_nfe, *args],
            [*(f"{name}_in" for name in CARRIED), *LIMITS, *names],
            list(STEP_OUTPUTS),
            directory / path,
        )
    _export(program.decode, [y], ["y"], [spec.name for spec in program.outputs], directory / paths["decode"])
    return Graphs(**paths, step=steps)


def _dtype(program: Program) -> torch.dtype:
    return torch.float64 if program.input.dtype == "float64" else torch.float32


def _example(spec: TensorSpec, lanes: int) -> Tensor:
    return torch.rand(lanes, *spec.shape, dtype=getattr(torch, spec.dtype))


def _export(module: nn.Module, inputs: list[Tensor], names: list[str], outputs: list[str], path: Path) -> None:
    """One graph with a free lane axis and no external data."""
    lane = torch.export.Dim("lane")
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module.eval(),
                tuple(inputs),
                # Names of the user's may be what the exporter calls a tensor inside: they are given afterwards.
                input_names=[f"{name}{_GIVEN}" for name in names],
                output_names=[f"{name}{_GIVEN}" for name in outputs],
                dynamic_shapes=_shapes(module, inputs, lane),
                custom_translation_table=TRANSLATIONS if inputs[0].dtype == torch.float64 else None,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of any kind: it runs the module's own code
        raise ExportError(f"{path.stem}: {explained(error)}") from error
    if program is None:
        raise ExportError(f"{path.stem}: the exporter gave nothing back")
    program.save(path, external_data=False)
    _finish(path)


def _finish(path: Path) -> None:
    """See that the graph takes any number of lanes and draws nothing, and take out the exporter's notes.

    It notes the code that it ran: folders of this machine among it, and megabytes.

    Errors: ExportError.
    """
    graph = onnx.load(path)
    _rename(graph.graph)
    for tensor in (*graph.graph.input, *graph.graph.output):
        if not tensor.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(
                f"{path.stem}: {tensor.name} would have a fixed number of items: something in the module turns their "
                "number into a constant (torch.vmap and torch.func do, or a Python int of a shape)"
            )
    for part in (graph.graph, *graph.functions):
        for node in part.node:
            if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
                raise ExportError(f"{path.stem}: draws random numbers ({node.op_type}); let them come in as arguments")
        for noted in (part, *part.node, *part.value_info):
            noted.ClearField("metadata_props")
    for tensor in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        tensor.ClearField("metadata_props")
    onnx.save(graph, path)


def _rename(graph: onnx.GraphProto) -> None:
    """Give inputs and outputs the names that they are to have, and tensors inside that have these others."""
    given = [tensor.name for tensor in (*graph.input, *graph.output)]
    names = {name: name.removesuffix(_GIVEN) for name in given}
    names |= {name: f"{name}{_INSIDE}" for name in set(names.values())}

    def renamed(part: onnx.GraphProto) -> None:
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    renamed(inner)
        for tensor in (*part.input, *part.output, *part.initializer, *part.value_info):
            tensor.name = names.get(tensor.name, tensor.name)

    renamed(graph)


_GIVEN, _INSIDE = "/given", "/inside"
"""No name of a manifest has a slash."""


def _shapes(module: nn.Module, inputs: list[Tensor], lane: Any) -> Any:
    """Dynamic shapes in the form of forward's signature, in which trailing *args are one tuple."""
    free = [{0: lane} for _ in inputs]
    named = {StartGraph: 4, StepGraph: 11}.get(type(module), len(inputs))
    return (*free[:named], tuple(free[named:])) if len(inputs) > named else tuple(free)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs and warns of its own internals, and prints the graph of a trace that failed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # torch.export has print(..., file=sys.stderr) for that graph, which no logger holds back.
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
