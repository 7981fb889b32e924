"""A verification as JUnit XML, a test case for each comparison."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.distributions import program_version
from swp_export.junit import TestCase, TestSuite, junit_document
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from datetime import datetime

    from swp_export.verification.comparison import CaseResult
    from swp_export.verification.quantised import QuantisedReport


def junit_xml(report: VerificationReport | QuantisedReport, *, started: datetime, seconds: float) -> str:
    """Return `report` as one test suite; all comparisons are made together, so each gets its share of the `seconds`."""
    cases = _of_cases(report) if isinstance(report, VerificationReport) else _of_integers(report)
    share = seconds / len(cases)
    timed = [dataclasses.replace(case, seconds=share) for case in cases]
    return _document(report.model, report.reference, started, timed)


def junit_xml_of_error(model: str, against: str, message: str, *, started: datetime, seconds: float) -> str:
    """Return the document of a verification that could not be made: one error, with its `message`."""
    case = TestCase(name="equivalence", of=model, seconds=seconds, outcome="error", message=message)
    return _document(model, against, started, [case])


def _document(model: str, against: str, started: datetime, cases: list[TestCase]) -> str:
    facts = {"swp-export": program_version(), "model": model, "against": against}
    return junit_document([TestSuite(name=f"equivalence of {model}", cases=cases, started=started, properties=facts)])


def _of_cases(report: VerificationReport) -> list[TestCase]:
    return [_test_case(report, case) for case in report.cases]


def _of_integers(report: QuantisedReport) -> list[TestCase]:
    """Return a test case for each rounded value, and one each for the network and the bound."""
    results = [
        (f"integers of {each.value}", None if each.ok else f"up to {each.steps} steps off, allowed {each.allowed}")
        for each in report.steps
    ]
    results += [
        ("the same network", None if not report.strangers else report.summary()),
        ("accuracy", None if report.within_bound else report.summary()),
    ]
    return [
        TestCase(
            name=name,
            of=report.model,
            seconds=0.0,
            outcome="passed" if problem is None else "failure",
            message=problem or "",
        )
        for name, problem in results
    ]


def _test_case(report: VerificationReport, case: CaseResult) -> TestCase:
    shape = "x".join(str(size) for size in case.input_shape)
    made = TestCase(name=f"{case.case} [{shape}] {case.output}", of=report.model, seconds=0.0)
    if case.undecided is not None:
        return dataclasses.replace(made, outcome="skipped", message=case.undecided)
    if case.ok:
        return made
    layer = report.first_diverging_layer
    detail = f"at {list(case.worst)}; {case.exceeding} of {case.elements} values"
    return dataclasses.replace(
        made,
        outcome="failure",
        message=case.problem or f"error {case.max_abs_error:.3g}, budget {case.budget:.3g}",
        detail=detail + (f"; first diverging layer: {layer}" if layer else ""),
    )
