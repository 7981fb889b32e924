"""Take constant channels out of the weights that read them, exactly, borders included.

A dead filter leaves the constant c_k on its channel (its BatchNorm's beta - gamma*mean/sqrt(var + eps), through ReLU).
For a consumer `y[o] = b[o] + sum over k, tap of W[o,k,tap] * x[k] shifted`:

- c_k = 0:                                   W[o,k,:] := 0
- no live tap of (o, k) ever reads padding:  b[o] += c_k * sum over taps of W[o,k,tap];  W[o,k,:] := 0
- otherwise the zero padding makes x[k] a map that is c_k inside and 0 outside, which no bias can replace. All such
  maps are multiples of one another, so one channel h, the one with the largest |c|, stands for all:
                                             W[o,h,:] += W[o,k,:] * c_k / c_h;  W[o,k,:] := 0

Of a grouped convolution all this holds within each group, which has a channel h of its own.

Only weights and biases change here; `RemoveDeadChannels` then drops the channels that nothing reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.constant_channels import constant_channels
from swp_export.graph.operators.table import weighted, weights_of

if TYPE_CHECKING:
    from swp_export.graph.operators.weights import Weights


class FoldConstantChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in execution order, so that one run reaches constants that arise on the way."""
        modified = False

        def fold(node: ir.Node, constants: np.ndarray) -> None:
            nonlocal modified
            weights, rule = weights_of(node), weighted(node)
            assert rule is not None
            folded = None if weights is None else _folded(weights, constants)
            if folded is not None:
                rule.replace(node, *folded)
                modified = True

        constant_channels(model.graph, before_node=fold)
        return ir.passes.PassResult(model, modified)


def _folded(weights: Weights, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, int] | None:
    """Return weight, bias and group with `constants` (float64 `[C]`, NaN where unknown) taken out; None if none is."""
    width, height = weights.weight.shape[1], weights.filters // weights.group
    after: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for group in np.unique(np.flatnonzero(~np.isnan(constants)) // width).tolist():
        rows = slice(group * height, (group + 1) * height)
        folded = _folded_group(weights, rows, constants[group * width : (group + 1) * width])
        if folded is not None:
            after[group] = folded
    if not after:
        return None
    weight, bias = weights.weight.copy(), weights.biases().astype(np.float64)
    for group, (of_group, added) in after.items():
        weight[group * height : (group + 1) * height] = of_group
        bias[group * height : (group + 1) * height] += added
    return weight, bias if weights.holds_bias else None, weights.group


def _folded_group(weights: Weights, rows: slice, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the weight of `rows`, all that read these `constants`, and what to add to their bias; None for neither."""
    # The other columns stay as they are: a classifier's matrix may be too large to be copied in float64.
    columns = np.flatnonzero(~np.isnan(constants))
    value, before = constants[columns], weights.weight[rows, columns].astype(np.float64)
    weight = before.reshape(*before.shape[:2], -1)
    live = weight != 0
    foldable = ~(live & weights.padded.reshape(-1)).any(axis=2) & weights.holds_bias
    foldable |= (value == 0)[None, :]
    added = np.einsum("okt,ok,k->o", weight, foldable.astype(np.float64), value)
    weight[foldable] = 0
    held = np.flatnonzero((weight != 0).any(axis=(0, 2)))
    if held.size > 1:
        holder = held[np.argmax(np.abs(value[held]))]
        merged = np.einsum("okt,k->ot", weight[:, held], value[held] / value[holder])
        weight[:, held] = 0
        weight[:, holder] = merged
    if np.array_equal(weight != 0, live):
        return None
    after = weights.weight[rows].copy()
    after[:, columns] = weight.reshape(before.shape)
    return after, added
