"""Operators that make tensors out of nothing, and those that change only the type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from swp_export.graph.operators.arithmetic import cast_to
from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.examples import MAPS, pinned
from swp_export.graph.operators.operator import Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.elementwise import Elementwise

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.operators.call import Call


def constant(call: Call) -> np.ndarray:
    """Return the array that the node holds."""
    for name in ("value", "value_float", "value_floats"):
        if name in call.attributes:
            return np.asarray(call.attributes[name])
    for name in ("value_int", "value_ints"):
        if name in call.attributes:
            return np.asarray(call.attributes[name], np.int64)
    raise UnsupportedError(f"a value given as {', '.join(call.attributes) or 'nothing'}")


def constant_of_shape(call: Call) -> np.ndarray:
    """One value, everywhere; zero where none is stated."""
    value = np.asarray(call.attributes.get("value", np.zeros(1)))
    return np.full(tuple(call.numbers(0) or []), value.reshape(-1)[0], value.dtype)


def eye_like(call: Call) -> np.ndarray:
    """Ones on a diagonal."""
    x = call.input(0)
    dtype = x.dtype if "dtype" not in call.attributes else dtype_of(call.integer("dtype", 1))
    return np.eye(x.shape[0], x.shape[1], k=call.integer("k", 0), dtype=dtype)


def range_(call: Call) -> np.ndarray:
    """Numbers from a start, by a step, to before a limit."""
    start, limit, delta = (call.input(index).reshape(-1)[0] for index in range(3))
    count = max(0, int(np.ceil((float(limit) - float(start)) / float(delta))))
    return np.asarray(start + delta * np.arange(count, dtype=start.dtype), start.dtype)


def cast(call: Call) -> np.ndarray:
    """Another type. A float of any width is float64 here: the truth is the network without rounding.

    A network that computes in float16 in places, or stores float16, means real numbers; what the narrow type loses is
    part of the error that is measured, not of the truth.
    """
    return cast_to(call.input(0), dtype_of(call.integer("to", 0)))


def cast_like(call: Call) -> np.ndarray:
    """Return the type of the second input."""
    return cast_to(call.input(0), call.input(1).dtype)


def dropout(call: Call) -> tuple[np.ndarray, ...]:
    """Return the input: nothing is dropped outside of training."""
    refuse_training(call)
    x = call.input(0)
    mask = np.full(x.shape, call.opset >= 12)  # what the mask is outside of training is defined from opset 12 on
    return (x, mask if call.opset >= 10 else mask.astype(x.dtype))


def refuse_training(call: Call) -> None:
    """Refuse a Dropout that drops.

    Raises:
        UnsupportedError: it does.

    """
    ratio, training = call.optional(1), call.optional(2)
    if training is not None and training.any() and (ratio is None or ratio.any()):
        raise UnsupportedError(
            "Dropout in training mode draws random numbers: nothing can be proved; export the network in eval mode"
        )


def dtype_of(number: int) -> np.dtype:
    """Return numpy's type of ONNX's data type `number`: float64 for floats.

    Raises:
        UnsupportedError: it is a string, complex, or a float or integer of fewer than 8 bits or without a full range.

    """
    types = {
        ir.DataType.FLOAT: np.float64,
        ir.DataType.FLOAT16: np.float64,
        ir.DataType.BFLOAT16: np.float64,
        ir.DataType.DOUBLE: np.float64,
        ir.DataType.BOOL: np.bool_,
        ir.DataType.INT8: np.int8,
        ir.DataType.INT16: np.int16,
        ir.DataType.INT32: np.int32,
        ir.DataType.INT64: np.int64,
        ir.DataType.UINT8: np.uint8,
        ir.DataType.UINT16: np.uint16,
        ir.DataType.UINT32: np.uint32,
        ir.DataType.UINT64: np.uint64,
    }
    try:
        return np.dtype(types[ir.DataType(number)])
    except (KeyError, ValueError) as error:
        raise UnsupportedError(f"the type {number}") from error


def _fixed(compute: Callable[[Call], np.ndarray], *inputs: np.ndarray, **attributes: Any) -> Operator:
    """Return a row of an operator that reads no channels."""
    example = Example(inputs=inputs, attributes=attributes, pins="reads them")
    return Operator(compute=compute, rounding=Rounding.EXACT, examples=[example])


OPERATORS: dict[str, Operator] = {
    "Cast": Operator(
        compute=cast,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[MAPS], attributes={"to": 1})],
    ),
    "CastLike": Operator(
        compute=cast_like,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[MAPS, np.zeros(1, np.float32)], since=15)],
    ),
    "Constant": _fixed(constant, value=np.ones(3, np.float32)),
    "ConstantOfShape": _fixed(constant_of_shape, np.array([2, 3])),
    "Dropout": Operator(
        compute=dropout,
        channels=Elementwise(),
        rounding=Rounding.EXACT,
        refuse=refuse_training,
        examples=[
            Example(inputs=[MAPS]),
            Example(inputs=[MAPS], outputs=2, since=12, pins="gives more than one output"),
        ],
    ),
    "EyeLike": Operator(
        compute=eye_like, rounding=Rounding.EXACT, examples=pinned(Tensor(shape=(3, 3)), reason="reads them", since=9)
    ),
    "Range": _fixed(range_, np.array(0), np.array(5), np.array(2)),
}
