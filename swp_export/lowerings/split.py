"""`split(2, form)`: filters with a single live stripe as `shift` writes them, the others by `form`.

    filters with fewer than 2 stripes:  Conv 1x1, Conv depthwise   [N, N_few, H', W']
    the others:                         `form`                     [N, N_many, H', W']
    Concat                                                         [N, N_few + N_many, H', W']

After training most filters keep a single stripe: `split(2, shift-sum)` spares them the sum, `split(2, dense)` suits
layers that kept some filters whole.

Both parts are computed in blocks of filters, and what is missing to a block is zeros that every reader multiplies.
Where the few that are left over from their last block find room in that of the others, they go there, since `form` can
write them as well: a layer whose filters fill blocks gets no channel that it did not have.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.filter_groups import emit_groups, order_groups
from swp_export.lowerings.parts.window import emit_window
from swp_export.lowerings.shift import emit_single_stripes
from swp_export.lowerings.shift_sum import emit_summed_stripes

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.lowerings.parts.filter_groups import EmitPart
    from swp_export.stripes import StripeConv

FORMS: dict[str, EmitPart] = {
    "shift-sum": emit_summed_stripes,
    "dense": emit_window,
}


@dataclasses.dataclass(frozen=True)
class Split(Lowering):
    """Filters with fewer than 2 stripes apart from the others, which are written by `form`, a key of FORMS."""

    form: str
    permutes = True

    @property
    def name(self) -> str:
        """`split(2, form)`."""
        return f"split(2, {self.form})"

    def why_not(self, conv: StripeConv) -> str | None:
        """Return why `conv` cannot be split: a 1x1 kernel, or all its filters on one side of the threshold."""
        reason = super().why_not(conv)
        if reason is not None:
            return reason
        counts = conv.skeleton.stripes_per_filter
        many = int(np.count_nonzero(counts >= 2))
        if many not in {0, np.count_nonzero(counts)}:
            return None
        side = "no filter has" if many == 0 else "every live filter has"
        return f"{side} 2 live stripes or more: there is nothing to split"

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write both groups of filters."""
        return emit_groups(builder, x, conv, _labels(conv, builder.multiple), (emit_single_stripes, FORMS[self.form]))

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters by group."""
        return order_groups(_labels(conv, multiple), multiple)


def _labels(conv: StripeConv, multiple: int) -> Filters:
    """Return 1 for the filters that `form` writes: those with few stripes among them are behind all the others.

    So a layer in that order, filled up with filters without stripes, falls into the same groups.
    """
    counts = conv.skeleton.stripes_per_filter
    labels = (counts >= 2).astype(np.int64)
    few = np.flatnonzero(counts == 1)
    left_over = few.size % multiple
    if left_over <= -int(labels.sum()) % multiple and left_over < few.size:
        labels[few[few.size - left_over :]] = 1
    return labels
