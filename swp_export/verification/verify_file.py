"""The command `verify`: whether a model computes what a checkpoint, or another model, computes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.errors import InputError
from swp_export.graph.analysis.flops import require_runnable
from swp_export.graph.files.reading import OnnxFile, is_onnx, read_model
from swp_export.graph.input_shape import fitted_input_shape, image_shape, one_image
from swp_export.graph.metadata import RELATIVE_THRESHOLD, SOURCE, input_shape_of, threshold_of
from swp_export.graph.normalise import normalised
from swp_export.graph.relative_threshold import silence
from swp_export.graph.weights_apart import light_proto
from swp_export.precision.float16 import is_float16
from swp_export.precision.images import noise_images
from swp_export.precision.integer_reference import is_quantised
from swp_export.progress import silent, under
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target
from swp_export.verification.accuracy import accuracy_change
from swp_export.verification.cases import require_small
from swp_export.verification.comparison import Tolerance
from swp_export.verification.evaluation_data import read_evaluation_data
from swp_export.verification.float16_reference import Float16Reference
from swp_export.verification.quantised import images_of, verify_quantised
from swp_export.verification.references import OnnxReference
from swp_export.verification.verify import verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.verification.quantised import QuantisedReport
    from swp_export.verification.references import Reference
    from swp_export.verification.report import VerificationReport


def verify(
    model: str | Path,
    *,
    against: str | Path,
    threshold: float | None = None,
    arch: str | None = None,
    input_shape: InputShape | None = None,
    data: str | Path | None = None,
    dataset: str | None = None,
    data_path: str | Path = "data",
    atol: float | None = None,
    rtol: float | None = None,
    max_accuracy_drop: float | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> VerificationReport | QuantisedReport:
    """Compare an ONNX `model`, run in float32 on `device`, with `against` in float64.

    Between two ONNX files nothing here needs torch. A quantised model is compared as `verify_quantised` does, on `data`
    or, without, on noise.

    Args:
        model: the ONNX file to verify.
        against: a checkpoint, or an ONNX file (by its suffix).
        threshold: of an unbroken checkpoint, or as `prune` has it of an ONNX file; default: the one that the model's
            file records, of an ONNX file if it was made from that very file.
        arch: architecture of the checkpoint, where it does not follow from the file.
        input_shape: `(C, H, W)`, or of several inputs by name, where neither file states it.
        data: an .npz with `images` `[N, C, H, W]`, or of several inputs with an array for each by its
            name, compared beside the generated inputs, and to count changed predictions on; with `labels` `[N]`
            accuracy is measured too. Bytes are normalised as the model records.
        dataset: the same on the test images of this data set, a key of `swp_export.training.datasets.DATASETS`.
        data_path: the folder of the data set.
        atol: replaces the error budget, together with `rtol`: |y - truth| <= atol + rtol * |truth|.
        rtol: see `atol`.
        max_accuracy_drop: of a quantised model, in points; of images without labels, the share of predictions that may
            change, in percent.
        device: what runs the model: "cpu", "cuda", "cuda:1" (ONNX Runtime, without TF32) or "openvino".
        progress: called with what is being done.

    Raises:
        SwpExportError: a file cannot be used; that the two differ is no error but the report's content.

    """
    if (atol is None) != (rtol is None):
        raise InputError("--atol and --rtol replace the error budget together: pass both, or neither")
    target = Target(device=device)
    tolerance = None if atol is None or rtol is None else Tolerance(atol=atol, rtol=rtol)
    if not is_onnx(model) and is_onnx(against):
        raise InputError(
            f"{model} is no .onnx file but {against} is: the model comes first, what it must compute behind --against: "
            f"`swp-export verify {against} --against {model}`"
        )
    file = read_model(model)
    reference, shape, dense = _reference(file, Path(against), threshold, arch, input_shape)
    require_small(shape)
    require_runnable(light_proto(file.model), one_image(file.model, shape))
    show = progress or silent
    evaluated = read_evaluation_data(
        data=data, dataset=dataset, data_path=data_path, input_shape=shape, metadata=file.model.metadata_props
    )
    if is_quantised(file.model):
        if tolerance is not None:
            raise InputError(
                "--atol and --rtol are no measure of a quantised model; pass --max-accuracy-drop and --data"
            )
        if target.kind != "cpu":
            raise InputError(f"the integers of a quantised model are checked on the CPU; leave --device {device} out")
        sizes = image_shape(shape, "a quantised model")
        assert sizes is not None
        return verify_quantised(
            file.content,
            name=str(model),
            reference=reference.float32,
            reference_name=reference.description,
            dense=dense(),
            images=noise_images(sizes) if evaluated is None else images_of(evaluated),
            max_accuracy_drop=max_accuracy_drop,
            progress=show,
        )
    compared = reference
    if is_float16(file.model) and not reference.computes_in_float16:
        compared = Float16Reference(reference)
    if max_accuracy_drop is not None:
        raise InputError(f"--max-accuracy-drop is for quantised models; {model} is none: it is proved, not measured")
    report = verify_model(
        file.content,
        compared,
        name=str(model),
        input_shape=shape,
        samples=None if evaluated is None else evaluated.first(),
        tolerance=tolerance,
        dense=dense,
        progress=under(show, "verifying"),
        target=target,
    )
    if evaluated is None:
        return report
    accuracy = accuracy_change(evaluated, reference, open_session(file.content, target), shape, show)
    return dataclasses.replace(report, accuracy=accuracy)


def _reference(
    file: OnnxFile, against: Path, threshold: float | None, arch: str | None, input_shape: InputShape | None
) -> tuple[Reference, InputShape, Callable[[], ir.Model]]:
    """Return what `against` computes, the shape to compare at, and its graph."""
    if is_onnx(against):
        source = read_model(against)
        other, description = source.model, f"{against} as given"
        if threshold is None and file.model.metadata_props.get(SOURCE) == source.sha256:
            threshold = threshold_of(file.model, str(file.path), RELATIVE_THRESHOLD)
        if threshold is not None:
            silenced = silence(other, normalised(other, str(against)), threshold)
            other, description = silenced.given, silenced.described(against)
        shape = input_shape or input_shape_of(file.model, str(file.path)) or input_shape_of(other, str(against))
        if shape is None:
            raise InputError(f"neither {file.path} nor {against} states its input shape; pass --input-shape C,H,W")
        shape = fitted_input_shape(file.model, shape, str(file.path))
        return OnnxReference(other, description), shape, lambda: other

    from swp_export.checkpoint import read_checkpoint
    from swp_export.checkpoint.layouts import PLAIN
    from swp_export.graph.from_torch.export import model_from_module
    from swp_export.network.instantiate import instantiate, reference_name
    from swp_export.network.plain import instantiate_plain
    from swp_export.verification.references import TorchReference

    checkpoint = read_checkpoint(against, plain=True)
    shape = input_shape or input_shape_of(file.model, str(file.path))
    if checkpoint.layout is PLAIN:
        if threshold is None and file.model.metadata_props.get(SOURCE) == checkpoint.sha256:
            threshold = threshold_of(file.model, str(file.path), RELATIVE_THRESHOLD)
        plain = instantiate_plain(
            checkpoint, threshold=threshold, architecture=arch, input_shape=image_shape(shape, "a checkpoint")
        )
        return (
            TorchReference(plain.module, plain.description),
            plain.input_shape,
            lambda: model_from_module(plain.module, plain.input_shape),
        )
    recorded = threshold_of(file.model, str(file.path)) if checkpoint.layout.takes_threshold else None
    origin = f", which {file.path} records" if threshold is None and recorded is not None else ""
    threshold = recorded if threshold is None else threshold
    network = instantiate(
        checkpoint, threshold=threshold, architecture=arch, input_shape=image_shape(shape, "a checkpoint")
    )
    return (
        TorchReference(network.module, reference_name(network, origin)),
        network.input_shape,
        lambda: model_from_module(network.module, network.input_shape),
    )
