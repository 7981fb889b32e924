"""Every lowering on its own examples: all that a new one has to be tested for."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from small_models import conv_model, copied, in_order, ops, smallest_size, to_bytes, torch_conv

import swp_export.lowerings
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lift, lower
from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import LARGEST, Geometry, layer
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.stripes import StripeConv

EXAMPLES = [
    pytest.param(lowering, conv, id=f"{name}-{conv.name}")
    for name, lowering in LOWERINGS.items()
    for conv in lowering.examples()
]
every_example = pytest.mark.parametrize(("lowering", "conv"), EXAMPLES)
every_lowering = pytest.mark.parametrize("lowering", LOWERINGS.values(), ids=list(LOWERINGS))


def written(lowering: Lowering, conv: StripeConv, multiple: int = 8) -> ir.Model:
    """Return the model of `conv` alone, written by `lowering`."""
    model = conv_model(conv)
    lower(model, lambda _: lowering.name, multiple=multiple)
    return model


def integers(conv: StripeConv, batch: int, size: tuple[int, int]) -> np.ndarray:
    """Return an input of small integers: every sum of products is one too, and exact in float32."""
    shape = (batch, conv.channels, *size)
    return np.random.default_rng(1).integers(-LARGEST, LARGEST, size=shape).astype(np.float32)


@every_example
def test_computes_the_convolution_bit_for_bit(lowering: Lowering, conv: StripeConv) -> None:
    """In ONNX Runtime and in float64, at the smallest size and another one, filled up or not; the file is valid."""
    height, width = smallest_size(conv)
    for multiple in (1, 8):
        model = written(lowering, conv, multiple)
        content = to_bytes(model)
        onnx.checker.check_model(content, full_check=True)
        session, exact = open_session(content), Float64Model(model)
        for batch, size in ((2, (height, width)), (1, (height + 4, width + 3))):
            x = integers(conv, batch, size)
            truth = torch_conv(conv, x)
            for y in (session.run({"x": x})["y"], exact.run(x.astype(np.float64))["y"]):
                assert np.array_equal(y, truth)


@every_example
def test_lift_gives_the_layer_back_bit_for_bit(lowering: Lowering, conv: StripeConv) -> None:
    """One Conv with every fact of the layer, whatever it was filled up to; it is written as the same bytes again."""
    for multiple in (1, 16):
        model = written(lowering, conv, multiple)
        lifted = lift(copied(model))
        ((_, found),) = iterate_stripe_convs(lifted.graph)
        assert ops(lifted) == ["Conv"]
        for field in dataclasses.fields(conv):
            assert np.array_equal(getattr(found, field.name), getattr(conv, field.name)), field.name
        lower(lifted, lambda _: lowering.name, multiple=multiple)
        assert to_bytes(lifted) == to_bytes(model)


@every_example
@pytest.mark.parametrize("multiple", [1, 8])
def test_in_its_order_there_is_nothing_to_permute(lowering: Lowering, conv: StripeConv, multiple: int) -> None:
    """The order names each filter once and is filled up; in it a layer computes the same, and ends in no Gather."""
    order = lowering.order(conv, multiple)
    assert order.size % multiple == 0
    assert np.array_equal(np.sort(order[order >= 0]), np.arange(conv.filters))
    ordered = in_order(conv, order)
    model = written(lowering, ordered, multiple)
    assert ops(model)[-1] != "Gather"
    x = integers(conv, 1, smallest_size(conv))
    assert np.array_equal(Float64Model(model).run(x.astype(np.float64))["y"], torch_conv(ordered, x))


@every_lowering
def test_says_whether_it_permutes(lowering: Lowering) -> None:
    """Exactly those that say so end some layer in a Gather, for its filters are in another order."""
    last = {ops(written(lowering, conv))[-1] for conv in lowering.examples()}
    assert ("Gather" in last) == lowering.permutes


@every_example
def test_standard_operators_and_no_negative_pads(lowering: Lowering, conv: StripeConv) -> None:
    """Cropping is a Slice, never a Pad by a negative amount, which some tools fuse into invalid convolutions."""
    model = written(lowering, conv)
    assert model.opset_imports == {"": 18}
    for node in model.graph:
        assert node.domain == ""
        assert "pads" not in node.attributes or min(node.attributes["pads"].as_ints()) >= 0
        assert node.op_type != "Pad" or (array_of(node.inputs[1]) >= 0).all()  # type: ignore[operator, union-attr]


@every_lowering
def test_reasons_are_clear(lowering: Lowering) -> None:
    """What cannot be written is refused in a few words that follow a colon, before anything is written."""
    one_tap = layer("1x1 kernel", np.ones((4, 1, 1), bool), Geometry())
    for conv in [one_tap, *(conv for other in LOWERINGS.values() for conv in other.examples())]:
        reason = lowering.why_not(conv)
        assert reason is None or re.fullmatch(r"[a-z0-9][^\n]{8,98}[^.\n]", reason), reason


@every_lowering
def test_a_layer_that_could_not_be_lifted_is_not_broken(lowering: Lowering) -> None:
    """Weights beyond what `lift` makes of a file's word stay one Conv; nobody looks at them for that."""
    weight = np.broadcast_to(np.float32(1), (1 << 14, 1 << 13, 3, 3))
    vast = dataclasses.replace(layer("vast", np.ones((1, 3, 3), bool)), weight=weight, bias=weight[:, 0, 0, 0])
    assert lowering.name == "dense" or "too large" in str(lowering.why_not(vast))


def test_every_lowering_is_in_the_table_with_examples() -> None:
    """A file that defines one is no use before it is listed, and none is listed untested."""
    for module in pkgutil.iter_modules(swp_export.lowerings.__path__, "swp_export.lowerings."):
        importlib.import_module(module.name)
    own = {kind for kind in Lowering.__subclasses__() if kind.__module__.startswith("swp_export.")}
    assert own == {type(lowering) for lowering in LOWERINGS.values()}
    assert [name for name, lowering in LOWERINGS.items() if not lowering.examples()] == []
    refused = {name: [conv.name for conv in low.examples() if low.why_not(conv)] for name, low in LOWERINGS.items()}
    assert not any(refused.values()), refused
