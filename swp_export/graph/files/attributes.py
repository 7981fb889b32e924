"""What the attributes of a node hold besides numbers: graphs, such as the branches of an If, and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import AttributeProto, GraphProto, TensorProto


def graphs_of(attribute: AttributeProto) -> Iterator[GraphProto]:
    """Yield the graphs that `attribute` holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def tensors_of(attribute: AttributeProto) -> Iterator[TensorProto]:
    """Yield the tensors that `attribute` holds."""
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
