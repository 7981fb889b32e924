"""What models of ours say of themselves: the keys of all metadata that we write, and how their texts are read.

A model's own facts stand in the `metadata_props` of the model, those of a layer in the `metadata_props` of its nodes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ModelError

if TYPE_CHECKING:
    import onnx_ir as ir

OURS = "swp_export."
"""What every key of ours begins with."""

InputShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
"""Sizes behind the batch: `(C, H, W)` of the only input in the model's own order, or of each of several by name."""

INPUT_SHAPE = "swp_export.input_shape"
"""Of a model: the sizes of one input behind the batch, `C,H,W`; of several as JSON, by name."""
THRESHOLD = "swp_export.threshold"
"""Of a model: the threshold that decided which stripes are live."""
RELATIVE_THRESHOLD = "swp_export.relative_threshold"
"""Of a model: the share of a layer's largest stripe norm at which stripes of its ONNX source were set to zero."""
ARCHITECTURE = "swp_export.architecture"
"""Of a model: the name of the architecture the checkpoint was read as."""
SOURCE = "swp_export.source_sha256"
"""Of a model: SHA-256 of the file that the model was made from."""
NORMALISATION = "swp_export.normalisation"
"""Of a model: JSON, `mean` and `std` per channel, of values from 0 to 1; see `graph.preprocessing`."""
CLASS_NAMES = "swp_export.class_names"
"""Of a model: JSON, the name of each class, in the order of its scores."""
INPUT_LAYOUT = "swp_export.input_layout"
"""Of a model of images: NCHW or NHWC."""
RECALIBRATED = "swp_export.recalibrated"
"""Of a model: on what BatchNorm's statistics were estimated anew, in words; absent where they are the training's."""
BLOCK = "swp_export.block"
"""Of a model: what channels and rows were filled up to."""
VERSION = "swp_export.version"
"""Of a model: the version of swp-export that wrote it."""

LAYER = "swp_export.layer"
"""Of a node: the name of the checkpoint's layer that it belongs to."""
PART_OF = "swp_export.part_of"
"""Of a convolution: the name of the grouped layer of which it has some groups."""
FILTERS = "swp_export.filters"
"""Of a layer's last node: which of the layer's original filters are left, one bit each, as `N:hex`.

Where its outputs are in another order, or some are none of the layer's filters, `N:hex:order` names the filter of each
output, -1 for none.
"""
LOWERING = "swp_export.lowering"
"""Of a layer's last node: the name of its lowering."""
GEOMETRY = "swp_export.stripe_conv"
"""Of a node that holds weights or biases of a layer: where they belong in it, see `lowerings.parts.geometry`."""
WITHIN = "swp_export.within"
"""Of a Clip: it changes nothing, its input is within its bounds; see `precision.keep_float`."""
SUNK = "swp_export.sunk"
"""Of an operator in a branch before a layer's Concat: JSON, the names that it and its output had behind the Concat."""


def input_shape_of(model: ir.Model, label: str = "the model") -> InputShape | None:
    """Return the sizes of the model's input behind its first axis, of several by name: those that it states.

    By its metadata, else by its own static dimensions; None where one of those is open, or nothing is behind the batch.

    Raises:
        ModelError: the metadata is damaged; the message calls the model `label`.

    """
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    axes = {value.name or "": -1 if value.shape is None else len(value.shape) - 1 for value in inputs}
    stated = stated_input_shape(model.metadata_props, axes, label)
    if stated is not None:
        return stated
    shapes = {}
    for value in inputs:
        behind = None if value.shape is None else list(value.shape)[1:]
        static = tuple(size for size in behind or () if isinstance(size, int))
        if behind is None or len(static) != len(behind):
            return None
        shapes[value.name or ""] = static
    return (shapes if len(shapes) > 1 else next(iter(shapes.values()), None)) or None


def stated_input_shape(
    metadata: Mapping[str, str], axes: Mapping[str, int], label: str = "the model"
) -> InputShape | None:
    """Return the sizes of one input as a model's `metadata` says, of several by name, or None if it does not.

    Args:
        metadata: of the model.
        axes: how many axes each of its inputs has behind the first one; negative where that is open.
        label: what the message calls the model.

    Raises:
        ModelError: what it says is no shape of these inputs.

    """
    text = metadata.get(INPUT_SHAPE)
    if text is None:
        return None
    try:
        if len(axes) > 1:
            found = {str(name): tuple(map(int, sizes)) for name, sizes in json.loads(text).items()}
        else:
            found = {name: tuple(int(part) for part in text.split(",")) for name in axes}
    except (ValueError, TypeError, AttributeError, RecursionError):
        found = {}
    fits = found.keys() == axes.keys() and all(len(found[name]) == rank or rank < 0 for name, rank in axes.items())
    if not fits or min((size for sizes in found.values() for size in sizes), default=1) < 1:
        many = "a JSON object of positive numbers for each input" if len(axes) > 1 else "positive numbers C,H,W"
        raise ModelError(
            f"{label} records {INPUT_SHAPE} = {text!r}, expected {many}; write the model again, or pass "
            "--input-shape C,H,W"
        )
    return found if len(axes) > 1 else next(iter(found.values()))


def encode_input_shape(input_shape: InputShape) -> str:
    """Return the text of INPUT_SHAPE."""
    if isinstance(input_shape, tuple):
        return ",".join(map(str, input_shape))
    return json.dumps({name: list(sizes) for name, sizes in input_shape.items()})


def threshold_of(model: ir.Model, label: str = "the model", key: str = THRESHOLD) -> float | None:
    """Return the threshold that the model's metadata records under `key`, or None if there is none.

    Raises:
        ModelError: what is recorded is no threshold; the message calls the model `label`.

    """
    text = model.metadata_props.get(key)
    if text is None:
        return None
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold < math.inf:
        raise ModelError(
            f"{label} records {key} = {text!r}, expected a number of at least 0; write the model again, or pass "
            "--threshold F"
        )
    return threshold


def encode_filters(kept: np.ndarray) -> str:
    """Return `kept` (bool `[N]`) as the text of FILTERS."""
    return f"{kept.size}:{np.packbits(kept).tobytes().hex()}"


def decode_filters(text: str) -> np.ndarray:
    """Return which of the layer's filters are left, bool `[N]`, from the text of FILTERS.

    Raises:
        ModelError: `text` was not written by `encode_filters` or `encode_order`.

    """
    total, order = decode_order(text)
    kept = np.zeros(total, bool)
    kept[order[order >= 0]] = True
    return kept


def encode_order(total: int, order: np.ndarray) -> str:
    """Return the text of FILTERS for outputs that are the filters `order` (int64, -1 for none) of `total`."""
    kept = np.zeros(total, bool)
    kept[order[order >= 0]] = True
    text = encode_filters(kept)
    return text if np.array_equal(order, np.flatnonzero(kept)) else f"{text}:{','.join(map(str, order.tolist()))}"


def decode_order(text: str) -> tuple[int, np.ndarray]:
    """Return how many filters the layer had, and which of them each output is: int64, -1 for none.

    Raises:
        ModelError: `text` was not written by `encode_filters` or `encode_order`.

    """
    try:
        count, bits, *rest = text.split(":")
        if not 0 < int(count) <= 4 * len(bits):  # checked before so many are made
            raise ValueError("it has fewer bits than filters")  # noqa: TRY301
        kept = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=int(count)).astype(bool)
        order = np.flatnonzero(kept)
        if rest:
            (listed,) = rest
            stated = np.array([int(filter_) for filter_ in listed.split(",")], np.int64)
            if stated.min() < -1 or not np.array_equal(np.sort(stated[stated >= 0]), order):
                raise ValueError("the order is not one of the filters that are left")  # noqa: TRY301
            order = stated
    except (ValueError, OverflowError) as error:
        raise ModelError(f"the model's metadata is damaged: {FILTERS} is {text[:80]!r}; write it again") from error
    return kept.size, order


def encode_names(node: ir.Node) -> str:
    """Return the text of SUNK: the names of `node` and of its output."""
    return json.dumps([node.name, node.outputs[0].name])


def decode_names(text: str) -> tuple[str, str]:
    """Return the names of a node and of its output from the text of SUNK.

    Raises:
        ModelError: `text` was not written by `encode_names`.

    """
    try:
        node_name, output_name = json.loads(text)
    except (ValueError, TypeError) as error:
        raise ModelError(f"the model's metadata is damaged: {SUNK} is {text!r}; write it again") from error
    return str(node_name or ""), str(output_name)
