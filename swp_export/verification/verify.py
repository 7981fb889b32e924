"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError, SwpExportError, UnprovableError
from swp_export.graph.files.content import model_of
from swp_export.progress import silent
from swp_export.runtime.session import open_session
from swp_export.runtime.target import CPU, Target
from swp_export.verification.budget import budgets
from swp_export.verification.comparison import NOT_FINITE, CaseResult, Tolerance, compare, limits_of
from swp_export.verification.diverging_layer import first_diverging_layer
from swp_export.verification.evidence import MOVED, Evidence, Gathered, constancy_notes, gather
from swp_export.verification.inputs import shared_inputs
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.runtime.session import Session
    from swp_export.verification.cases import Case
    from swp_export.verification.references import Reference
    from swp_export.verification.runs import Runs


def verify_model(
    model: bytes,
    reference: Reference,
    *,
    name: str,
    input_shape: InputShape,
    samples: Case | None = None,
    tolerance: Tolerance | None = None,
    dense: Callable[[], ir.Model] | None = None,
    progress: Progress | None = None,
    target: Target = CPU,
) -> VerificationReport:
    """Compare one model with `reference`; the arguments are those of `Verifier` and of its `verify`."""
    verifier = Verifier(
        reference,
        input_shape,
        samples=samples,
        tolerance=tolerance,
        dense=dense,
        progress=progress or silent,
        target=target,
    )
    return verifier.verify(model, name)


class Verifier:
    """Compares models, run in float32 by ONNX Runtime on the CPU or as `target` says, with one reference in float64.

    What the reference gives is found once, however many models are compared with it on the same inputs.

    Args:
        reference: what the models must compute.
        input_shape: `(C, H, W)`, or of several inputs by name; of an only one sizes near it are tried too where a
            model leaves height and width open and the reference admits them.
        samples: the user's own inputs, as one more case.
        tolerance: replaces the budget.
        dense: returns the reference as an ONNX graph with named layers; called on failure, to find where it starts.
        progress: called with what is being done.
        target: what the models run on.

    """

    def __init__(
        self,
        reference: Reference,
        input_shape: InputShape,
        *,
        samples: Case | None = None,
        tolerance: Tolerance | None = None,
        dense: Callable[[], ir.Model] | None = None,
        progress: Progress = silent,
        target: Target = CPU,
    ) -> None:
        self._reference = reference
        self._input_shape = input_shape
        self._samples = samples
        self._tolerance = tolerance
        self._dense = dense
        self._progress = progress
        self._target = target
        self._gathered: dict[tuple[object, ...], Gathered] = {}

    def verify(self, model: bytes, name: str) -> VerificationReport:
        """Compare `model`, the content of an ONNX file that the report calls `name`.

        Raises:
            InputError: the reference refuses the input shape.
            UnprovableError: the reference contradicts itself, or rounding decides an output of it.

        """
        session = open_session(model, self._target)
        gathered, notes = self._evidence_for(session)
        if not gathered.optimise and self._target.kind != "openvino":
            session = open_session(model, self._target, optimise=False)
        self._progress("comparing", (1 + MOVED) / 2)
        limits = _limits(gathered.evidence, self._tolerance)
        results = _compared(session, gathered.evidence, limits)
        _require_enough(results, gathered.evidence, self._reference.description)
        failed = [each for each, found in zip(gathered.evidence, results, strict=True) if not _all_ok([found])]
        if failed and _is_right_unoptimised(model, gathered.evidence, limits):
            notes.append(_blame(self._target))
        if gathered.optimise and self._target.kind == "cpu":
            results.append(_as_it_stands(model, gathered.evidence[0], limits[0]))
        return VerificationReport(
            model=name,
            reference=self._reference.description,
            cases=tuple(result for found in results for result in found),
            first_diverging_layer=self._where_it_diverges(model, failed[0].case, gathered) if failed else None,
            notes=tuple(notes),
        )

    def _evidence_for(self, session: Session) -> tuple[Gathered, list[str]]:
        """Return what the reference gives on the inputs that the model takes, and what is to be said of them."""
        inputs = shared_inputs(session, self._reference, self._input_shape)
        if inputs.key not in self._gathered:
            cases = tuple(inputs.cases(self._input_shape, self._samples))
            self._gathered[inputs.key] = gather(self._reference, cases, self._progress)
        gathered = self._gathered[inputs.key]
        return gathered, [*gathered.notes, *inputs.notes, *constancy_notes(gathered.evidence)]

    def _where_it_diverges(self, model: bytes, case: Case, gathered: Gathered) -> str | None:
        if self._dense is None:
            return None
        with contextlib.suppress(SwpExportError):  # the model refuses this input: no layer gives anything
            return first_diverging_layer(model_of(model), self._dense(), case.x, optimise=gathered.optimise)
        return None


def _blame(target: Target) -> str:
    """Say what is wrong where ONNX Runtime on the CPU, without its optimisations, is right."""
    if target.kind == "cpu":
        return "without ONNX Runtime's optimisations it is within its budget: they are what is wrong here"
    return (
        f"on the CPU, without ONNX Runtime's optimisations, it is within its budget: {target.device} is what is wrong"
    )


def _limits(evidence: list[Evidence], tolerance: Tolerance | None) -> list[dict[str, np.ndarray]]:
    """Return the largest error allowed of each output, case by case; a budget is set by all cases together."""
    limits: list[dict[str, np.ndarray]] = [{} for _ in evidence]
    for output in evidence[0].runs:
        having = [number for number, each in enumerate(evidence) if each.runs[output].has_one_shape]
        runs = [evidence[number].runs[output] for number in having]
        usual = [evidence[n].case.is_usual and output not in evidence[n].undecided for n in having]
        found = budgets(runs, usual) if tolerance is None else [limits_of(tolerance, each) for each in runs]
        for number, limit in zip(having, found, strict=True):
            limits[number][output] = limit
    return limits


def _as_it_stands(model: bytes, evidence: Evidence, limits: dict[str, np.ndarray]) -> list[CaseResult]:
    """Return the results of one case with none of ONNX Runtime's optimisations: they run what no other runtime does.

    In the layout that they give to convolutions a missing channel counts as zeros.
    """
    plain = open_session(model, optimise=False)
    return [
        dataclasses.replace(result, case=f"{result.case}, not optimised")
        for result in _of_case(plain, evidence, limits)
    ]


def _is_right_unoptimised(model: bytes, evidence: list[Evidence], limits: list[dict[str, np.ndarray]]) -> bool:
    plain = _compared(open_session(model, optimise=False), evidence, limits)
    return _all_ok(plain)


def _all_ok(results: list[list[CaseResult]]) -> bool:
    return all(result.ok for found in results for result in found)


def _compared(
    session: Session, evidence: list[Evidence], limits: list[dict[str, np.ndarray]]
) -> list[list[CaseResult]]:
    """Return the results of each case."""
    return [_of_case(session, each, limit) for each, limit in zip(evidence, limits, strict=True)]


def _of_case(session: Session, evidence: Evidence, limits: dict[str, np.ndarray]) -> list[CaseResult]:
    case, runs = evidence.case, evidence.runs
    names = {spec.name for spec in session.outputs}
    unmatched = set() if len(runs) == len(names) == 1 else set(runs) ^ names  # a single output needs no name
    if unmatched:
        problem = f"outputs without a counterpart: {', '.join(sorted(unmatched))}"
        return [_not_compared(case, output, problem=problem) for output in sorted(unmatched)]
    try:
        outputs = session.run_on(case.x)
    except InputError as error:
        return [_not_compared(case, output, problem=str(error)) for output in runs]
    if len(runs) == 1:
        outputs = dict(zip(runs, outputs.values(), strict=True))
    return [_result(case, output, runs[output], outputs[output], evidence, limits.get(output)) for output in runs]


def _result(
    case: Case, output: str, runs: Runs, y: np.ndarray, evidence: Evidence, limits: np.ndarray | None
) -> CaseResult:
    """Compare one output: where nothing is decided too, since what is beyond even that budget is wrong."""
    undecided = evidence.undecided.get(output)
    if undecided is not None and (runs.is_exact or limits is None):
        # Then what either run of the reference gives is right.
        same = next((own for own in (runs.truth, runs.single) if np.array_equal(y, own)), None)
        if same is not None:
            runs, limits, undecided = dataclasses.replace(runs, truth=same), np.zeros(same.shape), None
    if limits is None:
        return _not_compared(case, output, undecided=undecided)
    if y.shape == runs.truth.shape and not y.size:
        return _not_compared(case, output, undecided="it is empty")
    result = compare(runs, y, limits, case=case.name, output=output, input_shape=case.shape)
    if undecided is not None and (result.ok or result.problem == NOT_FINITE):
        return dataclasses.replace(result, undecided=undecided)
    return result


def _require_enough(results: list[list[CaseResult]], evidence: list[Evidence], reference: str) -> None:
    """Raise UnprovableError unless each output is decided on an input of usual magnitude, and on all of the user's."""
    for output in evidence[0].runs:
        usual = [
            (each.case.is_of_user, result)
            for each, found in zip(evidence, results, strict=True)
            for result in found
            if each.case.is_usual and result.output == output
        ]
        undecided = [(of_user, result) for of_user, result in usual if result.undecided is not None]
        if undecided and (len(undecided) == len(usual) or any(of_user for of_user, _ in undecided)):
            _, first = max(undecided, key=lambda pair: pair[0])
            raise UnprovableError(
                f"nothing can be proved of output {output!r} of {reference} on {first.case}: {first.undecided}; leave "
                "the output out of the model, or compare it by a measure of your own"
            )


def _not_compared(case: Case, output: str, *, problem: str | None = None, undecided: str | None = None) -> CaseResult:
    return CaseResult(
        case=case.name,
        input_shape=case.shape,
        output=output,
        max_abs_error=float("inf"),
        budget=0.0,
        reference_error=0.0,
        elements=0,
        exceeding=0,
        worst=(),
        problem=problem,
        undecided=undecided,
    )
