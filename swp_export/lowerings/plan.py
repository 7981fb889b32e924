"""A plan says which lowering each layer gets; applying it orders the channels first, so that nothing is permuted later.

compact model --OrderChannels--> the same function, filters grouped and filled up to blocks --lower--> tuned model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import LoweringError
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import LAYER
from swp_export.graph.passes.order_channels import OrderChannels, channel_groups
from swp_export.graph.passes.sink_concat import SinkConcat
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.builder import BLOCK
from swp_export.lowerings.lower import lower
from swp_export.lowerings.shifts import round_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import onnx_ir as ir

    from swp_export.stripes import StripeConv

    Plan = Mapping[str, str]


def apply_plan(model: ir.Model, plan: Plan, *, block: int = BLOCK) -> None:
    """Write every convolution of the compact `model`, in place, by the lowering that `plan` names for its layer.

    Where the channels of a layer are free, they are put into the order that its lowering asks for and filled up to a
    multiple of `block`. Layers that share their channels (a residual) have one order: that of the largest of them whose
    lowering permutes. The others end in one Gather, as does a layer whose channels are not free (an output).

    Args:
        model: unlowered.
        plan: a key of LOWERINGS for each layer; a layer that is not named is written densely.
        block: channels of one block of the runtime's layout.

    Raises:
        LoweringError: a layer or lowering does not exist, or a lowering refuses its layer.

    """
    found = [(node, conv) for node, conv in iterate_stripe_convs(model.graph) if LAYER in node.metadata_props]
    layers = {conv.name: conv for _, conv in found}
    _check(plan, layers)
    by_node = {node.name or "": conv for node, conv in found}
    groups = channel_groups(model.graph)
    sharing = [(group, [by_node[name] for name in group if name in by_node]) for group in groups]
    orders = {group[0]: order_of(convs, plan, block) for group, convs in sharing if convs}
    OrderChannels(orders)(model)
    lower(model, lambda conv: plan.get(conv.name, "dense"), block=block)
    SinkConcat()(model)


def _check(plan: Plan, layers: Mapping[str, StripeConv]) -> None:
    for layer, name in plan.items():
        if layer not in layers:
            raise LoweringError(f"the plan names a layer {layer!r} that the model does not have: {', '.join(layers)}")
        if name not in LOWERINGS:
            raise LoweringError(f"no lowering is called {name!r}; there are: {', '.join(LOWERINGS)}")
        refusal = LOWERINGS[name].refuse(layers[layer])
        if refusal is not None:
            raise LoweringError(f"layer {layer} cannot be written as {name}: {refusal}")


def order_of(group: Sequence[StripeConv], plan: Plan, block: int) -> npt.NDArray[np.int64]:
    """Return the order of the channels that `group` shares, filled up: as they are, unless a lowering wants another."""
    lowerings = {conv.name: LOWERINGS[plan.get(conv.name, "dense")] for conv in group}
    asking = [conv for conv in group if lowerings[conv.name].permutes or len(group) == 1]
    leader = max(asking, key=lambda conv: conv.weight.size, default=group[0])
    order = lowerings[leader.name].order if asking else None
    if order is not None:
        return order(leader, block)
    filters = leader.filters
    return np.pad(np.arange(filters), (0, round_up(filters, block) - filters), constant_values=-1)
