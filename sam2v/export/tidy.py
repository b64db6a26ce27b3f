"""What is brought into order in a graph that torch's exporter has made."""

from __future__ import annotations

from typing import Any

import numpy as np

from sam2v.export.calls import ONE_OR_ROWS, ROWS, CallSpec, Port

#: What torch's names of weights begin with.
_PREFIX = "network."


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
    for node in list(graph):
        if node.op_type in ("Transpose", "Cast"):
            _fold(graph, node)
        elif node.op_type == "Pad":
            _drop_empty(graph, node)
        elif node.op_type == "Erf":
            _reorder_gelu(node)
    for run in (common.CommonSubexpressionEliminationPass(), common.RemoveUnusedNodesPass()):
        run(model)
    model.producer_name, model.producer_version, model.doc_string = "sam2v", None, None
    graph.name = spec.name
    _forget(model)


def _fix_shape(graph: Any, node: Any) -> None:
    """Give a Reshape a constant shape: sides that stay are 0, and the one that is left is -1. A row of features may
    then stand for as many as there are."""
    import onnx_ir as ir

    node.attributes.pop("allowzero", None)  # 0 is a side that stays; none is empty in itself
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if after is None or node.inputs[1].const_value is not None:
        return
    shape = []
    for i, side in enumerate(after):
        if isinstance(side, int):
            shape.append(side)
        else:
            stays = before is not None and i < len(before) and before[i] == side
            others = any(not isinstance(other, int) for other in after[i + 1 :])
            shape.append(0 if stays and (others or i == 0) and -1 not in shape else -1)
    if shape.count(-1) > 1:
        return
    name = f"{node.outputs[0].name}_shape"
    value = ir.Value(name=name, const_value=ir.tensor(np.array(shape, np.int64), name=name))
    graph.register_initializer(value)
    node.replace_input_with(1, value)


def _count_rows(graph: Any) -> None:
    """Where the trace counted rows by an input that may have one for all, count them by one that has as many."""
    every = [value for value in graph.inputs if value.shape[0] == ROWS]
    for value in graph.inputs:
        if value.shape[0] in ONE_OR_ROWS:
            for node, index in list(value.uses()):
                if node.op_type == "Shape":
                    assert [node.attributes[end].as_int() for end in ("start", "end")] == [0, 1]
                    node.replace_input_with(index, every[0])


def _fold(graph: Any, node: Any) -> None:
    """Transpose and convert weights once; torch's exporter leaves large ones to whoever loads the graph."""
    import onnx_ir as ir

    source = node.inputs[0]
    if source.const_value is None or not source.is_initializer():
        return
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


def _drop_empty(graph: Any, node: Any) -> None:
    """Drop a Pad of nothing: windows that fit."""
    import onnx_ir as ir

    pads = node.inputs[1].const_value
    if pads is not None and not pads.numpy().any():
        ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])
        graph.remove(node, safe=True)


def _reorder_gelu(erf: Any) -> None:
    """x (half (1 + erf)) as half (x (1 + erf)): the form in which runtimes know a GELU and compute it at once."""
    (add, _), *_ = erf.outputs[0].uses()
    (halved, index), *_ = add.outputs[0].uses()
    (product, _), *_ = halved.outputs[0].uses()
    half = halved.inputs[1 - index]
    if [n.op_type for n in (add, halved, product)] != ["Add", "Mul", "Mul"] or half.const_value is None:
        return
    x = next(value for value in product.inputs if value is not halved.outputs[0])
    for node, inputs in ((halved, (x, add.outputs[0])), (product, (halved.outputs[0], half))):
        for i, value in enumerate(inputs):
            node.replace_input_with(i, value)


def _declare(value: Any, port: Port) -> None:
    import onnx_ir as ir

    value.name = port.name
    value.shape = ir.Shape(port.shape)


def _forget(model: Any) -> None:
    """Drop where nodes came from, shapes in between, which are those of the trace, and weights that nothing uses."""
    graph = model.graph
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
    for value in list(graph.initializers.values()):
        value.name = value.name.removeprefix(_PREFIX)
    ends = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    for held in (model, graph, *graph, *ends):
        held.metadata_props.clear()
    for node in graph:
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            if value not in ends:
                value.shape = value.type = None
