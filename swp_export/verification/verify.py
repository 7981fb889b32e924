"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import InputError, SwpExportError, UnprovableError
from swp_export.runtime.session import open_session
from swp_export.verification.cases import Case, in_batches_of, make_cases, noise_case, other_sizes
from swp_export.verification.comparison import NOT_FINITE, CaseResult, Runs, Tolerance, budgets, compare, limits_of
from swp_export.verification.diverging_layer import first_diverging_layer
from swp_export.verification.evidence import Evidence, gather
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swp_export.runtime.session import Session
    from swp_export.verification.references import Reference


def verify_model(
    model: bytes,
    reference: Reference,
    *,
    name: str,
    input_shape: tuple[int, int, int],
    samples: Case | None = None,
    tolerance: Tolerance | None = None,
    dense: Callable[[], ir.Model] | None = None,
    progress: Callable[[str], None] | None = None,
) -> VerificationReport:
    """Compare `model`, run by ONNX Runtime on the CPU in float32, with `reference` in float64.

    Args:
        model: the content of the ONNX file to verify.
        reference: what it must compute.
        name: of the model, for the report.
        input_shape: `(C, H, W)`; sizes near it are tried too where the model leaves height and width open and the
            reference admits them.
        samples: the user's own inputs, as one more case.
        tolerance: replaces the budget.
        dense: returns the reference as an ONNX graph with named layers; called on failure, to find where it starts.
        progress: called with what is being done.

    Raises:
        InputError: the reference refuses the input shape.
        UnprovableError: the reference contradicts itself, or rounding decides an output of it.

    """
    progress = progress or (lambda _: None)
    session = open_session(model)
    batch = _batch_of(session, reference, input_shape)
    required, optional = _cases(batch, input_shape, samples), _at_other_sizes(session, batch, input_shape)
    cases = (*((case, True) for case in required), *((case, False) for case in optional))
    gathered = gather(reference, cases, progress)
    evidence, notes = gathered.evidence, list(gathered.notes)
    if batch is not None and not isinstance(session.inputs[0].shape[0], int):
        notes.append(f"{reference.description} runs in batches of {batch} only, and so does the model")
    if not gathered.optimise:
        session = open_session(model, optimise=False)
    progress("comparing")
    results = _compared(session, evidence, tolerance)
    _require_enough(results, evidence, reference.description)
    layer = None
    failed = [each for each, found in zip(evidence, results, strict=True) if not all(r.ok for r in found)]
    if failed:
        if dense is not None:
            with contextlib.suppress(SwpExportError):  # the model refuses this input: no layer gives anything
                proto = onnx.ModelProto.FromString(model)
                layer = first_diverging_layer(ir.from_proto(proto), dense(), failed[0].case.x)
        plain = _compared(open_session(model, optimise=False), evidence, tolerance)
        if all(result.ok for found in plain for result in found):
            notes.append("without ONNX Runtime's optimisations it is within its budget: they are what is wrong here")
    return VerificationReport(
        model=name,
        reference=reference.description,
        cases=tuple(result for found in results for result in found),
        first_diverging_layer=layer,
        notes=tuple(notes),
    )


def _batch_of(session: Session, reference: Reference, input_shape: tuple[int, int, int]) -> int | None:
    """Return the only number of images that the model, or its reference, takes at once; None where any will do.

    An exporter may have written the batch that it traced with into a Reshape, where no declared shape shows it.
    """
    declared = session.inputs[0].shape
    if len(declared) != 4:
        raise InputError(f"{session.label} takes an input {list(declared)}, expected images [N, C, H, W]")
    if isinstance(declared[0], int):
        return declared[0]
    try:
        reference.float32(np.zeros((2, *input_shape), np.float32))
    except InputError:
        return 1
    return None


def _cases(batch: int | None, input_shape: tuple[int, int, int], samples: Case | None) -> Iterator[Case]:
    for case in (*make_cases(input_shape), *([] if samples is None else [samples])):
        yield from [case] if batch is None else in_batches_of(case, batch)


def _at_other_sizes(session: Session, batch: int | None, input_shape: tuple[int, int, int]) -> Iterator[Case]:
    if any(isinstance(size, int) for size in session.inputs[0].shape[2:]):
        return
    for height, width in other_sizes(*input_shape[1:]):
        case = noise_case((input_shape[0], height, width))
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
        outputs = session.run({session.inputs[0].name: case.x})
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
