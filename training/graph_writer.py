"""ONNX graphs written node by node, each node called by the name of what it gives."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data


class Tensor(NamedTuple):
    """What a graph takes or gives. Shapes: None for a free axis, a word for one that must agree with others."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def info(self) -> ValueInfoProto:
        """As ONNX has it."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        return helper.make_tensor_value_info(self.name, kind, self.shape)


class GraphWriter:
    """The nodes of one graph. A graph inside it, the body of a loop, sees its tensors: no two of all have one name."""

    def __init__(self, names: Iterator[int] | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self._names = itertools.count() if names is None else names

    def inner(self) -> "GraphWriter":
        """What writes a graph inside this one."""
        return GraphWriter(self._names)

    def name(self, stem: str) -> str:
        """A name that no tensor has yet, and that none of a manifest can have."""
        return f"{stem}/{next(self._names)}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A tensor of these numbers."""
        return self("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output: its name."""
        (output,) = self.several(kind, inputs, (kind,), **attributes)
        return output

    def several(self, kind: str, inputs: Sequence[str], stems: Sequence[str], **attributes: Any) -> list[str]:
        """A node with several outputs: their names, which begin with `stems`."""
        outputs = [self.name(stem) for stem in stems]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def give(self, tensor: str, name: str) -> None:
        """Call a tensor by a name chosen elsewhere, as an output of the graph has."""
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))

    def graph(self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> GraphProto:
        """All that was written."""
        return helper.make_graph(self.nodes, name, [one.info for one in inputs], [one.info for one in outputs])


def as_operator(
    model: ModelProto, domain: str, name: str, inputs: Sequence[str], outputs: Sequence[str]
) -> FunctionProto:
    """A whole model as one operator of its own, its weights as constants. The names say the order.

    Errors: ValueError where it has other inputs or outputs, or weights in further files.
    """
    graph = model.graph
    for what, expected, values in (("inputs", inputs, graph.input), ("outputs", outputs, graph.output)):
        found = [value.name for value in values]
        if sorted(found) != sorted(expected):
            raise ValueError(f"{name}: expected {what} {', '.join(expected)}; got {', '.join(found)}")
    attributes = (attribute for node in graph.node for attribute in node.attribute)
    inside = [attribute.t for attribute in attributes if attribute.type == AttributeProto.TENSOR]
    if any(uses_external_data(tensor) for tensor in (*graph.initializer, *inside)):
        raise ValueError(f"{name}: its weights lie in further files")
    weights = [helper.make_node("Constant", [], [weight.name], value=weight) for weight in graph.initializer]
    return helper.make_function(
        domain, name, inputs, outputs, [*weights, *graph.node], opset_imports=model.opset_import
    )
