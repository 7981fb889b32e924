"""JUnit XML, the form in which CI systems show single checks.

There is no standard, but two schemas that tools validate against, Ant's and Jenkins'; this is what both accept.
"""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Literal

from swp_export.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Outcome = Literal["passed", "failure", "error", "skipped"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestCase:
    """One check.

    Attributes:
        name: what was checked.
        of: whose check it is; CI systems group by it.
        seconds: that it took.
        outcome: "failure" where it is false, "error" where it could not be made.
        message: why it did not pass, in one line.
        detail: what else is to be said of that.

    """

    __test__ = False  # for pytest, which takes the name for its own

    name: str
    of: str
    seconds: float
    outcome: Outcome = "passed"
    message: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestSuite:
    """Checks that belong together: when they `started`, in UTC, and what CI is to know of them by name."""

    __test__ = False

    name: str
    cases: Sequence[TestCase]
    started: datetime
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)


def junit_document(suites: Sequence[TestSuite]) -> str:
    """Return the content of the file; what XML cannot hold is spelled out."""
    root = ET.Element("testsuites")
    for number, suite in enumerate(suites):
        _add_suite(root, suite, number)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(root: ET.Element, suite: TestSuite, number: int) -> None:
    name = printable(suite.name)
    outcomes = [case.outcome for case in suite.cases]
    element = ET.SubElement(
        root,
        "testsuite",
        id=str(number),
        name=name,
        package=name,
        hostname="localhost",  # Ant wants one; which machine it was is nobody's business
        tests=str(len(outcomes)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
        time=_seconds(sum(case.seconds for case in suite.cases)),
        timestamp=suite.started.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    properties = ET.SubElement(element, "properties")
    for key, value in suite.properties.items():
        ET.SubElement(properties, "property", name=printable(key), value=printable(value))
    for case in suite.cases:
        _add_case(element, case)
    ET.SubElement(element, "system-out")
    ET.SubElement(element, "system-err")


def _add_case(suite: ET.Element, case: TestCase) -> None:
    names = {"classname": printable(case.of), "name": printable(case.name)}
    element = ET.SubElement(suite, "testcase", names, time=_seconds(case.seconds))
    if case.outcome == "passed":
        return
    problem = ET.SubElement(element, case.outcome)
    problem.set("message", printable(case.message))
    if case.outcome != "skipped":  # Ant's has neither type nor text
        problem.set("type", printable(case.name))
        problem.text = printable(case.detail or case.message)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
