"""Give every stripe row the whole range of int8, though all rows of a layer share one scale.

    Conv 1x1  row r             ->  row r times a(r)
    Conv depthwise, shifts
    Conv 1x1  0/1, sums         ->  1/a(r) in the place of each 1

Exact in real arithmetic, and still exact in integers: with the largest row of a filter at a peak of M, the sum's weight
of a row with a peak of m is k/127 * M for the least whole k with k/127 * M >= m, which int8 holds as k with one scale
for the filter. A row's own rounding so follows its own size, not that of the largest row of the layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of, set_input
from swp_export.graph.operators.naming import operator_of
from swp_export.precision.integer_values import is_shift

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import onnx_ir as ir


def summed_rows(convs: Sequence[ir.Node]) -> dict[ir.Value, tuple[ir.Node, ir.Node]]:
    """Return the rows that are shifted and then summed, with what computes them and what sums them."""
    found = {}
    own = set(convs)
    for total in convs:
        shift = _conv_before(total, own)
        stripes = None if shift is None or not is_shift(shift) or len(shift.inputs) > 2 else _conv_before(shift, own)
        weight = array_of(total.inputs[1])
        if stripes is None or weight is None or weight.shape[2:] != (1, 1) or not np.isin(weight, (0, 1)).all():
            continue
        if len(stripes.inputs) < 3:
            found[stripes.outputs[0]] = (stripes, total)
    return found


def balance(
    rows: Mapping[ir.Value, tuple[ir.Node, ir.Node]], peaks: Mapping[str, Sequence[float]], largest_weight: int
) -> dict[ir.Value, float]:
    """Balance `rows`, in place, by the `peaks` of their channels, and return the common peak of each."""
    common = {}
    for value, (stripes, total) in rows.items():
        of_row = np.array(peaks[value.name or ""])
        weight, ones = array_of(stripes.inputs[1]), array_of(total.inputs[1])
        assert weight is not None
        assert ones is not None
        factors, sums, common[value] = _balanced(ones, of_row, largest_weight)
        set_input(stripes, 1, "weight", (weight * factors[:, None, None, None]).astype(weight.dtype))
        set_input(total, 1, "weight", sums.astype(ones.dtype))
    return common


def _balanced(ones: np.ndarray, peaks: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the factor of each row, the weight of the sum, and the peak that all rows have then."""
    filters, in_group = ones.shape[:2]
    group_of = np.arange(filters) // (filters * in_group // len(peaks))
    matrix = np.zeros((filters, len(peaks)))
    for filter_, row in np.argwhere(ones[:, :, 0, 0]):
        matrix[filter_, group_of[filter_] * in_group + row] = 1
    of_filter = (matrix * peaks).max(axis=1)
    common = float(of_filter.max()) or 1.0
    of_filter[of_filter == 0] = common
    size_of_row = matrix.T @ of_filter  # each row has one filter at most
    size_of_row[size_of_row == 0] = common
    whole = np.clip(np.ceil(largest * peaks / size_of_row), 1, largest)
    factors = common / (whole / largest * size_of_row)
    sums = ones.astype(np.float64)
    for filter_, row in np.argwhere(ones[:, :, 0, 0]):
        sums[filter_, row] = 1 / factors[group_of[filter_] * in_group + row]
    return factors, sums, common


def _conv_before(node: ir.Node, own: Collection[ir.Node]) -> ir.Node | None:
    """Return the convolution that computes the input of `node` alone, if it is one of `own`."""
    value = node.inputs[0]
    producer = None if value is None or len(value.uses()) != 1 else value.producer()
    return producer if producer is not None and producer in own and operator_of(producer) == "Conv" else None
