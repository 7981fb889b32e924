"""Compact masked model -> model in which each convolution is written by its lowering, and the way back."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.errors import LoweringError, ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, GEOMETRY, LAYER, LOWERING
from swp_export.graph.passes.sink_concat import RaiseConcat
from swp_export.lowerings import LOWERINGS, geometry
from swp_export.lowerings.builder import BLOCK, LayerBuilder
from swp_export.lowerings.chained_gemm import ChainGemm, UnchainGemm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from swp_export.stripes import StripeConv

logger = logging.getLogger(__name__)


def lower(model: ir.Model, choose: Callable[[StripeConv], str], *, block: int = BLOCK) -> None:
    """Write every layer of `model`, in place, by the lowering that `choose` names.

    A layer is a group-1 convolution that `simplify` marked with its name. Others stay: a depthwise convolution of which
    one channel is left has no skeleton and no name in a checkpoint. A long Gemm becomes a chain of shorter ones.

    Args:
        model: dense or masked.
        choose: returns a key of LOWERINGS.
        block: what rows that are added fill up to.

    Raises:
        LoweringError: the chosen lowering does not exist or refuses the layer.

    """
    for node, conv in list(iterate_stripe_convs(model.graph)):
        if LAYER not in node.metadata_props:
            continue
        name = choose(conv)
        logger.debug("%s: %s", conv.name, name)
        _write(model.graph, node, conv, name, block)
    ChainGemm()(model)


def lift(model: ir.Model) -> ir.Model:
    """Write every broken layer of `model`, in place, as the dense Conv it was lowered from, bit for bit.

    Raises:
        ModelError: the metadata of a layer does not fit its weights.

    """
    RaiseConcat()(model)
    UnchainGemm()(model)
    layers: dict[str, list[ir.Node]] = defaultdict(list)
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
            _replace(model.graph, nodes, source, conv, "dense")
    return model


def _is_whole(nodes: Sequence[ir.Node]) -> bool:
    """Tell whether nothing but `nodes` reads what they compute, the last one's output excepted."""
    own = set(nodes)
    inner = [value for node in nodes for value in node.outputs if value is not nodes[-1].outputs[0]]
    return not any(value.is_graph_output() or any(use.node not in own for use in value.uses()) for value in inner)


def _constants(node: ir.Node) -> tuple[str, np.ndarray, np.ndarray | None]:
    weight, bias = array_of(node.inputs[1]), array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if weight is None or weight.ndim != 4:
        raise ValueError("its weight is no constant with a kernel")
    return node.metadata_props[GEOMETRY], weight, bias


def _write(graph: ir.Graph, node: ir.Node, conv: StripeConv, name: str, block: int) -> None:
    lowering = LOWERINGS.get(name)
    if lowering is None:
        raise LoweringError(f"no lowering is called {name!r}; there are: {', '.join(LOWERINGS)}")
    refusal = lowering.refuse(conv)
    if refusal is not None:
        raise LoweringError(f"layer {conv.name} cannot be written as {name}: {refusal}")
    source = node.inputs[0]
    assert source is not None
    _replace(graph, [node], source, conv, name, block)


def _replace(
    graph: ir.Graph, old: Sequence[ir.Node], source: ir.Value, conv: StripeConv, name: str, block: int = BLOCK
) -> None:
    """Put `conv` of `source`, written by lowering `name`, in the place of the nodes `old`."""
    constants = {v for node in old for v in node.inputs[1:] if v is not None and v.is_initializer()}
    for value in constants:
        if value.name is not None and all(use.node in old for use in value.uses()):
            del graph.initializers[value.name]  # first, so that the new nodes may take its name
    builder = LayerBuilder(graph, conv.name, block)
    output = LOWERINGS[name].emit(builder, source, conv)
    last, replaced = builder.nodes[-1], old[-1]
    last.metadata_props[LOWERING] = name
    filters = next((n.metadata_props[FILTERS] for n in old if FILTERS in n.metadata_props), None)
    if filters is not None:
        last.metadata_props[FILTERS] = filters
    ir.convenience.replace_nodes_and_values(
        graph, old[0], list(old), list(builder.nodes), [replaced.outputs[0]], [output]
    )
