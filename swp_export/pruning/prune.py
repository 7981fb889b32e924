"""The main job: read, export, prune, lower, verify, and only then give the file its name."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.atomic import atomic_outputs
from swp_export.errors import InputError, LoweringError
from swp_export.graph.analysis.counts import count, executed
from swp_export.graph.analysis.kept_channels import kept_channels
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.files.content import model_of, size_of
from swp_export.graph.files.external_data import files_of
from swp_export.graph.files.writing import serialized, write_model
from swp_export.graph.input_shape import image_shape
from swp_export.graph.metadata import FILTERS, decode_order
from swp_export.graph.pipeline import compact
from swp_export.lowerings import lowering_named
from swp_export.lowerings.automatic import AUTO
from swp_export.lowerings.plan_file import PlanFile, read_plan
from swp_export.precision.float16 import FLOAT16, in_float16
from swp_export.precision.mixed_plan import apply_mixed_plan
from swp_export.precision.unrounded import unrounded
from swp_export.progress import silent, under
from swp_export.pruning.int8 import check_integers, settings_from
from swp_export.pruning.portable import facts_of, multiple_for, portable_bytes, totals_of
from swp_export.pruning.recalibration import Recalibration
from swp_export.pruning.report import PrunedLayer, PruneReport
from swp_export.pruning.source import Source, read_source
from swp_export.pruning.written_layers import chosen_lowerings, gain_of_auto, layer_table, planned, unwritten
from swp_export.runtime.session import open_session
from swp_export.runtime.target import CPU, Target
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.integer_tuning import find_integer_model
from swp_export.tuning.model_timer import ModelTimer
from swp_export.tuning.tuned_model import find_tuned_model
from swp_export.verification.accuracy import accuracy_change
from swp_export.verification.evaluation_data import read_evaluation_data, training_images
from swp_export.verification.float16_reference import Float16Reference
from swp_export.verification.report import NotEquivalentError
from swp_export.verification.verify import Verifier, verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.runtime.target import Precision
    from swp_export.tuning.integer_tuning import IntegerSettings
    from swp_export.tuning.tuned_model import TunedModel
    from swp_export.verification.accuracy import Accuracy
    from swp_export.verification.evaluation_data import EvaluationData
    from swp_export.verification.quantised import QuantisedReport
    from swp_export.verification.report import VerificationReport

    Check = Callable[[bytes], VerificationReport]

TUNE_SECONDS = 60.0
"""Time to search with `tune`; the command of that name has an option for it."""


def prune(
    source: str | Path,
    *,
    threshold: float | None = None,
    output: str | Path | None = None,
    arch: str | None = None,
    input_shape: InputShape | None = None,
    lowering: str | None = None,
    plan: str | Path | None = None,
    tune: str | None = None,
    batch: int = 1,
    dense_out: str | Path | None = None,
    data: str | Path | None = None,
    dataset: str | None = None,
    data_path: str | Path = "data",
    precision: Precision = "float32",
    max_accuracy_drop: float | None = None,
    recalibrate: int | None = None,
    verify: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> PruneReport:
    """Write the portable model of `source`: pruned exactly, and verified before it gets its name.

    Args:
        source: a checkpoint, or an ONNX file (by its suffix).
        threshold: stripes with `|FilterSkeleton| <= threshold` are dead. Needed unless the file has decided already. Of
            an ONNX file: stripes whose L2 norm is at most `threshold` times the largest of their layer; default: those
            that are exactly zero.
        output: the file to write; default: the source's name with `.onnx`, in the current folder.
        arch: architecture name or `package.module:factory`, where it does not follow from the file.
        input_shape: `(C, H, W)`, where it does not follow from the source, or of several inputs by name.
        lowering: how to write every layer that admits it; "auto": what costs least by count, for those who run the
            model on another machine than this; default: layer by layer, by the static rule, small and never slower than
            dense.
        plan: a plan file that `tune` wrote: write each layer as it says.
        tune: search for the fastest form on this device, as the command `tune` does with its defaults.
        batch: images per run, for which "auto" counts and `tune` measures.
        dense_out: also write the unpruned network there, the baseline to measure against.
        data: an .npz with `images` `[N, C, H, W]` to verify on, beside the generated inputs, and to count changed
            predictions on; with `labels` `[N]` accuracy is measured too. Bytes are normalised as the source records;
            of an ONNX model with several inputs an array for each, by its name. Int8 is calibrated on the first.
        dataset: the same on the test images of this data set, a key of `swp_export.training.datasets.DATASETS`. Its
            normalisation and classes are recorded in the model, where the checkpoint does not record its own. Int8 is
            calibrated on its training images.
        data_path: the folder of the data set.
        precision: "float16": all of it but inputs and outputs. With `tune`, "int8": layers are int8 or float32,
            whatever is faster together.
        max_accuracy_drop: points of accuracy that int8 may lose; of images without labels, the share of predictions
            that may change, in percent.
        recalibrate: estimate BatchNorm's statistics anew, once stripes are dead, on so many images, drawn from
            `data`, or from those that `dataset` has to train on. The model is then equivalent to that network.
        verify: compare with the source before the file gets its name.
        force: overwrite existing files.
        progress: called with what is being done.

    Raises:
        SwpExportError: the source cannot be used, or a file not written; nothing is left behind.
        NotEquivalentError: the model does not compute what the source does; nothing is written.

    """
    progress = progress or silent
    lowering, plan_file = _asked_form(lowering, plan, tune)
    _require_fitting_precision(precision, tune, plan_file, data or dataset, max_accuracy_drop)
    target = Path(output) if output is not None else default_output(source)
    with contextlib.ExitStack() as stack:
        inputs = (*files_of(source), data, plan)
        file, dense_file = stack.enter_context(atomic_outputs(target, dense_out, inputs=inputs, force=force))
        assert file is not None
        write = functools.partial(write_model, outputs=stack, inputs=(*inputs, target, dense_out), force=force)
        recalibration = None
        if recalibrate is not None:
            recalibration = Recalibration(images=recalibrate, data=data, dataset=dataset, data_path=data_path)
        origin = read_source(
            Path(source),
            threshold=threshold,
            arch=arch,
            input_shape=input_shape,
            progress=progress,
            recalibration=recalibration,
        )
        evaluated = read_evaluation_data(
            data=data,
            dataset=dataset,
            data_path=data_path,
            input_shape=origin.input_shape,
            metadata=origin.metadata,
        )
        if evaluated is not None and evaluated.classes == origin.num_classes:
            origin = dataclasses.replace(origin, metadata={**evaluated.metadata, **origin.metadata})
        on = CPU if tune is None else Target(device=tune).verified_on
        half = precision == "float16" or (plan_file is not None and plan_file.rounding == FLOAT16)
        check = _check(origin, str(target), evaluated, progress, on, half=half) if verify else None
        progress("pruning and lowering")
        model = compact(origin.dense.clone())
        counts = count(model, origin.input_shape, live_only=True)
        chosen = chosen_lowerings(model, lowering, counts.layer_positions, batch)
        by_rule = lowering is None and plan_file is None and tune is None
        gain = gain_of_auto(model, chosen, counts.layer_positions) if by_rule else None
        kept, others = kept_channels(model.graph), unwritten(model)
        content = portable_bytes(model, origin, chosen, plan_file, multiple_for(lowering, chosen))
        del model  # its weights are in the content, and verification needs the memory
        if tune is not None:
            settings = None
            if precision == "int8":
                settings = _settings(origin, evaluated, dataset, data_path, max_accuracy_drop)
            timer = ModelTimer(target=Target(device=tune, precision="float16" if half else "float32", batch=batch))
            tuned = _tuned(content, origin, timer, settings, check, progress)
            plan_file, content, verification, quantised = tuned.plan, tuned.content, tuned.verification, tuned.quantised
        else:
            content = in_float16(content) if half else content
            verification = None if check is None else check(content)
            content, quantised = _rounded(
                content, origin, plan_file, evaluated, str(target), max_accuracy_drop, progress, verify=verify
            )
        _require_equivalence(verification, quantised)
        accuracy = None if evaluated is None else _accuracy(content, origin, evaluated, on, progress)
        content = write(content, file, target)
        if dense_file is not None and dense_out is not None:
            progress("exporting the unpruned network")
            write(_unpruned_bytes(origin, str(dense_out) if verify else None), dense_file, Path(dense_out))
    written = model_of(content)
    unrounded(written)
    work = executed(written, origin.input_shape)
    layers = layer_table(origin, [*planned(chosen, plan_file), *others], counts.layers, work.layers)
    return PruneReport(
        model=str(target),
        bytes=size_of(content),
        sha256=hashlib.sha256(content).hexdigest(),
        source=str(source),
        architecture=origin.architecture,
        threshold=origin.threshold,
        threshold_error=origin.threshold_error,
        layers=layers,
        kept=tuple(kept),
        totals=totals_of(origin, counts, written, work),
        counted_gain_of_auto=gain,
        verification=verification,
        quantised=quantised,
        accuracy=accuracy,
        dense=None if dense_out is None else str(dense_out),
        warnings=(
            *origin.warnings,
            *_nothing_to_prune(origin, str(source), layers),
            *([] if lowering is None else _filled_up(content)),
        ),
    )


def _asked_form(lowering: str | None, plan: str | Path | None, tune: str | None) -> tuple[str | None, PlanFile | None]:
    """Check what was asked for of the layers' forms; return the lowering's present name and the plan, if they are."""
    if sum(option is not None for option in (lowering, plan, tune)) > 1:
        raise LoweringError("--lowering, --plan and --tune each decide how layers are written: pass one of them")
    name = lowering if lowering in {None, AUTO} else lowering_named(str(lowering)).name
    return name, None if plan is None else read_plan(plan)


def _check(
    origin: Source, name: str, data: EvaluationData | None, progress: Progress, target: Target, *, half: bool
) -> Check:
    """Return what compares a model, called `name`, with what it must compute."""
    verifier = Verifier(
        Float16Reference(origin.reference) if half else origin.reference,
        origin.input_shape,
        samples=None if data is None else data.first(),
        dense=lambda: origin.dense,
        progress=under(progress, "verifying"),
        target=target,
    )
    return lambda content: verifier.verify(content, name)


def _accuracy(content: bytes, origin: Source, data: EvaluationData, on: Target, progress: Progress) -> Accuracy | None:
    return accuracy_change(data, origin.before(), open_session(content, on), origin.input_shape, progress)


def _rounded(
    content: bytes,
    origin: Source,
    plan: PlanFile | None,
    data: EvaluationData | None,
    name: str,
    max_accuracy_drop: float | None,
    progress: Progress,
    *,
    verify: bool,
) -> tuple[bytes, QuantisedReport | None]:
    """Return the model with the int8 layers of `plan`, if it has any, and what is known of its integers."""
    if plan is None or plan.rounding is None or plan.rounding == FLOAT16:
        return content, None
    content = apply_mixed_plan(content, plan)
    if not verify:
        return content, None
    return content, check_integers(content, origin, name, data, max_accuracy_drop, progress)


def _settings(
    origin: Source,
    data: EvaluationData | None,
    dataset: str | None,
    data_path: str | Path,
    max_accuracy_drop: float | None,
) -> IntegerSettings:
    """Return what int8 is to be found with."""
    train = training_images(dataset, data_path, origin.input_shape, origin.metadata)
    return settings_from(data, train, max_accuracy_drop, _unpruned_bytes(origin))


def _tuned(
    content: bytes,
    origin: Source,
    timer: ModelTimer,
    settings: IntegerSettings | None,
    check: Check | None,
    progress: Progress,
) -> TunedModel:
    """Return the fastest form of a model in the precision that `timer` says, in int8 with `settings`."""
    shape = image_shape(origin.input_shape, "tune")
    assert shape is not None
    cache = LayerCache()
    tuned = find_tuned_model(content, timer, shape, TUNE_SECONDS, cache, progress, check)
    if settings is None:
        return tuned
    return find_integer_model(
        content, tuned, timer, shape, TUNE_SECONDS, settings, cache, progress=progress, verify=check
    )


def _require_fitting_precision(
    precision: Precision,
    tune: str | None,
    plan: PlanFile | None,
    data: str | Path | None,
    max_accuracy_drop: float | None,
) -> None:
    if precision == "int8" and tune is None:
        raise InputError("int8 is searched for on a device: pass --tune cpu too, or the --plan that it wrote alone")
    if precision == "int8" and data is None:
        raise InputError("int8 is calibrated on images: pass --data FILE.npz with 'images' [N, C, H, W], or --dataset")
    if max_accuracy_drop is not None and precision != "int8" and (plan is None or plan.rounding is None):
        raise InputError("--max-accuracy-drop is for int8; what is written in float32 loses nothing")


def _unpruned_bytes(origin: Source, name: str | None = None) -> bytes:
    """Return the unpruned network, verified where it has a `name`: every ratio to it stands on its being right."""
    model, reference = origin.unpruned()
    content = serialized(model, facts_of(origin, None))
    if name is not None:
        _require_equivalence(verify_model(content, reference, name=name, input_shape=origin.input_shape))
    return content


def _require_equivalence(*reports: VerificationReport | QuantisedReport | None) -> None:
    for report in reports:
        if report is not None and not report.equivalent:
            raise NotEquivalentError(report.summary(), report=report)


def default_output(source: str | Path) -> Path:
    """Return the file that `prune` writes by default: `pruned.pth.tar` -> `pruned.onnx`, in the current folder."""
    name = Path(source).name
    for suffix in (".pth.tar", ".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt"):
        if name.endswith(suffix):
            return Path(name.removesuffix(suffix) + ".onnx")
    return Path(Path(source).stem + ("-pruned.onnx" if name.endswith(".onnx") else ".onnx"))


def _nothing_to_prune(origin: Source, source: str, layers: tuple[PrunedLayer, ...]) -> tuple[str, ...]:
    """Return one sentence where every stripe is live."""
    if any(layer.live_stripes < layer.stripes for layer in layers):
        return ()
    at = "" if origin.threshold is None else f" at threshold {origin.threshold:g}"
    return (f"no stripe is dead{at}: there was nothing to prune; `swp-export inspect {source}` shows the values",)


def _filled_up(content: bytes) -> tuple[str, ...]:
    """Return one sentence where filters of zeros were added."""
    stated = [node.metadata_props[FILTERS] for node in model_of(content).graph if FILTERS in node.metadata_props]
    added = sum(int((decode_order(filters)[1] < 0).sum()) for filters in stated)
    text = (
        f"{added} filters of zeros fill the layers up to multiples of {DEFAULT_MULTIPLE}, which ONNX Runtime runs "
        "faster; leave --lowering out for the smallest file"
    )
    return (text,) if added else ()
