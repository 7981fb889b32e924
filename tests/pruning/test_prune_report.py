"""The figures of the report."""

import pytest

from swp_export.pruning.report import Totals


def test_percentages() -> None:
    """Percentages say what is gone, of parameters and of FLOPs by the paper's count."""
    totals = Totals(params_before=200, params_after=50, flops_before=1000, flops_after=10, executed_flops=30)
    assert totals.params_removed_percent == pytest.approx(75)
    assert totals.flops_removed_percent == pytest.approx(99)
