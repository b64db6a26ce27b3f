"""Whether an ONNX graph is one that may be run: operators of the standard alone, and weights in one known file.

A graph is data in protocol buffers, of which this reads as much as is needed (onnx.proto names the fields). A graph
without loops, functions and operators of other domains runs every operator once, and loads no other file.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Nodes that a graph may have.
MOST_NODES = 20_000
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def check_graph(data: bytes, weights: str, weights_bytes: int) -> None:
    """Check a graph.

    Args:
        data: the file. weights: name of the file with its weights. weights_bytes: that file's length.

    Raises:
        ValueError: it may not be run, or is no graph; the message says why.
    """
    graphs = 0
    for number, value in _fields(memoryview(data)):
        if number == 7:
            graphs += 1
            _check_nodes(_block(value), weights, weights_bytes)
        elif number == 8:
            _check_domain(_text_of(_block(value), 1))
        elif number == 25:
            raise ValueError("it defines functions of its own")
    if graphs != 1:
        raise ValueError("it is no ONNX graph")


def _check_nodes(graph: memoryview, weights: str, weights_bytes: int) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == 1:
            nodes += 1
            _check_node(_block(value), weights, weights_bytes)
        elif number == 5:
            _check_tensor(_block(value), weights, weights_bytes)
        elif number == 15:
            raise ValueError("it has sparse weights")
    if not 0 < nodes <= MOST_NODES:
        raise ValueError(f"it has {nodes} nodes, of which 1 to {MOST_NODES} are accepted")


def _check_node(node: memoryview, weights: str, weights_bytes: int) -> None:
    for number, value in _fields(node):
        if number == 7:
            _check_domain(_text(value))
        elif number == 5:  # an attribute: a tensor, a graph, tensors, graphs, sparse tensors
            for kind, held in _fields(_block(value)):
                if kind in (5, 10):
                    _check_tensor(_block(held), weights, weights_bytes)
                elif kind in (6, 11, 22, 23):
                    raise ValueError("it has graphs within graphs, or sparse tensors")


def _check_domain(domain: str) -> None:
    if domain not in ("", "ai.onnx"):
        raise ValueError(f"it needs operators of {domain!r}, of another domain than ONNX's own")


def _check_tensor(tensor: memoryview, weights: str, weights_bytes: int) -> None:
    """Raise ValueError for a tensor whose values lie anywhere but in the graph or in the file of weights."""
    about = {}
    for number, value in _fields(tensor):
        if number == 13:
            about[_text_of(_block(value), 1)] = _text_of(_block(value), 2)
    if not about:
        return
    if about.get("location") != weights:
        raise ValueError(f"it takes weights from {about.get('location')!r} instead of {weights!r}")
    places = (about.get("offset", "0"), about.get("length", "0"))
    if not all(place.isascii() and place.isdigit() and len(place) < 20 for place in places):
        raise ValueError("places of its weights are no numbers")
    if sum(map(int, places)) > weights_bytes:
        raise ValueError(f"it takes weights from behind the end of {weights}")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of a message's fields; blocks of bytes as they are.

    Raises:
        ValueError: no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            length = 8 if kind == _EIGHT else 4
        else:
            raise ValueError("it is no ONNX graph")
        if length > len(data) - at:
            raise ValueError("it is cut short")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("it is cut short")


def _block(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is no ONNX graph")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_block(value)).decode("utf-8", "replace")


def _text_of(message: memoryview, wanted: int) -> str:
    """The text of a field; the last one counts where there are several, and "" where there is none."""
    found = ""
    for number, value in _fields(message):
        if number == wanted:
            found = _text(value)
    return found
