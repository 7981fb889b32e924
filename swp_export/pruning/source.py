"""What `prune` starts from: a dense masked graph, and what it must compute."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.errors import InputError, ModelError, ThresholdError
from swp_export.graph.analysis.counts import count, stored_floats
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.files.reading import is_onnx, read_model
from swp_export.graph.metadata import input_shape_of
from swp_export.graph.normalise import normalised
from swp_export.graph.refusals import (
    operators_with_weights,
    require_finite_weights,
    require_float_model,
    require_inference,
)
from swp_export.graph.simplify import simplify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swp_export.verification.references import Reference


_OF_IMAGES = frozenset(
    [
        *(ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE),
        *(ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64),
        *(ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A network to prune.

    Attributes:
        dense: its graph with dead stripes exactly zero, BatchNorm folded, layers named; of an ONNX source normalised.
        reference: what a pruned model must compute: of an ONNX source the file as given.
        unpruned: returns the graph of the network before any stripe died, and what that must compute. Of an ONNX source
            it is the source as it came.
        input_shape: `(C, H, W)`.
        skeletons: `(N, K_h, K_w)` of every convolution of the unpruned network, by layer.
        floats: of the unpruned network's file, as `params_before` of `Totals`.
        params: of the unpruned network, as `paper_params_before` of `Totals`.
        flops: of the unpruned network, as `flops_before` of `Totals`.
        sha256: of the file.
        architecture: as which a checkpoint was read.
        threshold: that decided which stripes are live.
        threshold_error: as in `PruneReport`.
        warnings: what is legal but probably not meant.
        metadata: what an ONNX source says of itself, to be kept.

    """

    dense: ir.Model
    reference: Reference
    unpruned: Callable[[], tuple[ir.Model, Reference]]
    input_shape: tuple[int, int, int]
    skeletons: dict[str, tuple[int, int, int]]
    floats: int
    params: int
    flops: int
    sha256: str
    architecture: str | None = None
    threshold: float | None = None
    threshold_error: float | None = None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


def read_source(
    path: Path,
    *,
    threshold: float | None,
    arch: str | None,
    input_shape: tuple[int, int, int] | None,
    progress: Callable[[str], None],
) -> Source:
    """Read a checkpoint or, by its suffix, an ONNX file; the arguments are those of `prune`.

    Raises:
        SwpExportError: the file cannot be used.

    """
    progress(f"reading {path}")
    if is_onnx(path):
        if threshold is not None:
            raise ThresholdError(
                f"{path} is an ONNX model, it has no Filter Skeletons to compare with a threshold: its dead stripes "
                "are those whose weights are exactly zero; leave out --threshold"
            )
        return _from_onnx(path, input_shape)
    return _from_checkpoint(path, threshold, arch, input_shape, progress)


def _from_checkpoint(
    path: Path,
    threshold: float | None,
    arch: str | None,
    input_shape: tuple[int, int, int] | None,
    progress: Callable[[str], None],
) -> Source:
    from swp_export.checkpoint import read_checkpoint
    from swp_export.graph.from_torch.export import model_from_module
    from swp_export.network.instantiate import instantiate, reference_name
    from swp_export.network.stock_counts import stock_counts
    from swp_export.network.unpruned import threshold_error, unpruned
    from swp_export.verification.references import TorchReference

    checkpoint = read_checkpoint(path)
    network = instantiate(checkpoint, threshold=threshold, architecture=arch, input_shape=input_shape)
    progress(f"exporting {network.architecture} to ONNX")
    dense = model_from_module(network.module, network.input_shape)
    stock = stock_counts(network.architecture, network.num_classes, network.input_shape)

    def as_before() -> tuple[ir.Model, Reference]:
        module = unpruned(network)
        return model_from_module(module, network.input_shape), TorchReference(module, f"{path}, unpruned")

    return Source(
        dense=dense,
        reference=TorchReference(network.module, reference_name(network)),
        unpruned=as_before,
        input_shape=network.input_shape,
        skeletons=stock.skeletons,
        floats=stock.folded_params if checkpoint.layout.broken else stored_floats(dense).total,
        params=stock.params,
        flops=stock.flops,
        sha256=checkpoint.sha256,
        architecture=network.architecture,
        threshold=network.threshold,
        threshold_error=threshold_error(network),
        warnings=network.warnings,
    )


def _from_onnx(path: Path, input_shape: tuple[int, int, int] | None) -> Source:
    from swp_export.graph.analysis.flops import require_runnable
    from swp_export.verification.references import OnnxReference

    file, label = read_model(path), str(path)
    require_float_model(file.model, label)
    require_inference(file.model, label)
    shape = _input_shape(file.model, input_shape, label)
    # What fails after the file has run once is a defect of ours, not of the file.
    require_runnable(onnx.ModelProto.FromString(file.content), (1, *shape))
    reference = OnnxReference(file.model, f"{label} as given")
    reference.only_batch(shape)
    plain = normalised(file.model, label)
    require_finite_weights(plain, label)
    dense = simplify(plain)
    dense.doc_string = file.model.doc_string
    skeletons = {conv.name: conv.skeleton for _, conv in iterate_stripe_convs(dense.graph)}
    if all(skeleton.live_stripes == skeleton.stripes for skeleton in skeletons.values()):
        raise ModelError(_why_nothing_to_prune(dense, len(skeletons), label))
    counts = count(dense, shape, live_only=False)
    return Source(
        dense=dense,
        reference=reference,
        unpruned=lambda: (dense, reference),
        input_shape=shape,
        skeletons={name: (skeleton.filters, *skeleton.kernel) for name, skeleton in skeletons.items()},
        floats=stored_floats(file.model).total,
        params=counts.params,
        flops=counts.flops,
        sha256=file.sha256,
        metadata=dict(file.model.metadata_props),
    )


def _input_shape(model: ir.Model, asked: tuple[int, int, int] | None, label: str) -> tuple[int, int, int]:
    """Return the shape of one input: as asked for, or as the model says."""
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    if len(inputs) != 1 or inputs[0].shape is None or len(inputs[0].shape) != 4:
        found = ", ".join(f"{value.name} {value.shape}" for value in inputs) or "none"
        raise ModelError(f"{label} must have one input [N, C, H, W], it has: {found}")
    if inputs[0].dtype not in _OF_IMAGES:
        raise ModelError(
            f"{label} takes an input of {inputs[0].dtype}, expected floats or integers: convert the model first"
        )
    shape = asked or input_shape_of(model, label)
    if shape is None:
        raise InputError(
            f"{label} leaves its input {inputs[0].shape} open; pass --input-shape with its three sizes behind the batch"
        )
    if any(isinstance(own, int) and own != size for own, size in zip(inputs[0].shape[1:], shape, strict=True)):
        raise InputError(f"the input shape {list(shape)} does not fit {label}, whose input is {inputs[0].shape}")
    return shape


def _why_nothing_to_prune(dense: ir.Model, convolutions: int, label: str) -> str:
    if convolutions:
        return (
            f"{label} has no dead stripe in any of its {convolutions} convolutions (a stripe is dead where its weights "
            "are exactly zero): there is nothing to prune; start from the checkpoint and its threshold"
        )
    carrying = operators_with_weights(dense)
    return (
        f"{label} has no convolution that can be pruned, that is one with a constant weight [N, C, K_h, K_w], in one "
        f"group, padded by numbers: {carrying + ' carry weights' if carrying else 'no operator carries weights'}"
    )
