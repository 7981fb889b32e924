"""A plan says which lowering each layer gets; applying it orders the channels first, so that nothing is permuted later.

compact model --OrderChannels--> the same function, filters grouped and filled up to blocks --lower--> tuned model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import LoweringError
from swp_export.graph.convolutions import LAYER, iterate_stripe_convs
from swp_export.graph.order_channels import OrderChannels, free_layers
from swp_export.graph.sink_concat import SinkConcat
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.builder import BLOCK
from swp_export.lowerings.lower import lower
from swp_export.lowerings.shifts import round_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import onnx_ir as ir

    from swp_export.stripes import StripeConv

    Plan = Mapping[str, str]


def apply_plan(model: ir.Model, plan: Plan, *, block: int = BLOCK) -> None:
    """Write every convolution of the compact `model`, in place, by the lowering that `plan` names for its layer.

    Where the channels of a layer are its own, they are put into the order that its lowering asks for and filled up to a
    multiple of `block`. Where they are not (a residual, an output of the graph), a lowering that permutes them ends in
    one Gather.

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
    free = free_layers(model.graph)
    orders = {
        node.name or "": _order(conv, plan.get(conv.name, "dense"), block) for node, conv in found if node.name in free
    }
    OrderChannels(orders)(model)
    lower(model, lambda conv: (plan.get(conv.name, "dense"), "planned"), block=block)
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


def _order(conv: StripeConv, name: str, block: int) -> npt.NDArray[np.int64]:
    """Return the order that lowering `name` asks for, else the one `conv` has, filled up."""
    order = LOWERINGS[name].order
    if order is not None:
        return order(conv, block)
    missing = round_up(conv.filters, block) - conv.filters
    return np.pad(np.arange(conv.filters), (0, missing), constant_values=-1)
