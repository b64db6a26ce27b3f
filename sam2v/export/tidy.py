"""What is brought into order in a graph that torch's exporter has made."""

from __future__ import annotations

from typing import Any

from sam2v.export.calls import ONE_OR_ROWS, ROWS, CallSpec, Port


def tidy(model: Any, spec: CallSpec) -> None:
    """Name sizes as the call's ports do, make shapes of reshaped tensors constants, drop what is not needed.

    Args:
        model: an `onnx_ir.Model`; changed.
        spec: the call.
    """
    from onnx_ir.passes import common

    graph = model.graph
    for node in list(graph):
        if node.op_type == "Reshape":
            _fix_shape(graph, node)
    for values, ports in ((graph.inputs, spec.inputs), (graph.outputs, spec.outputs)):
        for value, port in zip(values, ports, strict=True):
            _declare(value, port)
    _count_rows(graph)
    _fold(graph)
    for run in (common.CommonSubexpressionEliminationPass(), common.RemoveUnusedNodesPass()):
        run(model)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
    model.producer_name, model.producer_version, model.doc_string = "sam2v", None, None
    model.graph.name = spec.name
    _forget(model)


def _fix_shape(graph: Any, node: Any) -> None:
    """Give a Reshape a constant shape: sides that stay are 0, and the one that is left is -1. A row of features may
    then stand for as many as there are."""
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if after is None or node.inputs[1].const_value is not None:
        return
    shape = []
    for i, side in enumerate(after):
        if isinstance(side, int):
            shape.append(side)
        else:
            stays = before is not None and i < len(before) and before[i] == side and -1 not in shape
            rest = [s for s in after[i + 1 :] if not isinstance(s, int)]
            shape.append(0 if stays and (rest or i == 0) else -1)
    if shape.count(-1) > 1:
        return
    import numpy as np
    import onnx_ir as ir

    name = f"{node.outputs[0].name}_shape"
    value = ir.Value(name=name, const_value=ir.tensor(np.array(shape, np.int64), name=name))
    graph.register_initializer(value)
    node.replace_input_with(1, value)
    node.attributes.pop("allowzero", None)  # a side of 0 is one that stays


def _count_rows(graph: Any) -> None:
    """Where the trace counted rows by an input that may have one for all, count them by one that has as many."""
    every = [value for value in graph.inputs if value.shape[0] == ROWS]
    for value in graph.inputs:
        if value.shape[0] in ONE_OR_ROWS:
            for node, index in list(value.uses()):
                if node.op_type == "Shape":
                    assert [node.attributes[end].as_int() for end in ("start", "end")] == [0, 1]
                    node.replace_input_with(index, every[0])


def _fold(graph: Any) -> None:
    """Transpose and convert weights once; torch's exporter leaves large ones to whoever loads the graph."""
    import onnx_ir as ir

    for node in list(graph):
        source = node.inputs[0] if node.op_type in ("Transpose", "Cast") else None
        if source is None or source.const_value is None or not source.is_initializer():
            continue
        array = source.const_value.numpy()
        if node.op_type == "Transpose":
            array = array.transpose(node.attributes["perm"].as_ints())
        else:
            array = array.astype(ir.DataType(node.attributes["to"].as_int()).numpy())
        name = f"{node.outputs[0].name}_folded"
        folded = ir.Value(name=name, const_value=ir.tensor(array.copy(), name=name))
        graph.register_initializer(folded)
        ir.convenience.replace_all_uses_with(node.outputs[0], folded)
        graph.remove(node, safe=True)


def _declare(value: Any, port: Port) -> None:
    import onnx_ir as ir

    value.name = port.name
    value.shape = ir.Shape(port.shape)


def _forget(model: Any) -> None:
    """Drop where nodes came from, and shapes in between, which are those of the trace."""
    ends = {*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()}
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            if value not in ends:
                value.shape = value.type = None
    for value in ends:
        value.metadata_props.clear()
