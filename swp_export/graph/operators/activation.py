"""Activation functions, element by element, and the softmax family along an axis."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.arithmetic import of_one
from swp_export.graph.operators.call import UnsupportedError, positive_axis
from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, TOKENS, VECTORS, one_input
from swp_export.graph.operators.operator import Example, Operator, Rounding
from swp_export.graph.operators.rules.elementwise import Elementwise
from swp_export.graph.operators.rules.maps import MapWise, stated_axis, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.operators.call import Call


def relu(call: Call) -> np.ndarray:
    """`max(x, 0)`."""
    x = call.input(0)
    return np.maximum(x, np.zeros((), x.dtype))


def leaky_relu(call: Call) -> np.ndarray:
    """Slope `alpha` below zero."""
    x = call.input(0)
    return np.where(x < 0, call.real("alpha", 0.01) * x, x)


def prelu(call: Call) -> np.ndarray:
    """Return a slope of its own below zero for each element or channel."""
    x = call.input(0)
    return np.where(x < 0, call.input(1) * x, x)


def thresholded_relu(call: Call) -> np.ndarray:
    """Zero up to `alpha`."""
    x = call.input(0)
    return np.where(x > call.real("alpha", 1.0), x, 0.0)


def elu(call: Call) -> np.ndarray:
    """`alpha * (exp(x) - 1)` below zero."""
    x = call.input(0)
    return np.where(x < 0, call.real("alpha", 1.0) * np.expm1(np.minimum(x, 0)), x)


def selu(call: Call) -> np.ndarray:
    """`gamma * elu(x)`."""
    x = call.input(0)
    alpha, gamma = call.real("alpha", 1.67326319217681884765625), call.real("gamma", 1.05070102214813232421875)
    return gamma * np.where(x <= 0, alpha * np.expm1(np.minimum(x, 0)), x)


def celu(call: Call) -> np.ndarray:
    """`alpha * (exp(x / alpha) - 1)` below zero."""
    x, alpha = call.input(0), call.real("alpha", 1.0)
    return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))


def sigmoid(call: Call) -> np.ndarray:
    """`1 / (1 + exp(-x))`."""
    return logistic(call.input(0))


def hard_sigmoid(call: Call) -> np.ndarray:
    """`alpha * x + beta`, kept in [0, 1]."""
    return np.clip(call.real("alpha", 0.2) * call.input(0) + call.real("beta", 0.5), 0, 1)


def hard_swish(call: Call) -> np.ndarray:
    """`x` times a hard sigmoid of slope 1/6."""
    x = call.input(0)
    return x * np.clip(x / 6 + 0.5, 0, 1)


def swish(call: Call) -> np.ndarray:
    """`x` times the sigmoid of `alpha * x`."""
    x = call.input(0)
    return x * logistic(call.real("alpha", 1.0) * x)


def mish(call: Call) -> np.ndarray:
    """`x * tanh(softplus(x))`."""
    x = call.input(0)
    return x * np.tanh(np.logaddexp(x, 0))


def softplus(call: Call) -> np.ndarray:
    """`log(1 + exp(x))`."""
    return np.logaddexp(call.input(0), 0)


def softsign(call: Call) -> np.ndarray:
    """`x / (1 + |x|)`."""
    x = call.input(0)
    return x / (1 + np.abs(x))


def shrink(call: Call) -> np.ndarray:
    """Zero within `lambd`, moved by `bias` towards zero outside."""
    x, bias, limit = call.input(0), call.real("bias", 0.0), call.real("lambd", 0.5)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0)).astype(x.dtype)


def gelu(call: Call) -> np.ndarray:
    """`x` times the normal distribution function, or its approximation by tanh."""
    x, kind = call.input(0), call.text("approximate", "none")
    if kind == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if kind != "none":
        raise UnsupportedError(f"approximate = {kind!r}")
    return 0.5 * x * (1 + error_function(x / math.sqrt(2)))


def erf(call: Call) -> np.ndarray:
    """Return the error function."""
    return error_function(call.input(0))


def softmax(call: Call) -> np.ndarray:
    """Exponentials that sum to one."""
    powers, shape = _shifted(call)
    exponentials = np.exp(powers)
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).reshape(shape).swapaxes(_axis(call), -1)


def log_softmax(call: Call) -> np.ndarray:
    """Return the logarithm of softmax."""
    powers, shape = _shifted(call)
    return (powers - np.log(np.exp(powers).sum(axis=-1, keepdims=True))).reshape(shape).swapaxes(_axis(call), -1)


def hardmax(call: Call) -> np.ndarray:
    """One at the first largest, zero elsewhere."""
    powers, shape = _shifted(call)
    first = np.zeros_like(powers)
    np.put_along_axis(first, powers.argmax(axis=-1, keepdims=True), 1, axis=-1)
    return first.reshape(shape).swapaxes(_axis(call), -1)


def logistic(x: np.ndarray) -> np.ndarray:
    """Return the sigmoid of `x`, without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)


def error_function(x: np.ndarray) -> np.ndarray:
    """Return erf of `x`: Taylor series of nine terms around the nearest multiple of 1/64, exact to 1e-15."""
    terms = _taylor_of_erf()
    inside = np.clip(np.nan_to_num(x), -_LAST / 64, _LAST / 64)
    nearest = np.rint(inside * 64).astype(np.int64)
    distance = inside - nearest / 64
    y = terms[nearest + _LAST, -1]
    for order in range(terms.shape[1] - 2, -1, -1):
        y = y * distance + terms[nearest + _LAST, order]
    return np.where(np.isnan(x), np.nan, y)


_LAST = 6 * 64  # erf(6) is 1 in float64


@cache
def _taylor_of_erf() -> np.ndarray:
    """Return the coefficients of erf around k / 64: its derivatives are Hermite polynomials times exp(-x * x)."""
    points = np.arange(-_LAST, _LAST + 1) / 64
    hermite = [np.ones_like(points), 2 * points]
    while len(hermite) < 8:
        hermite.append(2 * points * hermite[-1] - 2 * (len(hermite) - 1) * hermite[-2])
    slope = 2 / math.sqrt(math.pi) * np.exp(-points * points)
    terms = [np.array([math.erf(point) for point in points])]
    terms += [slope * (-1) ** n * polynomial / math.factorial(n + 1) for n, polynomial in enumerate(hermite)]
    return np.stack(terms, axis=1)


def _axis(call: Call) -> int:
    """Return the axis that is last while softmax runs: before opset 13 several are flattened and none moves."""
    return -1 if call.opset < 13 else call.integer("axis", -1)


def _shifted(call: Call) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return `x` less its largest, with what is normalised as the last axis, and the shape to restore."""
    x = call.input(0)
    if call.opset < 13:  # all axes from `axis` on are one
        axis = call.integer("axis", 1)
        axis = axis if axis == x.ndim else positive_axis(axis, x.ndim)
        shape = x.shape
        x = x.reshape(math.prod(shape[:axis]), -1)
    else:
        x = x.swapaxes(positive_axis(_axis(call), x.ndim), -1)
        shape = x.shape
    return x - x.max(axis=-1, keepdims=True), shape


def _on_each(compute: Callable[[Call], np.ndarray], rounding: Rounding = Rounding.APPROXIMATED) -> Operator:
    return Operator(compute=compute, channels=Elementwise(), rounding=rounding, examples=one_input())


def _softmax(compute: Callable[[Call], np.ndarray], rounding: Rounding = Rounding.APPROXIMATED) -> Operator:
    """Return a row of the softmax family: it joins the axis that it normalises along."""
    return Operator(
        compute=compute,
        channels=MapWise(stated_axis(-1), unknown, joins="normalises over them"),
        rounding=rounding,
        examples=[
            Example(inputs=[MAPS], attributes={"axis": 3}, since=13),
            Example(inputs=[TOKENS], attributes={"axis": 1}, since=13),
            Example(inputs=[MAPS], attributes={"axis": 1}, pins="normalises over them"),
            Example(inputs=[VECTORS], pins="normalises over them"),
        ],
    )


OPERATORS: dict[str, Operator] = {
    "Celu": _on_each(celu),
    "Elu": _on_each(elu),
    "Erf": _on_each(erf, Rounding.ROUNDED),
    "Gelu": _on_each(gelu),
    "HardSigmoid": _on_each(hard_sigmoid, Rounding.ROUNDED),
    "HardSwish": _on_each(hard_swish),
    "Hardmax": _softmax(hardmax, Rounding.ROUNDED),
    "LeakyRelu": _on_each(leaky_relu, Rounding.ROUNDED),
    "LogSoftmax": _softmax(log_softmax),
    "Mish": _on_each(mish, Rounding.TWICE),
    "PRelu": Operator(
        compute=prelu,
        channels=Elementwise(),
        examples=[
            Example(inputs=[MAPS, PER_CHANNEL.reshape(6, 1, 1)]),
            Example(inputs=[MAPS, np.full(1, 0.25, np.float32)]),
            Example(inputs=[VECTORS, PER_CHANNEL]),
        ],
    ),
    "Relu": _on_each(relu, Rounding.EXACT),
    "Selu": _on_each(selu),
    "Shrink": _on_each(shrink, Rounding.ROUNDED),
    "Sigmoid": _on_each(sigmoid),
    "Softmax": _softmax(softmax, Rounding.TWICE),
    "Softplus": _on_each(softplus, Rounding.TWICE),
    "Softsign": _on_each(softsign, Rounding.ROUNDED),
    "Swish": _on_each(swish),
    "Tanh": _on_each(of_one(np.tanh), Rounding.TWICE),
    "ThresholdedRelu": _on_each(thresholded_relu, Rounding.EXACT),
}
