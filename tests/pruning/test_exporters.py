"""Models as converters of other frameworks write them: each goes through every command, or is refused in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import model_from_text, to_bytes, to_float32, weights

from swp_export.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
SAME = 'auto_pad = "SAME_UPPER"'
PADS = "pads = [1, 1, 1, 1]"
W, V = weights(RNG, 8, 3, 3, 3, dead=[1, 2, 5]), weights(RNG, 6, 8, 3, 3, dead=[2])


def statistics(channels: int, **dead: list[int]) -> dict[str, np.ndarray]:
    """Return scale, shift, mean and variance of a BatchNormalization."""
    return {
        "s": RNG.random(channels) + 0.5,
        "t": RNG.normal(size=channels),
        "m": RNG.normal(size=channels),
        "d": RNG.random(channels) + 0.5,
    }


MODELS: dict[str, dict[str, object]] = {
    # tf2onnx: NHWC, HWIO weights behind a Transpose, bias by Add, names with slashes and colons.
    "tensorflow": {
        "body": "t = Transpose <perm = [0, 3, 1, 2]> (x) k = Transpose <perm = [3, 2, 0, 1]> (hwio) "
        f"c = Conv <{SAME}, strides = [2, 2]> (t, k) b = Add (c, bias) r = Clip (b, low, high) "
        f"e = Conv <{SAME}> (r, v) y = Transpose <perm = [0, 2, 3, 1]> (e)",
        "x": "double[N, 16, 16, 3] x",
        "opset": 13,
        "hwio": W.transpose(2, 3, 1, 0).copy(),
        "v": V,
        "bias": RNG.normal(size=(1, 8, 1, 1)),
        "low": np.array(0.0),
        "high": np.array(6.0),
    },
    # keras2onnx: BatchNormalization after the activation, Reshape by a constant, dense layers as MatMul and Add.
    "keras": {
        "body": f"c = Conv <{PADS}> (x, w) r = Relu (c) n = BatchNormalization <epsilon = 0.001> (r, s, t, m, d) "
        f"e = Conv <{PADS}> (n, v) g = GlobalAveragePool (e) f = Reshape (g, flat) h = MatMul (f, dense) "
        "a = Add (h, shift) y = Softmax <axis = -1> (a)",
        "x": "double[N, 3, 12, 12] x",
        "y": "double[A, B] y",
        "opset": 11,
        "w": W,
        "v": V,
        "flat": np.array([-1, 6]),
        "dense": RNG.normal(size=(6, 5)),
        "shift": RNG.normal(size=5),
        **statistics(8),
    },
    # paddle2onnx: scale and bias of a normalisation apart, hard sigmoid gates, a scale factor beside the image.
    "paddle": {
        "body": f"c = Conv <{PADS}> (x, w) n = BatchNormalization (c, s, t, m, d) g = HardSigmoid <alpha = 0.2> (n) "
        f"h = Mul (n, g) e = Conv <{PADS}, strides = [2, 2]> (h, v) p = ReduceMean <axes = [2, 3], keepdims = 0> (e) "
        "y = Div (p, scale_factor)",
        "x": "double[N, 3, 12, 12] x, double[N, 1] scale_factor",
        "y": "double[A, B] y",
        "opset": 11,
        "w": W,
        "v": V,
        **statistics(8),
    },
    # MXNet: old opset, normalisation unmerged and spatial, a Flatten before each dense layer, gamma fixed to one.
    "mxnet": {
        "body": "z = BatchNormalization <spatial = 1, epsilon = 2.0e-05> (x, one, t3, m3, d3) "
        f"c = Conv <{PADS}, dilations = [1, 1], group = 1, kernel_shape = [3, 3]> (z, w) "
        "n = BatchNormalization <spatial = 1> (c, s, t, m, d) r = Relu (n) "
        "q = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r) "
        f"e = Conv <{PADS}> (q, v) f = Flatten (e) y = Gemm <transB = 1> (f, dense, shift)",
        "x": "double[1, 3, 8, 8] x",
        "y": "double[A, B] y",
        "opset": 8,
        "w": W,
        "v": V,
        "one": np.ones(3),
        "t3": RNG.normal(size=3),
        "m3": RNG.normal(size=3),
        "d3": RNG.random(3) + 0.5,
        "dense": RNG.normal(size=(5, 96)),
        "shift": RNG.normal(size=5),
        **statistics(8),
    },
    # Caffe: LRN, pooling that rounds up, Scale as Mul and Add of [C, 1, 1], Dropout left in place.
    "caffe": {
        "body": f"c = Conv <{PADS}> (x, w, b) r = Relu (c) n = LRN <size = 5> (r) "
        "q = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (n) u = Mul (q, scale) "
        f"a = Add (u, shift) e = Conv <{PADS}> (a, v) g = GlobalAveragePool (e) o = Dropout (g) "
        "y = Softmax <axis = 1> (o)",
        "x": "double[N, 3, 12, 12] x",
        "opset": 10,
        "w": W,
        "b": RNG.normal(size=8),
        "v": V,
        "scale": RNG.normal(size=(8, 1, 1)),
        "shift": RNG.normal(size=(8, 1, 1)),
    },
    # A detector: two heads at two scales, upsampling, concatenation, and boxes flattened to one output.
    "darknet": {
        "body": f"c = Conv <{PADS}> (x, w) n = BatchNormalization (c, s, t, m, d) l = LeakyRelu <alpha = 0.1> (n) "
        f'e = Conv <{PADS}, strides = [2, 2]> (l, v) u = Resize <mode = "nearest"> (e, roi, sizes) '
        f"k = Concat <axis = 1> (u, l) y = Conv <{PADS}> (k, o) z = Reshape (e, rows)",
        "x": "double[N, 3, 16, 16] x",
        "y": "double[N, 4, 16, 16] y, double[N, 6, 64] z",
        "opset": 12,
        "w": W,
        "v": V,
        "o": weights(RNG, 4, 14, 3, 3, dead=[3]),
        "roi": np.zeros(0),
        "sizes": np.array([1.0, 1.0, 2.0, 2.0]),
        "rows": np.array([0, 6, -1]),
        **statistics(8),
    },
    # uint8 images, normalised inside.
    "bytes": {
        "body": f"f = Cast <to = 1> (x) i = Div (f, full) c = Conv <{PADS}> (i, w) r = Relu (c) "
        f"y = Conv <{PADS}> (r, v)",
        "x": "uint8[N, 3, 8, 8] x",
        "full": np.array(255.0),
        "w": W,
        "v": V,
    },
}


def written(folder: Path, name: str) -> Path:
    """Write a model of MODELS in float32."""
    options = {"y": "double[A, B, C, D] y", **MODELS[name]}
    model = to_float32(model_from_text(options.pop("body"), **options))  # type: ignore[arg-type]
    path = folder / f"{name}.onnx"
    path.write_bytes(to_bytes(model))
    return path


def run(*arguments: object) -> dict[str, object]:
    """Run a command and return its JSON; it must succeed."""
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.stderr
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_command(name: str, tmp_path: Path) -> None:
    """Pruned, verified, inspected; and measured where it takes one input."""
    path, out = written(tmp_path, name), tmp_path / "out.onnx"
    report = run("prune", path, "-o", out)
    assert report["verification"]["equivalent"]  # type: ignore[index]
    assert report["layers"][0]["live_filters"] == 5  # type: ignore[index]
    assert run("verify", out, "--against", path)["equivalent"]
    assert run("inspect", out)["layers"]
    assert run("inspect", path)["graph"]
    if name != "paddle":
        assert run("bench", out, "--baseline", path, "--cold")["models"]


@pytest.mark.parametrize("name", MODELS)
def test_thresholds(name: str, tmp_path: Path) -> None:
    """A threshold reaches the weights wherever the converter put them."""
    report = run("prune", written(tmp_path, name), "--threshold", "1e-3", "-o", tmp_path / "out.onnx", "--no-verify")
    assert report["threshold"] == 1e-3
    assert report["layers"][0]["live_filters"] == 5  # type: ignore[index]
    assert not any("was not applied" in text for text in report["warnings"])  # type: ignore[attr-defined]
