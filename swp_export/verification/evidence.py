"""What the reference says of each input: the truth, how far rounding moves it, and whether that proves anything.

A proof stands on its reference. Before any model is compared with it, the reference must agree with itself: two float32
runs are alike, and its float32 run is no further from the truth than rounding explains. Where only ONNX Runtime's
optimisations break that, its unoptimised runs are taken. An input on which rounding alone moves an output by more than
CEILING of its scale, or decides an integer, proves nothing of that output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError, UnprovableError
from swp_export.figures import readable
from swp_export.verification.budget import EPS, unexplained
from swp_export.verification.cases import Case
from swp_export.verification.comparison import NOT_FINITE
from swp_export.verification.runs import Runs, distances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.progress import Progress
    from swp_export.runtime.session import Feed
    from swp_export.verification.references import Outputs, Reference

CEILING = 1e-3
"""Of an output's scale: where rounding alone moves it further, nothing is proved."""
CEILING_OF_FLOAT16 = 3e-2
ROUNDED_RUNS = 3
_ENOUGH, _LARGE = 4, 1 << 16
ANSWERED, MOVED = 0.4, 0.9
"""Shares of the time of a verification, about, after which the cases have run, and after which rounding moved them."""
MUCH = 10
"""How many times less than the optimised run the other one must be off, for the optimisation to be what is wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What the reference gave on one case.

    Attributes:
        case: the input.
        runs: by output.
        undecided: why an output proves nothing here, by output.

    """

    case: Case
    runs: dict[str, Runs]
    undecided: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Answer:
    case: Case
    truth: Outputs
    single: Outputs
    other: Outputs | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """All that a reference gave.

    Attributes:
        evidence: case by case.
        optimise: whether models are to be run as ONNX Runtime optimises them; not where that spoils the reference.
        notes: what else has to be known, one sentence each.

    """

    evidence: list[Evidence]
    optimise: bool = True
    notes: tuple[str, ...] = ()


def gather(reference: Reference, cases: Sequence[tuple[Case, bool]], progress: Progress) -> Gathered:
    """Run `reference` on every case, and judge it.

    Args:
        reference: the network.
        cases: inputs, and whether the reference must take each; one that it need not is left out if it refuses it.
        progress: called with the name of each case, and the share of a verification that is done.

    Raises:
        InputError: the reference refuses a case that it must take.
        UnprovableError: the reference contradicts itself.

    """
    answers = []
    for number, (case, must_run) in enumerate(cases):
        progress(case.name, ANSWERED * number / len(cases))
        try:
            answers.append(_answer(reference, case))
        except InputError:
            if must_run:
                raise
    _require_repeatable(reference, answers[0])
    moved = _moved(
        reference,
        answers,
        lambda share: progress("how far rounding moves the outputs", ANSWERED + (MOVED - ANSWERED) * share),
    )
    plain = reference.unoptimised()
    if plain is not None:
        progress("how far other kernels are off", MOVED)
        answers = _with_others(plain, answers)
    evidence, suspect = _judged(reference, answers, moved)
    if suspect is None:
        return Gathered(evidence=evidence)
    said = None
    if plain is not None:
        unoptimised = [
            dataclasses.replace(each, single=each.other or plain.float32(each.case.x), other=None) for each in answers
        ]
        right, still = _judged(plain, unoptimised, moved)
        if still is None or still.share < suspect.share / MUCH:
            said = f"ONNX Runtime's default optimisation of {reference.description} is wrong: {suspect.said(reference)}"
            said += "; compared without optimisation, on both sides"
            evidence, suspect = right, still
    notes = [] if said is None else [said]
    if suspect is not None and suspect.case.is_usual:
        off = suspect.said(plain or reference)
        if suspect.share > _ceiling(reference):
            raise UnprovableError(
                f"nothing can be proved against {reference.description}: its own float32 run leaves float64 by more "
                f"than rounding explains: {off}; export it again by another opset or exporter"
            )
        notes.append(
            f"the float32 run of {reference.description} is itself further from float64 than rounding explains: {off}; "
            "what is less cannot be seen"
        )
    return Gathered(evidence=evidence, optimise=said is None, notes=tuple(notes))


def runs_on(reference: Reference, x: Feed) -> dict[str, Runs]:
    """Return what `reference` gives on the inputs `x`, by output, unjudged.

    Raises:
        InputError: it refuses it.

    """
    answer = _answer(reference, Case(name="", x=x))
    (moved,) = _moved(reference, [answer], lambda _share: None)
    return _runs(answer, moved)


def constancy_notes(evidence: Sequence[Evidence]) -> list[str]:
    """Say which outputs are the same for every image of every case: one sentence each."""
    return [
        f"output {name!r} is the same for every image that was tried: that it is equal proves little"
        for name in evidence[0].runs
        if _is_constant([(each.case.shape[0], each.runs[name]) for each in evidence])
    ]


def _is_constant(found: Sequence[tuple[int, Runs]]) -> bool:
    """Tell whether no image moves an output by what float32 could show; `found` has the images and runs of each case.

    An output whose first axis does not go by images is looked at as a whole.
    """
    images: dict[tuple[int, ...], list[np.ndarray]] = {}
    for count, runs in found:
        truth = runs.truth if runs.truth.shape[:1] == (count,) else runs.truth[None]
        images.setdefault(truth.shape[1:], []).extend(truth)
    if max(map(len, images.values())) < 2:
        return False
    for alike in images.values():
        first = alike[0]
        size = EPS * float(np.max(np.abs(first), initial=0)) if _is_float(first) else 0.0
        if not all(np.allclose(other, first, rtol=0, atol=size, equal_nan=_is_float(first)) for other in alike[1:]):
            return False
    return True


def _require_repeatable(reference: Reference, first: _Answer) -> None:
    again = reference.float32(first.case.x)
    if all(np.array_equal(again[name], first.single[name], equal_nan=_is_float(again[name])) for name in again):
        return
    at = reference.wavers_at(first.case.x)
    raise UnprovableError(
        f"nothing can be proved against {reference.description}: two runs on the same input differ"
        + (f", first at {at}" if at else "")
        + "; take out what draws random numbers, such as a Dropout in training mode"
    )


def _answer(reference: Reference, case: Case) -> _Answer:
    return _Answer(case=case, truth=reference.float64(case.x), single=reference.float32(case.x))


def _runs(answer: _Answer, moved: dict[str, np.ndarray]) -> dict[str, Runs]:
    return {
        name: Runs(
            truth=truth,
            single=answer.single[name],
            moved=moved[name],
            other=None if answer.other is None else answer.other.get(name),
        )
        for name, truth in answer.truth.items()
    }


def _with_others(plain: Reference, answers: Sequence[_Answer]) -> list[_Answer]:
    """Return `answers` with what `plain` gives, of which four say enough where images are large and runs are long."""
    return [
        dataclasses.replace(each, other=plain.float32(each.case.x))
        if number < _ENOUGH or np.size(_main(each.case.x)) <= _LARGE * each.case.shape[0]
        else each
        for number, each in enumerate(answers)
    ]


def _main(x: Feed) -> np.ndarray:
    """Return the largest input."""
    return max(x.values(), key=np.size) if isinstance(x, Mapping) else x


def _moved(
    reference: Reference, answers: Sequence[_Answer], progress: Callable[[float], None]
) -> list[dict[str, np.ndarray]]:
    """Return how far random roundings move each output of each case, as `Runs` has it.

    What counts is the largest of a few draws. The images of a batch are as many, so one run of it does; integers are
    judged one by one, and need them all, and so do activations that are flat but at a few places, each in one image.
    """
    moved: list[dict[str, np.ndarray]] = [{} for _ in answers]
    for seed in range(ROUNDED_RUNS):
        run = reference.rounded(seed)
        for number, (each, so_far) in enumerate(zip(answers, moved, strict=True)):
            progress((seed * len(answers) + number) / (ROUNDED_RUNS * len(answers)))
            is_enough = (
                each.case.shape[0] >= ROUNDED_RUNS
                and not each.case.saturates
                and all(truth.dtype.kind == "f" for truth in each.truth.values())
            )
            if is_enough and seed != number % ROUNDED_RUNS:
                continue
            outputs = run(each.case.x)
            for name, truth in each.truth.items():
                found = distances(outputs[name], truth)
                before = so_far.get(name, found)
                so_far[name] = np.maximum(before, found) if before.shape == found.shape else np.array(np.inf)
    return moved


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Suspect:
    """A case in which the reference's float32 run is off by a `share` of its scale that rounding does not explain."""

    case: Case
    output: str
    share: float

    def said(self, reference: Reference) -> str:
        """Say it, with the first node that is off."""
        text = f"output {self.output!r} on {self.case.name} is off by {readable(self.share)} of its scale"
        at = reference.parts_at(self.case.x)
        return f"{text}, first at {at}" if at else text


def _judged(
    reference: Reference, answers: Sequence[_Answer], moved: Sequence[dict[str, np.ndarray]]
) -> tuple[list[Evidence], _Suspect | None]:
    """Return the evidence, and the case in which the reference contradicts itself most, a usual one if there is one."""
    evidence = [
        Evidence(case=each.case, runs=_runs(each, by_name), undecided={})
        for each, by_name in zip(answers, moved, strict=True)
    ]
    suspects = []
    for name in answers[0].truth:
        usual = [
            each.runs[name] for each in evidence if each.case.is_usual and not _nothing_to_compare(each.runs[name])
        ]
        for each in evidence:
            of_output = each.runs[name]
            reason = _nothing_to_compare(of_output)
            off = None if reason or of_output.is_exact else unexplained(of_output, usual)
            if off is not None:
                suspects.append(_Suspect(case=each.case, output=name, share=off))
            scale = max(found.scale for found in (of_output, *usual))
            reason = reason or _decided_by_rounding(of_output, _ceiling(reference) * scale)
            if reason:
                each.undecided[name] = reason
    return evidence, max(suspects, key=lambda suspect: (suspect.case.is_usual, suspect.share), default=None)


def _ceiling(reference: Reference) -> float:
    return CEILING_OF_FLOAT16 if reference.computes_in_float16 else CEILING


def _nothing_to_compare(runs: Runs) -> str | None:
    if runs.truth.dtype.kind not in "fiub":
        return f"it holds {runs.truth.dtype} values, which are not compared"
    if not runs.has_one_shape:
        return "rounding decides its shape"
    return None if runs.is_finite else NOT_FINITE


def _decided_by_rounding(runs: Runs, most: float) -> str | None:
    if runs.is_exact:
        return (
            None if 2 * np.count_nonzero(runs.is_stable) >= runs.truth.size else "rounding decides most of its values"
        )
    off = float(np.max(np.maximum(runs.moved, runs.own), initial=0))
    return f"rounding alone moves it by {readable(off)}, on a scale of {readable(runs.scale)}" if off > most else None


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"
