"""Element-by-element mathematics, comparisons and logic. Integers keep their type: they wrap, and divide as in C."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, TOKENS, one_input, pinned, two_inputs
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.elementwise import Elementwise

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.operators.call import Call


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


def _one(
    function: Callable[[np.ndarray], np.ndarray],
    low: float = -2.0,
    high: float = 2.0,
    rounding: Rounding = Rounding.ROUNDED,
) -> Operator:
    """Return a row of an operator on each element of one tensor, for elements between `low` and `high`."""
    return Operator(compute=of_one(function), channels=Elementwise(), rounding=rounding, examples=one_input(low, high))


def _several(
    compute: Callable[[Call], np.ndarray],
    low: float = -2.0,
    high: float = 2.0,
    rounding: Rounding = Rounding.ROUNDED,
    channels: ChannelRule | None = None,
    since: int = 7,
) -> Operator:
    """Return a row of an operator on each element of several tensors, for elements between `low` and `high`."""
    return Operator(
        compute=compute, channels=channels or Elementwise(), rounding=rounding, examples=two_inputs(low, high, since)
    )


def _of_bits(compute: Callable[[Call], np.ndarray], **attributes: Any) -> Operator:
    """Return a row of an operator on integers or truth values, which carry no channels of a network."""
    numbers = Tensor(shape=(6,), axis=0, dtype="uint32")
    return Operator(
        compute=compute,
        rounding=Rounding.EXACT,
        examples=pinned(numbers, np.ones(6, np.uint32), since=11, **attributes),
    )


def _of_truth(compute: Callable[[Call], np.ndarray], inputs: int = 2) -> Operator:
    truth = Tensor(shape=MAPS.shape, dtype="bool")
    return Operator(
        compute=compute,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[truth] * inputs)],
    )


OPERATORS: dict[str, Operator] = {
    "Abs": _one(np.abs, rounding=Rounding.EXACT),
    "Acos": _one(np.arccos, -0.9, 0.9),
    "Acosh": _one(np.arccosh, 1.1, 4),
    "Add": _several(of_two(np.add)),
    "And": _of_truth(of_two(np.logical_and)),
    "Asin": _one(np.arcsin, -0.9, 0.9),
    "Asinh": _one(np.arcsinh),
    "Atan": _one(np.arctan),
    "Atanh": _one(np.arctanh, -0.9, 0.9),
    "BitShift": _of_bits(bit_shift, direction="LEFT"),
    "BitwiseAnd": _of_bits(of_two(np.bitwise_and)),
    "BitwiseNot": Operator(compute=of_one(np.bitwise_not), examples=pinned(Tensor(shape=(6,), axis=0, dtype="int64"))),
    "BitwiseOr": _of_bits(of_two(np.bitwise_or)),
    "BitwiseXor": _of_bits(of_two(np.bitwise_xor)),
    "Ceil": _one(ceil, rounding=Rounding.EXACT),
    "Clip": Operator(
        compute=clip,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"min": -0.5, "max": 1.0}, until=10),
            Example(inputs=[MAPS, np.float32(-0.5), np.float32(1)], since=11),
            Example(inputs=[TOKENS, None, np.float32(0.5)], since=11),
        ],
    ),
    "Cos": _one(np.cos),
    "Cosh": _one(np.cosh),
    "Div": _several(of_two(divide), 0.5, 2, channels=Elementwise(1)),
    "Equal": _several(of_two(np.equal), rounding=Rounding.EXACT, since=11),
    "Exp": _one(np.exp),
    "Floor": _one(floor, rounding=Rounding.EXACT),
    "Greater": _several(of_two(np.greater), rounding=Rounding.EXACT),
    "GreaterOrEqual": _several(of_two(np.greater_equal), rounding=Rounding.EXACT),
    "IsInf": Operator(compute=is_inf, channels=Elementwise(), rounding=Rounding.EXACT, examples=one_input()),
    "IsNaN": _one(np.isnan, rounding=Rounding.EXACT),
    "Less": _several(of_two(np.less), rounding=Rounding.EXACT),
    "LessOrEqual": _several(of_two(np.less_equal), rounding=Rounding.EXACT),
    "Log": _one(np.log, 0.1, 4),
    "Max": _several(of_many(np.maximum), rounding=Rounding.EXACT, since=8),
    "Mean": _several(mean, since=8),
    "Min": _several(of_many(np.minimum), rounding=Rounding.EXACT, since=8),
    "Mod": Operator(
        compute=mod,
        channels=Elementwise(1),
        examples=[Example(inputs=[MAPS, PER_CHANNEL.reshape(6, 1, 1)], attributes={"fmod": 1}, since=10)],
    ),
    "Mul": _several(of_two(np.multiply), channels=Elementwise(1, absorbs_zero=True)),
    "Neg": _one(np.negative, rounding=Rounding.EXACT),
    "Not": _of_truth(of_one(np.logical_not), 1),
    "Or": _of_truth(of_two(np.logical_or)),
    "Pow": _several(of_two(power), 0.5, 2, channels=Elementwise(1)),
    "Reciprocal": _one(np.reciprocal, 0.5, 2),
    "Round": _one(np.rint, rounding=Rounding.EXACT),
    "Sign": _one(np.sign, rounding=Rounding.EXACT),
    "Sin": _one(np.sin),
    "Sinh": _one(np.sinh),
    "Sqrt": _one(np.sqrt, 0, 4),
    "Sub": _several(of_two(np.subtract)),
    "Sum": _several(of_many(np.add), since=8),
    "Tan": _one(np.tan, -1, 1),
    "Where": Operator(
        compute=where,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[Tensor(shape=MAPS.shape, dtype="bool"), MAPS, MAPS]),
            Example(inputs=[Tensor(shape=(2, 1, 5, 4), axis=None, dtype="bool"), MAPS, np.zeros(1, np.float32)]),
            Example(inputs=[np.arange(6).reshape(6, 1, 1) > 2, MAPS, PER_CHANNEL.reshape(6, 1, 1)]),
        ],
    ),
    "Xor": _of_truth(of_two(np.logical_xor)),
}
