"""What models of ours say of themselves, written and read again."""

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import model_from_text, weights

from swp_export.errors import ModelError
from swp_export.graph.metadata import (
    INPUT_SHAPE,
    SUNK,
    THRESHOLD,
    decode_filters,
    decode_names,
    decode_order,
    encode_filters,
    encode_input_shape,
    encode_names,
    encode_order,
    input_shape_of,
    threshold_of,
)


def small_model() -> ir.Model:
    """Return a model of one convolution of images [3, 8, 8]."""
    w = weights(np.random.default_rng(0), 4, 3, 3, 3)
    return model_from_text("y = Conv (x, w)", x="double[N, 3, 8, 8] x", w=w)


class TestInputShape:
    """What a model says of its input."""

    def test_metadata_first(self) -> None:
        """What we wrote into the file wins over the graph's own dimensions."""
        model = small_model()
        assert input_shape_of(model) == (3, 8, 8)
        model.metadata_props[INPUT_SHAPE] = "3,32,32"
        assert input_shape_of(model) == (3, 32, 32)

    @pytest.mark.parametrize("text", ["3,32", "3x32x32", "3,32,0", ""])
    def test_damaged_metadata(self, text: str) -> None:
        """What is no shape is quoted, and the model is called what the caller calls it."""
        model = small_model()
        model.metadata_props[INPUT_SHAPE] = text
        with pytest.raises(ModelError, match=f"^m.onnx records .* = '{text}', expected .*--input-shape"):
            input_shape_of(model, "m.onnx")

    def test_open_sizes(self) -> None:
        """An open size is not guessed."""
        assert input_shape_of(model_from_text("y = Relu (x)", x="double[N, 3, H, W] x")) is None
        assert input_shape_of(model_from_text("y = Relu (x)", x="double[N] x", y="double[N] y")) is None
        assert input_shape_of(model_from_text("y = Relu (x)", x="double[N, 3] x", y="double[N, 3] y")) == (3,)

    def test_several_inputs(self) -> None:
        """They go by name, in the file as JSON; where one is open, nothing is guessed of any."""
        model = model_from_text("y = Add (x, z)", x="double[N, 3, 4] x, double[1] z", y="double[N, 3, 4] y")
        assert input_shape_of(model) == {"x": (3, 4), "z": ()}
        model.metadata_props[INPUT_SHAPE] = encode_input_shape({"x": (3, 9), "z": ()})
        assert input_shape_of(model) == {"x": (3, 9), "z": ()}
        assert input_shape_of(model_from_text("y = Add (x, z)", x="double[N, 3, H, W] x, double[N, 3] z")) is None

    @pytest.mark.parametrize("text", ['{"x": [3, 9]}', '{"x": 3, "z": []}', '{"x": [0, 4], "z": []}', "3,4", "[]"])
    def test_damaged_metadata_of_several(self, text: str) -> None:
        """Each input must be there, with as many sizes as it has."""
        model = model_from_text("y = Add (x, z)", x="double[N, 3, 4] x, double[1] z", y="double[N, 3, 4] y")
        model.metadata_props[INPUT_SHAPE] = text
        with pytest.raises(ModelError, match="expected a JSON object"):
            input_shape_of(model, "m.onnx")

    def test_stored_weights_are_no_input(self) -> None:
        """A weight that is listed among the inputs, even as the first, is not the image."""
        proto = ir.to_proto(small_model())
        weight = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.DOUBLE, [4, 3, 3, 3])
        proto.graph.input.insert(0, weight)
        assert input_shape_of(ir.from_proto(proto)) == (3, 8, 8)


class TestThreshold:
    """What a model says of the threshold it was pruned at."""

    def test_it_is_read_or_none(self) -> None:
        """A number is a number, and no entry is None."""
        model = small_model()
        assert threshold_of(model) is None
        model.metadata_props[THRESHOLD] = "0.01"
        assert threshold_of(model) == 0.01

    @pytest.mark.parametrize("text", ["abc", str(math.nan), "-1", "inf", ""])
    def test_damaged_metadata(self, text: str) -> None:
        """What is no threshold is quoted."""
        model = small_model()
        model.metadata_props[THRESHOLD] = text
        with pytest.raises(ModelError, match=f"^m.onnx records .* = '{text}', expected a number"):
            threshold_of(model, "m.onnx")

    def test_zero(self) -> None:
        """A threshold of zero keeps every stripe that is not exactly zero; none at all is something else."""
        model = small_model()
        model.metadata_props[THRESHOLD] = "0"
        assert threshold_of(model) == 0


class TestFilters:
    """Which filters of a layer are left, and in which order."""

    @given(st.lists(st.booleans(), min_size=1, max_size=70))
    def test_they_travel_as_text(self, kept: list[bool]) -> None:
        """Encoding and decoding which filters are left are inverse."""
        assert decode_filters(encode_filters(np.array(kept))).tolist() == kept

    @given(st.permutations(range(9)), st.integers(0, 4), st.integers(0, 3))
    def test_their_order_travels_with_them(self, filters: list[int], lost: int, fillers: int) -> None:
        """Encoding and decoding the order of those that are left are inverse, fillers included."""
        order = np.array([*filters[lost:], *[-1] * fillers])
        total, found = decode_order(encode_order(9, order))
        assert (total, found.tolist()) == (9, order.tolist())

    @pytest.mark.parametrize(
        "text", ["", "4", "4:", "x:f0", "9:f0", "4:zz", "4:f0:1,2,3", "4:f0:0,1,2,2", "4:f0:-2,0,1,2,3"]
    )
    def test_damaged_metadata(self, text: str) -> None:
        """What is no list of filters is quoted."""
        with pytest.raises(ModelError, match=f"^the model's metadata is damaged: swp_export.filters is '{text}'"):
            decode_order(text)


class TestNames:
    """The names that an operator had before it was moved."""

    def test_they_travel_as_text(self) -> None:
        """A node's name and that of its output are read as they were written; a node without a name has none."""
        node = ir.Node("", "Relu", [ir.Value(name="x")], outputs=[ir.Value(name='an "output"')], name="relu")
        assert decode_names(encode_names(node)) == ("relu", 'an "output"')
        node.name = None
        assert decode_names(encode_names(node)) == ("", 'an "output"')

    @pytest.mark.parametrize("text", ["", "relu", "[1]", "3", "[1, 2, 3]"])
    def test_damaged_metadata(self, text: str) -> None:
        """What are no two names is quoted."""
        with pytest.raises(ModelError, match=f"^the model's metadata is damaged: {SUNK} is "):
            decode_names(text)
