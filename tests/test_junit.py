"""JUnit XML as validators want it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest
from junit_schema import violations

from swp_export.junit import TestCase, TestSuite, junit_document

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
CASES = (
    TestCase(name="size", of="a.onnx", seconds=0.25),
    TestCase(name="speed", of="a.onnx", seconds=1.5, outcome="failure", message="too slow", detail="1.1x"),
    TestCase(name="device", of="a.onnx", seconds=0.0, outcome="error", message="no\x00driver"),
    TestCase(name="maps", of="a.onnx", seconds=0.0, outcome="skipped", message="undecided"),
)
TEXT = junit_document([TestSuite(name="a", cases=CASES, started=MOMENT, properties={"model": "a.onnx"})] * 2)


def test_a_validator_accepts_it() -> None:
    """Suites with every outcome are valid, an empty document is too."""
    assert violations(TEXT) == []
    assert violations(junit_document([])) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("T03:04:05", "T03:04:05Z"),
        ('time="1.500"', 'time="soon"'),
        ("<properties>", "<facts/><properties>"),
        (' type="speed"', ""),
    ],
)
def test_the_validator_can_refuse(right: str, wrong: str) -> None:
    """What a schema forbids is found."""
    assert right in TEXT
    assert violations(TEXT.replace(right, wrong)) != []


def test_counts_and_times_are_those_of_the_cases() -> None:
    """A suite says how many there are of each outcome, and how long all took."""
    (suite, _) = ET.fromstring(TEXT)  # noqa: S314 # our own document
    counted = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")}
    assert counted == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.750"}
    (error,) = suite.iter("error")
    assert error.get("message") == r"no\x00driver"
