"""The command `sweep`: a network at many thresholds, and the model at the one that is taken."""

from __future__ import annotations

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swp_export.atomic import atomic_outputs, require_writable
from swp_export.benchmark.environment import read_environment
from swp_export.errors import InputError, ThresholdError
from swp_export.graph.files.external_data import files_of
from swp_export.graph.input_shape import image_shape
from swp_export.graph.metadata import encode_input_shape
from swp_export.input_file import read_bytes
from swp_export.network.widest_gap import widest_gap
from swp_export.progress import silent
from swp_export.pruning.prune import prune
from swp_export.pruning.recalibration import Recalibration
from swp_export.runtime.target import Target
from swp_export.sweeping.choice import NoThresholdError, Targets, choose, recommended
from swp_export.sweeping.evaluate import DataNames, Evaluator
from swp_export.sweeping.forms import DEFAULT, FORMS
from swp_export.sweeping.latencies import measure_forms
from swp_export.sweeping.parallel import evaluate_all, read_apart
from swp_export.sweeping.record import Record
from swp_export.sweeping.report import SweepReport
from swp_export.sweeping.thresholds import automatic_thresholds
from swp_export.tuning.model_timer import ModelTimer
from swp_export.verification.report import NotEquivalentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.sweeping.network import SweptNetwork
    from swp_export.sweeping.point import SweepPoint

    Contents = dict[tuple[float, str], bytes]
    """Models by threshold and form."""

POINTS = 12


def sweep(
    source: str | Path,
    *,
    thresholds: Sequence[float] | None = None,
    points: int = POINTS,
    output: str | Path | None = None,
    arch: str | None = None,
    input_shape: InputShape | None = None,
    data: str | Path | None = None,
    dataset: str | None = None,
    data_path: str | Path = "data",
    recalibrate: int | None = None,
    device: str | None = None,
    threads: int = 1,
    batch: int = 1,
    target_flops: float | None = None,
    target_latency: float | None = None,
    max_accuracy_drop: float | None = None,
    csv: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> SweepReport:
    """Say what each threshold leaves of `source`, how accurate and how fast that is, and write the model at one.

    Args:
        source: an unbroken checkpoint, or an ONNX file (by its suffix), as `prune` takes them.
        thresholds: to try; default: as many as `points` says, in gaps between the values.
        points: how many thresholds to choose.
        output: write the model at the threshold that is taken there, verified as `prune` does.
        arch: as of `prune`.
        input_shape: as of `prune`.
        data: an .npz with `images` and, for accuracy, `labels`, as of `prune`.
        dataset: the same on the test images of this data set.
        data_path: the folder of the data set.
        recalibrate: as of `prune`, at each threshold, which is then exported anew.
        device: measure latency there; default: nowhere.
        threads: within an operator.
        batch: images per run.
        target_flops: take a threshold at which the file executes at most so many FLOPs for one image.
        target_latency: take one at which a run takes at most so many milliseconds.
        max_accuracy_drop: take the cheapest at which at most so many points of accuracy are lost.
        csv: also write the table there.
        resume: keep what is found in this file, and go on from it; latency is always measured anew.
        jobs: thresholds that are evaluated at the same time, each in a process of its own; latency never is.
        force: overwrite existing files.
        progress: called with what is being done.

    Returns:
        The report, with a `problem` where no threshold meets the targets, or the model at it failed its verification.

    Raises:
        SwpExportError: the source cannot be used, a target is of something that is not measured, or a file not written.

    """
    show = progress or silent
    path, names = Path(source), DataNames(data=data, dataset=dataset, data_path=data_path)
    targets = Targets(flops=target_flops, latency=target_latency, accuracy_drop=max_accuracy_drop)
    if target_latency is not None and device is None:
        raise InputError("--target-latency needs --device, where latency is measured")
    recalibration = None
    if recalibrate is not None:
        recalibration = Recalibration(images=recalibrate, **dataclasses.asdict(names))
    inputs = (*files_of(source), data)
    if output is not None:
        require_writable(Path(output), force=force)  # `prune` writes it, when everything else is done
    with atomic_outputs(csv, inputs=(*inputs, resume), force=force) as (csv_file,):
        network = read_apart(
            path, arch=arch, input_shape=input_shape, recalibration=recalibration, jobs=jobs, progress=show
        )
        tried = _tried(network, thresholds, points)
        own = Evaluator(network, names, progress=show)
        predicted = own.baseline.predicted
        if max_accuracy_drop is not None and (predicted is None or predicted.right is None):
            raise InputError("--max-accuracy-drop needs --data with 'labels' in it, or --dataset")
        record = Record(resume, _key(network, arch, names, recalibrate))
        on = None if device is None else Target(device=device, threads=threads, batch=batch)
        contents = _evaluate(network, names, own, record, tried, jobs, on, show)
        unpruned, found = own.unpruned(), [record.points[threshold] for threshold in tried]
        environment = None
        if on is not None:
            unpruned, found = _measured(network, unpruned, found, contents, on, show)
            environment = read_environment(on, on.to_json())
        chosen, problem = None, None
        try:
            chosen = choose(unpruned, found, targets)
        except NoThresholdError as error:
            problem = str(error)
        report = SweepReport(
            source=str(source),
            sha256=network.facts.sha256,
            architecture=network.facts.architecture,
            gap=widest_gap(network.values),
            error_on=own.error_on,
            recalibrated=None if recalibrate is None else f"{recalibrate:,} images of {_named(names)}",
            unpruned=unpruned,
            points=tuple(found),
            recommended=recommended(unpruned, found),
            targets=targets,
            chosen=chosen,
            problem=problem,
            environment=environment,
        )
        if csv_file is not None:
            csv_file.write_text(report.to_csv(), encoding="utf-8")
        if output is not None and chosen is not None:
            try:
                written = prune(
                    source,
                    threshold=chosen.threshold,
                    output=output,
                    lowering=FORMS[chosen.form],
                    batch=batch,
                    arch=arch,
                    input_shape=input_shape,
                    **dataclasses.asdict(names),
                    recalibrate=recalibrate,
                    force=force,
                    progress=show,
                )
                report = dataclasses.replace(report, written=written)
            except NotEquivalentError as error:  # the table took its time, and is right
                report = dataclasses.replace(report, problem=f"the model was not written: {error}")
    return report


def _named(names: DataNames) -> str:
    return str(names.dataset) if names.data is None else Path(names.data).name


def _tried(network: SweptNetwork, thresholds: Sequence[float] | None, points: int) -> list[float]:
    """Return the thresholds to try, ascending."""
    if thresholds is None:
        return list(automatic_thresholds(network.values, points))
    largest = float(network.values[-1]) if network.values.size else 0.0
    wrong = [threshold for threshold in thresholds if not 0 <= threshold < largest]
    if wrong or not thresholds:
        found = ", ".join(f"{threshold:g}" for threshold in wrong) or "none"
        raise ThresholdError(
            f"expected thresholds of at least 0 and below the largest value, {largest:.4g}; found {found}"
        )
    return sorted(set(thresholds))


def _key(network: SweptNetwork, arch: str | None, names: DataNames, recalibrate: int | None) -> dict[str, Any]:
    """Return what the points depend on beside their thresholds."""
    return {
        "version": version("swp-export"),
        "source": network.facts.sha256,
        "arch": arch,
        "input_shape": encode_input_shape(network.facts.input_shape),
        "data": None if names.data is None else hashlib.sha256(read_bytes(names.data)).hexdigest(),
        "dataset": names.dataset,
        "recalibrate": recalibrate,
    }


def _evaluate(
    network: SweptNetwork,
    names: DataNames,
    own: Evaluator,
    record: Record,
    tried: Sequence[float],
    jobs: int,
    on: Target | None,
    progress: Progress,
) -> Contents:
    """Evaluate what `record` does not know yet; return all models, in every form, if a target is to run them."""
    contents: Contents = {}
    todo = [threshold for threshold in tried if on is not None or threshold not in record.points]
    forms, batch = (list(FORMS), on.batch) if on is not None else ([DEFAULT], 1)
    progress("evaluating thresholds", 0.0)
    for number, (point, models) in enumerate(evaluate_all(network, names, own, todo, jobs, forms, batch), start=1):
        assert point.threshold is not None
        progress("evaluating thresholds", number / len(todo))
        if point.threshold not in record.points:
            record.add(point)
        if on is not None:
            contents |= {(point.threshold, form): model for form, model in models.items()}
    return contents


def _measured(
    network: SweptNetwork,
    unpruned: SweepPoint,
    points: Sequence[SweepPoint],
    contents: Contents,
    on: Target,
    progress: Progress,
) -> tuple[SweepPoint, list[SweepPoint]]:
    """Return the points with their latencies."""
    shape = image_shape(network.facts.input_shape, "--device")
    assert shape is not None
    own, found = measure_forms(network.unpruned, contents, ModelTimer(target=on), (on.batch, *shape), progress)
    return dataclasses.replace(unpruned, latency=dict.fromkeys(FORMS, own)), [
        dataclasses.replace(point, latency={form: found[point.threshold, form] for form in FORMS})
        for point in points
        if point.threshold is not None
    ]
