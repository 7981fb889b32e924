"""What is in a checkpoint."""

import pytest
import torch

from swp_export.checkpoint import read_checkpoint, write_checkpoint
from swp_export.errors import CheckpointError, ThresholdError
from swp_export.inspection.inspect import inspect


def unknown_state():
    """Return the state of no architecture we know: a striped, a 1x1 and a plain convolution, and a classifier."""
    return {
        "stem.weight": torch.ones(2, 3, 3, 3),
        "stem.FilterSkeleton": torch.tensor([0.5, 0.02, 0.0]).repeat(6).reshape(2, 3, 3),
        "point.weight": torch.ones(4, 2, 1, 1),
        "point.FilterSkeleton": torch.zeros(4, 1, 1),
        "plain.weight": torch.tensor([0.0, 1.0]).repeat(8).reshape(4, 4, 1, 1)[:, :, :1],
        "bn.weight": torch.ones(4),
        "bn.running_mean": torch.ones(4),
        "fc.weight": torch.ones(7, 4),
    }


@pytest.fixture
def unknown(tmp_path):
    """Return a file of that state, without a word about itself."""
    torch.save(unknown_state(), tmp_path / "unknown.pth")
    return tmp_path / "unknown.pth"


def layer_of(report, name):
    """Return the layer called `name`."""
    return next(layer for layer in report.layers if layer.name == name)


def test_the_stripes_of_a_real_checkpoint_at_its_threshold(resnet56):
    """8.1 % of ResNet56's stripes live at 0.01, in no dead layer."""
    report = inspect(resnet56 / "best.pth.tar", threshold=0.01)
    assert (report.kind, report.architecture, report.num_classes) == ("unbroken", "ResNet56", 10)
    assert (report.input_shape, report.threshold, report.recorded_threshold) == ((3, 32, 32), 0.01, None)
    assert (report.totals.stripes, report.totals.live_stripes) == (18384, 1482)
    assert round(100 * 1482 / 18384, 1) == 8.1
    assert len(report.layers) == 57
    assert report.warnings == ()
    assert report.values.thresholds == ()


def test_without_a_threshold_nothing_is_decided(resnet56):
    """Live counts are None, and the round thresholds show the plateau and where a threshold would cut."""
    report = inspect(resnet56 / "best.pth.tar")
    assert report.threshold is report.totals.live_stripes is report.totals.live_filters is None
    first = report.layers[0]
    assert first.live_stripes is first.live_share_per_tap is first.stripes_per_filter is None
    assert first.magnitudes.maximum == pytest.approx(0.5453014)
    counts = {row.threshold: (row.live_stripes, row.live_filters, row.dead_layers) for row in report.values.thresholds}
    assert list(counts) == [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    assert counts[0.01] == (1482, 1168, 0)
    assert counts[0.3] == (103, 102, 53)


def test_the_widest_gap_lies_where_training_cut(resnet56):
    """Between the rests of momentum and the smallest value above 0.01; denormals count for nothing."""
    gap = inspect(resnet56 / "best.pth.tar").values.gap
    assert gap.low == pytest.approx(4.769e-7, rel=1e-3)
    assert gap.high == pytest.approx(0.010369, rel=1e-3)
    assert gap.live_stripes == 1482


@pytest.mark.parametrize("threshold", [None, 0.01])
def test_a_broken_file_with_float_skeletons_agrees_with_the_one_with_masks(resnet56, threshold):
    """Its rows say how many stripes each layer keeps, so it needs no threshold to be looked at."""
    masks = inspect(resnet56 / "pruned.pth.tar")
    floats = inspect(resnet56 / "pruned_patch1.pth.tar", threshold=threshold)
    assert (floats.kind, masks.kind) == ("broken-float", "broken")
    for left, right in zip(floats.layers, masks.layers, strict=True):
        assert (left.name, left.shape, left.live_share_per_tap) == (right.name, right.shape, right.live_share_per_tap)
    assert floats.totals == masks.totals
    if threshold is None:
        low, high = floats.fitting_thresholds
        assert low < 0.01 < high
    else:
        assert (floats.threshold, floats.fitting_thresholds) == (0.01, None)


def test_a_broken_file_is_compared_with_its_stock_network(vgg16):
    """It has forgotten its dead filters; of all VGG16's stripes 4 % live."""
    report = inspect(vgg16 / "pruned.pth.tar")
    totals = report.totals
    assert (report.kind, report.architecture) == ("broken", "VGG16")
    assert (totals.live_stripes, totals.stripes, totals.stripes_before) == (1555, 1369 * 9, 38016)
    assert (report.layers[0].filters, report.layers[0].filters_before) == (31, 64)
    assert report.values is None


def test_lost_blocks_count_as_stripes_before(resnet56):
    """The blocks that prune() replaced by their shortcut are gone from the layers, not from what there was."""
    report = inspect(resnet56 / "pruned_0.2.pth.tar")
    assert [layer.name for layer in report.layers][-2:] == ["layer2.0.0", "layer3.0.0"]
    assert report.totals.stripes_before == 18384


def test_a_threshold_on_a_broken_file_is_refused(resnet56):
    """As `prune` refuses it."""
    with pytest.raises(ThresholdError, match="already broken"):
        inspect(resnet56 / "pruned.pth.tar", threshold=0.01)


def test_a_threshold_that_leaves_nothing_is_refused(resnet56):
    """As `prune` refuses it."""
    with pytest.raises(ThresholdError, match="nothing of the network"):
        inspect(resnet56 / "best.pth.tar", threshold=1.0)


def test_an_unknown_architecture_is_no_obstacle(unknown):
    """All that follows from the state dict is reported, and why the architecture is not."""
    report = inspect(unknown, threshold=0.01)
    assert (report.architecture, report.input_shape, report.num_classes) == (None, None, 7)
    assert report.warnings[0].startswith("the architecture is unknown: the keys")
    assert report.parameters == 54 + 8 + 16 + 4 + 28
    stem = layer_of(report, "stem")
    assert (stem.live_stripes, stem.stripes_per_filter[6]) == (12, 2)
    assert stem.live_share_per_tap == ((1, 1, 0),) * 3
    assert (stem.magnitudes.minimum, stem.magnitudes.maximum) == (0, 0.5)


def test_layers_that_no_threshold_applies_to_are_decided(unknown):
    """A 1x1 layer lives whatever its skeleton holds; a plain one where its weights are not zero."""
    report = inspect(unknown)
    point, plain = layer_of(report, "point"), layer_of(report, "plain")
    assert (point.live_stripes, point.magnitudes) == (4, None)
    assert (plain.live_stripes, plain.magnitudes) == (4, None)
    assert layer_of(report, "stem").live_stripes is None
    assert report.values.count == 18


def test_our_own_layout_says_what_it_is(tmp_path):
    """What the file records is reported, and its threshold decides."""
    file = tmp_path / "own.pth"
    write_checkpoint(
        file,
        unknown_state(),
        architecture="package.module:factory",
        threshold=0.1,
        input_shape=(3, 9, 9),
        class_names=["cat", "dog"],
    )
    report = inspect(file)
    assert (report.architecture, report.input_shape) == ("package.module:factory", (3, 9, 9))
    assert (report.recorded_threshold, report.threshold) == (0.1, 0.1)
    assert report.metadata["class_names"] == ["cat", "dog"]
    assert report.metadata["versions"].keys() == {"swp-export", "torch"}
    assert "normalisation" not in report.metadata
    assert layer_of(report, "stem").live_stripes == 6


def test_what_is_recorded_goes_into_json(tmp_path):
    """NaN is spelled, and a list that holds itself is refused in one line."""
    state = unknown_state()
    write_checkpoint(tmp_path / "own.pth", state, threshold=0.1, normalisation={"mean": [float("nan")]})
    assert inspect(tmp_path / "own.pth").metadata["normalisation"] == {"mean": ["NaN"]}
    names = []
    names.append(names)
    content = torch.load(tmp_path / "own.pth", weights_only=True)
    torch.save(content | {"class_names": names}, tmp_path / "round.pth")
    with pytest.raises(CheckpointError, match=r"round.pth: what it records .* is no plain data"):
        inspect(tmp_path / "round.pth")


def test_a_given_threshold_comes_before_the_recorded_one(tmp_path):
    """Both are reported."""
    write_checkpoint(tmp_path / "own.pth", unknown_state(), threshold=0.1)
    report = inspect(tmp_path / "own.pth", threshold=0.01)
    assert (report.threshold, report.recorded_threshold) == (0.01, 0.1)
    assert layer_of(report, "stem").live_stripes == 12


def test_rows_that_fit_no_threshold_are_told(tmp_path, resnet56):
    """Where the rows of two layers contradict each other, nothing is decided and a warning says so."""
    state = dict(read_checkpoint(resnet56 / "pruned_patch1.pth.tar").state)
    state["conv1.weight"] = state["conv1.weight"][:1]
    torch.save(state, tmp_path / "altered.pth")
    report = inspect(tmp_path / "altered.pth")
    assert report.fitting_thresholds is report.totals.live_stripes is None
    assert any("no threshold keeps" in warning for warning in report.warnings)
    assert report.values.thresholds


def test_a_layer_without_a_live_stripe_is_told(resnet56):
    """At 0.03 two layers of ResNet56 are constant."""
    report = inspect(resnet56 / "best.pth.tar", threshold=0.03)
    (warning,) = report.warnings
    assert warning.count(".conv") == 2


def test_stock_widths_say_nothing_of_a_wider_network(tmp_path, vgg16):
    """A broken file with more filters than the stock network was not broken from it."""
    state = dict(read_checkpoint(vgg16 / "pruned.pth.tar").state)
    state["features.0.FilterSkeleton"] = torch.cat([state["features.0.FilterSkeleton"]] * 3)
    state["features.0.weight"] = torch.cat([state["features.0.weight"]] * 3)
    torch.save(state, tmp_path / "wide.pth")
    report = inspect(tmp_path / "wide.pth")
    assert report.totals.stripes_before is report.layers[1].filters_before is None
    assert report.layers[0].filters == 93
