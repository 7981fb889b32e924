"""Accuracy before and after, and how many predictions changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from small_models import model_from_text, to_bytes
from tiny_training import write_images

from swp_export.errors import InputError
from swp_export.graph.metadata import CLASS_NAMES, NORMALISATION
from swp_export.runtime.session import open_session
from swp_export.verification.accuracy import (
    Classifier,
    accuracy_change,
    classifier_from_reference,
    classifier_from_session,
    compare_accuracy,
    have_predictions,
)
from swp_export.verification.evaluation_data import EvaluationData, read_evaluation_data
from swp_export.verification.references import OnnxReference

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 1, 1)


def one_hot(classes: list[int]) -> np.ndarray:
    """Return images `[N, 3, 1, 1]` whose largest channel is the class."""
    return np.eye(3, dtype=np.float32)[classes].reshape(-1, *SHAPE)


def read(tmp_path: Path, **arrays: Any) -> EvaluationData:
    """Write `arrays` and read them again."""
    np.savez(tmp_path / "val.npz", **arrays)
    data = read_evaluation_data(data=tmp_path / "val.npz", input_shape=SHAPE)
    assert data is not None
    return data


def network(order: tuple[int, ...] = (0, 1, 2), batch: str = "N", dtype: str = "float") -> Classifier:
    """Return a model that gives the channels in `order` as scores."""
    model = model_from_text(
        "g = Gather <axis = 1> (x, order) y = Flatten (g)",
        x=f"{dtype}[{batch}, 3, 1, 1] x",
        y=f"{dtype}[{batch}, 3] y",
        order=np.array(order, np.int64),
    )
    return classifier_from_session(open_session(to_bytes(model)))


def test_before_after_and_changed(tmp_path: Path) -> None:
    """Each network's share of right ones, in percent, the drop, and the predictions that differ."""
    data = read(tmp_path, images=one_hot([0, 1, 2, 2]), labels=[0, 1, 2, 0])
    (result,) = compare_accuracy(data, network(), [network((0, 2, 1))])
    assert (result.before, result.after, result.drop) == (75, 25, 50)
    assert (result.right_before, result.right_after, result.changed, result.predictions) == (3, 1, 3, 4)
    assert result.summary() == (
        "accuracy 75.00 % before, 25.00 % after, 3 of 4 predictions changed on 4 samples of val.npz"
    )
    assert result.to_json()["drop_percent"] == 50


def test_without_labels_changes_are_counted(tmp_path: Path) -> None:
    """Without labels nothing is right or wrong, but predictions are compared."""
    data = read(tmp_path, images=one_hot([0, 1, 2]))
    (result,) = compare_accuracy(data, network(), [network((0, 2, 1))])
    assert (result.before, result.after, result.drop, result.changed) == (None, None, None, 2)
    assert result.summary() == "2 of 3 predictions changed on 3 samples of val.npz, which have no labels"


@pytest.mark.parametrize("batch", ["1", "2", "64"])
def test_models_of_a_fixed_batch(batch: str, tmp_path: Path) -> None:
    """A model that takes one number of images is run on so many; what fills up the last batch is not counted."""
    classes = np.random.default_rng(0).integers(3, size=131).tolist()
    data = read(tmp_path, images=one_hot(classes), labels=classes)
    (same, other) = compare_accuracy(data, network(), [network(batch=batch), network((1, 0, 2))])
    assert (same.right_after, same.changed, same.predictions) == (131, 0, 131)
    assert other.changed == sum(c != 2 for c in classes)


def test_any_type_of_input(tmp_path: Path) -> None:
    """Samples are cast to the type that the model takes, and refused where it cannot hold them."""
    data = read(tmp_path, images=one_hot([0, 1]), labels=[0, 1])
    for dtype in ("double", "float16"):
        (result,) = compare_accuracy(data, network(), [network(dtype=dtype)])
        assert (result.after, result.changed) == (100, 0)
    bytes_ = model_from_text("f = Cast <to = 1> (x) y = Flatten (f)", x="uint8[N, 3, 1, 1] x", y="float[N, 3] y")
    taking_bytes = classifier_from_session(open_session(to_bytes(bytes_)))
    assert compare_accuracy(data, network(), [taking_bytes])[0].after == 100
    halves = read(tmp_path, images=one_hot([0, 1]) / 2, labels=[0, 1])
    with pytest.raises(InputError, match="uint8"):
        compare_accuracy(halves, network(), [taking_bytes])


def test_a_reference_is_run_in_float32(tmp_path: Path) -> None:
    """What a model is verified against is a network before as well."""
    data = read(tmp_path, images=one_hot([0, 1, 2]), labels=[0, 1, 2])
    model = model_from_text("y = Flatten (x)", x="float[N, 3, 1, 1] x", y="float[N, 3] y")
    before = classifier_from_reference(OnnxReference(model, "the source"), SHAPE)
    assert compare_accuracy(data, before, [network()])[0].before == 100


def test_a_model_against_its_reference(tmp_path: Path) -> None:
    """A model is compared with its reference in one call, which has nothing to say without classes."""
    model = model_from_text("y = Flatten (x)", x="float[N, 3, 1, 1] x", y="float[N, 3] y")
    source, session = OnnxReference(model, "the source"), open_session(to_bytes(model))
    result = accuracy_change(read(tmp_path, images=one_hot([0, 1])), source, session, SHAPE)
    assert result is not None
    assert (result.changed, result.predictions) == (0, 2)
    places = OnnxReference(
        model_from_text("y = Relu (x) z = Abs (x)", x="float[N, 3, 1, 1] x", y="float[N, 3] y, float[N, 3] z"), "other"
    )
    assert accuracy_change(read(tmp_path, images=one_hot([0, 1])), places, session, SHAPE) is None


def test_a_class_for_each_place(tmp_path: Path) -> None:
    """Networks that classify places are compared place by place."""
    images, labels = np.zeros((2, 3, 2, 2), np.float32), np.zeros((2, 2, 2), np.int64)
    images[:, 1, 0, 0] = 1
    model = model_from_text("y = Identity (x)", x="float[N, 3, H, W] x", y="float[N, 3, H, W] y")
    places = classifier_from_session(open_session(to_bytes(model)))
    (result,) = compare_accuracy(read(tmp_path, images=images, labels=labels), places, [places])
    assert (result.predictions, result.right_before, result.changed) == (8, 6, 0)


def test_a_model_that_gives_classes(tmp_path: Path) -> None:
    """A model that ends in ArgMax gives its predictions itself."""
    model = model_from_text(
        "f = Flatten (x) y = ArgMax <axis = 1, keepdims = 0> (f)", x="float[N, 3, 1, 1] x", y="int64[N] y"
    )
    data = read(tmp_path, images=one_hot([2, 1]), labels=[2, 0])
    assert compare_accuracy(data, network(), [classifier_from_session(open_session(to_bytes(model)))])[0].after == 50


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0], "'labels' in .*val.npz is int64 \\[1\\]; expected 2 numbers"),
        ([0.5, 1], "expected 2 numbers of classes"),
        ([-1, 1], "from 0 on"),
        (["cat", "dog"], "expected 2 numbers"),
    ],
)
def test_labels_that_are_none(labels: list[object], message: str, tmp_path: Path) -> None:
    """Labels are one number from 0 on for each image."""
    with pytest.raises(InputError, match=message):
        read(tmp_path, images=one_hot([0, 1]), labels=labels)


def test_labels_of_other_classes(tmp_path: Path) -> None:
    """Labels that count from 1, and labels per place of a network that has none, are refused."""
    with pytest.raises(InputError, match=r"a label .* is 3, .* tells 3 classes apart; expected numbers from 0 to 2"):
        compare_accuracy(read(tmp_path, images=one_hot([0, 2]), labels=[1, 3]), network(), [])
    with pytest.raises(InputError, match="expected one label for each prediction"):
        compare_accuracy(read(tmp_path, images=one_hot([0, 2]), labels=[[1], [2]]), network(), [])


def test_networks_without_classes(tmp_path: Path) -> None:
    """What gives no classes has no accuracy: refused with labels, told apart without."""
    model = model_from_text(
        "y = Relu (x) z = Abs (x)", x="float[N, 3, 1, 1] x", y="float[N, 3, 1, 1] y, float[N, 3, 1, 1] z"
    )
    regressor = classifier_from_session(open_session(to_bytes(model)))
    assert not have_predictions(read(tmp_path, images=one_hot([0])), regressor)
    assert have_predictions(read(tmp_path, images=one_hot([0])), network())
    labelled = read(tmp_path, images=one_hot([0]), labels=[0])
    assert have_predictions(labelled, regressor)
    with pytest.raises(InputError, match="no scores of classes"):
        compare_accuracy(labelled, regressor, [])


def test_other_predictions_cannot_be_compared(tmp_path: Path) -> None:
    """Networks with different numbers of predictions are no before and after."""
    model = model_from_text("y = Identity (x)", x="float[N, 3, H, W] x", y="float[N, 3, H, W] y")
    places = classifier_from_session(open_session(to_bytes(model)))
    with pytest.raises(InputError, match="cannot be compared"):
        compare_accuracy(read(tmp_path, images=one_hot([0])), network(), [places])


def test_several_inputs(tmp_path: Path) -> None:
    """A network with several inputs takes an array for each, and labels beside them."""
    model = model_from_text("s = Mul (x, f) y = Flatten (s)", x="float[N, 3, 1, 1] x, float[1] f", y="float[N, 3] y")
    np.savez(tmp_path / "val.npz", x=one_hot([0, 2] * 40), f=np.float32([-1]), labels=[0, 2] * 40)
    data = read_evaluation_data(data=tmp_path / "val.npz", input_shape={"x": SHAPE, "f": ()})
    assert data is not None
    scaled = classifier_from_session(open_session(to_bytes(model)))
    assert compare_accuracy(data, scaled, [scaled])[0].right_before == 0


def test_a_data_set(tmp_path: Path) -> None:
    """The test images of a data set that `train` knows are taken, grey ones with the network's channels."""
    write_images(tmp_path, test=70)
    data = read_evaluation_data(dataset="fashion-mnist", data_path=tmp_path, input_shape=(3, 32, 32))
    assert data is not None
    assert (data.samples, data.name, data.labelled) == (70, "70 test images of fashion-mnist", True)
    parts = list(data.batches(64))
    assert [case.x.shape for case, _ in parts] == [(64, 3, 32, 32), (6, 3, 32, 32)]
    assert [None if labels is None else len(labels) for _, labels in parts] == [64, 6]
    last = read_evaluation_data(dataset="fashion-mnist", data_path=tmp_path, input_shape=(32, 32, 1))
    assert last is not None
    assert last.part(0, 2)[0].x.shape == (2, 32, 32, 1)


def test_the_networks_own_normalisation(tmp_path: Path) -> None:
    """A data set is normalised as the network records it, and so are bytes of a file; floats stay as they are."""
    write_images(tmp_path, test=2)
    facts = {NORMALISATION: '{"mean": [0.5], "std": [0.25]}'}
    shape = (1, 32, 32)
    own, other = (
        read_evaluation_data(dataset="fashion-mnist", data_path=tmp_path, input_shape=shape, metadata=metadata)
        for metadata in ({}, facts)
    )
    assert own is not None
    assert other is not None
    x, y = own.part(0, 2)[0].x, other.part(0, 2)[0].x
    np.testing.assert_allclose(y, (np.asarray(x) * 0.353 + 0.286 - 0.5) / 0.25, atol=1e-5)
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    for images, expected in ((pixels, [-2, 2]), (pixels.astype(np.float32), [0, 255])):
        np.savez(tmp_path / "val.npz", images=images)
        data = read_evaluation_data(data=tmp_path / "val.npz", input_shape=(1, 1, 1), metadata=facts)
        assert data is not None
        assert np.ravel(data.first().x).tolist() == expected


def test_other_classes_than_the_networks(tmp_path: Path) -> None:
    """A data set whose classes are not those that the network names would give a wrong accuracy."""
    write_images(tmp_path, test=2)
    facts = {CLASS_NAMES: '["cat", "dog"]'}
    with pytest.raises(InputError, match=r"the network tells cat, dog apart, .* has T-shirt/top, .* and 5 more"):
        read_evaluation_data(dataset="fashion-mnist", data_path=tmp_path, input_shape=(1, 32, 32), metadata=facts)


def test_one_source_of_data(tmp_path: Path) -> None:
    """A file and a data set are not taken together; neither is no error."""
    with pytest.raises(InputError, match="one of them"):
        read_evaluation_data(data="a.npz", dataset="cifar10", input_shape=SHAPE)
    assert read_evaluation_data(input_shape=SHAPE) is None
    with pytest.raises(InputError, match="does not exist"):
        read_evaluation_data(data=tmp_path / "no.npz", input_shape=SHAPE)
