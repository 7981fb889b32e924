"""Take fixed channels out of the weights that read them, exactly, borders included.

A dead filter leaves the constant c_k on its channel (its BatchNorm's beta - gamma*mean/sqrt(var + eps), through ReLU).
For a consumer `y[o] = b[o] + sum over k, tap of W[o,k,tap] * x[k] shifted`:

- c_k = 0:                                   W[o,k,:] := 0
- no live tap of (o, k) ever reads padding:  b[o] += c_k * sum over taps of W[o,k,tap];  W[o,k,:] := 0
- otherwise the zero padding makes x[k] a map that is c_k inside and 0 outside, which no bias can replace. All such
  maps are multiples of one another, so one channel h, the one with the largest |c|, stands for all:
                                             W[o,h,:] += W[o,k,:] * c_k / c_h;  W[o,k,:] := 0

Of a grouped convolution all this holds within each group, which has a channel h of its own.

The same with fixed maps that are not constant, as behind a padded depthwise convolution and its activation: where
`x[k] = sum over h of t[k,h] * x[h] + t[k]`, a few channels h stand for all, and the bias for t[k] where nothing pads.

Only weights and biases change here; `RemoveDeadChannels` then drops the channels that nothing reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.constant_channels import fixed_channels
from swp_export.graph.operators.table import weighted, weights_of

if TYPE_CHECKING:
    from swp_export.graph.operators.fixed_maps import FixedMaps
    from swp_export.graph.operators.weights import Weights

NEGLIGIBLE = 1e-10
"""What part of the largest map may be lost where one is told by others; float32 keeps 6e-8 of a weight."""


class FoldConstantChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in execution order, so that one run reaches what becomes fixed on the way."""
        modified = False

        def fold(node: ir.Node, maps: FixedMaps) -> None:
            nonlocal modified
            weights, rule = weights_of(node), weighted(node)
            assert rule is not None
            folded = None if weights is None else _folded(weights, maps)
            if folded is not None:
                rule.replace(node, *folded)
                modified = True

        fixed_channels(model.graph, before_node=fold)
        return ir.passes.PassResult(model, modified)


def _folded(weights: Weights, maps: FixedMaps) -> tuple[np.ndarray, np.ndarray | None, int] | None:
    """Return weight, bias and group with the fixed channels `maps` taken out; None if nothing changes."""
    width, height = weights.weight.shape[1], weights.filters // weights.group
    after: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for group in np.unique(np.flatnonzero(maps.fixed()) // width).tolist():
        rows = slice(group * height, (group + 1) * height)
        folded = _folded_group(weights, rows, maps, group * width)
        if folded is not None:
            after[group] = folded
    if not after:
        return None
    weight, bias = weights.weight.copy(), weights.biases().astype(np.float64)
    for group, (of_group, added) in after.items():
        weight[group * height : (group + 1) * height] = of_group
        bias[group * height : (group + 1) * height] += added
    return weight, bias if weights.holds_bias else None, weights.group


def _folded_group(weights: Weights, rows: slice, maps: FixedMaps, first: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the weight of `rows`, which read the channels from `first` on, and what to add to their bias.

    None if nothing changes.
    """
    # The other columns stay as they are: a classifier's matrix may be too large to be copied in float64.
    columns = np.flatnonzero(maps.fixed()[first : first + weights.weight.shape[1]])
    values, constants = maps.values[first + columns], maps.constants()[first + columns]
    before = weights.weight[rows, columns].astype(np.float64)
    weight = before.reshape(*before.shape[:2], -1)
    live = weight != 0
    sees_padding = (live & weights.padded.reshape(-1)).any(axis=2)
    foldable = ~sees_padding & ~np.isnan(constants) & weights.holds_bias
    foldable |= (constants == 0)[None, :]
    added = np.einsum("okt,ok,k->o", weight, foldable.astype(np.float64), np.nan_to_num(constants))
    weight[foldable] = 0
    held = np.flatnonzero((weight != 0).any(axis=(0, 2)))
    into_bias = weights.holds_bias and not weights.padded.any()
    holders, shares, rest = spanning(values[held], maps.space.ones if into_bias else None)
    if holders.size < held.size:
        added += np.einsum("okt,k->o", weight[:, held], rest)
        merged = np.einsum("okt,kh->oht", weight[:, held], shares)
        weight[:, held] = 0
        weight[:, held[holders]] = merged
    if np.array_equal(weight != 0, live):
        return None
    after = weights.weight[rows].copy()
    after[:, columns] = weight.reshape(before.shape)
    return after, added


def spanning(values: np.ndarray, ones: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose a few rows of `values` that all are sums of: `values = shares @ values[chosen] + rest * ones`.

    Each next one is the row that those before it tell the least of, so that no share becomes large.

    Args:
        values: float64 `[rows, maps]`.
        ones: float64 `[maps]`; None where nothing but the rows may be used.

    Returns:
        `chosen` int64 `[holders]`, `shares` `[rows, holders]`, `rest` `[rows]`.

    """
    left, basis = values.copy(), list[np.ndarray]()
    largest = float(np.abs(values).max(initial=0.0))
    chosen = list[int]()
    if ones is not None:
        basis.append(ones / np.linalg.norm(ones))
        left -= np.outer(left @ basis[0], basis[0])
    while len(chosen) < values.shape[0]:
        furthest = int(np.argmax(np.linalg.norm(left, axis=1)))
        length = float(np.linalg.norm(left[furthest]))
        if length <= NEGLIGIBLE * largest:
            break
        chosen.append(furthest)
        basis.append(left[furthest] / length)
        left -= np.outer(left @ basis[-1], basis[-1])
    told = values[chosen] if ones is None else np.vstack([values[chosen], ones])
    shares = np.linalg.lstsq(told.T, values.T, rcond=None)[0].T if told.size else np.zeros((values.shape[0], 0))
    shares[np.abs(shares) < NEGLIGIBLE] = 0
    rest = np.zeros(values.shape[0]) if ones is None else shares[:, -1]
    return np.array(chosen, np.int64), shares[:, : len(chosen)], rest
