"""A verification as JUnit XML, the form in which CI systems show single checks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from swp_export.printable import printable
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from swp_export.verification.quantised import QuantisedReport


def junit_xml(report: VerificationReport | QuantisedReport) -> str:
    """Return `report` as one test suite with a test case per comparison; what XML cannot hold is spelled out."""
    return _written(_of_cases(report) if isinstance(report, VerificationReport) else _of_integers(report))


def _of_integers(report: QuantisedReport) -> ET.Element:
    """Return a test case for each rounded value, and one each for the network and the bound."""
    results = [
        (f"integers of {each.value}", None if each.ok else f"up to {each.steps} steps off, allowed {each.allowed}")
        for each in report.steps
    ]
    results += [
        ("the same network", None if not report.strangers else report.summary()),
        ("accuracy", None if report.within_bound else report.summary()),
    ]
    suite = ET.Element(
        "testsuite",
        name=printable(f"integers of {report.model}"),
        tests=str(len(results)),
        failures=str(sum(problem is not None for _, problem in results)),
        errors="0",
        skipped="0",
    )
    for name, problem in results:
        element = ET.SubElement(suite, "testcase", classname=printable(report.model), name=printable(name))
        if problem is not None:
            ET.SubElement(element, "failure", message=printable(problem))
    return suite


def _of_cases(report: VerificationReport) -> ET.Element:
    failures = sum(not case.ok for case in report.cases)
    suite = ET.Element(
        "testsuite",
        name=printable(f"equivalence of {report.model}"),
        tests=str(len(report.cases)),
        failures=str(failures),
        errors="0",
        skipped=str(sum(case.undecided is not None for case in report.cases)),
    )
    for case in report.cases:
        shape = "x".join(str(size) for size in case.input_shape)
        element = ET.SubElement(suite, "testcase", classname=printable(report.model))
        element.set("name", printable(f"{case.case} [{shape}] {case.output}"))
        if case.undecided is not None:
            ET.SubElement(element, "skipped", message=printable(case.undecided))
        elif not case.ok:
            text = case.problem or f"error {case.max_abs_error:.3g}, budget {case.budget:.3g}"
            layer = report.first_diverging_layer
            detail = f"at {list(case.worst)}; {case.exceeding} of {case.elements} values"
            failure = ET.SubElement(element, "failure", message=printable(text))
            failure.text = printable(detail + (f"; first diverging layer: {layer}" if layer else ""))
    return suite


def _written(suite: ET.Element) -> str:
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
