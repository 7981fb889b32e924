"""What models of ours say of themselves: the keys of all metadata that we write, and how their texts are read.

A model's own facts stand in the `metadata_props` of the model, those of a layer in the `metadata_props` of its nodes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

OURS = "swp_export."
"""What every key of ours begins with."""

INPUT_SHAPE = "swp_export.input_shape"
"""Of a model: the shape of one input, `C,H,W`."""
THRESHOLD = "swp_export.threshold"
"""Of a model: the threshold that decided which stripes are live."""
ARCHITECTURE = "swp_export.architecture"
"""Of a model: the name of the architecture the checkpoint was read as."""
SOURCE = "swp_export.source_sha256"
"""Of a model: SHA-256 of the file that the model was made from."""
BLOCK = "swp_export.block"
"""Of a model: what channels and rows were filled up to."""
VERSION = "swp_export.version"
"""Of a model: the version of swp-export that wrote it."""

LAYER = "swp_export.layer"
"""Of a node: the name of the checkpoint's layer that it belongs to."""
FILTERS = "swp_export.filters"
"""Of a layer's last node: which of the layer's original filters are left, one bit each, as `N:hex`.

Where its outputs are in another order, or some are none of the layer's filters, `N:hex:order` names the filter of each
output, -1 for none.
"""
LOWERING = "swp_export.lowering"
"""Of a layer's last node: the name of its lowering."""
GEOMETRY = "swp_export.stripe_conv"
"""Of a node that holds weights or biases of a layer: where they belong in it, see `lowerings.parts.geometry`."""
SUNK = "swp_export.sunk"
"""Of an operator in a branch before a layer's Concat: JSON, the names that it and its output had behind the Concat."""


def input_shape_of(model: ir.Model, label: str = "the model") -> tuple[int, int, int] | None:
    """Return `(C, H, W)` of the model's first input: by its metadata, else by its own static dimensions, else None.

    Raises:
        ModelError: the metadata is damaged; the message calls the model `label`.

    """
    stated = stated_input_shape(model.metadata_props, label)
    if stated is not None:
        return stated
    shape = next((value.shape for value in model.graph.inputs if not value.is_initializer()), None)
    if shape is None or len(shape) != 4:
        return None
    static = [dim for dim in shape[1:] if isinstance(dim, int)]
    return (static[0], static[1], static[2]) if len(static) == 3 else None


def stated_input_shape(metadata: Mapping[str, str], label: str = "the model") -> tuple[int, int, int] | None:
    """Return `(C, H, W)` as a model's `metadata` says, or None if it does not.

    Raises:
        ModelError: what it says is no shape; the message calls the model `label`.

    """
    text = metadata.get(INPUT_SHAPE)
    if text is None:
        return None
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != 3 or min(sizes) < 1:
        raise ModelError(
            f"{label} records {INPUT_SHAPE} = {text!r}, expected three positive numbers C,H,W; write the model again, "
            "or pass --input-shape C,H,W"
        )
    return sizes[0], sizes[1], sizes[2]


def threshold_of(model: ir.Model, label: str = "the model") -> float | None:
    """Return the threshold that the model's metadata records, or None if there is none.

    Raises:
        ModelError: what is recorded is no threshold; the message calls the model `label`.

    """
    text = model.metadata_props.get(THRESHOLD)
    if text is None:
        return None
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold < math.inf:
        raise ModelError(
            f"{label} records {THRESHOLD} = {text!r}, expected a number of at least 0; write the model again, or pass "
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
