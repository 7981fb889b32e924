"""Normalisation and class names: from a checkpoint into a model's metadata, and read again."""

from __future__ import annotations

import numpy as np
import pytest

from swp_export.errors import ModelError
from swp_export.graph.metadata import CLASS_NAMES, NORMALISATION
from swp_export.graph.preprocessing import Normalisation, class_names_of, normalisation_of, recorded_preprocessing

OWN = Normalisation(mean=(0.5, 0.25), std=(0.5, 0.125))


def test_what_is_written_is_read_again() -> None:
    """Numbers are exact, and names keep their order, commas and accents."""
    names = ["cat, black", "ænd", "dog"]
    recorded = {"normalisation": {"mean": [0.1, 1 / 3], "std": (1, 0.2)}, "class_names": names}
    facts, warnings = recorded_preprocessing(recorded, 2, 3)
    assert warnings == ()
    assert normalisation_of(facts) == Normalisation(mean=(0.1, 1 / 3), std=(1.0, 0.2))
    assert class_names_of(facts) == tuple(names)
    assert recorded_preprocessing({"normalisation": None, "class_names": None}, 2, 3) == ({}, ())
    assert normalisation_of({}) is class_names_of({}) is None


@pytest.mark.parametrize(
    "normalisation",
    [
        {"mean": [0.5], "std": [0.5]},
        {"mean": [0.5, 0.5], "std": [0.5, 0]},
        {"mean": [0.5, float("nan")], "std": [0.5, 1]},
        {"mean": 0.5, "std": 0.5},
        {"mean": [0.5, "a"], "std": [0.5, 1]},
        [0.5, 0.5],
    ],
)
def test_no_normalisation_is_left_out_with_a_warning(normalisation: object) -> None:
    """What is not one mean and one positive deviation per channel is not handed on, and that is said."""
    facts, warnings = recorded_preprocessing({"normalisation": normalisation}, 2, 3)
    assert facts == {}
    (warning,) = warnings
    assert "mean and std of 2 channels" in warning


@pytest.mark.parametrize("names", [["a", "b"], "abc", [1, 2, 3], []])
def test_no_names_are_left_out_with_a_warning(names: object) -> None:
    """What is not one name per class is not handed on, and that is said."""
    facts, warnings = recorded_preprocessing({"class_names": names}, 2, 3)
    assert facts == {}
    (warning,) = warnings
    assert "expected 3 names" in warning


@pytest.mark.parametrize("text", ["", "[", '{"mean": [1]}', '{"mean": [1], "std": [0]}', "[" * 100_000])
def test_damaged_metadata(text: str) -> None:
    """Metadata that is not what we write is one line."""
    with pytest.raises(ModelError, match=r"net.onnx records .* expected mean and std"):
        normalisation_of({NORMALISATION: text}, "net.onnx")
    with pytest.raises(ModelError, match=r"net.onnx records .* expected a list of names"):
        class_names_of({CLASS_NAMES: text}, "net.onnx")


@pytest.mark.parametrize("axis", [1, -1])
def test_bytes_become_what_the_network_takes(axis: int) -> None:
    """Each channel is divided by 255, then moved and scaled, wherever its axis lies."""
    images = np.moveaxis(np.array([[[[0, 255]], [[51, 102]]]], np.uint8), 1, axis)
    found = np.moveaxis(OWN.of_bytes(images, axis=axis), axis, 1)
    np.testing.assert_allclose(found, [[[[-1, 1]], [[-0.4, 1.2]]]], rtol=1e-6)
    assert found.dtype == np.float32


def test_another_normalisation() -> None:
    """Images that were normalised otherwise are as if they had been so from the start."""
    other = Normalisation(mean=(0.1, 0.2), std=(0.3, 0.4))
    images = np.random.default_rng(0).integers(256, size=(2, 2, 3, 3)).astype(np.uint8)
    np.testing.assert_allclose(OWN.from_other(other, other.of_bytes(images)), OWN.of_bytes(images), atol=1e-5)
