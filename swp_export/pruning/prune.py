"""The main job: read, export, prune, lower, verify, and only then give the file its name."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.atomic import atomic_outputs
from swp_export.errors import InputError, LoweringError
from swp_export.graph.analysis.counts import Counts, count, executed, stored_floats
from swp_export.graph.analysis.kept_channels import kept_channels
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.files.external_data import files_of
from swp_export.graph.files.writing import serialized
from swp_export.graph.input_shape import image_shape
from swp_export.graph.metadata import (
    ARCHITECTURE,
    INPUT_SHAPE,
    RELATIVE_THRESHOLD,
    SOURCE,
    THRESHOLD,
    encode_input_shape,
)
from swp_export.graph.pipeline import compact
from swp_export.lowerings import lowering_named
from swp_export.lowerings.plan_file import PlanFile, read_plan
from swp_export.lowerings.rewrite import apply_plan_file
from swp_export.precision.float16 import FLOAT16, in_float16
from swp_export.precision.mixed_plan import apply_mixed_plan, lowerings_of
from swp_export.precision.unrounded import unrounded
from swp_export.progress import silent, under
from swp_export.pruning.int8 import check_integers, settings_from
from swp_export.pruning.report import PrunedLayer, PruneReport, Totals
from swp_export.pruning.source import Source, read_source
from swp_export.pruning.written_layers import WrittenLayer, chosen_lowerings, layer_table, planned, unwritten
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.integer_tuning import find_integer_model
from swp_export.tuning.model_timer import ModelTimer
from swp_export.tuning.tuned_model import find_tuned_model
from swp_export.verification.float16_reference import Float16Reference
from swp_export.verification.report import NotEquivalentError
from swp_export.verification.samples import read_samples
from swp_export.verification.verify import Verifier, verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.metadata import InputShape
    from swp_export.precision.scheme import Precision
    from swp_export.progress import Progress
    from swp_export.runtime.session import Device
    from swp_export.tuning.integer_tuning import IntegerSettings
    from swp_export.tuning.tuned_model import TunedModel
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
    tune: Device | None = None,
    dense_out: str | Path | None = None,
    data: str | Path | None = None,
    precision: Precision = "float32",
    max_accuracy_drop: float | None = None,
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
        lowering: how to write every layer that admits it; default: layer by layer, by the static rule.
        plan: a plan file that `tune` wrote: write each layer as it says.
        tune: search for the fastest form on this device, as the command `tune` does with its defaults.
        dense_out: also write the unpruned network there, the baseline to measure against.
        data: an .npz with `images` `[N, C, H, W]` to verify on, beside the generated inputs; of an ONNX model with
            several inputs an array for each, by its name.
        precision: "float16": all of it but inputs and outputs. With `tune`, "int8": layers are int8 or float32,
            whatever is faster together; calibrated on `data`.
        max_accuracy_drop: points of accuracy that int8 may lose; of images without labels, the share of predictions
            that may change, in percent.
        verify: compare with the source before the file gets its name.
        force: overwrite existing files.
        progress: called with what is being done.

    Raises:
        SwpExportError: the source cannot be used, or a file not written; nothing is left behind.
        NotEquivalentError: the model does not compute what the source does; nothing is written.

    """
    progress = progress or silent
    lowering, plan_file = _asked_form(lowering, plan, tune)
    _require_fitting_precision(precision, tune, plan_file, data, max_accuracy_drop)
    target = Path(output) if output is not None else default_output(source)
    with atomic_outputs(target, dense_out, inputs=(*files_of(source), data, plan), force=force) as (file, dense_file):
        assert file is not None
        origin = read_source(Path(source), threshold=threshold, arch=arch, input_shape=input_shape, progress=progress)
        if plan_file is not None and plan_file.rounding == FLOAT16:
            precision = "float16"
        check = _check(origin, str(target), data, progress, half=precision == "float16")
        progress("pruning and lowering")
        model = compact(origin.dense.clone())
        counts = count(model, origin.input_shape, live_only=True)
        chosen = chosen_lowerings(model, lowering)
        kept, others = kept_channels(model.graph), unwritten(model)
        content = _portable(model, origin, chosen, plan_file, multiple=1 if lowering is None else DEFAULT_MULTIPLE)
        if tune is not None:
            settings = None
            if precision == "int8":
                settings = settings_from(data, origin.input_shape, max_accuracy_drop, _unpruned_bytes(origin))
            half = precision == "float16"
            tuned = _tuned(content, origin, tune, settings, check if verify else None, progress, half=half)
            plan_file, content, verification, quantised = tuned.plan, tuned.content, tuned.verification, tuned.quantised
        elif precision == "float16":
            content = in_float16(content)
            verification, quantised = check(content) if verify else None, None
        else:
            verification, quantised = check(content) if verify else None, None
            if plan_file is not None and plan_file.rounding is not None:
                content = apply_mixed_plan(content, plan_file)
                if verify:
                    quantised = check_integers(content, origin, str(target), data, max_accuracy_drop, progress)
        _require_equivalence(verification)
        _require_equivalence(quantised)
        file.write_bytes(content)
        if dense_file is not None:
            progress("exporting the unpruned network")
            dense_file.write_bytes(_unpruned_bytes(origin, str(dense_out) if verify else None))
    layers = layer_table(origin.skeletons, [*planned(chosen, plan_file), *others], counts.layer_flops)
    return PruneReport(
        model=str(target),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        source=str(source),
        architecture=origin.architecture,
        threshold=origin.threshold,
        threshold_error=origin.threshold_error,
        layers=layers,
        kept=tuple(kept),
        totals=_totals(origin, counts, content),
        verification=verification,
        quantised=quantised,
        dense=None if dense_out is None else str(dense_out),
        warnings=(*origin.warnings, *_nothing_to_prune(origin, str(source), layers)),
    )


def _asked_form(
    lowering: str | None, plan: str | Path | None, tune: Device | None
) -> tuple[str | None, PlanFile | None]:
    """Check what was asked for of the layers' forms; return the lowering's present name and the plan, if they are."""
    if sum(option is not None for option in (lowering, plan, tune)) > 1:
        raise LoweringError("--lowering, --plan and --tune each decide how layers are written: pass one of them")
    return None if lowering is None else lowering_named(lowering).name, None if plan is None else read_plan(plan)


def _check(origin: Source, name: str, data: str | Path | None, progress: Progress, *, half: bool) -> Check:
    """Return what compares a model, called `name`, with what it must compute."""
    samples = None if data is None else read_samples(data, origin.input_shape)

    verifier = Verifier(
        Float16Reference(origin.reference) if half else origin.reference,
        origin.input_shape,
        samples=samples,
        dense=lambda: origin.dense,
        progress=under(progress, "verifying"),
    )
    return lambda content: verifier.verify(content, name)


def _portable(
    model: ir.Model, origin: Source, chosen: list[WrittenLayer], plan: PlanFile | None, *, multiple: int
) -> bytes:
    """Return the compact `model` written by `plan` in float32, else as it was `chosen`.

    The static rule's lowerings gain nothing by filled blocks, which make the portable model larger: there `multiple` is
    1.
    """
    by_choice = PlanFile(layers={layer.name: layer.lowering for layer in chosen}, multiple=multiple)
    if plan is not None and plan.rounding is not None:
        plan = dataclasses.replace(plan, layers=lowerings_of(plan.layers), rounding=None)
    return apply_plan_file(serialized(model, _facts(origin, origin.threshold)), plan or by_choice)


def _tuned(
    content: bytes,
    origin: Source,
    device: Device,
    settings: IntegerSettings | None,
    check: Check | None,
    progress: Progress,
    *,
    half: bool,
) -> TunedModel:
    """Return the fastest form of a model, in int8 with `settings`, in float16 if `half`."""
    timer = ModelTimer(device=device, threads=1, batch=1, tf32=False)
    shape = image_shape(origin.input_shape, "tune")
    assert shape is not None
    cache = LayerCache()
    tuned = find_tuned_model(content, timer, shape, TUNE_SECONDS, cache, progress, check, half=half)
    if settings is None:
        return tuned
    return find_integer_model(
        content, tuned, timer, shape, TUNE_SECONDS, settings, cache, progress=progress, verify=check
    )


def _require_fitting_precision(
    precision: Precision,
    tune: Device | None,
    plan: PlanFile | None,
    data: str | Path | None,
    max_accuracy_drop: float | None,
) -> None:
    if precision == "int8" and tune is None:
        raise InputError("int8 is searched for on a device: pass --tune cpu too, or the --plan that it wrote alone")
    if precision == "int8" and data is None:
        raise InputError("int8 is calibrated on images: pass --data FILE.npz with 'images' [N, C, H, W]")
    if max_accuracy_drop is not None and precision != "int8" and (plan is None or plan.rounding is None):
        raise InputError("--max-accuracy-drop is for int8; what is written in float32 loses nothing")


def _unpruned_bytes(origin: Source, name: str | None = None) -> bytes:
    """Return the unpruned network, verified where it has a `name`: every ratio to it stands on its being right."""
    model, reference = origin.unpruned()
    content = serialized(model, _facts(origin, None))
    if name is not None:
        _require_equivalence(verify_model(content, reference, name=name, input_shape=origin.input_shape))
    return content


def _require_equivalence(report: VerificationReport | QuantisedReport | None) -> None:
    if report is not None and not report.equivalent:
        raise NotEquivalentError(report.summary(), report=report)


def default_output(source: str | Path) -> Path:
    """Return the file that `prune` writes by default: `pruned.pth.tar` -> `pruned.onnx`, in the current folder."""
    name = Path(source).name
    for suffix in (".pth.tar", ".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt"):
        if name.endswith(suffix):
            return Path(name.removesuffix(suffix) + ".onnx")
    return Path(Path(source).stem + ("-pruned.onnx" if name.endswith(".onnx") else ".onnx"))


def _facts(origin: Source, threshold: float | None) -> dict[str, str]:
    """Return what a model says of itself."""
    facts = {
        ARCHITECTURE: origin.architecture,
        RELATIVE_THRESHOLD if origin.threshold_is_relative else THRESHOLD: None
        if threshold is None
        else repr(threshold),
        INPUT_SHAPE: encode_input_shape(origin.input_shape),
        SOURCE: origin.sha256,
    }
    return origin.metadata | {key: value for key, value in facts.items() if value is not None}


def _nothing_to_prune(origin: Source, source: str, layers: tuple[PrunedLayer, ...]) -> tuple[str, ...]:
    """Return one sentence where every stripe is live."""
    if any(layer.live_stripes < layer.stripes for layer in layers):
        return ()
    at = "" if origin.threshold is None else f" at threshold {origin.threshold:g}"
    return (f"no stripe is dead{at}: there was nothing to prune; `swp-export inspect {source}` shows the values",)


def _totals(origin: Source, counts: Counts, content: bytes) -> Totals:
    """Return the totals: of the written file, and by the paper's count."""
    written = ir.from_proto(onnx.ModelProto.FromString(content))
    unrounded(written)
    floats, work = stored_floats(written), executed(written, origin.input_shape)
    return Totals(
        params_before=origin.floats,
        params_after=floats.total,
        helper_params=floats.helpers,
        flops_before=origin.flops,
        flops_after=work.products,
        executed_flops=work.products + work.additions,
        paper_params_before=origin.params,
        paper_params_after=counts.params,
        paper_flops_before=origin.flops,
        paper_flops_after=counts.flops,
    )
