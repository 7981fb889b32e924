"""A model as a file in memory: its bytes, and of one that protobuf cannot hold whole, its large tensors beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError

from swp_export.errors import ModelError
from swp_export.graph.weights_apart import without_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swp_export.graph.weights_apart import Weights

MOST_BYTES = (1 << 31) - 1
"""Of a file that protobuf reads."""
_PAGE = 4096
"""ONNX Runtime maps into memory what begins at a multiple of it."""
_IN_MEMORY = "weights"
"""What stands for the other file until it has a name."""


class Content(bytes):
    """The bytes of an ONNX file whose large tensors lie in another one.

    Attributes:
        beside: those tensors by name.

    """

    beside: Mapping[str, np.ndarray]

    def __new__(cls, head: bytes, beside: Mapping[str, np.ndarray]) -> Content:
        """Make it of the `head` that names the tensors `beside` as external data."""
        content = super().__new__(cls, head)
        content.beside = beside
        return content


def beside_of(content: bytes) -> Mapping[str, np.ndarray]:
    """Return the tensors that lie beside `content`, none where it is a whole file."""
    return content.beside if isinstance(content, Content) else {}


def size_of(content: bytes) -> int:
    """Return the bytes of all that `content` is."""
    return len(content) + sum(array.nbytes for array in beside_of(content).values())


def model_of(content: bytes) -> ir.Model:
    """Return the model that `content` says, its weights held as arrays."""
    return with_arrays(ir.serde.deserialize_model(onnx.ModelProto.FromString(content)), beside_of(content))


def with_arrays(model: ir.Model, arrays: Mapping[str, np.ndarray]) -> ir.Model:
    """Return `model` itself, the initializers named in `arrays` being those, all others arrays too."""
    for name, array in arrays.items():
        model.graph.initializers[name].const_value = ir.tensor(array, name=name)
    hold_arrays(model)
    return model


def hold_arrays(model: ir.Model) -> None:
    """Take the constants out of the protobuf, which they keep alive and which copies one at every look at it."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.TensorProtoTensor):
                value.const_value = _held(value.const_value)
        for node in graph:
            constant = node.attributes.get("value")
            if constant is not None and isinstance(constant.value, ir.TensorProtoTensor):
                node.attributes["value"] = ir.AttrTensor("value", _held(constant.value))


def _held(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)


def session_content(model: ir.Model, outputs: Sequence[str] | None = None) -> bytes:
    """Return `model` for one session of this process, which shares the large weights.

    Args:
        model: any.
        outputs: names of the values to be its outputs instead, of whatever type they are.

    """
    light, weights = without_weights(model)
    proto = ir.serde.serialize_model(light)
    if outputs is not None:
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return _in_parts(proto, weights)


def file_content(proto: onnx.ModelProto, weights: Weights) -> bytes:
    """Return `proto`, which has `weights` as inputs and is used up, as a file: in parts only if it is too large.

    Raises:
        ModelError: it is too large without its large weights.

    """
    if proto.ByteSize() + sum(tensor.nbytes for tensor in weights.values()) > MOST_BYTES:
        return _in_parts(proto, weights)
    _take_out_inputs(proto, weights)
    proto.graph.initializer.extend(ir.serde.serialize_tensor(tensor) for tensor in weights.values())
    proto.graph.initializer.sort(key=lambda tensor: tensor.name)
    return _encoded(proto)


def with_beside(proto: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return `proto`, which names `arrays` as external data if there are any, as a file."""
    head = _encoded(proto)
    return Content(head, arrays) if arrays else head


def write_parts(content: bytes, file: Path, beside: Path, location: str) -> bytes:
    """Write `content` to `file`, its large tensors to `beside`, which will be called `location`; return the former."""
    arrays, proto = beside_of(content), onnx.ModelProto.FromString(content)
    with beside.open("wb") as data:
        for tensor in proto.graph.initializer:
            if tensor.name in arrays:
                facts = {entry.key: entry for entry in tensor.external_data}
                facts["location"].value = location
                data.seek(int(facts["offset"].value))
                data.write(np.ascontiguousarray(arrays[tensor.name]).data)
    written = Content(_encoded(proto), arrays)
    file.write_bytes(written)
    return written


def _in_parts(proto: onnx.ModelProto, weights: Weights) -> Content:
    arrays = {name: weights[name].numpy() for name in sorted(weights)}
    _take_out_inputs(proto, weights)
    offset = 0
    for name, array in arrays.items():
        number = ir.DataType.from_numpy(array.dtype).value
        tensor = onnx.TensorProto(
            name=name, data_type=number, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL
        )
        facts = {"location": _IN_MEMORY, "offset": offset, "length": array.nbytes}
        tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(facts[key])) for key in facts)
        proto.graph.initializer.append(tensor)
        offset += -(-array.nbytes // _PAGE) * _PAGE
    proto.graph.initializer.sort(key=lambda tensor: tensor.name)
    return Content(_encoded(proto), arrays)


def _take_out_inputs(proto: onnx.ModelProto, weights: Weights) -> None:
    kept = [value for value in proto.graph.input if value.name not in weights]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)


def _encoded(proto: onnx.ModelProto) -> bytes:
    try:
        content: bytes = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        content = b""
    if not 0 < len(content) <= MOST_BYTES:
        raise ModelError(
            "the model has more than 2 GB of constants that are not weights of its layers, which no ONNX file holds; "
            "export it with its weights as initializers"
        )
    return content
