"""What the gates found as JUnit XML: a test suite for each model, a test case for each of its gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.junit import TestCase, TestSuite, junit_document

if TYPE_CHECKING:
    from swp_export.gates.report import CheckReport, GateResult, ModelResult, Status
    from swp_export.junit import Outcome

_OUTCOMES: dict[Status, Outcome] = {"passed": "passed", "missed": "failure", "not judged": "error"}


def junit_xml(report: CheckReport) -> str:
    """Return `report` as a document: a missed gate is a failure, one that could not be judged an error."""
    return junit_document([_suite(report, model) for model in report.models])


def _suite(report: CheckReport, model: ModelResult) -> TestSuite:
    facts = {
        "swp-export": report.version,
        "gates": report.gates,
        "model": model.model,
        "sha256": model.sha256 or "",
        "platform": report.platform,
        "processor": report.processor,
    }
    facts |= {f"{gate.gate}, {gate.unit}": f"{gate.found:.12g}" for gate in model.gates if gate.found is not None}
    cases = [_case(model, gate) for gate in model.gates]
    return TestSuite(name=model.name, cases=cases, started=report.started, properties=facts)


def _case(model: ModelResult, gate: GateResult) -> TestCase:
    return TestCase(
        name=gate.gate, of=model.name, seconds=gate.seconds, outcome=_OUTCOMES[gate.status], message=gate.message
    )
