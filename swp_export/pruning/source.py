"""What `prune` starts from: a dense masked graph, and what it must compute."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError, ModelError
from swp_export.graph.analysis.counts import count, stored_floats
from swp_export.graph.convolutions import iterate_convolutions, layer_name
from swp_export.graph.files.reading import is_onnx, read_model
from swp_export.graph.input_shape import fitted_input_shape, image_shape, one_image
from swp_export.graph.metadata import RECALIBRATED, RELATIVE_THRESHOLD
from swp_export.graph.normalise import normalised
from swp_export.graph.preprocessing import recorded_preprocessing
from swp_export.graph.refusals import (
    operators_with_weights,
    require_finite_weights,
    require_float_model,
    require_inference,
)
from swp_export.graph.relative_threshold import silence
from swp_export.graph.simplify import simplify
from swp_export.graph.weights_apart import light_proto
from swp_export.verification.cases import noise_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir

    from swp_export.checkpoint import Checkpoint
    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.pruning.recalibration import Recalibration
    from swp_export.runtime.session import Feed
    from swp_export.stripes import LayerCounts
    from swp_export.verification.references import Reference


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SourceFacts:
    """What is known of a network to prune beside the network itself.

    Attributes:
        input_shape: `(C, H, W)`, or of several inputs by name.
        skeletons: `(N, *kernel)` of every convolution of the unpruned network, by layer.
        layers: what each layer of the unpruned network holds and computes.
        floats: of the unpruned network's file, as `params_before` of `Totals`.
        params: of the unpruned network, as `paper_params_before` of `Totals`.
        flops: of the unpruned network, as `flops_before` of `Totals`.
        sha256: of the file.
        architecture: as which a checkpoint was read.
        num_classes: that a checkpoint's network tells apart, where known.
        threshold: that decided which stripes are live.
        threshold_is_relative: whether it is a share of each layer's largest stripe norm, for want of Filter Skeletons.
        metadata: what an ONNX source says of itself, to be kept; what a checkpoint does of preprocessing and classes.

    """

    input_shape: InputShape
    skeletons: dict[str, tuple[int, ...]]
    layers: dict[str, LayerCounts]
    floats: int
    params: int
    flops: int
    sha256: str
    architecture: str | None = None
    num_classes: int | None = None
    threshold: float | None = None
    threshold_is_relative: bool = False
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source(SourceFacts):
    """A network to prune.

    Attributes:
        dense: its graph with dead stripes exactly zero, BatchNorm folded, layers named; of an ONNX source normalised.
        reference: what a pruned model must compute: of an ONNX source the file as given, small stripes set to zero
            where a threshold says so.
        before: returns the network as trained, or as given: of a broken checkpoint, which has forgotten, `reference`.
        unpruned: returns the graph of the network before any stripe died, and what that must compute. Of an ONNX source
            it is the source as it came.
        threshold_error: as in `PruneReport`.
        warnings: what is legal but probably not meant.

    """

    dense: ir.Model
    reference: Reference
    before: Callable[[], Reference]
    unpruned: Callable[[], tuple[ir.Model, Reference]]
    threshold_error: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def facts(self) -> SourceFacts:
        """What is known of it, without what holds the network."""
        names = [field.name for field in dataclasses.fields(SourceFacts)]
        return SourceFacts(**{name: getattr(self, name) for name in names})


def read_source(
    path: Path,
    *,
    threshold: float | None,
    arch: str | None,
    input_shape: InputShape | None,
    progress: Progress,
    recalibration: Recalibration | None = None,
) -> Source:
    """Read a checkpoint or, by its suffix, an ONNX file; the arguments are those of `prune`.

    Args:
        path: the file.
        threshold: as of `prune`.
        arch: as of `prune`.
        input_shape: as of `prune`.
        progress: as of `prune`.
        recalibration: on what BatchNorm's statistics are estimated anew, of a checkpoint with Filter Skeletons.

    Raises:
        SwpExportError: the file cannot be used.

    """
    progress(f"reading {path}")
    if is_onnx(path):
        if recalibration is not None:
            raise InputError(f"--recalibrate wants BatchNorm of a checkpoint, {path} is an ONNX model; leave it out")
        return _from_onnx(path, threshold, input_shape)
    return _from_checkpoint(path, threshold, arch, input_shape, progress, recalibration)


def _from_checkpoint(
    path: Path,
    threshold: float | None,
    arch: str | None,
    input_shape: InputShape | None,
    progress: Progress,
    recalibration: Recalibration | None,
) -> Source:
    from swp_export.checkpoint import read_checkpoint
    from swp_export.checkpoint.layouts import PLAIN
    from swp_export.graph.from_torch.export import model_from_module
    from swp_export.network.instantiate import instantiate, reference_name
    from swp_export.network.stock_counts import stock_counts
    from swp_export.network.unpruned import threshold_error, unpruned
    from swp_export.verification.references import TorchReference

    checkpoint = read_checkpoint(path, plain=True)
    if checkpoint.layout is PLAIN:
        if recalibration is not None:
            raise InputError(f"--recalibrate wants Filter Skeletons, {path} has none; leave it out")
        return _from_plain(checkpoint, threshold, arch, image_shape(input_shape, "a checkpoint"), progress)
    network = instantiate(
        checkpoint, threshold=threshold, architecture=arch, input_shape=image_shape(input_shape, "a checkpoint")
    )
    facts, left_out = recorded_preprocessing(checkpoint.metadata, network.input_shape[0], network.num_classes)
    name = reference_name(network)
    if recalibration is not None:
        progress("estimating BatchNorm's statistics anew")
        module, images = recalibration.apply(network.module, network.input_shape, facts)
        network, name = dataclasses.replace(network, module=module), f"{name}, BatchNorm estimated anew on {images}"
        facts[RECALIBRATED] = images
    progress(f"exporting {network.architecture} to ONNX")
    dense = model_from_module(network.module, network.input_shape)
    stock = stock_counts(network.architecture, network.num_classes, network.input_shape)
    reference = TorchReference(network.module, name)

    def as_before() -> tuple[ir.Model, Reference]:
        module = unpruned(network)
        return model_from_module(module, network.input_shape), TorchReference(module, f"{path}, unpruned")

    return Source(
        dense=dense,
        reference=reference,
        before=lambda: (
            reference if checkpoint.layout.broken else TorchReference(unpruned(network), f"{path} as trained")
        ),
        unpruned=as_before,
        input_shape=network.input_shape,
        skeletons=stock.skeletons,
        layers=stock.layers,
        floats=stock.folded_params if checkpoint.layout.broken else stored_floats(dense).total,
        params=stock.params,
        flops=stock.flops,
        sha256=checkpoint.sha256,
        architecture=network.architecture,
        num_classes=network.num_classes,
        threshold=network.threshold,
        threshold_error=threshold_error(network),
        warnings=(*network.warnings, *left_out),
        metadata=facts,
    )


def _from_plain(
    checkpoint: Checkpoint,
    threshold: float | None,
    arch: str | None,
    input_shape: tuple[int, int, int] | None,
    progress: Progress,
) -> Source:
    from swp_export.graph.from_torch.export import model_from_module
    from swp_export.network.plain import instantiate_plain
    from swp_export.network.stock_counts import stock_counts
    from swp_export.verification.references import TorchReference

    network = instantiate_plain(checkpoint, threshold=threshold, architecture=arch, input_shape=input_shape)
    label, shape = str(checkpoint.path), network.input_shape
    progress(f"exporting {network.architecture} to ONNX")
    dense = model_from_module(network.module, shape)
    _require_dead_stripe(dense, label, threshold)
    saved, reference = (
        TorchReference(network.saved, f"{label} as saved"),
        TorchReference(network.module, network.description),
    )
    stock = stock_counts(network.architecture, network.num_classes, shape)
    facts, left_out = recorded_preprocessing(checkpoint.metadata, shape[0], network.num_classes)
    return Source(
        dense=dense,
        reference=reference,
        before=lambda: saved,
        unpruned=lambda: (model_from_module(network.saved, shape), saved),
        input_shape=shape,
        skeletons=stock.skeletons,
        layers=stock.layers,
        floats=stored_floats(dense).total,
        params=stock.params,
        flops=stock.flops,
        sha256=checkpoint.sha256,
        architecture=network.architecture,
        num_classes=network.num_classes,
        threshold=threshold,
        threshold_is_relative=True,
        threshold_error=None if threshold is None else _shift(saved, reference, noise_case(shape).x),
        warnings=(*network.warnings, *left_out),
        metadata=facts,
    )


def _from_onnx(path: Path, threshold: float | None, input_shape: InputShape | None) -> Source:
    from swp_export.graph.analysis.flops import require_runnable
    from swp_export.verification.references import OnnxReference

    file, label = read_model(path), str(path)
    require_float_model(file.model, label)
    require_inference(file.model, label)
    shape = fitted_input_shape(file.model, input_shape, label)
    # What fails after the file has run once is a defect of ours, not of the file.
    require_runnable(light_proto(file.model), one_image(file.model, shape))
    as_given = OnnxReference(file.model, f"{label} as given")
    as_given.only_batch(shape)
    plain = normalised(file.model, label)
    require_finite_weights(plain, label)
    silenced = None if threshold is None else silence(file.model, plain, threshold)
    reference = as_given if silenced is None else OnnxReference(silenced.given, silenced.described(path))
    dense = _simplified(plain if silenced is None else silenced.normalised, file.model.doc_string)
    skeletons = _require_dead_stripe(dense, label, threshold)
    counts = count(dense, shape, live_only=False)
    doc_string = file.model.doc_string  # so that the file's bytes are not held
    return Source(
        dense=dense,
        reference=reference,
        before=lambda: as_given,
        unpruned=lambda: (dense if silenced is None else _simplified(plain, doc_string), as_given),
        input_shape=shape,
        skeletons={name: live.shape for name, live in skeletons.items()},
        layers=counts.layers,
        floats=stored_floats(file.model).total,
        params=counts.params,
        flops=counts.flops,
        sha256=file.sha256,
        threshold=threshold,
        threshold_is_relative=True,
        threshold_error=None if silenced is None else _shift(as_given, reference, noise_case(shape, as_given.inputs).x),
        warnings=() if silenced is None else silenced.warnings(path),
        metadata={key: text for key, text in file.model.metadata_props.items() if key != RELATIVE_THRESHOLD},
    )


def _shift(before: Reference, after: Reference, x: Feed) -> float | None:
    """Return how far the outputs on `x` are apart, by the largest magnitude of each; None where one is not finite."""
    old, new = before.float32(x), after.float32(x)
    shifts = [0.0]
    for name, y in old.items():
        if y.dtype.kind != "f" or y.shape != new[name].shape or not y.size:
            continue
        scale = max(float(np.abs(y).max()), float(np.abs(new[name]).max()))
        moved = float(np.abs(y - new[name]).max())
        shifts.append(moved / scale if scale else 0.0)
    return max(shifts) if np.isfinite(shifts).all() else None


def _simplified(plain: ir.Model, doc_string: str | None) -> ir.Model:
    dense = simplify(plain)
    dense.doc_string = doc_string
    return dense


def _require_dead_stripe(dense: ir.Model, label: str, threshold: float | None) -> dict[str, np.ndarray]:
    """Return which stripes of `dense` are live, bool `[N, *kernel]` by layer; one is not.

    Raises:
        ModelError: none has.

    """
    skeletons = {layer_name(node): weights.live_stripes() for node, weights in iterate_convolutions(dense.graph)}
    if all(live.all() for live in skeletons.values()):
        raise ModelError(_why_nothing_to_prune(dense, len(skeletons), label, threshold))
    return skeletons


def _why_nothing_to_prune(dense: ir.Model, convolutions: int, label: str, threshold: float | None) -> str:
    if convolutions:
        dead = "its weights are exactly zero"
        advice = "pass --threshold F where dead stripes are small but not zero"
        if threshold is not None:
            dead, advice = f"its norm is at most {threshold:g} times the largest of its layer", "pass a larger one"
        shown = f" (`swp-export inspect {label}` shows the norms)" if is_onnx(label) else ""
        return (
            f"{label} has no dead stripe in any of its {convolutions} convolutions (a stripe is dead where {dead}): "
            f"there is nothing to prune; {advice}{shown}, or start from the checkpoint and its threshold"
        )
    carrying = operators_with_weights(dense)
    return (
        f"{label} has no convolution that can be pruned, that is one whose weight is a constant and whose padding is "
        f"numbers: {carrying + ' carry weights' if carrying else 'no operator carries weights'}"
    )
