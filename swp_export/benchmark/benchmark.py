"""The benchmark: models in one process, in turns, on the device that was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from swp_export.benchmark.environment import read_environment
from swp_export.benchmark.inputs import noise, shape_of
from swp_export.benchmark.layer_profile import LayerTime, layer_times
from swp_export.benchmark.measure import INSTANCES, Schedule, measure
from swp_export.benchmark.report import BenchReport, Comparison, ModelResult, Transfer
from swp_export.benchmark.statistics import latency, speedup
from swp_export.errors import InputError
from swp_export.graph.analysis.flops import require_runnable
from swp_export.graph.files.reading import read_model
from swp_export.runtime.binding import BoundRun
from swp_export.runtime.onnxruntime_cuda import CudaSession
from swp_export.runtime.session import Session, open_session, require_runtime
from swp_export.runtime.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape

    Progress = Callable[[str, float], None]

_TRANSFERS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Setup:
    """What all models of a benchmark share."""

    target: Target
    input_shape: InputShape | None
    schedule: Schedule
    layers: bool


def bench(
    models: Sequence[Path | str],
    *,
    baseline: Path | str | None = None,
    device: str = "cpu",
    threads: int = 1,
    batch: int | Sequence[int] = 1,
    input_shape: InputShape | None = None,
    min_runs: int = 10,
    min_seconds: float = 1.0,
    cold: bool = False,
    tf32: bool = False,
    cuda_graph: bool = False,
    layers: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure the latency of `models` and compare each with the baseline.

    Args:
        models: ONNX files. One that occurs twice is measured twice: what that shows is the noise of the machine.
        baseline: What the others are compared with; None is the first of `models`. It is measured once, whether or not
            it is also among `models`.
        device: Where they run, "cpu", "cuda", "cuda:1" or "openvino"; never anywhere else.
        threads: Threads within an operator.
        batch: Samples per run, or several such numbers, measured one after the other.
        input_shape: sizes of one sample, `(C, H, W)` in the model's own order, for models that do not say it.
        min_runs: Measured runs of each model, at least.
        min_seconds: Sum of each model's measured times, at least.
        cold: Alternate single runs instead of short bursts.
        tf32: Let CUDA round the inputs of float32 convolutions to TF32, as ONNX Runtime does unless told otherwise;
            models are verified without.
        cuda_graph: Capture each model in a CUDA graph.
        layers: Also attribute each model's time to its layers.
        seed: Of the inputs, of the order, and of the bootstrap.
        progress: Is told what is being done, and the share of the whole that is done.

    Raises:
        ModelError: A file is no usable ONNX model.
        InputError: The input's shape is not known, or a model refuses it.
        DeviceError: The device is not available, or failed.

    """
    batches = (batch,) if isinstance(batch, int) else tuple(batch)
    if not batches or min(batches) < 1:
        raise InputError(f"expected batches of at least 1, got {', '.join(map(str, batches)) or 'none'}")
    labels = _in_order(models, baseline)
    target = Target(device=device, threads=threads, batch=batches[0], tf32=tf32, cuda_graph=cuda_graph)
    require_runtime(target)
    setup = _Setup(
        target=target,
        input_shape=input_shape,
        schedule=Schedule(min_runs=min_runs, min_seconds=min_seconds, cold=cold, seed=seed),
        layers=layers,
    )
    results: list[ModelResult] = []
    ratios: list[Comparison] = []
    for index, size in enumerate(batches):
        report = _part_of(progress, index, len(batches))
        of_batch, compared, provider = _bench_batch(labels, size, setup, report)
        results += of_batch
        ratios += compared
    return BenchReport(
        target=target,
        provider=provider,
        batches=batches,
        models=tuple(results),
        ratios=tuple(ratios),
        environment=read_environment(target, _stated_options(setup)),
    )


def _in_order(models: Sequence[Path | str], baseline: Path | str | None) -> list[str]:
    """Return all models, the baseline first and once."""
    labels = [str(model) for model in models]
    if baseline is None:
        if not labels:
            raise InputError("expected at least one model")
        return labels
    return [str(baseline), *(label for label in labels if Path(label) != Path(baseline))]


def _stated_options(setup: _Setup) -> dict[str, Any]:
    """Return the conditions that the figures depend on; those of CUDA only where CUDA is used."""
    options: dict[str, Any] = {
        "threads": setup.target.threads,
        "min_runs": setup.schedule.min_runs,
        "min_seconds": setup.schedule.min_seconds,
        "cold": setup.schedule.cold,
        "instances": INSTANCES,
        "seed": setup.schedule.seed,
    }
    if setup.target.kind == "cuda":
        options |= {
            "tf32": setup.target.tf32,
            "cuda_graph": setup.target.cuda_graph,
            # Latencies taken with blocking launches are not those of deployment.
            "cuda_launch_blocking": os.environ.get("CUDA_LAUNCH_BLOCKING") == "1",
        }
    return options


def _bench_batch(
    labels: list[str], batch: int, setup: _Setup, report: Callable[[str, float], None]
) -> tuple[list[ModelResult], list[Comparison], str]:
    report("loading", 0.0)
    models = [_Loader(label, batch, setup) for label in labels]
    rounds = measure(models, setup.schedule, progress=lambda share: report(f"measuring batch {batch}", share))
    providers = [model.session.provider for model in models]
    results = [
        ModelResult(
            model=label,
            sha256=hashlib.sha256(Path(label).read_bytes()).hexdigest(),
            batch=batch,
            shape=model.shape,
            latency=latency(times),
            transfer=_transfer(model.call, model.feeds) if isinstance(model.call, BoundRun) else None,
            layers=_layers(label, model.shape, setup) if setup.layers else None,
            placement=model.session.assigned if isinstance(model.session, CudaSession) else None,
        )
        for label, model, times in zip(labels, models, rounds, strict=True)
    ]
    seed = setup.schedule.seed
    compared = [
        Comparison(
            model=label,
            baseline=labels[0],
            batch=batch,
            **dataclasses.asdict(speedup(rounds[0], times, seed=seed)),
        )
        for label, times in zip(labels[1:], rounds[1:], strict=True)
    ]
    return results, compared, providers[0]


class _Loader:
    """A model and its input at one batch; calling it loads a new instance and returns the call to measure.

    Raises on construction, before anything is measured, if the model does not load or its shape is not known.
    """

    def __init__(self, label: str, batch: int, setup: _Setup) -> None:
        self._label = label
        self._setup = setup
        content = read_model(label).content  # what would crash ONNX Runtime is refused there
        self.session = self._open()
        self.shape = shape_of(self.session, batch, setup.input_shape)
        require_runnable(onnx.ModelProto.FromString(content), (1, *self.shape[1:]))
        self.feeds = noise(self.session, self.shape, seed=setup.schedule.seed)
        self.call = self._prepare()

    def __call__(self) -> Callable[[], object]:
        self.session = self._open()
        self.call = self._prepare()
        return self.call

    def _open(self) -> Session:
        return open_session(self._label, self._setup.target)

    def _prepare(self) -> Callable[[], object]:
        return self.session.caller(self.feeds)


def _transfer(bound: BoundRun, feeds: Mapping[str, npt.NDArray[Any]]) -> Transfer:
    def median_ms(copy: Callable[[], object]) -> float:
        times = []
        for _ in range(_TRANSFERS):
            start = time.perf_counter_ns()
            copy()
            times.append(time.perf_counter_ns() - start)
        return float(np.median(times)) * 1e-6

    return Transfer(to_device_ms=median_ms(lambda: bound.upload(feeds)), from_device_ms=median_ms(bound.download))


def _layers(label: str, shape: tuple[int, ...], setup: _Setup) -> tuple[LayerTime, ...]:
    return layer_times(label, shape=shape, target=setup.target, seed=setup.schedule.seed)


def _part_of(progress: Progress | None, index: int, parts: int) -> Callable[[str, float], None]:
    """Return the progress callback of part `index` of `parts` equal ones."""

    def report(what: str, share: float) -> None:
        if progress is not None:
            progress(what, (index + share) / parts)

    return report
