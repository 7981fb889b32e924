"""The float64 truth of networks as people publish them: three of PaddleOCR's, and two kinds in small."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx_ir as ir
import pytest
from float64_runtime import TOLERANCE, difference, unoptimised
from small_models import model_from_text

from swp_export.graph.float64.model import Float64Model

PUBLISHED = Path(sys.prefix) / "published" / "rapidocr_onnxruntime" / "models"
"""Where `make test` puts the models of the package rapidocr-onnxruntime (Apache-2.0), without what it depends on."""
RNG = np.random.default_rng(0)


def text_image() -> np.ndarray:
    """Return a white image `[1, 3, 64, 96]` with a dark speckled bar, in which the detector sees text."""
    image = np.ones((1, 3, 64, 96), np.float32)
    image[:, :, 24:40, 10:80] = np.where(RNG.random((16, 70)) < 0.5, 1, -1)
    return image


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("ch_PP-OCRv4_det_infer", text_image()),
        ("ch_PP-OCRv4_rec_infer", RNG.normal(size=(2, 3, 48, 64)).astype(np.float32)),
        ("ch_ppocr_mobile_v2.0_cls_infer", RNG.normal(size=(2, 3, 48, 100)).astype(np.float32)),
    ],
)
def test_published_networks(name: str, x: np.ndarray) -> None:
    """PaddleOCR's detector, recogniser and classifier compute in float64 what the runtime does."""
    file = PUBLISHED / f"{name}.onnx"
    assert file.exists(), f"{file} is missing: `make test` installs it, see PUBLISHED in the Makefile"
    agrees(onnx.load(file), x)


def test_anchors_of_a_detector() -> None:
    """A head as YOLOv8 exports it: anchors by Range and Cast, distances by a softmax and a fixed convolution."""
    body = """
        s = Shape (x)
        two = Constant <value_int = 2> () three = Constant <value_int = 3> () zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> () half = Constant <value_float = 0.5> ()
        h = Gather (s, two) w = Gather (s, three)
        rows = Range (zero, h, one) columns = Range (zero, w, one)
        rowf = Cast <to = 1> (rows) columnf = Cast <to = 1> (columns)
        row = Add (rowf, half) column = Add (columnf, half)
        hu = Unsqueeze (h, first) wu = Unsqueeze (w, first) hw = Concat <axis = 0> (hu, wu)
        rowt = Unsqueeze (row, last) columnt = Unsqueeze (column, first)
        ys = Expand (rowt, hw) xs = Expand (columnt, hw)
        xf = Reshape (xs, flat) yf = Reshape (ys, flat) anchors = Concat <axis = 1> (xf, yf)
        c = Conv (x, k) f = Reshape (c, sides) t = Transpose <perm = [0, 2, 1, 3]> (f)
        p = Softmax <axis = 1> (t) d = Conv (p, bins) dist = Reshape (d, four)
        lt, rb = Split <axis = 1> (dist, twos)
        low = Sub (anchors, lt) high = Add (anchors, rb) sum = Add (low, high) centre = Div (sum, halves)
        size = Sub (high, low) box = Concat <axis = 1> (centre, size)
        cls = Conv (x, kc) clsf = Reshape (cls, classes) score = Sigmoid (clsf)
        y = Concat <axis = 1> (box, score)
    """
    model = model_from_text(
        body,
        x="float[N, 4, H, W] x",
        y="float[N, 7, P] y",
        opset=13,
        k=RNG.normal(size=(16, 4, 1, 1)).astype(np.float32),
        kc=RNG.normal(size=(3, 4, 1, 1)).astype(np.float32),
        bins=np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1),
        first=np.array([0]),
        last=np.array([1]),
        flat=np.array([1, 1, -1]),
        sides=np.array([0, 4, 4, -1]),
        four=np.array([0, 4, -1]),
        twos=np.array([2, 2]),
        halves=np.array([2.0], np.float32),
        classes=np.array([0, 3, -1]),
    )
    agrees(ir.to_proto(model), RNG.normal(size=(2, 4, 5, 3)).astype(np.float32))


def test_text_recogniser_whose_own_shapes_are_wrong() -> None:
    """Convolutions, Squeeze, Transpose and an LSTM of both directions at opset 12; the file lies about a shape."""
    body = """
        c = Conv <pads = [1, 1, 1, 1]> (x, k) r = Relu (c) p = MaxPool <kernel_shape = [4, 1], strides = [4, 1]> (r)
        q = Squeeze <axes = [2]> (p) t = Transpose <perm = [2, 0, 1]> (q)
        h, last, memory = LSTM <hidden_size = 3, direction = "bidirectional"> (t, w, rec, b)
        u = Transpose <perm = [0, 2, 1, 3]> (h) f = Reshape (u, shape) m = MatMul (f, out) y = LogSoftmax <axis = 2> (m)
    """
    model = model_from_text(
        body,
        x="float[N, 1, 4, W] x",
        y="float[T, N, 7] y",
        opset=12,
        k=RNG.normal(size=(5, 1, 3, 3)).astype(np.float32),
        w=RNG.normal(size=(2, 12, 5)).astype(np.float32),
        rec=RNG.normal(size=(2, 12, 3)).astype(np.float32),
        b=RNG.normal(size=(2, 24)).astype(np.float32),
        shape=np.array([0, 0, 6]),
        out=RNG.normal(size=(6, 7)).astype(np.float32),
    )
    proto = ir.to_proto(model)
    expected = unoptimised(proto, {"x": (x := RNG.normal(size=(2, 1, 4, 9)).astype(np.float32))})
    del proto.graph.value_info[:]
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("t", onnx.TensorProto.INT64, [1, 2, 3, 4]))
    found = Float64Model(ir.from_proto(proto)).run(x)
    assert difference(found["y"], expected["y"]) < TOLERANCE


def agrees(model: onnx.ModelProto, x: np.ndarray) -> None:
    """Assert that the float64 model computes what the runtime does on `x`."""
    truth = Float64Model(ir.from_proto(model))
    found, expected = truth.run(x), unoptimised(model, {truth.inputs[0]: x})
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert difference(found[name], array) < TOLERANCE
