"""A tiny model to measure."""

from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx_ir as ir
import pytest

TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
tiny (float[N, 3, H, W] x) => (float[N, 10] y) {
    h = Conv <pads = [1, 1, 1, 1]> (x, w0)
    r = Relu (h)
    t = Conv (r, w1)
    p = Pad (t, pads)
    s = Slice (p, starts, ends, axes)
    a = Add (s, r)
    q = GlobalAveragePool (a)
    f = Flatten (q)
    y = Gemm <transB = 1> (f, w2)
}
"""
NAMES = (
    "features.0",
    "relu",
    "features.3/conv",
    "features.3/pad",
    "features.3/slice",
    "features.3/add",
    "pool",
    "flatten",
    "classifier",
)


@pytest.fixture(scope="session")
def tiny_proto() -> onnx.ModelProto:
    """Return a dense layer, a lowered one that shifts down by a row, and a classifier, named as ours are."""
    rng = np.random.default_rng(0)
    proto = onnx.parser.parse_model(TEXT)
    tensors = {
        "w0": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "w1": rng.normal(size=(8, 8, 1, 1)).astype(np.float32),
        "w2": rng.normal(size=(10, 8)).astype(np.float32),
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 0]),
        "starts": np.array([0]),
        "ends": np.array([-1]),
        "axes": np.array([2]),
    }
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in tensors.items())
    model = ir.from_proto(proto)
    for node, name in zip(model.graph, NAMES, strict=True):
        node.name = name
        if "/" in name:
            node.metadata_props["swp_export.layer"] = name.partition("/")[0]
    return ir.to_proto(model)


@pytest.fixture
def tiny_file(tiny_proto: onnx.ModelProto, tmp_path: Path) -> Path:
    """Return the tiny model in a file that says its input's shape in its metadata."""
    proto = onnx.ModelProto()
    proto.CopyFrom(tiny_proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = "swp_export.input_shape", "3,8,8"
    path = tmp_path / "tiny.onnx"
    onnx.save(proto, path)
    return path
