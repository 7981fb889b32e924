"""From a portable model and a plan to the bytes of a tuned model: the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.files.content import model_of
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import BLOCK, FILTERS, LAYER, LOWERING, decode_order
from swp_export.graph.passes.canonicalise_flatten import CanonicaliseFlatten
from swp_export.graph.passes.order_channels import OrderChannels, channel_groups
from swp_export.graph.weights_apart import put_weights, without_weights
from swp_export.lowerings import LOWERINGS, current_name
from swp_export.lowerings.lower import lift
from swp_export.lowerings.plan import apply_plan
from swp_export.lowerings.plan_file import LARGEST_MULTIPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.lowerings.plan_file import PlanFile


def compact_from_portable(portable: bytes) -> ir.Model:
    """Return the compact model, every layer dense and its filters in their first order, that ours was written from.

    Our files state no shapes between input and output; without them no channel could be followed, and none ordered.
    """
    light, weights = without_weights(lift(model_of(portable)))
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(light), data_prop=True))
    put_weights(inferred, weights)
    compact = CanonicaliseFlatten()(inferred).model
    _order_as_at_first(compact)
    return compact


def _order_as_at_first(model: ir.Model) -> None:
    """Undo the order of channels that a plan asked for, and drop the filters of zeros that it filled up with."""
    orders = {}
    filters = {node.name: node.metadata_props[FILTERS] for node in model.graph if FILTERS in node.metadata_props}
    for layer, *_ in channel_groups(model.graph):
        if layer in filters:
            _, order = decode_order(filters[layer])
            orders[layer] = np.argsort(order)[np.count_nonzero(order < 0) :]
    try:
        OrderChannels(orders)(model)
    except ValueError as error:
        raise ModelError(
            f"the model's metadata is damaged: {FILTERS} does not fit its weights; write it again"
        ) from error


def plan_of(portable: bytes) -> dict[str, str]:
    """Return the plan that a model of ours was written by; a lowering that is no more became `dense`."""
    nodes = [node.metadata_props for node in ir.from_proto(onnx.ModelProto.FromString(portable)).graph]
    plan = {facts[LAYER]: current_name(facts[LOWERING]) for facts in nodes if {LAYER, LOWERING} <= facts.keys()}
    return {layer: name if name in LOWERINGS else "dense" for layer, name in plan.items()}


def multiple_of(portable: bytes) -> int:
    """Return what the channels and rows of a model of ours were filled up to a multiple of."""
    text = next((p.value for p in onnx.ModelProto.FromString(portable).metadata_props if p.key == BLOCK), "1")
    return int(text) if text.isdecimal() and 0 < int(text) <= LARGEST_MULTIPLE else 1


def planned_bytes(compact: ir.Model, plan: Mapping[str, str], multiple: int) -> bytes:
    """Return `compact`, which is left as it is, written by `plan`, its own facts kept.

    Raises:
        LoweringError: the plan does not fit the model.

    """
    model = compact.clone()
    _drop_negative_zeros(model)
    apply_plan(model, plan, multiple=multiple)
    model.metadata_props[BLOCK] = str(multiple)
    return serialized(model, dict(model.metadata_props))


def apply_plan_file(portable: bytes, plan: PlanFile) -> bytes:
    """Return `portable` rewritten by a plan file.

    Raises:
        LoweringError: the plan does not fit the model.

    """
    return planned_bytes(compact_from_portable(portable), plan.layers, plan.multiple)


def _drop_negative_zeros(model: ir.Model) -> None:
    """Write every zero of a layer's weight as +0.0: a mask leaves -0.0 in dead stripes, and lifting does not."""
    for node, conv in iterate_stripe_convs(model.graph):
        weight = node.inputs[1]
        if LAYER in node.metadata_props and weight is not None and np.signbit(conv.weight[conv.weight == 0]).any():
            weight.const_value = ir.tensor(conv.weight + np.zeros((), conv.weight.dtype), name=weight.name)
