"""The fastest form of a model on a device: searched, then measured against the input and against compact dense."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from swp_export.benchmark.environment import read_environment
from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import Speedup, latency, speedup
from swp_export.errors import ModelError
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import compact_from_portable, multiple_of, plan_of, planned_bytes
from swp_export.precision.float16 import FLOAT16, in_float16
from swp_export.tuning.candidates import Discarded
from swp_export.tuning.layer_candidates import measure_layers
from swp_export.tuning.layer_case import layer_cases, layer_model
from swp_export.tuning.search import Search
from swp_export.verification.report import NotEquivalentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir

    from swp_export.benchmark.measure import Instances
    from swp_export.progress import Progress
    from swp_export.tuning.cache import LayerCache
    from swp_export.tuning.candidates import Candidate
    from swp_export.tuning.layer_case import LayerCase
    from swp_export.tuning.model_timer import ModelTimer
    from swp_export.verification.quantised import QuantisedReport
    from swp_export.verification.report import VerificationReport

FINAL = Schedule()
"""The last comparison, which the report states, is measured as `bench` measures."""
LAYER_SHARE = 0.4
"""Share of the time that may go into measuring layers alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunedModel:
    """The fastest form that was found, and how.

    Attributes:
        content: the model.
        plan: that gives it.
        candidates: what each layer's lowerings took alone, layer by layer, the fastest first.
        discarded: what did not build, run or apply, with its reason.
        variants: whole models that were compared on the way.
        over_input: speedup over the input model, measured in one run.
        over_dense: speedup over the compact dense model, measured in the same run; of int8, what float32 was before.
        verification: of the model, None where it was not to be verified; of int8, of what it is rounded from.
        quantised: what is known of its integers, None where it has none.
        over_rivals: speedup over other models of the same race, by what they are.

    """

    content: bytes
    plan: PlanFile
    candidates: tuple[Candidate, ...]
    discarded: tuple[Discarded, ...]
    variants: int
    over_input: Speedup
    over_dense: Speedup
    verification: VerificationReport | None
    quantised: QuantisedReport | None = None
    over_rivals: Mapping[str, Speedup] = dataclasses.field(default_factory=dict)


def find_tuned_model(
    portable: bytes,
    timer: ModelTimer,
    shape: tuple[int, int, int],
    seconds: float,
    cache: LayerCache,
    progress: Progress,
    verify: Callable[[bytes], VerificationReport] | None = None,
    *,
    half: bool = False,
) -> TunedModel:
    """Search for `seconds`, then compare; what is found is never shown to be slower than the input or compact dense.

    Where that does not compute what it should, the next fastest of the plan found, the input's own and dense is taken.

    Args:
        portable: a model of ours.
        timer: where and how it runs.
        shape: `(C, H, W)` of one image.
        seconds: time to search.
        cache: of layer times.
        progress: called with what is being done.
        verify: compares a model with what it must compute.
        half: write, and so measure, everything but the input model in float16.

    Raises:
        NotEquivalentError: none of the three computes what it should.
        ModelError: the input model is none of ours.
        SwpExportError: it does not run on this device.

    """
    deadline, input_shape = time.monotonic() + seconds, (timer.batch, *shape)
    timer.opener(portable, input_shape)()
    compact = compact_from_portable(portable)
    cases = layer_cases(compact, input_shape)
    if not cases:
        raise ModelError("this model names no layers that could be tuned; tune what prune wrote")
    own = {**dict.fromkeys((case.conv.name for case in cases), "dense"), **plan_of(portable)}
    told = by_time(progress, deadline, seconds)
    told("measuring layers")
    candidates, refused = measure_layers(
        cases,
        timer,
        cache,
        deadline=time.monotonic() + LAYER_SHARE * seconds,
        progress=told,
        cached_as="float16:" if half else "",
        write=_half_layer if half else layer_model,
    )
    cache.save()
    write = _half_bytes if half else planned_bytes
    search = Search(compact, timer, input_shape, told, write=write)
    search.discarded += refused
    plan = search.best_start([case.conv.name for case in cases], candidates, own)
    plan = search.refine(plan, candidates, deadline)
    progress("comparing with the input and with compact dense")
    # "own" and "input" are one model unless another version wrote it; what is written was always measured itself.
    rivals = {
        "found": (plan, timer.multiple),
        "own": (own, multiple_of(portable)),
        "dense": (dict.fromkeys(own, "dense"), timer.multiple),
    }
    contents = {name: write(compact, *rival) for name, rival in rivals.items()}
    models = [*contents.values(), portable]
    times = dict(zip([*rivals, "input"], timer.measure(models, input_shape, FINAL), strict=True))
    ranked = _ranked(times)
    best, verification = ranked[0], None
    if verify is not None:
        best, verification = _first_equivalent(ranked, contents, verify, search)
    layers, multiple = rivals[best]
    return TunedModel(
        content=contents[best],
        plan=PlanFile(
            layers=layers,
            multiple=multiple,
            rounding=FLOAT16 if half else None,
            found_on=_circumstances(timer, shape),
        ),
        candidates=tuple(candidates),
        discarded=tuple(search.discarded),
        variants=search.variants,
        over_input=speedup(times["input"], times[best]),
        over_dense=speedup(times["dense"], times[best]),
        verification=verification,
    )


def _half_layer(case: LayerCase, lowering: str, multiple: int) -> bytes:
    return in_float16(layer_model(case, lowering, multiple))


def _half_bytes(compact: ir.Model, plan: Mapping[str, str], multiple: int) -> bytes:
    return in_float16(planned_bytes(compact, plan, multiple))


def by_time(progress: Progress, deadline: float, seconds: float) -> Progress:
    """Return what tells `progress` how much of the `seconds` until `deadline` has gone."""
    return lambda text, _done=None, /: progress(
        text, min(1.0, 1 - (deadline - time.monotonic()) / seconds) if seconds else 1.0
    )


def _ranked(times: Mapping[str, Instances]) -> list[str]:
    """Return what may be written, best first: what was found unless another is shown to be faster, then by time."""
    best = "found"
    for rival in ("own", "dense"):
        if speedup(times[rival], times[best]).high < 1:
            best = rival
    others = [name for name in ("found", "own", "dense") if name != best]
    return [best, *sorted(others, key=lambda name: latency(times[name]).median_ms)]


def _first_equivalent(
    ranked: Sequence[str], contents: Mapping[str, bytes], verify: Callable[[bytes], VerificationReport], search: Search
) -> tuple[str, VerificationReport]:
    """Return the first that computes what it should, and discard those before it; what is alike is verified once."""
    reports: dict[bytes, VerificationReport] = {}
    for name in ranked:
        content = contents[name]
        if content not in reports:
            reports[content] = verify(content)
            if reports[content].equivalent:
                return name, reports[content]
        search.discarded.append(Discarded(layer="(all)", lowering=name, reason=reports[content].summary()))
    first = reports[contents[ranked[0]]]
    raise NotEquivalentError(first.summary(), report=first)


def _circumstances(timer: ModelTimer, shape: tuple[int, int, int]) -> dict[str, object]:
    environment = read_environment(gpu=None, options={})
    runtime = {name: text for name, text in environment.versions.items() if name.startswith("onnxruntime")}
    return {
        "device": timer.device,
        "threads": timer.threads,
        "batch": timer.batch,
        "input_shape": list(shape),
        "processor": environment.cpu.model,
        **runtime,
    }
