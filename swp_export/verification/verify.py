"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.errors import InputError
from swp_export.runtime.session import open_session
from swp_export.verification.cases import Case, in_batches_of, make_cases, noise_case, other_sizes
from swp_export.verification.comparison import CaseResult, Tolerance, budgets, compare, limits_of
from swp_export.verification.diverging_layer import first_diverging_layer
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

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
        progress: called with the name of each case.

    Raises:
        InputError: the reference refuses the input shape.

    """
    session = open_session(model)
    runs = []
    required, optional = _cases(session, input_shape, samples), _at_other_sizes(session, input_shape)
    for case, must_run in (*((case, True) for case in required), *((case, False) for case in optional)):
        if progress is not None:
            progress(case.name)
        try:
            runs.append(_run(session, reference, case))
        except InputError:
            if must_run:
                raise
    results = _compared(runs, tolerance)
    failed = next((run.case for run, found in zip(runs, results, strict=True) if not all(r.ok for r in found)), None)
    layer = None
    if failed is not None and dense is not None:
        with contextlib.suppress(InputError):  # the model refuses this input: no layer gives anything
            layer = first_diverging_layer(ir.from_proto(onnx.ModelProto.FromString(model)), dense(), failed.x)
    return VerificationReport(
        model=name,
        reference=reference.description,
        cases=tuple(result for found in results for result in found),
        first_diverging_layer=layer,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """What the reference and the model gave on one case; `problems` says by output why there is nothing to compare."""

    case: Case
    truth: dict[str, np.ndarray]
    single: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    problems: dict[str, str]


def _cases(session: Session, input_shape: tuple[int, int, int], samples: Case | None) -> Iterator[Case]:
    declared = session.inputs[0].shape
    if len(declared) != 4:
        raise InputError(f"{session.label} takes an input {list(declared)}, expected images [N, C, H, W]")
    batch = declared[0]
    for case in (*make_cases(input_shape), *([] if samples is None else [samples])):
        if isinstance(batch, int):
            yield from in_batches_of(case, batch)
        else:
            yield case


def _at_other_sizes(session: Session, input_shape: tuple[int, int, int]) -> Iterator[Case]:
    batch, _, *spatial = session.inputs[0].shape
    if any(isinstance(size, int) for size in spatial):
        return
    for height, width in other_sizes(*input_shape[1:]):
        case = noise_case((input_shape[0], height, width))
        yield from in_batches_of(case, batch) if isinstance(batch, int) else [case]


def _run(session: Session, reference: Reference, case: Case) -> _Run:
    # Both first: ONNX Runtime multiplies an empty matrix without complaint where the evaluator refuses it.
    truth, single = reference.float64(case.x), reference.float32(case.x)
    names = {spec.name for spec in session.outputs}
    outputs: dict[str, np.ndarray] = {}
    unmatched = set() if len(truth) == len(names) == 1 else set(truth) ^ names  # a single output needs no name
    problems = dict.fromkeys(sorted(unmatched), f"outputs without a counterpart: {', '.join(sorted(unmatched))}")
    if not problems:
        try:
            outputs = session.run({session.inputs[0].name: case.x})
        except InputError as error:
            problems = dict.fromkeys(truth, str(error))
        if outputs and len(truth) == 1:
            outputs = dict(zip(truth, outputs.values(), strict=True))
    return _Run(case=case, truth=truth, single=single, outputs=outputs, problems=problems)


def _compared(runs: list[_Run], tolerance: Tolerance | None) -> list[list[CaseResult]]:
    """Return the results of each run; the budget of an output is set by all runs together."""
    limits: dict[str, list[np.ndarray]] = {}
    for output in runs[0].truth:
        truths, singles = [run.truth[output] for run in runs], [run.single[output] for run in runs]
        limits[output] = budgets(truths, singles) if tolerance is None else [limits_of(tolerance, t) for t in truths]
    results = []
    for number, run in enumerate(runs):
        if run.problems:
            results.append([_failed(run.case, output, problem) for output, problem in run.problems.items()])
            continue
        results.append(
            [
                compare(
                    run.truth[output],
                    run.single[output],
                    run.outputs[output],
                    case=run.case.name,
                    output=output,
                    limits=limits[output][number],
                    input_shape=run.case.x.shape,
                )
                for output in run.truth
            ]
        )
    return results


def _failed(case: Case, output: str, problem: str) -> CaseResult:
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
    )
