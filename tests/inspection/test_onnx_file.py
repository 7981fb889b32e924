"""What is in an ONNX model."""

import hashlib

import numpy as np
import onnx
import pytest
from small_models import model_from_text, to_bytes, to_float32

from swp_export.errors import ModelError, ThresholdError
from swp_export.graph.metadata import THRESHOLD
from swp_export.inspection import onnx_file
from swp_export.inspection.inspect import inspect
from swp_export.inspection.report import TensorSpec
from swp_export.pruning.prune import prune


def test_a_portable_model_shows_the_skeletons_it_was_broken_from(portable):
    """Layers are lifted: shape, skeleton, lowering and what the source had are those of the layer, not of its nodes."""
    first = inspect(portable).layers[0]
    assert (first.name, first.shape, first.lowering) == ("layer0.conv", (4, 2, 3, 3), "pad-slice-add")
    assert (first.filters, first.live_filters, first.filters_before) == (4, 2, 6)
    assert (first.stripes, first.live_stripes) == (36, 4)
    assert first.live_share_per_tap == ((0.25, 0.25, 0), (0, 0.5, 0), (0, 0, 0))
    assert first.stripes_per_filter == (2, 1, 0, 1, 0, 0, 0, 0, 0, 0)
    assert first.magnitudes is None


def test_any_model_shows_where_its_weights_are_zero(dense):
    """Without our metadata too, grouped convolutions included."""
    first, depthwise, last = inspect(dense).layers
    assert (first.live_stripes, first.lowering, first.filters_before) == (4, None, None)
    assert (depthwise.shape, depthwise.live_filters, depthwise.live_stripes) == ((4, 1, 3, 3), 3, 27)
    assert (last.live_stripes, last.stripes_per_filter) == (5, (0, 5))


def test_facts_are_of_the_file_as_it_is(dense):
    """Size, digest, opset, producer, nodes, specs and parameters."""
    report, graph = inspect(dense), inspect(dense).graph
    content = dense.read_bytes()
    assert (report.kind, report.bytes, report.sha256) == ("onnx", len(content), hashlib.sha256(content).hexdigest())
    assert (graph.opsets, graph.ir_version, graph.producer, graph.nodes) == ({"": 18}, 10, "test 1", 5)
    assert graph.inputs == (TensorSpec(name="x", dtype="float", shape=("batch", 2, "height", "width")),)
    assert graph.outputs == (TensorSpec(name="y", dtype="float", shape=("batch", 5)),)
    assert (report.parameters, report.num_classes) == (72 + 4 + 36 + 20, 5)
    assert (report.architecture, report.input_shape, report.recorded_threshold) == (None, None, None)


def test_what_a_model_records_of_itself_is_reported(portable):
    """Architecture, threshold and input shape have fields of their own, the rest is metadata."""
    report = inspect(portable)
    assert (report.architecture, report.recorded_threshold, report.input_shape) == ("Small", 0.01, (2, 8, 8))
    assert report.threshold is None
    assert report.metadata == {"swp_export.version": "0.1.0"}


def test_parameters_are_counted_before_lifting(portable):
    """Four stripes and a carrier for each of two dead filters, with a bias each; the others, the last with a bias."""
    assert inspect(portable).parameters == (4 + 2) * (2 + 1) + 36 + (20 + 5)


def small_stripes(model_path):
    """Make the dead stripes of the first layer small instead, and return their number."""
    model = onnx.load(model_path)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    weight = onnx.numpy_helper.to_array(tensor).copy()
    dead = ~weight.any(axis=1)
    weight += 1e-6 * dead[:, None]
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, "w1"))
    onnx.save(model, model_path)
    return int(dead.sum())


def test_a_threshold_is_relative_to_the_layer(dense):
    """Stripes whose norm is small by the largest of their layer are dead at it, as `prune` would have them."""
    assert small_stripes(dense) == 32
    before, after = inspect(dense), inspect(dense, threshold=1e-3)
    assert (before.layers[0].live_stripes, after.layers[0].live_stripes) == (36, 4)
    assert (before.threshold, after.threshold) == (None, 1e-3)
    assert after.layers[0].magnitudes.minimum == pytest.approx(2e-6)
    assert after.layers[1].magnitudes is None  # grouped: no threshold applies


def test_a_gap_between_norms_suggests_a_threshold(dense):
    """Where small stripes are not zero the report shows the gap without being asked; where they are there is none."""
    assert inspect(dense).values is None
    small_stripes(dense)
    values = inspect(dense).values
    assert (values.gap.low, values.gap.high) == (pytest.approx(2e-6), 1)
    assert inspect(dense, threshold=1e-3).warnings == ()


def test_a_threshold_beyond_the_gap_is_warned_of(dense):
    """As of a checkpoint."""
    model = onnx.load(dense)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w3")
    weight = np.ones((5, 4, 1, 1), np.float32)
    weight[0] = 0.1
    weight[1] = 1e-6
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, "w3"))
    onnx.save(model, dense)
    (warning,) = inspect(dense, threshold=0.3).warnings
    assert "cuts 1 stripes above it" in warning


def test_a_threshold_is_a_share(dense):
    """Of the largest norm: at 1 nothing would be live."""
    with pytest.raises(ThresholdError, match="below 1"):
        inspect(dense, threshold=1.0)


def test_unreadable_metadata_is_an_error_that_names_the_file(portable):
    """Not a traceback."""
    model = onnx.load(portable)
    next(entry for entry in model.metadata_props if entry.key == THRESHOLD).value = "low"
    onnx.save(model, portable)
    with pytest.raises(ModelError, match=r"portable\.onnx records .*'low'"):
        inspect(portable)


def test_a_truncated_file_is_an_error(dense):
    """On one line, from the reader."""
    dense.write_bytes(dense.read_bytes()[:50])
    with pytest.raises(ModelError, match=r"dense\.onnx"):
        inspect(dense)


def kinds():
    """Return a model of a transposed and a 1-D convolution, each with a dead filter, the second of which is kept."""
    w, v = np.ones((2, 3, 2, 2), np.float32), np.ones((4, 2, 3), np.float32)
    w[:, 1], w[0, 0, 1, 0], w[1, 0, 1, 0], v[2] = 0, 0, 0, 0
    return to_float32(
        model_from_text(
            "a = ConvTranspose <strides = [2, 2]> (x, w) b = Conv (z, v) y = Relu (a) u = Relu (b)",
            x="double[N, 2, H, W] x, double[N, 2, L] z",
            y="double[N, 3, P, Q] y, double[N, 4, R] u",
            w=w,
            v=v,
        )
    )


def test_convolutions_of_every_kind(tmp_path):
    """Transposed ones have their filters first; the taps of any rank are counted and drawn."""
    (tmp_path / "kinds.onnx").write_bytes(to_bytes(kinds()))
    transposed, line = inspect(tmp_path / "kinds.onnx").layers
    assert (transposed.shape, transposed.live_filters) == ((3, 2, 2, 2), 2)
    assert (transposed.stripes, transposed.live_stripes) == (12, 7)
    assert (line.shape, line.live_filters, line.stripes, line.live_stripes) == ((4, 2, 3), 3, 12, 9)
    assert line.live_share_per_tap == ((0.75, 0.75, 0.75),)


def test_what_would_stay(tmp_path):
    """Dead filters that pruning would leave, with why; a model that was pruned has what did stay."""
    file = tmp_path / "kinds.onnx"
    file.write_bytes(to_bytes(kinds()))
    assert [(each.filters, each.reason) for each in inspect(file).kept] == 2 * [(1, "the network gives them as output")]
    pruned = prune(file, output=tmp_path / "pruned.onnx", input_shape={"x": (2, 5, 5), "z": (2, 7)})
    assert [(each.filters, each.reason) for each in inspect(pruned.model).kept] == [
        (each.filters, each.reason) for each in pruned.kept
    ]
    assert [each.filters for each in pruned.kept] == [1, 1]


def test_what_would_stay_at_a_threshold(tmp_path):
    """Filters that are small, not zero, are dead at a threshold, and those of them that would stay are told."""
    weight = np.ones((4, 3, 3, 3), np.float32)
    weight[1:3] = 1e-4
    model = model_from_text("y = Conv (x, w)", x="float[N, 3, H, W] x", y="float[N, 4, P, Q] y", w=weight)
    file = tmp_path / "small.onnx"
    file.write_bytes(to_bytes(model))
    assert inspect(file).kept == ()
    assert [each.filters for each in inspect(file, threshold=0.01).kept] == [2]


def test_a_file_that_cannot_be_pruned_is_shown_all_the_same(dense, monkeypatch):
    """What would stay is not known then, and a warning says why; with a threshold it is an error."""

    def refuses(*_):
        raise ModelError("it contradicts itself")

    monkeypatch.setattr(onnx_file, "normalised", refuses)
    report = inspect(dense)
    assert (report.kept, len(report.layers)) == (None, 3)
    assert report.warnings[-1] == "which dead filters would stay if it was pruned cannot be told: it contradicts itself"
    with pytest.raises(ModelError, match="contradicts"):
        inspect(dense, threshold=0.1)
