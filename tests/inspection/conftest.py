"""A small model in both forms, and the checkpoints that the project ships."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import ARCHITECTURE, FILTERS, INPUT_SHAPE, LAYER, THRESHOLD, VERSION, encode_filters
from swp_export.lowerings.lower import lower

MODELS = Path(__file__).parents[2] / "models"

GRAPH = """
<ir_version: 10, opset_import: ["" : 18], producer_name: "test", producer_version: "1">
g (float[batch, 2, height, width] x) => (float[batch, 5] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    b = Conv <pads = [1, 1, 1, 1], group = 4> (a, w2)
    pooled = GlobalAveragePool (b)
    c = Conv (pooled, w3)
    y = Flatten (c)
}
"""


def first_weight():
    """Return float32 [4, 2, 3, 3] with live stripes (0, 0), (0, 1) of filter 0 and (1, 1) of filters 0 and 2."""
    weight = np.zeros((4, 2, 3, 3), np.float32)
    weight[0, :, 0, :2] = weight[0, :, 1, 1] = weight[2, :, 1, 1] = 0.5
    return weight


def dense_model():
    """Return a model of three convolutions: striped, depthwise and 1x1."""
    proto = onnx.parser.parse_model(GRAPH)
    depthwise = np.ones((4, 1, 3, 3), np.float32)
    depthwise[1] = 0
    tensors = {"w1": first_weight(), "b1": np.arange(4, dtype=np.float32), "w2": depthwise}
    tensors["w3"] = np.ones((5, 4, 1, 1), np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in tensors.items())
    return ir.serde.deserialize_model(proto)


def write(model, path):
    """Write `model` to `path` and return the path."""
    path.write_bytes(ir.serde.serialize_model(model).SerializeToString())
    return path


@pytest.fixture
def dense(tmp_path):
    """Return the small model as another program would write it."""
    return write(dense_model(), tmp_path / "dense.onnx")


@pytest.fixture
def portable(tmp_path):
    """Return the small model as `prune` would write it: one layer broken into stripes, which lost two filters."""
    model = dense_model()
    for number, (node, conv) in enumerate(iterate_stripe_convs(model.graph)):
        node.metadata_props[LAYER] = f"layer{number}.conv"
        node.metadata_props[FILTERS] = encode_filters(np.arange(conv.filters + 2) < conv.filters)
    lower(model, lambda conv: "dense" if conv.kernel == (1, 1) else "pad-slice-add")
    facts = {ARCHITECTURE: "Small", INPUT_SHAPE: "2,8,8", THRESHOLD: "0.01", VERSION: "0.1.0"}
    model.metadata_props.update(facts)
    return write(model, tmp_path / "portable.onnx")


@pytest.fixture(scope="session")
def resnet56():
    """Return the folder of ResNet56's checkpoints."""
    return MODELS / "resnet56-fashion-mnist"


@pytest.fixture(scope="session")
def vgg16():
    """Return the folder of VGG16's checkpoint."""
    return MODELS / "vgg16-fashion-mnist"
