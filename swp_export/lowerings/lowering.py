"""What a lowering is, and what `lower` can rely on: the one place where both are written."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.parts.examples import any_layers
from swp_export.lowerings.parts.fill import filled_up
from swp_export.lowerings.parts.geometry import is_too_large

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv


class Lowering(abc.ABC):
    """One way to write a stripe convolution in standard ONNX operators.

    What `emit` promises; `lower` asserts 1 and 3 of every layer that it writes, and the examples show all of it:

    1. The layer's output is the first output of the last node.
    2. Each node with weights or biases of the layer states GEOMETRY, which `Part.geometry` writes: where they belong.
       All other nodes hold nothing but zeros, ones, sizes and indices. A layer that is a Conv of its own weight, and
       nothing else, states nothing.
    3. Each live stripe and each bias is held in one place, so that `lift` gives the layer back bit for bit.
    4. The output has a channel for each filter, in their order, and no others. Rows that only fill up are zeros,
       stated as -1.
    5. Batch and spatial size are open: what is written depends on neither.
    6. Products and sums are those of the convolution, and nothing else is rounded: small integers come out exactly.

    Attributes:
        permutes: in any other order of the filters than `order` returns, `emit` may end in a Gather; in that order it
            never does. Where this is False it never does at all, and that order only makes the layer faster.

    """

    permutes: bool = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name in plans, in the metadata of models and on the command line."""

    def why_not(self, conv: StripeConv) -> str | None:
        """Return why `conv` cannot be written this way, in a few words that follow a colon, or None if it can."""
        if conv.kernel == (1, 1):
            return "a 1x1 kernel has a single tap"
        return f"a weight of {conv.weight.shape} is too large to be lifted" if is_too_large(conv.weight.shape) else None

    @abc.abstractmethod
    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write the nodes of `conv` of `x` `[N, C, H, W]` onto `builder`, and return the output."""

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the order of the filters that suits best, filled up to a multiple of `multiple` with filters of zeros.

        Returns:
            int64: each filter once, -1 for a filter of zeros.

        """
        return filled_up(np.arange(conv.filters), multiple)

    def examples(self) -> Sequence[StripeConv]:
        """Return small layers that can be written this way, which one test runs over: those of `any_layers`.

        A lowering adds layers that show what is its own, made by `parts.examples.layer`.
        """
        return [conv for conv in any_layers() if self.why_not(conv) is None]
