"""Compact masked model -> model in which each convolution is written by its lowering, and the way back."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.builder import DEFAULT_MULTIPLE, LayerBuilder
from swp_export.graph.constants import array_of, value_names
from swp_export.graph.convolutions import iterate_stripe_convs, stripe_conv_from_node
from swp_export.graph.metadata import FILTERS, GEOMETRY, LAYER, LOWERING
from swp_export.lowerings import LOWERINGS, lowering_for
from swp_export.lowerings.chained_gemm import ChainGemm, UnchainGemm
from swp_export.lowerings.parts import geometry
from swp_export.lowerings.sink_concat import RaiseConcat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.lowerings.lowering import Lowering
    from swp_export.stripes import StripeConv

logger = logging.getLogger(__name__)


def lower(model: ir.Model, choose: Callable[[StripeConv], str], *, multiple: int = DEFAULT_MULTIPLE) -> None:
    """Write every layer of `model`, in place, by the lowering that `choose` names.

    A layer is a group-1 convolution that `simplify` marked with its name. Others stay: a depthwise convolution of which
    one channel is left has no skeleton and no name in a checkpoint. A long Gemm becomes a chain of shorter ones.

    Args:
        model: dense or masked.
        choose: returns the name of a lowering.
        multiple: rows that are added fill up to a multiple of it.

    Raises:
        LoweringError: the chosen lowering does not exist or refuses the layer.

    """
    taken = value_names(model.graph)
    for node, conv in list(iterate_stripe_convs(model.graph)):
        if LAYER not in node.metadata_props:
            continue
        lowering, source = lowering_for(conv, choose(conv)), node.inputs[0]
        assert source is not None
        logger.debug("%s: %s", conv.name, lowering.name)
        _replace(model.graph, [node], source, conv, lowering, multiple, taken)
    ChainGemm()(model)


def lift(model: ir.Model) -> ir.Model:
    """Write every broken layer of `model`, in place, as the dense Conv it was lowered from, bit for bit.

    Raises:
        ModelError: the metadata of a layer does not fit its weights.

    """
    RaiseConcat()(model)
    UnchainGemm()(model)
    layers: dict[str, list[ir.Node]] = defaultdict(list)
    taken = value_names(model.graph)
    for node in model.graph:
        if LAYER in node.metadata_props:
            layers[node.metadata_props[LAYER]].append(node)
    for name, nodes in layers.items():
        convolutions = [node for node in nodes if GEOMETRY in node.metadata_props]
        if convolutions:
            try:
                conv = geometry.lift(name, [_constants(node) for node in convolutions])
            except (
                ValueError,
                KeyError,
                TypeError,
                IndexError,
                AttributeError,
                OverflowError,
                RecursionError,
            ) as error:
                raise ModelError(
                    f"the model's metadata is damaged: {GEOMETRY} of layer {name} does not fit its "
                    "weights; write the model again"
                ) from error
            source = nodes[0].inputs[0] if nodes[0].inputs else None
            if source is None or not _is_whole(nodes):
                raise ModelError(
                    f"the model's metadata is damaged: other nodes read what is inside layer {name}, whose own lack "
                    f"{LAYER}; write the model again"
                )
            _replace(model.graph, nodes, source, conv, LOWERINGS["dense"], DEFAULT_MULTIPLE, taken)
    return model


def _is_whole(nodes: Sequence[ir.Node]) -> bool:
    """Tell whether nothing but `nodes` reads what they compute, the last one's output excepted."""
    own = set(nodes)
    inner = [value for node in nodes for value in node.outputs if value is not nodes[-1].outputs[0]]
    return not any(value.is_graph_output() or any(use.node not in own for use in value.uses()) for value in inner)


def _constants(node: ir.Node) -> tuple[str, np.ndarray, np.ndarray | None]:
    weight, bias = array_of(node.inputs[1]), array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if weight is None or weight.ndim != 4 or weight.dtype.kind != "f":
        raise ValueError("its weight is no constant with a kernel")
    return node.metadata_props[GEOMETRY], weight, bias


def _replace(
    graph: ir.Graph,
    old: Sequence[ir.Node],
    source: ir.Value,
    conv: StripeConv,
    lowering: Lowering,
    multiple: int,
    taken: set[str],
) -> None:
    """Put `conv` of `source`, written by `lowering`, in the place of the nodes `old`; `taken`: all names of values."""
    constants = {v for node in old for v in node.inputs[1:] if v is not None and v.is_initializer()}
    for value in constants:
        if value.name is not None and all(use.node in old for use in value.uses()):
            del graph.initializers[value.name]  # first, so that the new nodes may take its name
            taken.discard(value.name)
    builder = LayerBuilder(graph, conv.name, multiple, taken=taken)
    output = lowering.emit(builder, source, conv)
    _assert_promises(builder.nodes, output, conv, lowering.name)
    last, replaced = builder.nodes[-1], old[-1]
    last.metadata_props[LOWERING] = lowering.name
    filters = next((n.metadata_props[FILTERS] for n in old if FILTERS in n.metadata_props), None)
    if filters is not None:
        last.metadata_props[FILTERS] = filters
    ir.convenience.replace_nodes_and_values(
        graph, old[0], list(old), list(builder.nodes), [replaced.outputs[0]], [output]
    )


def _assert_promises(nodes: Sequence[ir.Node], output: ir.Value, conv: StripeConv, name: str) -> None:
    """Assert what `Lowering` promises of the `nodes` of `conv`, as far as their metadata say it."""
    assert nodes[-1].outputs[0] is output, f"{name}: the output of {conv.name} is not that of its last node"
    holding = [node for node in nodes if GEOMETRY in node.metadata_props]
    assert holding or len(nodes) == 1, f"{name}: no node of {conv.name} states what it holds"
    held = geometry.lift(conv.name, [_constants(n) for n in holding]) if holding else stripe_conv_from_node(nodes[0])
    assert held is not None, f"{name}: {conv.name} is no convolution"
    for field in dataclasses.fields(conv):
        ours, theirs = getattr(held, field.name), getattr(conv, field.name)
        same = np.array_equal(ours, theirs, equal_nan=field.name in {"weight", "bias"})
        assert same, f"{name}: the nodes of {conv.name} do not give back its {field.name}"
