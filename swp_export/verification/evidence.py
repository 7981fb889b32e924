"""What the reference says of each input: the truth, how far rounding moves it, and whether that proves anything.

A proof stands on its reference. Before any model is compared with it, the reference must agree with itself: two float32
runs are alike, and its float32 run is no further from the truth than rounding explains. Where only ONNX Runtime's
optimisations break that, its unoptimised runs are taken. An input on which rounding alone moves an output by more than
CEILING of its scale, or decides an integer, proves nothing of that output.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError, UnprovableError
from swp_export.verification.comparison import Runs, by_channel, unexplained
from swp_export.verification.rounding import UNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from swp_export.verification.cases import Case
    from swp_export.verification.references import Outputs, Reference

CEILING = 1e-3
"""Of an output's scale: where rounding alone moves it further, nothing is proved."""
CEILING_OF_FLOAT16 = 3e-2
ROUNDED_RUNS = 3


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


def gather(reference: Reference, cases: Iterable[tuple[Case, bool]], progress: Callable[[str], None]) -> Gathered:
    """Run `reference` on every case, and judge it.

    Args:
        reference: the network.
        cases: inputs, and whether the reference must take each; one that it need not is left out if it refuses it.
        progress: called with the name of each case.

    Raises:
        InputError: the reference refuses a case that it must take.
        UnprovableError: the reference contradicts itself.

    """
    answers = []
    for case, must_run in cases:
        progress(case.name)
        try:
            answers.append(_Answer(case=case, truth=reference.float64(case.x), single=reference.float32(case.x)))
        except InputError:
            if must_run:
                raise
    _require_constancy(reference, answers[0])
    progress("how far rounding moves the outputs")
    moved = _moved(reference, answers)
    evidence, suspect = _judged(reference, answers, moved)
    if suspect is None:
        return Gathered(evidence=evidence)
    plain = reference.unoptimised()
    if plain is not None:
        unoptimised = [dataclasses.replace(each, single=plain.float32(each.case.x)) for each in answers]
        right, still = _judged(plain, unoptimised, moved)
        if still is None:
            note = f"ONNX Runtime's default optimisation of {reference.description} is wrong: {suspect.said(reference)}"
            return Gathered(
                evidence=right,
                optimise=False,
                notes=(f"{note}; compared without optimisation, on both sides",),
            )
    said = suspect.said(plain or reference)
    if suspect.share > _ceiling(reference) and suspect.case.is_usual:
        raise UnprovableError(
            f"nothing can be proved against {reference.description}: its own float32 run leaves float64 by more than "
            f"rounding explains: {said}; export it again by another opset or exporter"
        )
    note = f"the float32 run of {reference.description} is itself further from float64 than rounding explains: {said}"
    return Gathered(evidence=evidence, notes=(f"{note}; what is less cannot be seen",))


def _require_constancy(reference: Reference, first: _Answer) -> None:
    again = reference.float32(first.case.x)
    if all(np.array_equal(again[name], first.single[name], equal_nan=_is_float(again[name])) for name in again):
        return
    at = reference.wavers_at(first.case.x)
    raise UnprovableError(
        f"nothing can be proved against {reference.description}: two runs on the same input differ"
        + (f", first at {at}" if at else "")
        + "; take out what draws random numbers, such as a Dropout in training mode"
    )


def _moved(reference: Reference, answers: Sequence[_Answer]) -> list[dict[str, np.ndarray]]:
    """Return how far random roundings move each output of each case, by channel; infinite where an integer changes."""
    moved: list[dict[str, np.ndarray]] = [{} for _ in answers]
    for seed in range(ROUNDED_RUNS):
        run = reference.rounded(seed)
        for each, so_far in zip(answers, moved, strict=True):
            outputs = run(each.case.x)
            for name, truth in each.truth.items():
                found = _distances(outputs[name], truth)
                so_far[name] = np.maximum(so_far[name], found) if name in so_far else found
    return moved


def _distances(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    if found.shape != truth.shape or not _is_float(truth):
        same = np.array_equal(found, truth)
        channels = truth.shape[1] if truth.ndim > 1 else 1
        return np.full(channels, 0.0 if same else np.inf)
    with np.errstate(invalid="ignore"):
        return by_channel(np.where(found == truth, 0.0, np.abs(found - truth)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Suspect:
    """A case in which the reference's float32 run is off by a `share` of its scale that rounding does not explain."""

    case: Case
    output: str
    share: float

    def said(self, reference: Reference) -> str:
        """Say it, with the first node that is off."""
        text = f"output {self.output!r} on {self.case.name} is off by {self.share:.2g} of its scale"
        at = reference.parts_at(self.case.x)
        return f"{text}, first at {at}" if at else text


def _judged(
    reference: Reference, answers: Sequence[_Answer], moved: Sequence[dict[str, np.ndarray]]
) -> tuple[list[Evidence], _Suspect | None]:
    """Return the evidence, and the case in which the reference contradicts itself most, a usual one if there is one."""
    runs = [
        {name: Runs(truth=each.truth[name], single=each.single[name], moved=by_name[name]) for name in each.truth}
        for each, by_name in zip(answers, moved, strict=True)
    ]
    evidence = [
        Evidence(case=each.case, runs=by_name, undecided={}) for each, by_name in zip(answers, runs, strict=True)
    ]
    suspects = []
    for name in answers[0].truth:
        of_usual = [each.runs[name] for each in evidence if each.case.is_usual]
        usual = max((found.scale for found in of_usual if not _nothing_to_compare(found)), default=0.0)
        for each in evidence:
            reason = _nothing_to_compare(each.runs[name])
            off = None if reason else unexplained(each.runs[name], usual)
            if off is not None:
                suspects.append(_Suspect(case=each.case, output=name, share=off))
            reason = reason or _decided_by_rounding(each.runs[name], _ceiling(reference), usual)
            if reason:
                each.undecided[name] = reason
    return evidence, max(suspects, key=lambda suspect: (suspect.case.is_usual, suspect.share), default=None)


def _ceiling(reference: Reference) -> float:
    return CEILING if reference.unit == UNIT else CEILING_OF_FLOAT16


def _nothing_to_compare(runs: Runs) -> str | None:
    if runs.truth.dtype.kind not in "fiub":
        return f"it holds {runs.truth.dtype} values, which are not compared"
    if not runs.is_finite:
        return "the reference itself gives NaN or infinite values"
    if runs.truth.shape != runs.single.shape:
        return "rounding alone decides its shape"
    return None


def _decided_by_rounding(runs: Runs, ceiling: float, usual: float) -> str | None:
    moved = float(np.max(runs.moved, initial=0))
    if runs.is_exact:
        return None if moved == 0 and np.array_equal(runs.truth, runs.single) else "rounding alone decides its values"
    off, scale = max(moved, float(np.max(runs.own, initial=0))), max(runs.scale, usual)
    return f"rounding alone moves it by {off:.2g}, on a scale of {scale:.2g}" if off > ceiling * scale else None


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"
