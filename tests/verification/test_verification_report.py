"""The report says how far, where and what, in one line and as JSON."""

import dataclasses
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

from junit_schema import violations

from swp_export.verification.comparison import CaseResult
from swp_export.verification.junit import junit_xml, junit_xml_of_error
from swp_export.verification.report import VerificationReport

GOOD = CaseResult(
    case="noise",
    input_shape=(1, 3, 8, 8),
    output="output",
    max_abs_error=1e-6,
    budget=4e-6,
    reference_error=1e-6,
    elements=10,
    exceeding=0,
    worst=(0, 3),
)
BAD = dataclasses.replace(GOOD, case="impulses", max_abs_error=1e-3, exceeding=2, worst=(0, 7))
REFUSED = dataclasses.replace(GOOD, case="zeros", max_abs_error=float("inf"), problem="shape [1] instead of [2]")

TOOK: dict[str, Any] = {"started": datetime(2026, 1, 2, tzinfo=UTC), "seconds": 3.0}


def report(*cases: CaseResult, layer: str | None = None) -> VerificationReport:
    """Return a report of `cases`."""
    return VerificationReport(model="m.onnx", reference="c.pth", cases=cases, first_diverging_layer=layer)


def test_equivalent_iff_every_case_is() -> None:
    """One bad case among good ones is enough."""
    assert report(GOOD, GOOD).equivalent
    assert not report(GOOD, BAD, GOOD).equivalent
    assert not report(GOOD, REFUSED).equivalent


def test_worst() -> None:
    """The worst case is the one with the largest share of its budget; what cannot be compared is worse than all."""
    assert report(GOOD, BAD).worst is BAD
    assert report(BAD, REFUSED, GOOD).worst is REFUSED


def test_summary() -> None:
    """The line gives error, budget, place, share and layer."""
    assert report(GOOD).summary() == (
        "equivalent on 1 comparison; largest for its budget: output 'output' on noise [1, 3, 8, 8]: error 1e-06, "
        "budget 4e-06 (0.25 of it)"
    )
    text = report(GOOD, BAD, layer="layer1.0.conv2").summary()
    for part in ("not equivalent", "impulses", "[0, 7]", "2 of 10 values", "20.0 %", "layer1.0.conv2"):
        assert part in text
    assert report(REFUSED).summary().endswith("shape [1] instead of [2]")


def test_json() -> None:
    """The document is strict JSON with the figures of the worst case on top."""
    document = json.loads(json.dumps(report(GOOD, BAD, layer="a").to_json(), allow_nan=False))
    assert document["equivalent"] is False
    assert (document["max_abs_error"], document["budget"]) == (1e-3, 4e-6)
    assert document["first_diverging_layer"] == "a"
    assert [case["ok"] for case in document["cases"]] == [True, False]
    assert json.loads(json.dumps(report(REFUSED).to_json(), allow_nan=False))["max_abs_error"] is None


def test_junit() -> None:
    """CI sees one test per comparison, and each failure with its reason."""
    text = junit_xml(report(GOOD, BAD, REFUSED, layer="a<b"), **TOOK)
    assert violations(text) == []
    (suite,) = ET.fromstring(text)  # noqa: S314 (our own text)
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("3", "2", "3.000")
    failures = [case.find("failure") for case in suite.findall("testcase")]
    assert failures[0] is None
    assert failures[1] is not None
    assert "a<b" in (failures[1].text or "")
    assert failures[2] is not None
    assert failures[2].get("message") == "shape [1] instead of [2]"


def test_junit_stays_xml() -> None:
    """Names that XML cannot hold, or that would steer a terminal, are spelled in the report that a CI system parses."""
    nasty = "a\x1b[31m\r\x00\ufffe\ud800"
    bad = dataclasses.replace(BAD, case=nasty, output=nasty, problem=nasty)
    named = dataclasses.replace(report(bad, layer=nasty), model=nasty)
    spelled = r"a\x1b[31m\x0d\x00\ufffe\ud800"
    (suite,) = ET.fromstring(junit_xml(named, **TOOK))  # noqa: S314 # our own document
    case = suite.find("testcase")
    assert case is not None
    assert spelled in suite.attrib["name"]
    assert spelled in case.attrib["name"]
    assert spelled in case[0].attrib["message"]
    assert spelled in (case[0].text or "")


def test_junit_of_what_could_not_be_judged() -> None:
    """Where nothing was compared, CI sees an error, not a test that passed or failed."""
    text = junit_xml_of_error("a.onnx", "b.onnx", "cannot read b.onnx", **TOOK)
    assert violations(text) == []
    (suite,) = ET.fromstring(text)  # noqa: S314 # our own document
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    (error,) = suite.iter("error")
    assert error.get("message") == "cannot read b.onnx"
