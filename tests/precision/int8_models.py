"""Small models in int8, and kernels as a processor without VNNI has them."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnx_ir as ir
from tunable_models import LAYERS, SHAPE, compact_network

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.lowerings import LOWERINGS
from swp_export.precision.images import Images
from swp_export.precision.mixed_plan import INT8, float_model, integer_layers, mixed_bytes
from swp_export.precision.qdq import values_to_calibrate
from swp_export.precision.ranges import Ranges, calibrate
from swp_export.precision.scheme import Scheme

MULTIPLE = 8
X = np.random.default_rng(0).standard_normal((6, *SHAPE), np.float32)
IMAGES = Images(images=X, labels=None, name="noise")


def int8_plan(lowering: str, *, floats: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the plan that writes all layers but `floats` in int8, by `lowering` where it applies."""
    convs = {conv.name: conv for _, conv in iterate_stripe_convs(compact_network().graph)}
    names = {name: lowering if LOWERINGS[lowering].why_not(convs[name]) is None else "dense" for name in LAYERS}
    return {name: form if name in floats else INT8 + form for name, form in names.items()}


def ranges_of(plan: dict[str, str]) -> Ranges:
    """Return where the values of the network written by `plan` lie on X."""
    model = float_model(compact_network(), plan, MULTIPLE)
    return calibrate(model, X, *values_to_calibrate(model, integer_layers(plan)))


@functools.cache
def int8_model(lowering: str = "shift-sum", floats: tuple[str, ...] = (), scheme: Scheme | None = None) -> bytes:
    """Return the network in int8, calibrated on X."""
    plan = int8_plan(lowering, floats=floats)
    return mixed_bytes(compact_network(), plan, MULTIPLE, scheme or Scheme(), ranges_of(plan))


def changed(content: bytes, name: str, change: np.ndarray) -> bytes:
    """Return a model with another initializer `name`."""
    model = ir.from_proto(onnx.ModelProto.FromString(content))
    model.graph.initializers[name].const_value = ir.tensor(change, name=name)
    result: bytes = ir.to_proto(model).SerializeToString()
    return result


def stored(content: bytes, name: str) -> np.ndarray:
    """Return the initializer `name` of a model."""
    model = ir.from_proto(onnx.ModelProto.FromString(content))
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return np.array(tensor.numpy())


def saturating_products(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return uint8 `x` `[C, P]` by int8 `weight` `[N, C]`, pairs added in 16 bits as VPMADDUBSW does, then in 32."""
    pairs = x.astype(np.int32)[None, :, :] * weight.astype(np.int32)[:, :, None]
    of_pair = pairs.reshape(len(weight), -1, 2, x.shape[1]).sum(axis=2)
    return np.asarray(np.clip(of_pair, -(1 << 15), (1 << 15) - 1).sum(axis=1))
