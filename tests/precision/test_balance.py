"""Rows that are summed each use the whole range, and nothing but that changes."""

from __future__ import annotations

import numpy as np
from int8_models import MULTIPLE, X, int8_model, int8_plan, ranges_of, stored
from tunable_models import LAYERS, compact_network

from swp_export.graph.float64.model import Float64Model
from swp_export.precision.balance import balance, summed_rows
from swp_export.precision.integer_values import integer_values
from swp_export.precision.mixed_plan import float_model


def test_balanced_models_compute_the_same() -> None:
    """In real arithmetic the factor of each row and the weight of the sum cancel."""
    plan = int8_plan("shift-sum(2)")
    model = float_model(compact_network(), plan, MULTIPLE)
    truth = Float64Model(model).run(X)["y"]
    rows = summed_rows(integer_values(model.graph, LAYERS).convs)
    peaks = balance(rows, ranges_of(plan).peaks, 127)
    assert len(peaks) == len(rows) >= 2
    np.testing.assert_allclose(Float64Model(model).run(X)["y"], truth, rtol=1e-5, atol=1e-6)


def test_rows_use_their_range() -> None:
    """No row is beyond the common peak, and the largest of each filter comes to it."""
    plan = int8_plan("shift-sum")
    model = float_model(compact_network(), plan, MULTIPLE)
    rows = summed_rows(integer_values(model.graph, LAYERS).convs)
    common = {value.name: peak for value, peak in balance(rows, ranges_of(plan).peaks, 127).items()}
    found: dict[str, np.ndarray] = {}
    Float64Model(model).run(X, on_value=found.setdefault)
    for name, peak in common.items():
        of_row = np.abs(found[name or ""]).max(axis=(0, 2, 3))
        assert of_row.max() <= peak * 1.0001
        assert of_row.max() >= 0.98 * peak


def test_sums_are_whole_numbers_of_their_scale() -> None:
    """The sum's weights are whole: the largest row of each filter has 127, a smaller one less, what is not summed 0."""
    weight = stored(int8_model("shift-sum"), "conv0/weight_2/quantized")
    summing = weight.reshape(len(weight), -1)
    assert set(summing.max(axis=1)[(summing != 0).any(axis=1)]) == {127}
    assert (summing >= 0).all()
