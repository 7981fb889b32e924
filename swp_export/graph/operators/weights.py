"""The constants of convolutions and matrix products, in one form for all of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of, set_input

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """What a weighted operator computes of its channels.

    Attributes:
        weight: `[N, C / group, *kernel]`; of a matrix product `[N, C]`.
        bias: `[N]`, None where there is none.
        group: of how many equal runs of filters each reads its own run of channels.
        axis: the axis of the input that counts the channels; the same of the output.
        holds_bias: a bias can be given to the node.
        padded: for each tap, whether it sees zeros in place of the map for some output: there a constant map is none.
        seen: bool `[kinds, *kernel]`: which taps see the map at each kind of place of the output, and no others do;
            None where the kinds are not told.
        in_place: the one tap there is sees the place of its output, or every n-th place.

    """

    weight: np.ndarray
    bias: np.ndarray | None
    group: int = 1
    axis: int = 1
    holds_bias: bool = True
    padded: np.ndarray
    seen: np.ndarray | None = None
    in_place: bool = False

    @property
    def filters(self) -> int:
        """N."""
        return int(self.weight.shape[0])

    @property
    def channels(self) -> int:
        """C."""
        return int(self.weight.shape[1]) * self.group

    @property
    def has_stripes(self) -> bool:
        """A convolution's filters are stripes, one for each tap; the rows of a matrix product are not."""
        return self.weight.ndim > 2

    def live_stripes(self) -> np.ndarray:
        """Return which stripes, of one filter and tap each, are not zero: bool `[N, *kernel]`."""
        return np.asarray(self.weight.any(axis=1))

    def live_filters(self) -> np.ndarray:
        """Return which filters, or rows of a matrix product, are not zero: bool `[N]`."""
        return np.asarray(self.weight.reshape(self.filters, -1).any(axis=1))

    def reading(self, channels: np.ndarray) -> np.ndarray:
        """Return which filters have a weight that is not zero for any of `channels`, bool `[C]`: bool `[N]`."""
        if channels.all():
            return self.live_filters()
        if not channels.any():
            return np.zeros(self.filters, bool)
        by_group = self.weight.reshape(self.group, self.filters // self.group, self.weight.shape[1], -1)
        if self.group == 1:
            return np.asarray(by_group[0][:, channels].any(axis=(1, 2)))
        read = by_group.any(axis=3) & channels.reshape(self.group, 1, -1)
        return np.asarray(read.any(axis=2).reshape(-1))

    def live_share(self) -> float:
        """Return the share of stripes that are not zero; 1 of a matrix product."""
        return float(self.live_stripes().mean()) if self.has_stripes else 1.0

    def biases(self) -> np.ndarray:
        """Return the bias `[N]`, zeros where there is none."""
        return np.zeros(self.filters, self.weight.dtype) if self.bias is None else self.bias


def floats_of(node: ir.Node, index: int) -> np.ndarray | None:
    """Return a constant input of floats, None where it is none."""
    array = array_of(node.inputs[index]) if index < len(node.inputs) else None
    return None if array is None or array.dtype.kind != "f" else array


def has_input(node: ir.Node, index: int) -> bool:
    """Tell whether an input is there."""
    return index < len(node.inputs) and node.inputs[index] is not None


def put_weight(node: ir.Node, stored: np.ndarray) -> None:
    """Give `node` the weight `stored` as it stores it, in the dtype it had."""
    old = array_of(node.inputs[1])
    assert old is not None
    set_input(node, 1, "weight", np.ascontiguousarray(stored, old.dtype))


def put_bias(node: ir.Node, bias: np.ndarray | None) -> None:
    """Give `node` the bias `[N]` in the dtype of its weight; None leaves what it has."""
    if bias is not None:
        old = array_of(node.inputs[1])
        assert old is not None
        set_input(node, 2, "bias", bias.astype(old.dtype))
