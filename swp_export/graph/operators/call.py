"""What an operator is called with: its attributes, the opset that defines it, and its inputs as arrays."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    Result = np.ndarray | tuple[np.ndarray, ...]


class UnsupportedError(Exception):
    """An operator is asked for a setting that is not implemented; the message says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an operator.

    Attributes:
        attributes: the node's own, as Python numbers, strings, tuples of them, and arrays; floats in float64.
        opset: the version of ONNX's operators that the node follows.
        inputs: the arrays, None for an optional one that is left out; floats in float64.
        outputs: how many outputs the node names.

    """

    attributes: Mapping[str, Any]
    opset: int
    inputs: tuple[np.ndarray | None, ...]
    outputs: int = 1

    def input(self, index: int) -> np.ndarray:
        """Return an input that must be there.

        Raises:
            ValueError: it is not.

        """
        array = self.optional(index)
        if array is None:
            raise ValueError(f"its input {index} is missing")
        return array

    def optional(self, index: int) -> np.ndarray | None:
        """Return an input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def numbers(self, index: int) -> list[int] | None:
        """Return an integer input as a list, None where it is left out."""
        array = self.optional(index)
        return None if array is None else [int(number) for number in array.reshape(-1)]

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))

    def integers(self, name: str) -> list[int] | None:
        """Return an attribute of several integers, None where it is left out."""
        return list(self.attributes[name]) if name in self.attributes else None

    def real(self, name: str, default: float) -> float:
        """Return a float attribute. It is stored in float32, and so is its default."""
        return float(np.float32(self.attributes.get(name, default)))

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return str(self.attributes.get(name, default))


def is_float(array: np.ndarray) -> bool:
    """Tell whether `array` holds floats that numbers are rounded to: float64, 32, 16 or bfloat16."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def promoted(array: np.ndarray) -> np.ndarray:
    """Return `array` with floats of any width in float64, and everything else as it is."""
    return array.astype(np.float64) if is_float(array) else array


def positive_axis(axis: int, rank: int) -> int:
    """Return `axis` counted from the front.

    Raises:
        ValueError: there is no such axis.

    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank
