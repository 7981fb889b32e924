"""The shapes of a model's inputs: what the user says of them, against what the model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.errors import InputError, ModelError
from swp_export.graph.metadata import input_shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.metadata import InputShape

_NUMBERS = frozenset(
    [
        *(ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BOOL),
        *(ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64),
        *(ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64),
    ]
)


def inputs_of(model: ir.Model) -> list[ir.Value]:
    """Return what must be fed to `model`: stored weights are not among it, where they are also graph inputs."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def fitted_input_shape(model: ir.Model, asked: InputShape | None, label: str) -> InputShape:
    """Return the sizes of each input of `model` behind its first axis: as `asked` for, or as the model says.

    Of a model with one input that is the shape alone, of one with several they go by name; `asked` may leave out those
    that the model states.

    Raises:
        ModelError: the model takes no input, or one of a type that cannot be made.
        InputError: a size is left open, or what is asked for does not fit. The messages call the model `label`.

    """
    inputs = inputs_of(model)
    if not inputs:
        raise ModelError(f"{label} takes no input: its outputs are constants")
    for value in inputs:
        if value.dtype not in _NUMBERS:
            raise ModelError(
                f"{label} takes an input of {value.dtype}, expected floats or integers: convert the model first"
            )
    names = [value.name or "" for value in inputs]
    if isinstance(asked, Mapping):
        unknown = asked.keys() - set(names)
        if unknown:
            raise InputError(f"{label} has no input called {', '.join(sorted(unknown))}; it has {', '.join(names)}")
    elif asked is not None and len(inputs) > 1:
        raise InputError(f"{label} has {len(inputs)} inputs; say which: --input-shape NAME:SIZES of {', '.join(names)}")
    stated = input_shape_of(model, label)
    known = [_by_name(shape, names) for shape in (asked, stated)]
    shapes = {name: _fitted(value, known, label) for name, value in zip(names, inputs, strict=True)}
    return shapes if len(shapes) > 1 else shapes[names[0]]


def image_shape(input_shape: InputShape | None, what: str) -> tuple[int, int, int] | None:
    """Return `(C, H, W)`, where `what` is done to models of one image input alone.

    Raises:
        InputError: it is another shape, or that of several inputs.

    """
    if input_shape is None:
        return None
    if isinstance(input_shape, Mapping) or len(input_shape) != 3:
        found = input_shape if isinstance(input_shape, tuple) else ", ".join(input_shape)
        raise InputError(
            f"{what} takes models of one image input, with three sizes C,H,W behind the batch; got {found}"
        )
    return input_shape[0], input_shape[1], input_shape[2]


def one_image(model: ir.Model, input_shape: InputShape) -> Sequence[int] | dict[str, tuple[int, ...]]:
    """Return the full shape of the input, or of each by name, at a batch of 1 where the model does not fix another."""
    if not isinstance(input_shape, Mapping):
        return (1, *input_shape)
    shapes = {}
    for value in inputs_of(model):
        first = value.shape[0] if value.shape else None
        sizes = input_shape[value.name or ""]
        shapes[value.name or ""] = () if value.shape is not None and not len(value.shape) else (_size(first), *sizes)
    return shapes


def _size(first: int | ir.SymbolicDim | None) -> int:
    return first if isinstance(first, int) else 1


def _by_name(shape: InputShape | None, names: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    if shape is None or isinstance(shape, Mapping):
        return shape or {}
    return {names[0]: shape}


def _fitted(value: ir.Value, known: Sequence[Mapping[str, tuple[int, ...]]], label: str) -> tuple[int, ...]:
    """Return the first of the `known` shapes that speaks of `value`, or else its own static one."""
    name = value.name or ""
    declared = None if value.shape is None else list(value.shape)[1:]
    shape = next((of_all[name] for of_all in known if name in of_all), None)
    if shape is None:
        static = [size for size in declared or [] if isinstance(size, int)]
        if declared is None or len(static) != len(declared):
            raise InputError(
                f"{label} leaves its input {name} {value.shape or ''} open; pass --input-shape with its sizes behind "
                f"the batch, {name}:C,H,W if it is one of several"
            )
        return tuple(static)
    if declared is not None and (
        len(declared) != len(shape)
        or any(isinstance(own, int) and own != size for own, size in zip(declared, shape, strict=True))
    ):
        raise InputError(f"the input shape {list(shape)} does not fit {label}, whose input {name} is {value.shape}")
    return shape
