"""Constant tensors of a graph: reading them, and putting new ones in."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def array_of(value: ir.Value | None) -> np.ndarray | None:
    """Return the array of a constant `value` (an initializer or a Constant node's output), else None."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def add_initializer(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Add `array` to `graph` under `name`, made unique, and return its value."""
    return register_initializer(graph, unique_name(name, value_names(graph)), array)


def register_initializer(graph: ir.Graph, unique: str, array: np.ndarray) -> ir.Value:
    """Add `array` to `graph` under a name that no value has yet, and return its value."""
    tensor = ir.tensor(np.asarray(array, order="C"), name=unique)
    value = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def unique_name(name: str, taken: set[str]) -> str:
    """Return `name`, with a counter where it is among `taken`, to which it is added."""
    unique, count = name, 1
    while unique in taken:
        unique, count = f"{name}_{count}", count + 1
    taken.add(unique)
    return unique


def value_names(graph: ir.Graph) -> set[str]:
    """Return the names of all values of `graph`: a model is valid only where no two are equal."""
    computed = (value for node in graph for value in node.outputs)
    return {value.name for value in (*graph.inputs, *graph.initializers.values(), *computed) if value.name}


def set_input(node: ir.Node, index: int, what: str, array: np.ndarray) -> None:
    """Make input `index` of `node` the constant `array`.

    A constant that nothing else reads is replaced under its own name; the new one is called `<node>.<what>` otherwise,
    after the node's output where it has no name.
    """
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    old, name = node.inputs[index], f"{node.name or node.outputs[0].name}.{what}"
    if old is not None and old.is_initializer() and len(old.uses()) == 1 and not old.is_graph_output():
        name = old.name or name
        del graph.initializers[name]
        node.replace_input_with(index, register_initializer(graph, name, array))
    else:
        node.replace_input_with(index, add_initializer(graph, name, array))
