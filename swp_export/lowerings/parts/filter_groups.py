"""Layers written in groups of filters, each group by the form that suits it, and what order of channels that asks for.

    group 1 of x, group 2 of x, ...  ->  Concat  ->  Gather where the groups do not follow one another

A filter's group depends on its own stripes (filters without any go with the filter before them), so a layer whose
filters have been put in order beforehand falls into the same groups, and needs no Gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.parts.fill import filled_up
from swp_export.lowerings.parts.geometry import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv

    Labels = Filters
    """The group of each filter, by its number."""
    EmitPart = Callable[[LayerBuilder, ir.Value, Part], ir.Value]


def emit_groups(
    builder: LayerBuilder, x: ir.Value, conv: StripeConv, labels: Labels, forms: Sequence[EmitPart]
) -> ir.Value:
    """Write the filters with label g by `forms[g]`, and return the layer's output in its own order.

    Args:
        builder: of the layer.
        x: its input `[N, C, H, W]`.
        conv: the layer.
        labels: int64 `[N]`, of each filter; that of a filter without stripes does not count.
        forms: by label.

    """
    groups = groups_of(conv, labels)
    if (np.diff(np.concatenate(list(groups.values()))) < 0).any():
        # The Gather that follows drops what is filled up.
        groups = {label: filled_up(group, builder.multiple) for label, group in groups.items()}
    parts = {label: Part(conv, tuple(int(f) for f in group)) for label, group in groups.items()}
    y = joined(builder, [forms[label](builder, x, part) for label, part in parts.items()])
    return in_order(builder, y, np.concatenate(list(groups.values())))


def groups_of(conv: StripeConv, labels: Labels) -> dict[int, Filters]:
    """Return the filters of each label, in order of their first filters."""
    live = np.flatnonzero(conv.skeleton.stripes_per_filter)
    if live.size:
        # A filter without stripes goes with the live one before it, the first ones with the first that is live.
        before = np.searchsorted(live, np.arange(labels.size), side="right") - 1
        labels = labels[live[np.maximum(before, 0)]]
    return {int(label): np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())}


def joined(builder: LayerBuilder, outputs: Sequence[ir.Value]) -> ir.Value:
    """Return the channels of all `outputs`."""
    return outputs[0] if len(outputs) == 1 else builder.op("Concat", outputs, "groups", {"axis": 1})


def in_order(builder: LayerBuilder, y: ir.Value, filters: Filters) -> ir.Value:
    """Put the channels of `y`, which are `filters` (-1: of none), in ascending order, and drop those of none."""
    wanted = int(filters.max()) + 1
    if np.array_equal(filters, np.arange(wanted)):
        return y
    order = np.argsort(filters)[-wanted:]
    return builder.op("Gather", [y, builder.indices(order, "order")], "in_order", {"axis": 1})


def order_groups(labels: Labels, multiple: int) -> Filters:
    """Return the filters by label, -1 for one of zeros: each group is filled up to a multiple of `multiple`."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([filled_up(group, multiple) for group in groups])
