"""The figures of the report."""

import pytest

from swp_export.pruning.report import Totals


def test_percentages() -> None:
    """Percentages say what is gone: from the file and from what it executes, and by the paper's count."""
    totals = Totals(
        params_before=200,
        params_after=50,
        helper_params=7,
        flops_before=1000,
        flops_after=10,
        executed_flops=30,
        paper_params_before=400,
        paper_params_after=40,
        paper_flops_before=1000,
        paper_flops_after=5,
    )
    document = totals.to_json()
    assert document["params_removed_percent"] == pytest.approx(75)
    assert document["flops_removed_percent"] == pytest.approx(99)
    assert document["paper_params_removed_percent"] == pytest.approx(90)
    assert document["paper_flops_removed_percent"] == pytest.approx(99.5)
    assert document["helper_params"] == 7
