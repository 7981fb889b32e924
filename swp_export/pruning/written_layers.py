"""How each convolution of a compact model is written, and the table of all that the unpruned network had."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.convolutions import iterate_convolutions, iterate_stripe_convs, kind_of, layer_name
from swp_export.graph.metadata import LAYER, PART_OF
from swp_export.lowerings import lowering_named
from swp_export.lowerings.automatic import AUTO, automatic
from swp_export.lowerings.costs import automatic_cost, static_cost
from swp_export.lowerings.static_rule import choose
from swp_export.pruning.report import PrunedLayer
from swp_export.stripes import LayerCounts, filter_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

    from swp_export.lowerings.plan_file import PlanFile
    from swp_export.pruning.source import SourceFacts
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
    origin: SourceFacts,
    written: list[WrittenLayer],
    paper: Mapping[str, LayerCounts],
    stored: Mapping[str, LayerCounts],
) -> tuple[PrunedLayer, ...]:
    """Return the table: every convolution of the unpruned network beside what is left of it.

    Args:
        origin: the unpruned network.
        written: what is left.
        paper: of what is left, by layer, live stripes alone.
        stored: of what is left, by layer, as the file has it.

    """
    skeletons, none = origin.skeletons, LayerCounts(params=0, flops=0)
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
            filter_shapes=filter_shapes(_together([part.live for part in left[name]], kernel)),
            kernel=tuple(kernel),
            params_before=origin.layers.get(name, none).params,
            params_after=stored.get(name, none).params,
            flops_before=origin.layers.get(name, none).flops,
            flops_after=stored.get(name, none).flops,
            paper_flops=paper.get(name, none).flops,
            lowering=left[name][0].lowering if left[name] else "removed",
            reason=left[name][0].reason if left[name] else "constant, or nothing reads it",
        )
        for name, (filters, *kernel) in {**skeletons, **again}.items()
    )


def _together(parts: list[np.ndarray], kernel: Sequence[int]) -> np.ndarray:
    """Return the live stripes of all `parts` of a layer, bool `[N, *kernel]`."""
    return np.concatenate([np.zeros((0, *kernel), dtype=bool), *parts])
