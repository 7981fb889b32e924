"""The benchmark: models in one process, in turns, on the device that was asked for."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.benchmark.accuracies import measure_accuracies
from swp_export.benchmark.contestant import Contestant
from swp_export.benchmark.environment import read_environment
from swp_export.benchmark.export import written_exports
from swp_export.benchmark.inputs import shape_of
from swp_export.benchmark.layer_profile import layer_times
from swp_export.benchmark.measure import Schedule, measure
from swp_export.benchmark.noise import remark_on_cores, remark_on_noise
from swp_export.benchmark.report import BenchReport, Comparison, ModelResult, Transfer
from swp_export.benchmark.setup import Setup, targets_of
from swp_export.benchmark.statistics import latency, speedup, throughput
from swp_export.errors import InputError
from swp_export.runtime.binding import BoundRun
from swp_export.runtime.onnxruntime_cuda import CudaSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from swp_export.benchmark.measure import Instances
    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.target import Target

    Progress = Callable[[str, float], None]

_TRANSFERS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Measured:
    """What was found on one target."""

    provider: str
    results: list[ModelResult]
    ratios: list[Comparison]
    noise: list[str]


def bench(
    models: Sequence[Path | str],
    *,
    baseline: Path | str | None = None,
    device: str = "cpu",
    threads: int | Sequence[int] = 1,
    batch: int | Sequence[int] = 1,
    streams: int = 1,
    input_shape: InputShape | None = None,
    data: Path | str | None = None,
    dataset: str | None = None,
    data_path: Path | str = "data",
    runs: int = 10,
    seconds: float = 1.0,
    warmup: int | None = None,
    cold: bool = False,
    tf32: bool = False,
    cuda_graph: bool = False,
    layers: bool = False,
    export: Path | str | Sequence[Path | str] = (),
    force: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure the latency and throughput of `models` and compare each with the baseline.

    Args:
        models: ONNX files. One that occurs twice is measured twice: what that shows is the noise of the machine.
        baseline: What the others are compared with; None is the first of `models`. It is measured once, whether or not
            it is also among `models`.
        device: Where they run, "cpu", "cuda", "cuda:1" or "openvino"; never anywhere else.
        threads: Threads within an operator, or several such numbers, measured one after the other.
        batch: Samples per run, or several such numbers, as `threads`.
        streams: So many sessions of one thread at once, as a server runs them.
        input_shape: Sizes of one sample, `(C, H, W)` in the model's own order, or of several inputs by name, for models
            that do not say it.
        data: An .npz file with the inputs: `images` `[N, C, H, W]`, or of several inputs an array for each by its name.
            With `labels` `[N]`, accuracy is measured too, on all of them.
        dataset: Measure accuracy on the test images of this data set, a key of
            `swp_export.training.datasets.DATASETS`, which needs torch.
        data_path: The folder of the data set.
        runs: Measured runs of each model, at least.
        seconds: Sum of each model's measured times, at least.
        warmup: Runs of each model before it is measured; None is until it stops getting faster.
        cold: Alternate single runs instead of short bursts.
        tf32: Let CUDA round the inputs of float32 convolutions to TF32, as ONNX Runtime does unless told otherwise;
            models are verified without.
        cuda_graph: Capture each model in a CUDA graph.
        layers: Also attribute each model's time to its layers.
        export: Files to write too, by suffix: .json with every single run, .csv or .md with the figures.
        force: Overwrite existing files.
        seed: Of the inputs, of the order, and of the bootstrap.
        progress: Is told what is being done, and the share of the whole that is done.

    Raises:
        ModelError: A file is no usable ONNX model.
        InputError: The input's shape is not known, a model refuses it, or an option does nothing here.
        DeviceError: The device is not available, or failed.
        OutputError: A file is not written.

    """
    labels = _in_order(models, baseline)
    setup = Setup(
        targets=targets_of(threads, batch, device=device, tf32=tf32, cuda_graph=cuda_graph),
        streams=streams,
        input_shape=input_shape,
        data=data,
        schedule=Schedule(min_runs=runs, min_seconds=seconds, cold=cold, seed=seed, warm_up_runs=warmup),
        layers=layers,
    )
    exports = (export,) if isinstance(export, str | Path) else tuple(export)
    with written_exports(exports, inputs=(*labels, data), force=force) as write:
        show = progress or (lambda *_: None)
        report = _report(labels, setup, show)
        accuracies = measure_accuracies(
            list(dict.fromkeys(labels)),
            setup.targets[0],
            input_shape=input_shape,
            data=data,
            dataset=dataset,
            data_path=data_path,
            progress=lambda text, done=None, /: show(text, done or 0.0),
        )
        report = dataclasses.replace(report, accuracies=accuracies)
        write(report)
    return report


def _report(labels: list[str], setup: Setup, progress: Progress) -> BenchReport:
    parts = [
        _measure_on(labels, target, setup, _part_of(progress, index, len(setup.targets)))
        for index, target in enumerate(setup.targets)
    ]
    on_cores = remark_on_cores(setup.targets, streams=setup.streams) if setup.targets[0].kind != "cuda" else None
    return BenchReport(
        targets=setup.targets,
        streams=setup.streams,
        provider=parts[0].provider,
        models=tuple(result for part in parts for result in part.results),
        ratios=tuple(ratio for part in parts for ratio in part.ratios),
        # One busy neighbour makes many figures noisy, and one remark is read.
        remarks=(*filter(None, [on_cores]), *[remark for part in parts for remark in part.noise][:1]),
        environment=read_environment(setup.targets[0], setup.stated()),
    )


def _measure_on(labels: list[str], target: Target, setup: Setup, report: Progress) -> _Measured:
    report("loading", 0.0)
    given: dict[str, Any] = {"streams": setup.streams, "input_shape": setup.input_shape, "data": setup.data}
    models = [Contestant(label, target, seed=setup.schedule.seed, **given) for label in labels]
    what = f"measuring batch {target.batch}"
    what += f", {target.threads} threads" if len({each.threads for each in setup.targets}) > 1 else ""
    rounds = measure(models, setup.schedule, progress=lambda share: report(what, share))
    providers = [model.session.provider for model in models]
    seed = setup.schedule.seed
    ratios = [
        Comparison(
            model=label,
            baseline=labels[0],
            batch=target.batch,
            threads=target.threads,
            **dataclasses.asdict(speedup(rounds[0], times, seed=seed, streams=setup.streams)),
        )
        for label, times in zip(labels[1:], rounds[1:], strict=True)
    ]
    noisy = (remark_on_noise(of, times, streams=setup.streams) for of, times in zip(labels, rounds, strict=True))
    return _Measured(
        provider=providers[0],
        results=[_result(model, target, times, setup) for model, times in zip(models, rounds, strict=True)],
        ratios=ratios,
        noise=list(filter(None, noisy)),
    )


def _result(model: Contestant, target: Target, times: Instances, setup: Setup) -> ModelResult:
    return ModelResult(
        model=model.label,
        sha256=model.sha256,
        target=target,
        streams=setup.streams,
        shape=shape_of(model.feeds),
        latency=latency(times),
        images_per_second=throughput(times, setup.streams * target.batch),
        samples=times,
        transfer=_transfer(model.call, model.feeds) if isinstance(model.call, BoundRun) else None,
        layers=layer_times(model.label, model.feeds, target=target) if setup.layers else None,
        placement=model.session.assigned if isinstance(model.session, CudaSession) else None,
    )


def _in_order(models: Sequence[Path | str], baseline: Path | str | None) -> list[str]:
    """Return all models, the baseline first and once."""
    labels = [str(model) for model in models]
    if baseline is None:
        if not labels:
            raise InputError("expected at least one model")
        return labels
    return [str(baseline), *(label for label in labels if Path(label) != Path(baseline))]


def _transfer(bound: BoundRun, feeds: Mapping[str, npt.NDArray[Any]]) -> Transfer:
    def median_ms(copy: Callable[[], object]) -> float:
        times = []
        for _ in range(_TRANSFERS):
            start = time.perf_counter_ns()
            copy()
            times.append(time.perf_counter_ns() - start)
        return float(np.median(times)) * 1e-6

    return Transfer(to_device_ms=median_ms(lambda: bound.upload(feeds)), from_device_ms=median_ms(bound.download))


def _part_of(progress: Progress, index: int, parts: int) -> Progress:
    """Return the progress callback of part `index` of `parts` equal ones."""
    return lambda what, share: progress(what, (index + share) / parts)
