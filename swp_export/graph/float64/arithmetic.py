"""Element-by-element mathematics, comparisons and logic. Integers keep their type: they wrap, and divide as in C."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.float64.call import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.float64.call import Call


def of_one(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    """Return the operator that maps its one input by `function`."""
    return lambda call: function(call.input(0))


def of_two(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    """Return the operator that joins its two inputs, broadcast, by `function`."""
    return lambda call: function(call.input(0), call.input(1))


def of_many(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    """Return the operator that joins any number of inputs, broadcast, by `function`, two at a time."""
    return lambda call: reduce(function, (call.input(index) for index in range(len(call.inputs))))


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return `a / b`; of integers the quotient without its fraction.

    Raises:
        ValueError: an integer is divided by zero.

    """
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        raise ValueError("an integer is divided by zero")
    quotient = a // b
    return quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return `a ** b` in the type of `a`."""
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.power(a.astype(np.float64), b).astype(a.dtype)
    if (b < 0).any():
        return np.power(a.astype(np.float64), b).astype(a.dtype)
    return np.power(a, b.astype(a.dtype))


def mod(call: Call) -> np.ndarray:
    """Return the remainder with the sign of the divisor, or of the dividend where fmod = 1.

    Raises:
        ValueError: an integer is divided by zero, or floats without fmod.

    """
    a, b = call.input(0), call.input(1)
    if a.dtype.kind != "f" and not b.all():
        raise ValueError("an integer is divided by zero")
    if call.integer("fmod", 0):
        return np.fmod(a, b)
    if a.dtype.kind == "f":
        raise ValueError("a remainder of floats is defined by fmod = 1 only")
    return np.mod(a, b)


def mean(call: Call) -> np.ndarray:
    """Return the mean of any number of inputs."""
    return of_many(np.add)(call) / len(call.inputs)


def clip(call: Call) -> np.ndarray:
    """Kept between a minimum and a maximum: attributes before opset 11, inputs from it on."""
    x = call.input(0)
    if call.opset < 11:
        low: np.ndarray | float | None = call.real("min", -np.inf)
        high: np.ndarray | float | None = call.real("max", np.inf)
    else:
        low, high = call.optional(1), call.optional(2)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def where(call: Call) -> np.ndarray:
    """One of two inputs, as the condition says."""
    return np.where(call.input(0), call.input(1), call.input(2))


def is_inf(call: Call) -> np.ndarray:
    """Tell which elements are infinite, of the signs asked for."""
    x = call.input(0)
    positive, negative = call.integer("detect_positive", 1), call.integer("detect_negative", 1)
    return (np.isposinf(x) & bool(positive)) | (np.isneginf(x) & bool(negative))


def bit_shift(call: Call) -> np.ndarray:
    """Bits moved to the left or right."""
    direction = call.text("direction", "")
    if direction not in {"LEFT", "RIGHT"}:
        raise UnsupportedError(f"direction = {direction!r}")
    a, b = call.input(0), call.input(1)
    return np.left_shift(a, b) if direction == "LEFT" else np.right_shift(a, b)


def floor(x: np.ndarray) -> np.ndarray:
    """Return the largest integer that is not above `x`."""
    return np.floor(_decided(x))


def ceil(x: np.ndarray) -> np.ndarray:
    """Return the smallest integer that is not below `x`."""
    return np.ceil(_decided(x))


def cast_to(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return `x` in `dtype`; floats lose their fraction on the way to integers, and floats of any width are float64."""
    if dtype.kind == "f":
        return x.astype(np.float64)
    if x.dtype.kind == "f" and dtype.kind in "iu":
        return np.trunc(_decided(x)).astype(np.int64).astype(dtype)
    return x.astype(dtype)


def _decided(x: np.ndarray) -> np.ndarray:
    """Return `x` with the integers in place of what float32 cannot tell from them.

    Networks compute sizes through floats: 10 * 0.7 makes 7 in float32, and 6.99999988 with 0.7 as float32 stores it.
    """
    nearest = np.rint(x)
    return np.where(x.astype(np.float32) == nearest, nearest, x)
