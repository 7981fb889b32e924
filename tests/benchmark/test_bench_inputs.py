"""The shape that a model is measured on."""

import numpy as np
import onnx.parser
import pytest

from swp_export.benchmark.inputs import noise, shape_of
from swp_export.errors import InputError, ModelError
from swp_export.runtime.session import open_session


def session(inputs="float[N, 3, 8, 8] x", *, stated=None, body="y = Relu(x)"):
    """Open a model of one operator whose metadata states `stated`."""
    metadata = f', metadata_props: ["swp_export.input_shape": "{stated}"]' if stated else ""
    return open_session(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]{metadata}> m ({inputs}) => (y) {{ {body} }}')
    )


def test_static_dimensions_say_the_shape():
    """What the model's own input says is used, with the batch that was asked for."""
    assert shape_of(session(), 4) == (4, 3, 8, 8)


def test_metadata_says_the_shape_of_a_dynamic_model():
    """Where the input is dynamic, the metadata we write says it."""
    assert shape_of(session("float[N, 3, H, W] x", stated="3,32,24"), 2) == (2, 3, 32, 24)


def test_the_option_comes_first():
    """An explicit shape wins over metadata."""
    assert shape_of(session("float[N, 3, H, W] x", stated="3,32,32"), 1, (3, 16, 16)) == (1, 3, 16, 16)


def test_an_unknown_shape_names_the_option():
    """Nothing says the shape: the message says what to pass."""
    with pytest.raises(InputError, match="pass --input-shape C,H,W"):
        shape_of(session("float[N, 3, H, W] x"), 1)


@pytest.mark.parametrize("stated", ["3x32", "3,32"])
def test_unreadable_metadata_is_an_error_of_the_model(stated):
    """Metadata that is no shape is quoted, and what to pass instead is named."""
    with pytest.raises(ModelError, match=f"'{stated}'.*pass --input-shape C,H,W"):
        shape_of(session("float[N, 3, H, W] x", stated=stated), 1)


def test_another_batch_than_the_fixed_one_is_refused():
    """A model exported for one batch says which."""
    with pytest.raises(InputError, match="fixed batch of 1, asked for 8"):
        shape_of(session("float[1, 3, 8, 8] x"), 8)


@pytest.mark.parametrize(
    ("inputs", "body", "reason"),
    [("float[N] x, float[N] z", "y = Add(x, z)", "one input, got 2"), ("bool[N] x", "y = Not(x)", "x is bool")],
)
def test_other_inputs_than_one_of_numbers_are_refused(inputs, body, reason):
    """We measure networks over one tensor of numbers, and say so."""
    with pytest.raises(ModelError, match=reason):
        shape_of(session(inputs, body=body), 1)


def test_noise_is_seeded_and_of_the_inputs_dtype():
    """The same seed gives the same values, in the model's dtype."""
    half = session("float16[N, 3, 8, 8] x")
    one = noise(half, (2, 3, 8, 8), seed=1)["x"]
    assert one.dtype == np.float16
    np.testing.assert_array_equal(one, noise(half, (2, 3, 8, 8), seed=1)["x"])
    assert not np.array_equal(one, noise(half, (2, 3, 8, 8), seed=2)["x"])


def test_noise_of_integers_is_that_of_pixels():
    """Models of bytes are measured on numbers from 0 to 255."""
    pixels = noise(session("uint8[N, 3, 8, 8] x", body="c = Cast <to = 1> (x) y = Relu (c)"), (2, 3, 8, 8))["x"]
    assert pixels.dtype == np.uint8
    assert pixels.max() > 250
