"""How each convolution of a compact model is written, and the table of all that the unpruned network had."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from swp_export.graph.convolutions import iterate_convolutions, iterate_stripe_convs, kind_of, layer_name
from swp_export.graph.metadata import LAYER, PART_OF
from swp_export.lowerings import lowering_named
from swp_export.lowerings.automatic import AUTO, automatic
from swp_export.lowerings.costs import automatic_cost, static_cost
from swp_export.lowerings.static_rule import choose
from swp_export.pruning.report import PrunedLayer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import onnx_ir as ir

    from swp_export.lowerings.plan_file import PlanFile
    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrittenLayer:
    """A convolution of the compact model, how it is written, and why; `live` are its stripes, bool `[N, *kernel]`."""

    name: str
    lowering: str
    reason: str
    live: np.ndarray


def chosen_lowerings(
    model: ir.Model, lowering: str | None, positions: Mapping[str, int], batch: int
) -> list[WrittenLayer]:
    """Return how each layer of the compact `model` is to be written, and why.

    Args:
        model: compact.
        lowering: as asked for, or AUTO; None: by the static rule.
        positions: of each layer's output, for one image.
        batch: images per run, on which AUTO depends.

    """
    convs = _layers(model)
    if lowering is None:
        choices = choose(convs, positions)
    elif lowering == AUTO:
        choices = {name: automatic(conv, batch * positions[name]) for name, conv in convs.items()}
    else:
        reasons = {name: lowering_named(lowering).why_not(conv) for name, conv in convs.items()}
        choices = {name: ("dense", why) if why else (lowering, "asked for") for name, why in reasons.items()}
    return [
        WrittenLayer(name=name, lowering=choices[name][0], reason=choices[name][1], live=conv.skeleton.mask)
        for name, conv in convs.items()
    ]


def gain_of_auto(model: ir.Model, chosen: Sequence[WrittenLayer], positions: Mapping[str, int]) -> float:
    """Return how many times less the layers of the compact `model` cost by AUTO than as the static rule has `chosen`.

    By count, at one image per run.
    """
    convs = _layers(model)
    written = sum(static_cost(convs[layer.name], layer.lowering, positions[layer.name]) for layer in chosen)
    automatic_ = sum(automatic_cost(conv, positions[name]) for name, conv in convs.items())
    return written / automatic_ if automatic_ else 1.0


def _layers(model: ir.Model) -> dict[str, StripeConv]:
    return {conv.name: conv for node, conv in iterate_stripe_convs(model.graph) if LAYER in node.metadata_props}


def planned(chosen: list[WrittenLayer], plan: PlanFile | None) -> list[WrittenLayer]:
    """Return how the same layers are written by `plan`, if there is one."""
    if plan is None:
        return chosen
    return [
        dataclasses.replace(layer, lowering=plan.layers.get(layer.name, "dense"), reason="planned") for layer in chosen
    ]


def unwritten(model: ir.Model) -> list[WrittenLayer]:
    """Return the convolutions of the compact `model` that no lowering writes."""
    return [
        WrittenLayer(
            name=layer_name(node),
            lowering="dense",
            reason=f"no lowering writes {kind} convolutions",
            live=weights.live_stripes(),
        )
        for node, weights in iterate_convolutions(model.graph)
        if {LAYER, PART_OF} & node.metadata_props.keys() and (kind := kind_of(node, weights)) is not None
    ]


def layer_table(
    skeletons: Mapping[str, tuple[int, ...]], written: list[WrittenLayer], flops: Mapping[str, int]
) -> tuple[PrunedLayer, ...]:
    """Return the table: every convolution of the unpruned network beside what is left of it.

    Args:
        skeletons: `(N, *kernel)` of every convolution of the unpruned network, by layer.
        written: what is left.
        flops: of what is left, by layer, as `paper_flops` of `PrunedLayer`.

    """
    left: dict[str, list[WrittenLayer]] = defaultdict(list)
    for layer in written:  # a grouped convolution may have become several
        left[layer.name].append(layer)
    again = {name: parts[0].live.shape for name, parts in left.items() if name not in skeletons}
    return tuple(
        PrunedLayer(
            name=name,
            filters=filters,
            live_filters=sum(int(part.live.reshape(len(part.live), -1).any(axis=1).sum()) for part in left[name]),
            stripes=filters * math.prod(kernel),
            live_stripes=sum(int(part.live.sum()) for part in left[name]),
            paper_flops=flops.get(name, 0),
            lowering=left[name][0].lowering if left[name] else "removed",
            reason=left[name][0].reason if left[name] else "constant, or nothing reads it",
        )
        for name, (filters, *kernel) in {**skeletons, **again}.items()
    )
