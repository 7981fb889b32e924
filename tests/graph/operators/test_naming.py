"""An operator of another domain is never taken for ONNX's, by any pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_models import PADS, copied, model_from_text, to_bytes, weights

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.analysis.constant_channels import constant_channels
from swp_export.graph.convolutions import stripe_conv_from_node
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import weights_of
from swp_export.graph.passes.canonicalise_flatten import CanonicaliseFlatten
from swp_export.graph.passes.explicit_pads import ExplicitPads
from swp_export.graph.passes.fold_batch_norm import FoldBatchNorm
from swp_export.graph.passes.order_channels import channel_groups
from swp_export.graph.passes.remove_identity import RemoveIdentity
from swp_export.graph.passes.remove_repeated_relu import RemoveRepeatedRelu
from swp_export.graph.pipeline import compact

if TYPE_CHECKING:
    import onnx_ir as ir

RNG = np.random.default_rng(0)
VECTORS = {name: RNG.random(8) + 0.5 for name in ("p0", "p1", "p2", "p3")}
TENSORS = {
    "w": weights(RNG, 8, 3, 3, 3, dead=[1, 2]),
    "v": weights(RNG, 8, 8, 3, 3, dead=[3]),
    "d": weights(RNG, 8, 1, 3, 3),
    "k": RNG.normal(size=(8, 1, 1)),
    "u": weights(RNG, 8, 8),
    "e": np.ones((4, 8, 3, 3)),
    "two": np.array([0, -1]),
    **VECTORS,
}
TWINS = (
    "m = other.Relu (h)",
    "m = other.Identity (h)",
    f"m = other.Conv <{PADS}> (h, v)",
    f"m = other.Conv <{PADS}, group = 8> (h, d)",
    "m = other.BatchNormalization (h, p0, p1, p2, p3)",
    "m = other.Add (h, k)",
    "m = other.Add (h, h)",
    "m = other.Mul (h, k)",
    "m = other.Concat <axis = 1> (h, h)",
    "m = other.MaxPool <kernel_shape = [1, 1]> (h)",
    "m = other.Clip (h)",
    "m = other.Resize (h)",
    "m = other.ReduceMean <axes = [2, 3]> (h)",
    "m = other.Cast <to = 1> (h)",
    "m = other.MatMul (h, u)",
    "m = other.Flatten (h)",
    "m = other.Reshape (h, two)",
    "m = other.Gemm (h, u)",
    "m = other.Shape (h)",
)


def model(middle: str) -> ir.Model:
    """Return a convolution with dead filters, `middle`, which states the shape of its output, and another reader."""
    body = f"h = Conv <{PADS}> (x, w) {middle} r = Relu (h) z = Conv <{PADS}> (r, e)"
    used = {name: array for name, array in TENSORS.items() if any(f"{a}{name}{b}" in body for a in " (" for b in ",)")}
    outputs = "double[N, 8, 6, 6] m, double[N, 4, 6, 6] z"
    return model_from_text(body, x="double[2, 3, 6, 6] x", y=outputs, domains=["other"], **used)


@pytest.mark.parametrize("middle", TWINS)
def test_a_foreign_twin_is_left_alone(middle: str) -> None:
    """Its input keeps every channel, nothing is known of its output, and no pass touches it."""
    before = model(middle)
    twin = before.graph[1]
    assert operator_of(twin) == ""
    assert weights_of(twin) is None
    assert stripe_conv_from_node(twin) is None
    channels = Channels(before.graph)
    assert not channels.follows(twin)
    h = channels.of(before.graph[0].outputs[0])
    assert h is not None
    assert np.isin(h, channels.pinned()).all()
    assert twin.outputs[0] not in constant_channels(before.graph)
    assert not channel_groups(before.graph)
    after = compact(copied(before))
    assert after.graph[1].op_type == twin.op_type
    assert [value.name for value in after.graph[1].inputs] == [value.name for value in twin.inputs if value is not None]
    assert before.graph.initializers["w"].shape == after.graph.initializers["w"].shape


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (FoldBatchNorm, f"h = Conv <{PADS}> (x, w) y = other.BatchNormalization (h, p0, p1, p2, p3)"),
        (FoldBatchNorm, f"h = other.Conv <{PADS}> (x, w) y = BatchNormalization (h, p0, p1, p2, p3)"),
        (RemoveRepeatedRelu, "a = other.Relu (x) b = Relu (a) y = Neg (b)"),
        (RemoveRepeatedRelu, "a = Relu (x) b = other.Relu (a) y = Neg (b)"),
        (RemoveRepeatedRelu, "a = Relu (x) m = other.MaxPool (a) b = Relu (m) y = Neg (b)"),
        (RemoveIdentity, "a = other.Identity (x) y = Neg (a)"),
        (ExplicitPads, 'y = other.Conv <auto_pad = "VALID"> (x, w)'),
        (CanonicaliseFlatten, "y = other.Reshape (x, two)"),
    ],
)
def test_passes_that_look_for_an_operator(make: type[ir.passes.InPlacePass], body: str) -> None:
    """They change nothing where one of the nodes is another domain's."""
    used = {name: array for name, array in TENSORS.items() if any(f"{a}{name}{b}" in body for a in " (" for b in ",)")}
    before = model_from_text(body, x="double[2, 3, 6, 6] x", domains=["other"], **used)
    after = copied(before)
    assert not make()(after).modified
    assert to_bytes(after) == to_bytes(copied(before))
