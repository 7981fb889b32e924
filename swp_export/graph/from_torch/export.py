"""torch module -> dense masked ONNX model, in which every convolution bears its layer's name."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import warnings
from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.garbage import without_collection
from swp_export.graph.from_torch.adaptive_pooling import translations
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.opset import OPSET
from swp_export.graph.simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def model_from_module(module: nn.Module, input_shape: tuple[int, int, int]) -> ir.Model:
    """Export `module` (eval mode, float32) as a simplified ONNX model with BatchNorm folded into the convolutions.

    Args:
        module: maps float32 `[N, C, H, W]` to one tensor. Its FilterStripe layers are written as their product
            weight * FilterSkeleton, so that dead stripes are exactly zero.
        input_shape: `(C, H, W)` to trace with. Batch stays open; height and width too where the module admits it.

    Raises:
        ModelError: PyTorch's exporter cannot follow the module.

    """
    model = _exported(_with_plain_convolutions(module), input_shape)
    for node in model.graph:
        weight = node.inputs[1] if operator_of(node) in {"Conv", "ConvTranspose", "Gemm"} else None
        if weight is not None and weight.name is not None:
            node.name = weight.name.removesuffix(".weight")
    _name_open_dimensions(model.graph)
    return simplify(model)


def _with_plain_convolutions(module: nn.Module) -> nn.Module:
    """Return a copy of `module` whose layers with a Filter Skeleton, ours or alike, are plain Conv2d."""
    import torch
    from torch import nn

    from swp_export.nn import FilterStripe

    module = copy.deepcopy(module).eval()
    for name, layer in list(module.named_modules()):
        skeleton = getattr(layer, "FilterSkeleton", None)
        if not isinstance(layer, nn.Conv2d) or not isinstance(skeleton, torch.Tensor):
            continue
        if isinstance(layer, FilterStripe) and layer.broken:
            layer.unbreak_()
            skeleton = layer.FilterSkeleton
        plain = nn.Conv2d(1, 1, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        plain.in_channels, plain.out_channels = layer.in_channels, layer.out_channels
        plain.weight = nn.Parameter((layer.weight * skeleton.unsqueeze(1)).detach())
        plain.bias = layer.bias
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, plain)
    return module


def _exported(module: nn.Module, input_shape: tuple[int, int, int]) -> ir.Model:
    import torch

    dynamic = torch.export.Dim.DYNAMIC
    failure: Exception | None = None
    for dimensions in ({0: dynamic, 2: dynamic, 3: dynamic}, {0: dynamic}):
        try:
            # Collecting garbage takes a quarter of the exporter's time, and finds little.
            with _quiet_exporter(), without_collection():
                # Not the exporter's own optimiser: it folds BatchNorm in float32 under new names, and the layers'
                # names would be lost.
                program = torch.onnx.export(
                    module,
                    (torch.zeros(2, *input_shape),),
                    input_names=["input"],
                    output_names=["output"],
                    dynamic_shapes=(dimensions,),
                    # At a fixed size the exporter's own windows are right, and simpler.
                    custom_translation_table=translations() if 2 in dimensions else None,
                    opset_version=OPSET,
                    dynamo=True,
                    optimize=False,
                    verbose=False,
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
            failure = error
        else:
            assert program is not None
            return _without_exporter_residue(program.model)
    reason = str(failure).strip().splitlines()[0]
    raise ModelError(f"PyTorch's ONNX exporter cannot follow this network: {reason}") from failure


def _without_exporter_residue(model: ir.Model) -> ir.Model:
    """Fold the shape arithmetic that an unoptimised export leaves around each convolution."""
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    fold_constants(model)
    RemoveUnusedNodesPass()(model)
    LiftConstantsToInitializersPass()(model)
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's own warnings and log lines off the user's terminal."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes", "onnxscript")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _name_open_dimensions(graph: ir.Graph) -> None:
    """Call the open dimensions of the input batch, height and width instead of s77, s53 and s0."""
    shape = graph.inputs[0].shape
    assert shape is not None
    names = {
        str(dim.value): name
        for dim, name in zip(shape, ("batch", "channels", "height", "width"), strict=False)
        if isinstance(dim, ir.SymbolicDim) and dim.value is not None
    }
    if not names:
        return
    pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names))

    def renamed(dim: int | ir.SymbolicDim) -> int | str | None:
        if isinstance(dim, int):
            return dim
        return None if dim.value is None else pattern.sub(lambda match: names[match.group()], str(dim.value))

    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape([renamed(dim) for dim in value.shape])
