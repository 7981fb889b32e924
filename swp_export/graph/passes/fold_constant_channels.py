"""Take constant channels out of the weights that read them, exactly, borders included.

A dead filter leaves the constant c_k on its channel (its BatchNorm's beta - gamma*mean/sqrt(var + eps), through ReLU).
For a consumer `y[o] = b[o] + sum over k, tap of W[o,k,tap] * x[k] shifted`:

- c_k = 0:                                   W[o,k,:] := 0
- no live tap of (o, k) ever reads padding:  b[o] += c_k * sum over taps of W[o,k,tap];  W[o,k,:] := 0
- otherwise the zero padding makes x[k] a map that is c_k inside and 0 outside, which no bias can replace. All such
  maps are multiples of one another, so one channel h, the one with the largest |c|, stands for all:
                                             W[o,h,:] += W[o,k,:] * c_k / c_h;  W[o,k,:] := 0

Only weights and biases change here; `RemoveDeadChannels` then drops the channels that nothing reads.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import is_transposed, weight_matrix
from swp_export.graph.analysis.constant_channels import constant_channels, taps_that_see_padding
from swp_export.graph.convolutions import bias_of, conv_attributes, set_bias, set_weight
from swp_export.graph.operators import operator_of


class FoldConstantChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in execution order, so that one run reaches constants that arise on the way."""
        modified = False

        def fold(node: ir.Node, constants: np.ndarray) -> None:
            nonlocal modified
            modified |= _fold(node, constants)

        constant_channels(model.graph, before_node=fold)
        return ir.passes.PassResult(model, modified)


def _fold(node: ir.Node, constants: np.ndarray) -> bool:
    """Fold `constants` (float64 `[C]`, NaN where unknown) into `node`; tell whether anything changed."""
    matrix = weight_matrix(node)
    assert matrix is not None
    before = matrix if matrix.ndim == 4 else matrix[:, :, None, None]
    # The other columns stay as they are: a classifier's matrix may be too large to be copied in float64.
    columns = np.flatnonzero(~np.isnan(constants))
    value, weight = constants[columns], before[:, columns].astype(np.float64)
    can_hold_bias = operator_of(node) != "MatMul"
    live = weight != 0
    foldable = ~(live & _sees_padding(node, before)).any(axis=(2, 3))
    if not can_hold_bias:
        foldable &= (value == 0)[None, :]
    foldable |= (value == 0)[None, :]
    bias = bias_of(node, weight.shape[0]).astype(np.float64)
    bias += np.einsum("okhw,ok,k->o", weight, foldable.astype(np.float64), value)
    weight[foldable] = 0
    held = np.flatnonzero((weight != 0).any(axis=(0, 2, 3)))
    if held.size > 1:
        holder = held[np.argmax(np.abs(value[held]))]
        merged = np.einsum("okhw,k->ohw", weight[:, held], value[held] / value[holder])
        weight[:, held] = 0
        weight[:, holder] = merged
    if np.array_equal(weight != 0, live):
        return False
    after = before.copy()
    after[:, columns] = weight
    if matrix.ndim == 4:
        set_weight(node, after)
    else:
        flat = after[:, :, 0, 0]
        set_weight(node, flat if operator_of(node) == "Gemm" and is_transposed(node) else flat.T)
    if can_hold_bias:
        set_bias(node, bias)
    return True


def _sees_padding(node: ir.Node, weight: np.ndarray) -> np.ndarray:
    kernel = (weight.shape[2], weight.shape[3])
    if operator_of(node) != "Conv":
        return np.zeros(kernel, bool)
    attributes = conv_attributes(node, kernel)
    return taps_that_see_padding(kernel, attributes["pads"], attributes["dilations"])
