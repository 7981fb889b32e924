"""Compare a model with a reference on every case, and name the first layer that diverges."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import InputError, SwpExportError, UnprovableError
from swp_export.runtime.session import open_session
from swp_export.verification.cases import Case, in_batches_of, make_cases, noise_case, other_sizes
from swp_export.verification.comparison import NOT_FINITE, CaseResult, Runs, Tolerance, budgets, compare, limits_of
from swp_export.verification.diverging_layer import first_diverging_layer
from swp_export.verification.evidence import Evidence, Gathered, gather
from swp_export.verification.feeds import channels_last, image_sizes, main_of
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Session
    from swp_export.verification.references import Reference


def verify_model(
    model: bytes,
    reference: Reference,
    *,
    name: str,
    input_shape: InputShape,
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
        input_shape: `(C, H, W)`, or of several inputs by name; of an only one sizes near it are tried too where a
            model leaves height and width open and the reference admits them.
        samples: the user's own inputs, as one more case.
        tolerance: replaces the budget.
        dense: returns the reference as an ONNX graph with named layers; called on failure, to find where it starts.
        progress: called with what is being done.

    """

    def __init__(
        self,
        reference: Reference,
        input_shape: InputShape,
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
        self._gathered: dict[tuple[int | None, bool], Gathered] = {}

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
        batch = _batch_of(session, self._reference, self._input_shape)
        any_size = _takes_any_size(session, self._input_shape)
        if (batch, any_size) not in self._gathered:
            required = _cases(batch, session, self._input_shape, self._samples)
            optional = _at_other_sizes(batch, session, self._input_shape) if any_size else ()
            cases = (*((case, True) for case in required), *((case, False) for case in optional))
            self._gathered[batch, any_size] = gather(self._reference, cases, self._progress)
        gathered = self._gathered[batch, any_size]
        notes = list(gathered.notes)
        if batch is not None and _stated_batch(session) is None:
            notes.append(f"{self._reference.description} runs in batches of {batch} only, and so does the model")
        return gathered, notes

    def _is_right_unoptimised(self, model: bytes, gathered: Gathered) -> bool:
        plain = _compared(open_session(model, optimise=False), gathered.evidence, self._tolerance)
        return all(result.ok for found in plain for result in found)

    def _where_it_diverges(self, model: bytes, case: Case) -> str | None:
        if self._dense is None:
            return None
        with contextlib.suppress(SwpExportError):  # the model refuses this input: no layer gives anything
            return first_diverging_layer(ir.from_proto(onnx.ModelProto.FromString(model)), self._dense(), case.x)
        return None


def _batch_of(session: Session, reference: Reference, input_shape: InputShape) -> int | None:
    """Return the only number of images that the model, or its reference, takes at once; None where any will do.

    Raises:
        InputError: the model does not take inputs of this shape.

    """
    taken = {spec.name for spec in session.inputs}
    if not taken or (set(input_shape) != taken if isinstance(input_shape, Mapping) else len(taken) != 1):
        wanted = ", ".join(input_shape) if isinstance(input_shape, Mapping) else f"one [N, {_spelled(input_shape)}]"
        raise InputError(f"{session.label} takes the inputs {', '.join(taken) or 'none'}, to compare are: {wanted}")
    (declared, *_) = [spec.shape for spec in session.inputs]
    if not isinstance(input_shape, Mapping) and len(declared) != 1 + len(input_shape):
        raise InputError(f"{session.label} takes an input {list(declared)}, expected [N, {_spelled(input_shape)}]")
    stated = _stated_batch(session)
    return stated if stated is not None else reference.only_batch(input_shape)


def _stated_batch(session: Session) -> int | None:
    shape = main_of(session.inputs).shape
    return shape[0] if shape and isinstance(shape[0], int) else None


def _spelled(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _takes_any_size(session: Session, input_shape: InputShape) -> bool:
    """Tell whether the only input is an image whose height and width are open."""
    if isinstance(input_shape, Mapping) or len(input_shape) != 3:
        return False
    shape = session.inputs[0].shape
    return not any(isinstance(size, int) for size in (shape[1:3] if channels_last(input_shape) else shape[2:]))


def _cases(batch: int | None, session: Session, input_shape: InputShape, samples: Case | None) -> Iterator[Case]:
    own = [] if samples is None else [_as_taken(samples, session)]
    for case in (*make_cases(input_shape, inputs=session.inputs), *own):
        yield from [case] if batch is None else in_batches_of(case, batch)


def _as_taken(samples: Case, session: Session) -> Case:
    """Return the user's samples in the types that the model takes."""
    if not isinstance(samples.x, Mapping):
        return dataclasses.replace(samples, x=samples.x.astype(session.inputs[0].dtype))
    x = {spec.name: samples.x[spec.name].astype(spec.dtype) for spec in session.inputs}
    return dataclasses.replace(samples, x=x)


def _at_other_sizes(batch: int | None, session: Session, input_shape: InputShape) -> Iterator[Case]:
    assert not isinstance(input_shape, Mapping)
    channels = input_shape[2] if channels_last(input_shape) else input_shape[0]
    for height, width in other_sizes(*image_sizes(input_shape)):
        sizes = (height, width, channels) if channels_last(input_shape) else (channels, height, width)
        case = noise_case(sizes, session.inputs)
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
        outputs = session.run(case.x)
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
