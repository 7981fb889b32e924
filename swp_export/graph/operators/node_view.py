"""A node as the rules of the table see it: its attributes, its constants, and the channels of what it reads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import onnx_ir as ir

    from swp_export.graph.operators.identities import Identities, Ids

    Dim = int | str | None
    Places = npt.NDArray[np.int64]
    """For each channel of a tensor after a change: where it was before, -1 for one of zeros that is new."""


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Which axis of a tensor counts its channels, and which channels they are, int64 `[size of the axis]`."""

    axis: int
    ids: Ids


@dataclasses.dataclass(frozen=True)
class Pins:
    """An operator keeps every channel of what it reads and gives; `reason` completes "because node X ..."."""

    reason: str


class NodeView:
    """`node` in a graph whose values before it have `layouts`."""

    def __init__(self, node: ir.Node, layouts: Mapping[ir.Value, Layout], identities: Identities) -> None:
        self.node = node
        self.identities = identities
        self._layouts = layouts

    def layout(self, index: int) -> Layout | None:
        """Return the layout of an input; None where its channels are not known, or it is a constant."""
        value = self.input(index)
        return None if value is None else self._layout_of(value)

    def output_layout(self, index: int = 0) -> Layout | None:
        """Return the layout of an output, once it is known."""
        return self._layout_of(self.node.outputs[index])

    def input(self, index: int) -> ir.Value | None:
        """Return an input; None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def constant(self, index: int) -> np.ndarray | None:
        """Return a constant input as an array, None for one that is computed or left out."""
        return array_of(self.input(index))

    def computed(self) -> list[int]:
        """Return which inputs are neither constant nor left out."""
        return [i for i, value in enumerate(self.node.inputs) if value is not None and array_of(value) is None]

    def is_read(self, index: int) -> bool:
        """Tell whether anything reads an output."""
        outputs = self.node.outputs
        return index < len(outputs) and bool(outputs[index].uses() or outputs[index].is_graph_output())

    def shape(self, index: int) -> tuple[Dim, ...] | None:
        """Return the sizes of an input's axes, names for open ones, None for unknown ones; None without a rank."""
        return shape_of(self.input(index))

    def rank(self, index: int) -> int | None:
        """Return how many axes an input has, None where that is not known."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def output_shape(self, index: int = 0) -> tuple[Dim, ...] | None:
        """Return the sizes of an output's axes, as `shape` does."""
        return shape_of(self.node.outputs[index])

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.node.attributes[name].as_int()) if name in self.node.attributes else default

    def integers(self, name: str) -> list[int] | None:
        """Return an attribute of several integers, None where it is left out."""
        return list(self.node.attributes[name].as_ints()) if name in self.node.attributes else None

    def real(self, name: str, default: float) -> float:
        """Return a float attribute."""
        return self.node.attributes[name].as_float() if name in self.node.attributes else default

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return self.node.attributes[name].as_string() if name in self.node.attributes else default

    def numbers(self, index: int, attribute: str = "") -> list[int] | None:
        """Return integers that are a constant input, or `attribute` in older opsets; None where neither is there."""
        array = self.constant(index)
        if array is not None:
            return [int(number) for number in array.reshape(-1)]
        return self.integers(attribute) if attribute else None

    def ids_along(self, index: int, axis: int, reason: str) -> Ids | None:
        """Return the channels of an input along `axis`; where it has others, they must stay, for `reason`: None."""
        layout = self.layout(index)
        if layout is not None and layout.axis == axis:
            return layout.ids
        self.pin(index, reason)
        return None

    def pin(self, index: int, reason: str) -> None:
        """State that the channels of an input must stay; `reason` completes "because node X ..."."""
        layout = self.layout(index)
        if layout is not None:
            self.identities.pin(layout.ids, f"{label_of(self.node)} {reason}")

    def _layout_of(self, value: ir.Value) -> Layout | None:
        layout = self._layouts.get(value)
        return None if layout is None else Layout(layout.axis, self.identities.roots(layout.ids))


def shape_of(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """Return the sizes of the axes of `value`, names for open ones, None for unknown ones; None without a rank."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)


def rank_of(value: ir.Value | None) -> int | None:
    """Return how many axes `value` has, None where that is not known."""
    return None if value is None or value.shape is None else len(value.shape)


def label_of(node: ir.Node) -> str:
    """Return how a report calls `node`."""
    return f"node {node.name or node.outputs[0].name} ({node.op_type})"


def taken(array: np.ndarray, places: Places, axis: int = 0, fill: float = 0) -> np.ndarray:
    """Return `array` with what was at `places` of `axis`, and `fill` where that is -1."""
    result = np.take(array, np.maximum(places, 0), axis=axis)
    np.moveaxis(result, axis, 0)[places < 0] = fill
    return result
