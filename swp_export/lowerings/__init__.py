"""The ways to express a stripe convolution in standard ONNX operators, one per file, and the table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.errors import LoweringError
from swp_export.lowerings.cropped import Cropped
from swp_export.lowerings.dense import Dense
from swp_export.lowerings.grouped_shift_sum import GROUPS, GroupedShiftSum
from swp_export.lowerings.pad_slice_add import PadSliceAdd
from swp_export.lowerings.shift import Shift
from swp_export.lowerings.shift_chunks import ShiftChunks
from swp_export.lowerings.shift_sum import ShiftSum
from swp_export.lowerings.sliced_ellpack import NODE_PRICES, SlicedEllpack
from swp_export.lowerings.split import FORMS, Split

if TYPE_CHECKING:
    from swp_export.lowerings.lowering import Lowering
    from swp_export.stripes import StripeConv

LOWERINGS: dict[str, Lowering] = {
    lowering.name: lowering
    for lowering in (
        Dense(),
        PadSliceAdd(),
        Shift(),
        ShiftSum(),
        *(GroupedShiftSum(groups) for groups in GROUPS),
        *(SlicedEllpack(price) for price in NODE_PRICES),
        ShiftChunks(),
        Cropped(),
        *(Split(form) for form in FORMS),
    )
}
"""By name, in the order in which they are tried and listed."""

FOR_INT8 = frozenset(GroupedShiftSum(groups).name for groups in GROUPS)
"""Those that gain in int8 alone."""

FORMER_NAMES = {f"levels({price})": f"sliced-ellpack({price})" for price in NODE_PRICES}
"""What lowerings were called in plans and models before this version."""


def float_lowerings() -> tuple[str, ...]:
    """Return the names of what is tried in float32."""
    return tuple(name for name in LOWERINGS if name not in FOR_INT8)


def current_name(name: str) -> str:
    """Return what a lowering that an earlier version called `name` is called now."""
    return FORMER_NAMES.get(name, name)


def lowering_named(name: str) -> Lowering:
    """Return the lowering called `name`, now or in an earlier version.

    Raises:
        LoweringError: there is none.

    """
    try:
        return LOWERINGS[current_name(name)]
    except KeyError:
        raise LoweringError(f"no lowering is called {name!r}; there are: {', '.join(LOWERINGS)}") from None


def lowering_for(conv: StripeConv, name: str) -> Lowering:
    """Return the lowering called `name`, which `conv` can be written by.

    Raises:
        LoweringError: there is none, or `conv` cannot be written so.

    """
    lowering = lowering_named(name)
    reason = lowering.why_not(conv)
    if reason is not None:
        raise LoweringError(f"layer {conv.name} cannot be written as {name}: {reason}")
    return lowering
