"""The command `tune`: measure, search, verify, and only then write."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.atomic import atomic_outputs
from swp_export.errors import InputError
from swp_export.graph.analysis.flops import require_runnable
from swp_export.graph.files.external_data import files_of
from swp_export.graph.files.reading import read_model
from swp_export.graph.files.writing import write_model
from swp_export.graph.input_shape import image_shape
from swp_export.graph.metadata import input_shape_of
from swp_export.graph.weights_apart import light_proto
from swp_export.progress import silent, under
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.integer_tuning import IntegerSettings, find_integer_model
from swp_export.tuning.model_timer import ModelTimer
from swp_export.tuning.report import TuneReport
from swp_export.tuning.tuned_model import find_tuned_model
from swp_export.verification.accuracy import accuracy_change
from swp_export.verification.cases import require_small
from swp_export.verification.evaluation_data import read_evaluation_data, training_images
from swp_export.verification.float16_reference import Float16Reference
from swp_export.verification.quantised import images_of
from swp_export.verification.references import OnnxReference
from swp_export.verification.verify import Verifier

if TYPE_CHECKING:
    from swp_export.graph.metadata import InputShape
    from swp_export.precision.ranges import Method
    from swp_export.progress import Progress
    from swp_export.runtime.target import Precision
    from swp_export.verification.report import VerificationReport


def tune(
    model: str | Path,
    *,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 1,
    output: str | Path | None = None,
    plan_out: str | Path | None = None,
    seconds: float = 60.0,
    input_shape: InputShape | None = None,
    tf32: bool = False,
    data: str | Path | None = None,
    dataset: str | None = None,
    data_path: str | Path = "data",
    precision: Precision = "float32",
    calibration: Method = "minmax",
    max_accuracy_drop: float | None = None,
    unpruned: str | Path | None = None,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> TuneReport:
    """Write the fastest verified form of `model` for this device. Needs no torch.

    Args:
        model: a model that `prune` or `tune` wrote.
        device: what to tune for, "cpu", "cuda", "cuda:1" or "openvino"; it is used, or the call fails.
        threads: within an operator; where one thread is faster, what is fastest so is written, and the report says it.
        batch: images per run.
        output: the file to write; default: the model's name with `-tuned`, in the current folder.
        plan_out: also write the plan there; `prune --plan` makes the same model of it again.
        seconds: time to search, beside the final comparison and verification.
        input_shape: `(C, H, W)`, where the model does not state it.
        tf32: CUDA only: let convolutions round to TF32 while tuning. What is tuned for CUDA is verified on the CPU, in
            float32; what is tuned for OpenVINO in OpenVINO.
        data: an .npz with `images` `[N, C, H, W]` to verify on too, and to count changed predictions on; with `labels`
            `[N]` accuracy is measured. Bytes are normalised as the model records. Int8 is calibrated on the first of
            them, and loses no more accuracy on all of them than it may.
        dataset: the same on the test images of this data set, a key of `swp_export.training.datasets.DATASETS`, which
            needs torch; int8 is calibrated on its training images.
        data_path: the folder of the data set.
        precision: "int8": layers are int8 or float32, whatever is faster together; "float16": all of it.
        calibration: how the ranges of int8 are found.
        max_accuracy_drop: points of accuracy that int8 may lose; of images without labels, the share of predictions
            that may change, in percent.
        unpruned: the unpruned network that `prune --dense-out` wrote: its int8 form joins the final comparison.
        force: overwrite existing files.
        cache: file of layer times; default: in the user's cache folder.
        progress: called with what is being done.

    Raises:
        SwpExportError: the model cannot be used, the device is not there, or a file not written.
        NotEquivalentError: no form computes what the input does; nothing is written.

    """
    progress, half = progress or silent, precision == "float16"
    on = Target(device=device, precision="float16" if half else "float32", threads=threads, batch=batch, tf32=tf32)
    target = Path(output) if output is not None else Path(f"{Path(model).stem}-tuned.onnx")
    _require_fitting_options(precision, data or dataset, max_accuracy_drop, unpruned)
    with contextlib.ExitStack() as outputs:
        inputs = (*files_of(model), data, *(() if unpruned is None else files_of(unpruned)))
        file, plan_file = outputs.enter_context(atomic_outputs(target, plan_out, inputs=inputs, force=force))
        assert file is not None
        portable = read_model(model)
        shape = image_shape(input_shape or input_shape_of(portable.model, str(model)), "tune")
        if shape is None:
            raise InputError(f"{model} does not state the shape of its input; pass --input-shape C,H,W")
        require_small(shape)
        original = portable.content
        require_runnable(light_proto(portable.model), (1, *shape))
        timer = ModelTimer(target=on)
        reference = OnnxReference(portable.model, f"{model} as given")
        facts = portable.model.metadata_props
        evaluated = read_evaluation_data(
            data=data, dataset=dataset, data_path=data_path, input_shape=shape, metadata=facts
        )
        verifier = Verifier(
            Float16Reference(reference) if half else reference,
            shape,
            samples=None if evaluated is None else evaluated.first(),
            dense=lambda: portable.model,
            progress=under(progress, "verifying"),
            target=on.verified_on,
        )

        def check(content: bytes) -> VerificationReport:
            return verifier.verify(content, str(target))

        settings = None
        if precision == "int8":
            assert evaluated is not None
            settings = IntegerSettings(
                images=images_of(evaluated, training_images(dataset, data_path, shape, facts)),
                method=calibration,
                max_accuracy_drop=max_accuracy_drop,
                unpruned=None if unpruned is None else read_model(unpruned).content,
            )
        of_search = seconds if settings is None else seconds / 2
        layer_cache = LayerCache(cache)
        tuned = find_tuned_model(original, timer, shape, of_search, layer_cache, progress, check)
        if settings is not None:
            tuned = find_integer_model(
                original, tuned, timer, shape, of_search, settings, layer_cache, progress=progress, verify=check
            )
        accuracy = None
        if evaluated is not None:
            accuracy = accuracy_change(evaluated, reference, open_session(tuned.content, on), shape, progress)
        write_model(tuned.content, file, target, outputs=outputs, inputs=(*inputs, plan_out), force=force)
        if plan_file is not None:
            plan_file.write_text(tuned.plan.to_text(), encoding="utf-8")
    return TuneReport(
        model=str(target),
        plan_file=None if plan_out is None else str(plan_out),
        threads=threads,
        tuned=tuned,
        accuracy=accuracy,
    )


def _require_fitting_options(
    precision: Precision, data: str | Path | None, max_accuracy_drop: float | None, unpruned: str | Path | None
) -> None:
    if precision == "int8":
        if data is None:
            raise InputError(
                "int8 is calibrated on images: pass --data FILE.npz with 'images' [N, C, H, W], or --dataset"
            )
    elif max_accuracy_drop is not None or unpruned is not None:
        raise InputError("--max-accuracy-drop and --unpruned are for --precision int8: pass it too")
