"""Layers written in groups of filters, each group by the form that suits it, and what order of channels that asks for.

    group 1 of x, group 2 of x, ...  ->  Concat  ->  Gather where the groups do not follow one another

A filter's group depends on its own stripes (filters without any go with the filter before them), so a layer whose
filters have been put in order beforehand falls into the same groups, and needs no Gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.geometry import Part
from swp_export.lowerings.shifts import round_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    import onnx_ir as ir

    from swp_export.lowerings.builder import LayerBuilder
    from swp_export.stripes import StripeConv

    Labels = npt.NDArray[np.int64]
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
    outputs = [forms[label](builder, x, Part(conv, tuple(int(f) for f in group))) for label, group in groups.items()]
    return in_order(builder, outputs, np.concatenate(list(groups.values())))


def groups_of(conv: StripeConv, labels: Labels) -> dict[int, Labels]:
    """Return the filters of each label, in order of their first filters."""
    live = np.flatnonzero(conv.skeleton.stripes_per_filter)
    if live.size:
        # A filter without stripes goes with the live one before it, the first ones with the first that is live.
        before = np.searchsorted(live, np.arange(labels.size), side="right") - 1
        labels = labels[live[np.maximum(before, 0)]]
    return {int(label): np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())}


def in_order(builder: LayerBuilder, outputs: Sequence[ir.Value], filters: Labels) -> ir.Value:
    """Join `outputs`, whose channels are `filters`, and put them in ascending order; one Gather if they are not."""
    y = outputs[0] if len(outputs) == 1 else builder.op("Concat", outputs, "groups", {"axis": 1})
    if (np.diff(filters) > 0).all():
        return y
    return builder.op("Gather", [y, builder.indices(np.argsort(filters), "order")], "in_order", {"axis": 1})


def order_groups(labels: Labels, block: int) -> Labels:
    """Return the filters by label, -1 for one of zeros: each group is filled up to a multiple of `block`."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([np.pad(g, (0, round_up(g.size, block) - g.size), constant_values=-1) for g in groups])
