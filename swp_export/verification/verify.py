"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.errors import InputError
from swp_export.runtime.session import open_session
from swp_export.verification.cases import Case, in_batches_of, make_cases, noise_case, other_sizes
from swp_export.verification.comparison import CaseResult, Tolerance, compare
from swp_export.verification.diverging_layer import first_diverging_layer
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
        progress: called with the name of each case.

    Raises:
        InputError: the reference refuses the input shape.

    """
    session = open_session(model)
    results: list[CaseResult] = []
    failed: Case | None = None
    for case in _cases(session, reference, input_shape, samples):
        if progress is not None:
            progress(case.name)
        found = _compare(session, reference, case, tolerance)
        results += found
        if failed is None and not all(result.ok for result in found):
            failed = case
    layer = None
    if failed is not None and dense is not None:
        with contextlib.suppress(InputError):  # the model refuses this input: no layer gives anything
            layer = first_diverging_layer(ir.from_proto(onnx.ModelProto.FromString(model)), dense(), failed.x)
    return VerificationReport(
        model=name, reference=reference.description, cases=tuple(results), first_diverging_layer=layer
    )


def _cases(
    session: Session, reference: Reference, input_shape: tuple[int, int, int], samples: Case | None
) -> Iterator[Case]:
    declared = session.inputs[0].shape
    if len(declared) != 4:
        raise InputError(f"{session.label} takes an input {list(declared)}, expected images [N, C, H, W]")
    batch, _, *spatial = declared
    for case in (*make_cases(input_shape), *([] if samples is None else [samples])):
        if isinstance(batch, int):
            yield from in_batches_of(case, batch)
        else:
            yield case
    if any(isinstance(size, int) for size in spatial):
        return
    for height, width in other_sizes(*input_shape[1:]):
        case = noise_case((input_shape[0], height, width))
        if isinstance(batch, int):
            (case,) = in_batches_of(case, batch)
        try:
            # Both: ONNX Runtime multiplies an empty matrix without complaint where the evaluator refuses it.
            reference.float64(case.x)
            reference.float32(case.x)
        except InputError:
            continue
        yield case


def _compare(session: Session, reference: Reference, case: Case, tolerance: Tolerance | None) -> list[CaseResult]:
    truth, single = reference.float64(case.x), reference.float32(case.x)
    shape = case.x.shape
    missing = set(truth) ^ {spec.name for spec in session.outputs}
    if len(truth) == len(session.outputs) == 1:
        missing = set()  # a single output needs no name to be matched
    if missing:
        names = ", ".join(sorted(missing))
        return [_failed(case, name, f"outputs without a counterpart: {names}") for name in sorted(missing)]
    try:
        outputs = session.run({session.inputs[0].name: case.x})
    except InputError as error:
        return [_failed(case, name, str(error)) for name in truth]
    if len(truth) == 1:
        outputs = dict(zip(truth, outputs.values(), strict=True))
    return [
        compare(
            truth[key], single[key], outputs[key], case=case.name, output=key, tolerance=tolerance, input_shape=shape
        )
        for key in truth
    ]


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
