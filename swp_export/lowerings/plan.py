"""A plan says which lowering each layer gets; applying it orders the channels first, so that nothing is permuted later.

compact model --OrderChannels--> the same function, filters ordered and filled up --lower--> tuned model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import LoweringError
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import LAYER
from swp_export.graph.passes.order_channels import OrderChannels, channel_groups
from swp_export.lowerings import lowering_for, lowering_named
from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.fill import filled_up
from swp_export.lowerings.sink_concat import SinkConcat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv

    Plan = Mapping[str, str]


def apply_plan(model: ir.Model, plan: Plan, *, multiple: int = DEFAULT_MULTIPLE) -> None:
    """Write every convolution of the compact `model`, in place, by the lowering that `plan` names for its layer.

    Where the channels of a layer are free, they are put into the order that its lowering asks for and filled up to a
    multiple of `multiple`. Layers that share their channels (a residual) have one order: that of the largest of them
    whose lowering permutes. The others end in one Gather, as does a layer whose channels are not free (an output).

    Args:
        model: unlowered.
        plan: a key of LOWERINGS for each layer; a layer that is not named is written densely.
        multiple: channels of one block of the runtime's layout; 1 fills up nothing.

    Raises:
        LoweringError: a layer or lowering does not exist, or a lowering refuses its layer.

    """
    found = [(node, conv) for node, conv in iterate_stripe_convs(model.graph) if LAYER in node.metadata_props]
    layers = {conv.name: conv for _, conv in found}
    _check(plan, layers)
    by_node = {node.name or "": conv for node, conv in found}
    groups = channel_groups(model.graph)
    sharing = [(group, [by_node[name] for name in group if name in by_node]) for group in groups]
    orders = {group[0]: order_of(convs, plan, multiple) for group, convs in sharing if convs}
    OrderChannels(orders)(model)
    lower(model, lambda conv: plan.get(conv.name, "dense"), multiple=multiple)
    SinkConcat()(model)


def _check(plan: Plan, layers: Mapping[str, StripeConv]) -> None:
    for layer, name in plan.items():
        if layer not in layers:
            raise LoweringError(f"the plan names a layer {layer!r} that the model does not have: {', '.join(layers)}")
        lowering_for(layers[layer], name)


def order_of(group: Sequence[StripeConv], plan: Plan, multiple: int) -> Filters:
    """Return the order of the channels that `group` shares, filled up: as they are, unless a lowering wants another."""
    lowerings = {conv.name: lowering_named(plan.get(conv.name, "dense")) for conv in group}
    asking = [conv for conv in group if lowerings[conv.name].permutes or len(group) == 1]
    if not asking:
        return filled_up(np.arange(group[0].filters), multiple)
    leader = max(asking, key=lambda conv: conv.weight.size)
    return lowerings[leader.name].order(leader, multiple)
