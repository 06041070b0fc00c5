"""ONNX nodes written down one after another, each called by the name of what it gives."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper


class GraphWriter:
    """Nodes of one graph. A graph inside it, the body of a loop, sees its tensors, so that all names are different."""

    def __init__(self, names: Iterator[int] | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self._names = itertools.count() if names is None else names

    def inner(self) -> "GraphWriter":
        """What writes a graph inside this one."""
        return GraphWriter(self._names)

    def name(self, stem: str) -> str:
        """A name that no tensor has yet."""
        return f"{stem}_{next(self._names)}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A tensor of these numbers."""
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output: its name."""
        (output,) = self.ops(kind, inputs, (kind.lower(),), **attributes)
        return output

    def ops(self, kind: str, inputs: Sequence[str], stems: Sequence[str], **attributes: Any) -> list[str]:
        """A node with several outputs: their names, which begin with `stems`."""
        outputs = [self.name(stem) for stem in stems]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def rename(self, tensor: str, name: str) -> None:
        """Give a tensor a second, chosen name, as an output of a graph has."""
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))


def loop_body(writer: GraphWriter, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> GraphProto:
    """The graph of a Loop from what was written: iteration, condition and carried tensors in; condition and them out."""
    kinds = [TensorProto.INT64, TensorProto.BOOL]
    values = [helper.make_tensor_value_info(one, kind, []) for one, kind in zip(inputs, kinds, strict=False)]
    values += [helper.make_value_info(one, TypeProto()) for one in inputs[2:]]
    return helper.make_graph(writer.nodes, name, values, [helper.make_value_info(one, TypeProto()) for one in outputs])


def as_function(model: ModelProto, domain: str, name: str) -> FunctionProto:
    """A whole model as one operator; its weights become constants.

    Errors: ValueError where it has subgraphs in files of their own or weights beside it.
    """
    graph = model.graph
    weights = [helper.make_node("Constant", [], [weight.name], value=weight) for weight in graph.initializer]
    return helper.make_function(
        domain,
        name,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        [*weights, *graph.node],
        opset_imports=model.opset_import,
    )
