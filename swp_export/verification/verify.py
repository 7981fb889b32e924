"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import InputError, SwpExportError, UnprovableError
from swp_export.runtime.session import open_session
from swp_export.verification.cases import (
    Case,
    as_dtype,
    in_batches_of,
    make_cases,
    noise_case,
    other_sizes,
    shared_dtype,
)
from swp_export.verification.comparison import NOT_FINITE, CaseResult, Runs, Tolerance, budgets, compare, limits_of
from swp_export.verification.diverging_layer import first_diverging_layer
from swp_export.verification.evidence import Evidence, Gathered, constancy_notes, gather
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swp_export.runtime.session import Session
    from swp_export.verification.references import Reference

    Shape = tuple[int, int, int]


def verify_model(
    model: bytes,
    reference: Reference,
    *,
    name: str,
    input_shape: Shape,
    samples: Case | None = None,
    tolerance: Tolerance | None = None,
    dense: Callable[[], ir.Model] | None = None,
    progress: Callable[[str], None] | None = None,
) -> VerificationReport:
    """Compare one model with `reference`; the arguments are those of `Verifier` and of its `verify`."""
    verifier = Verifier(
        reference, input_shape, samples=samples, tolerance=tolerance, dense=dense, progress=progress or (lambda _: None)
    )
    return verifier.verify(model, name)


class Verifier:
    """Compares models, run by ONNX Runtime on the CPU in float32, with one reference in float64.

    What the reference gives is found once, however many models are compared with it on the same inputs.

    Args:
        reference: what the models must compute.
        input_shape: `(C, H, W)`; sizes near it are tried too where a model leaves height and width open and the
            reference admits them.
        samples: the user's own inputs, as one more case.
        tolerance: replaces the budget.
        dense: returns the reference as an ONNX graph with named layers; called on failure, to find where it starts.
        progress: called with what is being done.

    """

    def __init__(
        self,
        reference: Reference,
        input_shape: Shape,
        *,
        samples: Case | None = None,
        tolerance: Tolerance | None = None,
        dense: Callable[[], ir.Model] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._reference = reference
        self._input_shape = input_shape
        self._samples = samples
        self._tolerance = tolerance
        self._dense = dense
        self._progress = progress
        self._gathered: dict[tuple[int | None, bool, np.dtype[Any]], Gathered] = {}

    def verify(self, model: bytes, name: str) -> VerificationReport:
        """Compare `model`, the content of an ONNX file that the report calls `name`.

        Raises:
            InputError: the reference refuses the input shape.
            UnprovableError: the reference contradicts itself, or rounding decides an output of it.

        """
        session = open_session(model)
        gathered, notes = self._evidence_for(session)
        if not gathered.optimise:
            session = open_session(model, optimise=False)
        self._progress("comparing")
        results = _compared(session, gathered.evidence, self._tolerance)
        _require_enough(results, gathered.evidence, self._reference.description)
        failed = [each for each, found in zip(gathered.evidence, results, strict=True) if not all(r.ok for r in found)]
        if failed and self._is_right_unoptimised(model, gathered):
            notes.append("without ONNX Runtime's optimisations it is within its budget: they are what is wrong here")
        return VerificationReport(
            model=name,
            reference=self._reference.description,
            cases=tuple(result for found in results for result in found),
            first_diverging_layer=self._where_it_diverges(model, failed[0].case) if failed else None,
            notes=tuple(notes),
        )

    def _evidence_for(self, session: Session) -> tuple[Gathered, list[str]]:
        """Return what the reference gives on the inputs that the model takes, and what is to be said of them."""
        dtype = shared_dtype(session.inputs[0].dtype, self._reference.dtype)
        batch, said = _batch_of(session, self._reference, self._input_shape)
        any_size = not any(isinstance(size, int) for size in session.inputs[0].shape[2:])
        inputs = batch, any_size, dtype
        if inputs not in self._gathered:
            required = _cases(batch, self._input_shape, dtype, self._samples)
            optional = _at_other_sizes(batch, self._input_shape, dtype) if any_size else ()
            cases = (*((case, True) for case in required), *((case, False) for case in optional))
            self._gathered[inputs] = gather(self._reference, cases, self._progress)
        gathered = self._gathered[inputs]
        said += [] if any_size else _size_note(session, self._reference, batch or 1, self._input_shape)
        return gathered, [*gathered.notes, *said, *constancy_notes(gathered.evidence)]

    def _is_right_unoptimised(self, model: bytes, gathered: Gathered) -> bool:
        plain = _compared(open_session(model, optimise=False), gathered.evidence, self._tolerance)
        return all(result.ok for found in plain for result in found)

    def _where_it_diverges(self, model: bytes, case: Case) -> str | None:
        if self._dense is None:
            return None
        with contextlib.suppress(SwpExportError):  # the model refuses this input: no layer gives anything
            return first_diverging_layer(ir.from_proto(onnx.ModelProto.FromString(model)), self._dense(), case.x)
        return None


def _batch_of(session: Session, reference: Reference, input_shape: Shape) -> tuple[int | None, list[str]]:
    """Return the only number of images at which the two can be compared, None where any will do, and what to say of it.

    Raises:
        InputError: the model takes no images, or each of the two takes another number, or the reference none.

    """
    declared = session.inputs[0].shape
    if len(declared) != 4:
        raise InputError(f"{session.label} takes an input {list(declared)}, expected images [N, C, H, W]")
    own, batch = declared[0], reference.only_batch(input_shape)
    if not isinstance(own, int):
        said = f"{reference.description} runs in batches of {batch} only, and so does the model"
        return batch, [] if batch is None else [said]
    if batch is None:
        return own, [f"the model runs in batches of {own} only, {reference.description} in any"]
    if batch != own:
        raise InputError(
            f"{session.label} runs in batches of {own} only and {reference.description} in batches of {batch} only: "
            "no input fits both; export one of them with an open batch"
        )
    return own, []


def _size_note(session: Session, reference: Reference, batch: int, input_shape: Shape) -> list[str]:
    """Say that the model takes images of one height or width, where the reference takes another."""
    height, width = session.inputs[0].shape[2:]
    for other in other_sizes(*input_shape[1:]):
        with contextlib.suppress(InputError):
            reference.float32(np.zeros((batch, input_shape[0], *other), np.float32))
            size = f"height {height}" if not isinstance(width, int) else f"width {width}"
            size = f"{height}x{width}" if isinstance(height, int) and isinstance(width, int) else size
            return [f"the model runs on images of {size} only, {reference.description} on others too"]
    return []


def _cases(batch: int | None, input_shape: Shape, dtype: np.dtype[Any], samples: Case | None) -> Iterator[Case]:
    for case in (*make_cases(input_shape, dtype), *([] if samples is None else [as_dtype(samples, dtype)])):
        yield from [case] if batch is None else in_batches_of(case, batch)


def _at_other_sizes(batch: int | None, input_shape: Shape, dtype: np.dtype[Any]) -> Iterator[Case]:
    for height, width in other_sizes(*input_shape[1:]):
        case = noise_case((input_shape[0], height, width), dtype)
        yield from [case] if batch is None else in_batches_of(case, batch)


def _compared(session: Session, evidence: list[Evidence], tolerance: Tolerance | None) -> list[list[CaseResult]]:
    """Return the results of each case; the budget of an output is set by all cases together."""
    limits: list[dict[str, np.ndarray]] = [{} for _ in evidence]
    for output in evidence[0].runs:
        having = [number for number, each in enumerate(evidence) if each.runs[output].has_one_shape]
        runs = [evidence[number].runs[output] for number in having]
        usual = [evidence[n].case.is_usual and output not in evidence[n].undecided for n in having]
        found = budgets(runs, usual) if tolerance is None else [limits_of(tolerance, each) for each in runs]
        for number, limit in zip(having, found, strict=True):
            limits[number][output] = limit
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
    if undecided is not None and (
        runs.is_exact or limits is None
    ):  # then what either run of the reference gives is right
        same = next((own for own in (runs.truth, runs.single) if np.array_equal(y, own)), None)
        if same is not None:
            runs, limits, undecided = dataclasses.replace(runs, truth=same), np.zeros(same.shape), None
    if limits is None:
        return _not_compared(case, output, undecided=undecided)
    if y.shape == runs.truth.shape and not y.size:
        return _not_compared(case, output, undecided="it is empty")
    result = compare(runs, y, limits, case=case.name, output=output, input_shape=case.x.shape)
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
        input_shape=case.x.shape,
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
