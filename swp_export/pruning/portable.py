"""From a compact graph to the bytes of a portable model, what it says of itself, and what is counted of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from swp_export.graph.analysis.counts import Counts, Executed, stored_floats
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import (
    ARCHITECTURE,
    INPUT_LAYOUT,
    INPUT_SHAPE,
    RELATIVE_THRESHOLD,
    SOURCE,
    THRESHOLD,
    encode_input_shape,
)
from swp_export.lowerings.automatic import AUTO, AUTO_MULTIPLE
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import apply_plan_file
from swp_export.precision.mixed_plan import lowerings_of
from swp_export.pruning.report import Totals
from swp_export.verification.feeds import channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.metadata import InputShape
    from swp_export.pruning.source import SourceFacts
    from swp_export.pruning.written_layers import WrittenLayer

PORTABLE_MULTIPLE = 4
"""What channels and rows are filled up to a multiple of by default.

Other counts make ONNX Runtime's convolutions slow: the zoo's VGG11, dense, is 0.69 times as fast as its unpruned form
with none filled up, 1.18 times with multiples of 4, 1.23 of 8, 1.29 of 16, in files of 1.48, 1.53, 1.58 and 1.66 MB.
VGG16 is 1.10 times as fast with multiples of 4 as with none, and no faster with larger ones (AVX-512, one thread).
"""


def portable_bytes(
    model: ir.Model, origin: SourceFacts, chosen: list[WrittenLayer], plan: PlanFile | None, multiple: int
) -> bytes:
    """Return the compact `model` written by `plan` in float32, else as it was `chosen`."""
    if plan is not None and plan.rounding is not None:
        plan = dataclasses.replace(plan, layers=lowerings_of(plan.layers), rounding=None)
    by_choice = PlanFile(layers={layer.name: layer.lowering for layer in chosen}, multiple=multiple)
    return apply_plan_file(serialized(model, facts_of(origin, origin.threshold)), plan or by_choice)


def multiple_for(lowering: str | None, chosen: list[WrittenLayer]) -> int:
    """Return what channels and rows are filled up to a multiple of, where no plan says it.

    A network that is left as it was has the channels that it was given.
    """
    if lowering is None:
        return 1 if all(layer.live.all() for layer in chosen) else PORTABLE_MULTIPLE
    return AUTO_MULTIPLE if lowering == AUTO else DEFAULT_MULTIPLE


def facts_of(origin: SourceFacts, threshold: float | None) -> dict[str, str]:
    """Return what a model says of itself."""
    facts = {
        ARCHITECTURE: origin.architecture,
        RELATIVE_THRESHOLD if origin.threshold_is_relative else THRESHOLD: None
        if threshold is None
        else repr(threshold),
        INPUT_SHAPE: encode_input_shape(origin.input_shape),
        SOURCE: origin.sha256,
        INPUT_LAYOUT: origin.metadata.get(INPUT_LAYOUT, _layout(origin.input_shape)),
    }
    return origin.metadata | {key: value for key, value in facts.items() if value is not None}


def totals_of(origin: SourceFacts, counts: Counts, written: ir.Model, work: Executed) -> Totals:
    """Return the totals: of the `written` file, and what it executes, and by the paper's count."""
    floats = stored_floats(written)
    return Totals(
        params_before=origin.floats,
        params_after=floats.total,
        helper_params=floats.helpers,
        flops_before=origin.flops,
        flops_after=work.products,
        executed_flops=work.products + work.additions,
        paper_params_before=origin.params,
        paper_params_after=counts.params,
        paper_flops_before=origin.flops,
        paper_flops_after=counts.flops,
    )


def _layout(input_shape: InputShape) -> str | None:
    """Return the layout of the only input, where that is an image."""
    if isinstance(input_shape, Mapping) or len(input_shape) != 3:
        return None
    return "NHWC" if channels_last(input_shape) else "NCHW"
