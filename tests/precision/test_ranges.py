"""Calibration finds where values lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from int8_models import MULTIPLE, X, int8_plan
from tunable_models import LAYERS, compact_network

from swp_export.graph.float64.model import Float64Model
from swp_export.precision.mixed_plan import float_model
from swp_export.precision.qdq import values_to_calibrate
from swp_export.precision.ranges import METHODS, calibrate

if TYPE_CHECKING:
    from swp_export.precision.ranges import Method

MODEL = float_model(compact_network(), int8_plan("shift-sum"), MULTIPLE)


def values() -> dict[str, np.ndarray]:
    """Return every value of the model on X."""
    found: dict[str, np.ndarray] = {"x": X}
    Float64Model(MODEL).run(X, on_value=found.setdefault)
    return found


def test_minmax_holds_all_values() -> None:
    """Every value is within its range and at most a percent of it away from the ends; channels likewise."""
    names, rows = values_to_calibrate(MODEL, LAYERS)
    ranges, truth = calibrate(MODEL, X, names, rows), values()
    for name in names:
        low, high = ranges.ends[name]
        assert low <= truth[name].min() + 1e-6 <= 1e-6 + 0.99 * min(low, 0) + 1e-3
        assert high >= truth[name].max() - 1e-6 >= 0.99 * high - 1e-3
    for name in rows:
        assert (np.array(ranges.peaks[name]) >= np.abs(truth[name]).max(axis=(0, 2, 3)) - 1e-6).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_range_of_each_value(method: Method) -> None:
    """Percentile and entropy leave out what is rare, and none goes beyond what was seen by much."""
    names, rows = values_to_calibrate(MODEL, LAYERS)
    names = names[:2]  # entropy takes its time
    ranges, widest = calibrate(MODEL, X, names, rows, method), calibrate(MODEL, X, names, rows)
    assert ranges.ends.keys() == set(names)
    for name, (low, high) in ranges.ends.items():
        assert low <= 0 <= high
        assert high - low <= 1.05 * (widest.ends[name][1] - widest.ends[name][0])
