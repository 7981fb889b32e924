"""The fastest form of a model with int8 layers: precision and lowering chosen together, layer by layer.

1. Each layer's int8 forms alone; then, in the whole model, all int8 in one form, each layer's best, and layer by layer
   the next best ones and the form that `tune` found in float32.
2. The values of what was found are calibrated. Where it loses more accuracy than allowed, the layers that lose most by
   themselves go back to float32, as few as are needed.
3. It races against int8 compact dense, the tuned float32 model, and int8 of the unpruned network if that is given: what
   is shown to be faster than it is written instead.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from swp_export.benchmark.statistics import latency, speedup
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import compact_from_portable
from swp_export.precision.mixed_plan import INT8, integer_layers, mixed_bytes
from swp_export.precision.scheme import scheme_for
from swp_export.tuning.integer_forms import IntegerForms, quantised_whole
from swp_export.tuning.integer_layers import INTEGER_LOWERINGS, integer_layer_model
from swp_export.tuning.layer_candidates import measure_layers
from swp_export.tuning.layer_case import layer_cases
from swp_export.tuning.search import Search
from swp_export.tuning.tuned_model import FINAL, LAYER_SHARE, TunedModel, by_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx_ir as ir

    from swp_export.benchmark.measure import Instances
    from swp_export.precision.images import Images
    from swp_export.precision.ranges import Method
    from swp_export.precision.scheme import Scheme
    from swp_export.progress import Progress
    from swp_export.tuning.cache import LayerCache
    from swp_export.tuning.candidates import Candidate
    from swp_export.tuning.model_timer import ModelTimer
    from swp_export.verification.report import VerificationReport

    Plan = dict[str, str]

FOUND, DENSE, FLOAT, UNPRUNED = "found", "int8 compact dense", "tuned float32", "int8 of the unpruned network"


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntegerSettings:
    """What int8 is to be found with.

    Attributes:
        images: to calibrate on, and to measure accuracy on.
        method: of calibration.
        max_accuracy_drop: in points; None: what is lost is only stated.
        unpruned: the unpruned network, whose int8 form joins the race.

    """

    images: Images
    method: Method = "minmax"
    max_accuracy_drop: float | None = None
    unpruned: bytes | None = None


def find_integer_model(
    portable: bytes,
    tuned: TunedModel,
    timer: ModelTimer,
    shape: tuple[int, int, int],
    seconds: float,
    settings: IntegerSettings,
    cache: LayerCache,
    *,
    progress: Progress,
    verify: Callable[[bytes], VerificationReport] | None = None,
) -> TunedModel:
    """Search for `seconds`, then race; gives `tuned` itself where nothing in int8 is faster.

    Args:
        portable: a model of ours.
        tuned: the fastest that was found of it in float32.
        timer: where and how it runs.
        shape: `(C, H, W)` of one image.
        seconds: time to search.
        settings: images, method and bound.
        cache: of layer times.
        progress: called with what is being done.
        verify: compares a float model with what it must compute: what int8 is rounded from is verified so too.

    Raises:
        SwpExportError: it does not run on this device, or on the images.

    """
    asked = timer.target.threads
    timer = dataclasses.replace(
        timer, target=dataclasses.replace(timer.target, precision="int8", threads=tuned.threads)
    )
    scheme, floats = scheme_for(timer.target.kind), dict(tuned.plan.layers)
    search, candidates, plan = _searched(portable, floats, timer, shape, seconds, scheme, cache, progress)
    progress("calibrating")
    forms = IntegerForms(portable, timer.multiple, scheme, settings.images, settings.method)
    bound = settings.max_accuracy_drop
    wanted = {FOUND: plan, DENSE: dict.fromkeys(plan, f"{INT8}dense")}
    plans = {name: forms.within(bound, each, floats) for name, each in wanted.items()}
    plans = {name: each for name, each in plans.items() if integer_layers(each)}
    contents = {name: forms.content(each) for name, each in plans.items()} | {FLOAT: tuned.content}
    measured = {**contents, "input": portable}
    if settings.unpruned is not None:
        measured[UNPRUNED] = quantised_whole(settings.unpruned, scheme, settings.images, settings.method)
    progress(f"comparing with {', '.join(name for name in measured if name not in {FOUND, 'input'})}")
    threads = [asked if name == "input" else tuned.threads for name in measured]
    times = dict(
        zip(measured, timer.measure([*measured.values()], (timer.target.batch, *shape), FINAL, threads), strict=True)
    )

    best, report, of_float = FLOAT, None, tuned.verification
    for name in _ranked({name: times[name] for name in contents}):
        if name == FLOAT:
            break
        of_float = None if verify is None else verify(forms.float_content(plans[name]))
        report = forms.verified(contents[name], bound, progress)
        if report.equivalent and (of_float is None or of_float.equivalent):
            best = name
            break
        search.discard(name, (report if not report.equivalent or of_float is None else of_float).summary())
    found = dataclasses.replace(
        tuned,
        candidates=(*tuned.candidates, *candidates),
        discarded=(*tuned.discarded, *search.discarded),
        variants=tuned.variants + search.variants,
        over_input=speedup(times["input"], times[best]),
        over_rivals={name: speedup(times[name], times[best]) for name in measured if name not in {best, "input"}},
    )
    if best == FLOAT:
        return found
    circumstances = {"precision": "int8", "calibrated_on": settings.images.name, "method": settings.method}
    plan_file = PlanFile(
        layers=plans[best],
        multiple=timer.multiple,
        rounding=forms.rounding(plans[best]),
        found_on=tuned.plan.found_on | circumstances,
    )
    return dataclasses.replace(found, content=contents[best], plan=plan_file, verification=of_float, quantised=report)


def _searched(
    portable: bytes,
    floats: Plan,
    timer: ModelTimer,
    shape: tuple[int, int, int],
    seconds: float,
    scheme: Scheme,
    cache: LayerCache,
    progress: Progress,
) -> tuple[Search, list[Candidate], Plan]:
    """Return the search, what each layer's int8 forms took alone, and the fastest plan."""
    start, input_shape = time.monotonic(), (timer.target.batch, *shape)
    told = by_time(progress, start + seconds, seconds)
    compact = compact_from_portable(portable)
    cases = layer_cases(compact, input_shape)

    def write(model: ir.Model, plan: Plan, multiple: int) -> bytes:
        return mixed_bytes(model, plan, multiple, scheme)

    candidates, refused = measure_layers(
        cases,
        timer,
        cache,
        deadline=start + LAYER_SHARE * seconds,
        progress=told,
        lowerings=INTEGER_LOWERINGS,
        prefix=INT8,
        write=integer_layer_model(scheme),
    )
    cache.save()
    forms = [f"{INT8}{name}" for name in INTEGER_LOWERINGS]
    search = Search(compact, timer, input_shape, told, write=write, forms=forms, always=floats)
    search.discarded += refused
    plan = search.best_start(floats, floats, candidates, start + seconds)
    return search, candidates, search.refine(plan, candidates, start + seconds)


def _ranked(times: Mapping[str, Instances]) -> list[str]:
    """Return what may be written, best first: the first of `times` unless another is shown to be faster."""
    best = next(iter(times))
    for rival in times:
        if speedup(times[rival], times[best]).high < 1:
            best = rival
    return [best, *sorted(times.keys() - {best}, key=lambda name: latency(times[name]).median_ms)]
