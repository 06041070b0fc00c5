"""A program as one ONNX file that runs wherever ONNX runs, with nothing beside it.

What goes in: the program's input and args; `tol` [1 or lane]; `max_nfe` [1 or lane], 0 for the usual budget; with
stops `t` [stop]. What comes out: the program's outputs, [lane, ...] or with stops [lane, stop, ...], NaN where a lane
has no answer; `nfe`, `accepted_steps`, `rejected_steps`, `error_estimate` and `status` of each lane.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import ModelProto, helper

from node_model.calibrated import measured_rows
from node_model.export import CARRIED, LIMITS, START_INPUTS, START_OUTPUTS, STEP_OUTPUTS
from node_model.manifest import Manifest, ProgramSpec
from node_model.status import ADVICE, Status
from training.graph_writer import GraphWriter, Tensor, as_operator
from training.solve_graph import DOMAIN, INVALID, KINDS, TOLD, SolveGraph

METADATA = "odeserve"
"""Key of the file's metadata; the value is a JSON document."""
FORMAT = 1
"""Of that document and of the inputs and outputs; a later one may differ."""
ENDS = (Status.OK, Status.MAX_NFE, Status.DT_MIN, Status.NON_FINITE)


@dataclass(frozen=True)
class Parts:
    """What a file is made of: the graphs of one program and method, by what they are: encode, start, step, decode.

    `stops`: the times to answer at are an input. `manifest_sha256`: of the artifact's manifest.
    """

    manifest: Manifest
    manifest_sha256: str
    program: str
    method: str
    graphs: dict[str, ModelProto]
    stops: bool

    @property
    def spec(self) -> ProgramSpec:
        """The program, as the manifest has it."""
        return self.manifest.programs[self.program]


def composed(parts: Parts) -> ModelProto:
    """The file.

    Errors: ValueError for a tensor of the program's called as one that every file has, and for graphs that cannot stand
        in one file.
    """
    inputs, outputs = signature(parts)
    writer, manifest = GraphWriter(), parts.manifest
    solved = SolveGraph(writer, parts.spec, parts.method, manifest.state_dtype, parts.stops).write()
    for tensor, output in zip(solved, outputs, strict=True):
        writer.give(tensor, output.name)
    model = helper.make_model(
        writer.graph(f"{manifest.name}-{manifest.version}", inputs, outputs),
        functions=[*_brought_along(parts), *_operators(parts)],
        opset_imports=[*_opsets(parts), helper.make_opsetid(DOMAIN, 1)],
        ir_version=max(graph.ir_version for graph in parts.graphs.values()),
        producer_name="odeserve",
        model_version=int(manifest.version),
        doc_string=manifest.description,
    )
    helper.set_model_props(model, {METADATA: json.dumps(description(parts))})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"{manifest.name} {parts.program}: its graphs are not as ONNX has them: {error}") from error
    return model


def signature(parts: Parts) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of the file, in order. An output called as an input is gets `_out` behind its name.

    Errors: ValueError for a name that every file has.
    """
    spec = parts.spec
    given = [Tensor(one.name, one.dtype, ("lane", *one.shape)) for one in (spec.input, *spec.args)]
    asked = [Tensor("tol", "float64", ("one_or_lane",)), Tensor("max_nfe", "int64", ("one_or_lane",))]
    asked += [Tensor("t", "float64", ("stop",))] if parts.stops else []
    taken = {tensor.name for tensor in given}
    at = ("lane", "stop") if parts.stops else ("lane",)
    answers = [
        Tensor(f"{one.name}_out" if one.name in taken else one.name, one.dtype, (*at, *one.shape))
        for one in spec.outputs
    ]
    told = [Tensor(name, KINDS.get(name, "int64"), ("lane",)) for name in TOLD]
    names = [tensor.name for tensor in (*given, *asked, *answers, *told)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{parts.manifest.name} {parts.program}: a single file has a tensor {name!r} of its own")
    return [*given, *asked], [*answers, *told]


def description(parts: Parts) -> dict[str, Any]:
    """What the file says of itself, for programs that read it and for people."""
    manifest, spec = parts.manifest, parts.spec
    _, outputs = signature(parts)

    def plain(part: Any) -> Any:
        return part.model_dump(mode="json", exclude_none=True)

    calibration = spec.calibration and {
        **plain(spec.calibration),
        "rows": [plain(row) for row in measured_rows(spec, parts.method)],
    }
    document = {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "description": manifest.description,
        "program": parts.program,
        "method": parts.method,
        "interval": spec.interval,
        "tol": plain(spec.tol),
        "input": plain(spec.input),
        "args": [plain(arg) for arg in spec.args],
        "outputs": [
            {**plain(output), "name": named.name} for output, named in zip(spec.outputs, outputs, strict=False)
        ],
        "labels": manifest.labels,
        "standardised_log_density_offset": manifest.standardised_log_density_offset,
        "statuses": {
            str(INVALID): {"name": "invalid", "means": "tol or t is none that the model takes; nothing was solved"},
            **{str(int(end)): {"name": end.label, "means": ADVICE[end]} for end in ENDS},
        },
        "calibration": calibration,
        "provenance": plain(manifest.provenance),
        "manifest_sha256": parts.manifest_sha256,
    }
    return {key: value for key, value in document.items() if value is not None}


def _operators(parts: Parts) -> Iterator[onnx.FunctionProto]:
    """The graphs, each an operator with the tensors that it has as a file of the artifact.

    The weights stand in each that has them, start and step. Handed in from outside they would be there once, but ONNX
    Runtime then fuses other nodes, and some answers differ in their last bits.

    Errors: ValueError for a graph with other tensors.
    """
    spec = parts.spec
    args = [arg.name for arg in spec.args]
    tensors: dict[str, tuple[list[str], list[str]]] = {
        "encode": ([spec.input.name], ["y"]),
        "start": ([*START_INPUTS, *args], [*START_OUTPUTS]),
        "step": ([*(f"{name}_in" for name in CARRIED), *LIMITS, *args], [*STEP_OUTPUTS]),
        "decode": (["y"], [output.name for output in spec.outputs]),
    }
    for kind, (inputs, outputs) in tensors.items():
        yield as_operator(parts.graphs[kind], DOMAIN, kind, inputs, outputs)


def _opsets(parts: Parts) -> list[onnx.OperatorSetIdProto]:
    """What the graphs import. Errors: ValueError where they differ."""
    versions: dict[str, int] = {}
    for kind, graph in parts.graphs.items():
        for one in graph.opset_import:
            if versions.setdefault(one.domain, one.version) != one.version:
                raise ValueError(f"{kind}: its operators ({one.domain or 'ai.onnx'}) are of another version")
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]


def _brought_along(parts: Parts) -> Iterable[onnx.FunctionProto]:
    """Operators of the graphs' own, each once. Errors: ValueError for two of one name that are not the same."""
    found: dict[tuple[str, str], onnx.FunctionProto] = {}
    for kind, graph in parts.graphs.items():
        for function in graph.functions:
            if found.setdefault((function.domain, function.name), function) != function:
                raise ValueError(f"{kind}: its operator {function.domain}.{function.name} is another graph's too")
    return found.values()
