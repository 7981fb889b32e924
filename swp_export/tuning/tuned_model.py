"""The fastest form of a model on a device: searched, then measured against the input and against compact dense."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from swp_export.benchmark.environment import installed
from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import Speedup, speedup
from swp_export.errors import ModelError
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import compact_from_portable, multiple_of, plan_of, planned_bytes
from swp_export.precision.float16 import FLOAT16, in_float16
from swp_export.runtime.cpu import read_cpu
from swp_export.runtime.session import runtime_of
from swp_export.tuning.candidates import Discarded
from swp_export.tuning.final_race import ranked, rivals_of
from swp_export.tuning.layer_candidates import measure_layers
from swp_export.tuning.layer_case import counted_plan, layer_cases, layer_model
from swp_export.tuning.search import Search
from swp_export.verification.report import NotEquivalentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir

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
        threads: that it runs fastest on: those that were asked for, or one.
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
    threads: int
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
) -> TunedModel:
    """Search for `seconds`, then compare; what is found is never shown to be slower than the input or compact dense.

    Nor than either on one thread, where there are more. Where that does not compute what it should, the next fastest of
    `rivals_of` is taken.

    Args:
        portable: a model of ours.
        timer: where and how it runs, and whether all but the input model is written in float16, and so measured.
        shape: `(C, H, W)` of one image.
        seconds: time to search.
        cache: of layer times.
        progress: called with what is being done.
        verify: compares a model with what it must compute.

    Raises:
        NotEquivalentError: none of them computes what it should.
        ModelError: the input model is none of ours.
        SwpExportError: it does not run on this device.

    """
    half = timer.target.precision == "float16"
    deadline, input_shape = time.monotonic() + seconds, (timer.target.batch, *shape)
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
        write=_half_layer if half else layer_model,
    )
    cache.save()
    write = _half_bytes if half else planned_bytes
    search = Search(compact, timer, input_shape, told, write=write)
    search.discarded += refused
    plan = search.best_start(counted_plan(cases, timer.target.threads), own, candidates, deadline)
    plan = search.refine(plan, candidates, deadline)
    progress("comparing with the input and with compact dense")
    # "own" and "input" are one model unless another version wrote it; what is written was always measured itself.
    rivals = rivals_of(plan, own, multiple_of(portable), cases, timer)
    contents = {name: write(compact, rival.plan, rival.multiple) for name, rival in rivals.items()}
    threads = [*(rival.threads for rival in rivals.values()), timer.target.threads]
    measured = timer.measure([*contents.values(), portable], input_shape, FINAL, threads)
    times, of_input = dict(zip(rivals, measured, strict=False)), measured[-1]
    order = ranked(times)
    best, verification = order[0], None
    if verify is not None:
        best, verification = _first_equivalent(order, contents, verify, search)
    rival = rivals[best]
    return TunedModel(
        content=contents[best],
        plan=PlanFile(
            layers=dict(rival.plan),
            multiple=rival.multiple,
            rounding=FLOAT16 if half else None,
            found_on=_circumstances(timer.with_threads(rival.threads), shape),
        ),
        threads=rival.threads,
        candidates=tuple(candidates),
        discarded=tuple(search.discarded),
        variants=search.variants,
        over_input=speedup(of_input, times[best]),
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
    runtime = runtime_of(timer.target)
    hardware = runtime.hardware(timer.target)
    return {
        **timer.target.to_json(),
        "input_shape": list(shape),
        "processor": read_cpu().model,
        **({} if hardware is None else {"hardware": hardware}),
        **installed(runtime.packages),
    }
