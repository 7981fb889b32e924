"""What a file must not be for `prune` to start from it, and what to do instead."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import QUANTISED

if TYPE_CHECKING:
    from collections.abc import Iterable

_ONNXRUNTIME = ("com.microsoft", "com.ms.internal")
"""Domains of the operators that ONNX Runtime's optimiser leaves, and of those of them that are quantised."""
_WEIGHTED = frozenset(["BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul"])


def require_float_model(model: ir.Model, label: str) -> None:
    """Refuse a model that is quantised, or written for one runtime: its weights are not those of the network.

    Raises:
        ModelError: it is. The message calls the model `label`.

    """
    nodes = list(_nodes(model))
    quantised = [node for node in nodes if operator_of(node) in QUANTISED or _is_quantised_by_onnxruntime(node)]
    if quantised:
        raise ModelError(
            f"{label} is quantised already ({_counted(quantised)}): a stripe that is zero in integers need not be zero "
            "in the network, and to remove it changes what the others were calibrated for; start from the float model, "
            "and quantise what prune writes"
        )
    fused = [node for node in nodes if node.domain.startswith(_ONNXRUNTIME)]
    if fused:
        raise ModelError(
            f"{label} has been optimised for one runtime already ({_counted(fused)}, operators of ONNX Runtime's own): "
            "start from the model before that"
        )


def require_inference(model: ir.Model, label: str) -> None:
    """Refuse a BatchNormalization in training mode: what it gives for an image depends on the others of the batch.

    Raises:
        ModelError: one is. The message calls the model `label`.

    """
    for node in _nodes(model):
        mode = node.attributes.get("training_mode") if operator_of(node) == "BatchNormalization" else None
        if mode is not None and mode.as_int():
            raise ModelError(
                f"{label}: BatchNormalization {node.name or node.outputs[0].name!r} is in training mode, so an output "
                "depends on the other images of the batch; export the model in eval mode"
            )


def require_finite_weights(model: ir.Model, label: str) -> None:
    """Refuse weights of convolutions and products that hold NaN or infinite values; other constants may be infinite.

    Raises:
        ModelError: one holds such. The message calls the model `label`.

    """
    for node in _nodes(model):
        for value in node.inputs if operator_of(node) in _WEIGHTED else ():
            array = array_of(value)
            if value is not None and array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ModelError(f"{value.name} of {label} holds NaN or infinite values; export it from finite weights")


def operators_with_weights(model: ir.Model) -> str:
    """Return which operators of `model` carry constants of several axes, as `2 ConvTranspose, 1 MatMul`."""
    carrying = []
    for node in _nodes(model):
        arrays = (array_of(value) for value in node.inputs)
        if any(array is not None and array.dtype.kind == "f" and array.ndim > 1 for array in arrays):
            carrying.append(node)
    return _counted(carrying)


def _is_quantised_by_onnxruntime(node: ir.Node) -> bool:
    names = ("QLinear", "QGemm", "QAttention", "QuantizeLinear", "DequantizeLinear", "DynamicQuantize", "MatMulInteger")
    return node.domain.startswith(_ONNXRUNTIME) and (
        node.op_type.startswith(names) or node.op_type.endswith(("Integer", "NBits"))
    )


def _nodes(model: ir.Model) -> Iterable[ir.Node]:
    yield from ir.traversal.RecursiveGraphIterator(model.graph)
    for function in model.functions.values():
        yield from ir.traversal.RecursiveGraphIterator(function.graph)


def _counted(nodes: Iterable[ir.Node]) -> str:
    counts = Counter(f"{node.domain}.{node.op_type}" if not operator_of(node) else node.op_type for node in nodes)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(5))
