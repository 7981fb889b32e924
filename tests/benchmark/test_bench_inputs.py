"""The inputs that a model is measured on."""

import numpy as np
import onnx.parser
import pytest

from swp_export.benchmark.inputs import noise, noise_of, samples_of, shape_of
from swp_export.errors import InputError
from swp_export.runtime.session import open_session


def session(inputs="float[N, 3, 8, 8] x", *, body="y = Relu(x)"):
    """Open a model of one operator."""
    return open_session(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> m ({inputs}) => (y) {{ {body} }}')
    )


def test_another_batch_than_the_fixed_one_is_refused():
    """A model exported for one batch says which."""
    with pytest.raises(InputError, match="fixed batch of 1, asked for 8; pass --batch 1"):
        noise(session("float[1, 3, 8, 8] x"), (8, 3, 8, 8))


def test_noise_is_seeded_and_of_the_inputs_dtype():
    """The same seed gives the same values, in the model's dtype."""
    half = session("float16[N, 3, 8, 8] x")
    one = noise(half, (2, 3, 8, 8), seed=1)["x"]
    assert one.dtype == np.float16
    np.testing.assert_array_equal(one, noise(half, (2, 3, 8, 8), seed=1)["x"])
    assert not np.array_equal(one, noise(half, (2, 3, 8, 8), seed=2)["x"])


def test_noise_of_bytes_is_that_of_pixels():
    """Models of bytes are measured on numbers from 0 to 255."""
    pixels = noise(session("uint8[N, 3, 8, 8] x", body="c = Cast <to = 1> (x) y = Relu (c)"), (2, 3, 8, 8))["x"]
    assert pixels.dtype == np.uint8
    assert pixels.max() > 200


def test_each_of_several_inputs_is_fed():
    """By its name, in its dtype, with the batch that was asked for."""
    two = session("float[N, 3, 4, 4] x, bool[N] b", body="n = Not (b) y = Relu (x)")
    feeds = noise_of(two, {"x": (3, 4, 4), "b": ()}, 2)
    assert shape_of(feeds) == {"x": (2, 3, 4, 4), "b": (2,)}
    assert feeds["b"].dtype == np.bool_


def test_samples_of_the_user_are_repeated_to_fill_the_batch(tmp_path):
    """In their order, and cast to what the model takes."""
    images = np.arange(2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)
    np.savez(tmp_path / "images.npz", images=images)
    feeds = samples_of(session("float16[N, 3, 8, 8] x"), (3, 8, 8), 5, tmp_path / "images.npz")
    np.testing.assert_array_equal(feeds["x"], images[[0, 1, 0, 1, 0]].astype(np.float16))
    assert shape_of(feeds) == (5, 3, 8, 8)


def test_samples_that_do_not_fit_are_refused(tmp_path):
    """The file has no images, or others than the model takes."""
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    with pytest.raises(InputError, match="no array 'images'"):
        samples_of(session(), (3, 8, 8), 1, tmp_path / "other.npz")
