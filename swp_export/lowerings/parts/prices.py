"""What the parts of a written layer cost: the one table of what was measured.

Unit: a multiply-add of a 1x1 Conv in ONNX Runtime's blocked layout, of which one AVX-512 core does about 80,000 in a
microsecond. One thread. `benchmarks/node_costs.py` measures what stays in the layout again,
and `benchmarks/broken_costs.py` fits PADDED, MOVE, SLOW_NODE and MOVED_ROW; both print it beside what stands here.
"""

from __future__ import annotations

NODE = 34_000
"""A node in the blocked layout, whatever it computes: 0.4 microseconds."""
WEIGHT = 6
"""A weight, once a run: it comes from beyond the nearest cache. On a map of a few pixels that is most of the work, so
there a node is worth fewer products than the pixels alone say."""

WRITE = 1.5
"""Of a row of a 1x1 Conv, beside its products."""
ACCUMULATE = 2.5
"""Of a row that is added to what is there already."""
CONCAT = 6.5
"""Of a filter that a Concat of blocks moves."""

PADDED = 2.25
"""A product of the 1x1 Conv of `pad-slice-add`, whose pads keep it from the kernel for such."""
MOVE = 13
"""An element that Pad, Slice, Concat, Gather, Split or Sum reads or writes."""
SLOW_NODE = 45_000
"""A node that leaves the blocked layout: 0.56 microseconds."""
MOVED_ROW = 3_800
"""A row of `pad-slice-add`, beside its elements: each is copied by itself, several times."""


def shift_cost(kernel: tuple[int, int]) -> float:
    """Return what a depthwise Conv costs a row; a wide window costs more than a high one, for its padded columns."""
    height, width = kernel
    return 0.0 if kernel == (1, 1) else 4.5 + height * (1.6 * width - 0.6)


def node_price(positions: int, threads: int = 1) -> float:
    """Return what a node costs per position of the layer's output, of which a run computes so many.

    Threads share the products and not the node.
    """
    return NODE * threads / (positions + WEIGHT)
