"""Drawn layers with real weights: every lowering is exact, and lifted bit for bit. The oracle is PyTorch in float64."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_models import conv_model, in_order, smallest_size, stripe_convs, to_bytes, torch_conv

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lift, lower
from swp_export.runtime.session import open_session
from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    import onnx_ir as ir

EXACT = 1e-10
every_lowering = pytest.mark.parametrize("name", LOWERINGS)
sizes = st.tuples(st.integers(0, 5), st.integers(0, 5))
multiples = st.sampled_from([1, 4, 8])


def lowered(conv: StripeConv, name: str, multiple: int = 8) -> ir.Model:
    """Return the model of `conv` alone, written by `name`."""
    model = conv_model(conv)
    lower(model, lambda _: name, multiple=multiple)
    return model


def error(conv: StripeConv, model: ir.Model, *, batch: int, size: tuple[int, int]) -> float:
    """Return how far `model` is from PyTorch's convolution in float64; infinite where the shapes differ."""
    x = np.random.default_rng(7).normal(size=(batch, conv.channels, *size))
    truth, found = torch_conv(conv, x), Float64Model(model).run(x)["y"]
    return float(np.abs(truth - found).max()) if truth.shape == found.shape else np.inf


def admitted(conv: StripeConv, name: str) -> StripeConv | None:
    """Return `conv`, or what is like it with fewer stripes, that `name` admits."""
    mask = conv.skeleton.mask
    first = mask & (mask.reshape(conv.filters, -1).cumsum(axis=1) == 1).reshape(mask.shape)
    mixed = first | (mask & (np.arange(conv.filters) % 2 == 0)[:, None, None])
    fewer = [dataclasses.replace(conv, weight=conv.weight * kept[:, None]) for kept in (mixed, first)]
    return next((one for one in (conv, *fewer) if LOWERINGS[name].why_not(one) is None), None)


def drawn(conv: StripeConv, name: str) -> StripeConv:
    """Return what `name` admits of a drawn layer; where that is nothing, another one is drawn."""
    found = admitted(conv, name)
    assume(found is not None)
    assert found is not None
    return found


def wide_conv(name: str, filters: int, **geometry: tuple[int, ...]) -> StripeConv:
    """Return a layer in which filters have no stripe, one, several or all, as far as `name` admits it."""
    rng = np.random.default_rng(0)
    mask = rng.random((filters, 3, 3)) < rng.choice([0.0, 0.11, 0.11, 0.3, 1.0], size=(filters, 1, 1))
    mask[5] = True
    mask[[0, 9]] = False
    mask[[9, 11], [2, 1], [0, 1]] = True
    weight = rng.normal(size=(filters, 5, 3, 3)) * mask[:, None]
    conv = admitted(StripeConv(name="conv", weight=weight, bias=rng.normal(size=filters), **geometry), name)
    assert conv is not None
    return conv


@every_lowering
@settings(max_examples=60)
@given(conv=stripe_convs(), extra=sizes, batch=st.integers(1, 3), multiple=multiples)
def test_any_layer(name: str, conv: StripeConv, extra: tuple[int, int], batch: int, multiple: int) -> None:
    """Any skeleton, kernel, stride, pads, dilation, batch, multiple and size, down to the smallest legal one."""
    conv = drawn(conv, name)
    height, width = smallest_size(conv)
    model = lowered(conv, name, multiple)
    assert error(conv, model, batch=batch, size=(height, width)) < EXACT
    assert error(conv, model, batch=1, size=(height + extra[0], width + extra[1])) < EXACT


@every_lowering
@settings(max_examples=40)
@given(conv=stripe_convs(), multiple=multiples, ordered=st.booleans())
def test_lift_gives_it_back(name: str, conv: StripeConv, multiple: int, ordered: bool) -> None:
    """Weight, bias and geometry bit for bit; in the order that was asked for, with its filters of zeros, too."""
    conv = drawn(conv, name)
    if ordered:
        conv = in_order(conv, LOWERINGS[name].order(conv, multiple))
    ((_, lifted),) = iterate_stripe_convs(lift(lowered(conv, name, multiple)).graph)
    for field in dataclasses.fields(StripeConv):
        assert np.array_equal(getattr(conv, field.name), getattr(lifted, field.name)), field.name


@every_lowering
@pytest.mark.parametrize("filters", [16, 27])
@pytest.mark.parametrize("geometry", [{"pads": (1, 1, 1, 1)}, {"strides": (2, 1), "dilations": (1, 2)}])
def test_many_filters(name: str, filters: int, geometry: dict[str, tuple[int, ...]]) -> None:
    """Enough filters for several groups, in float64 and in ONNX Runtime to float32's accuracy."""
    conv = wide_conv(name, filters, **geometry)
    assert error(conv, lowered(conv, name), batch=2, size=(7, 9)) < EXACT
    single = dataclasses.replace(conv, weight=conv.weight.astype(np.float32), bias=conv.bias.astype(np.float32))
    content = to_bytes(lowered(single, name))
    onnx.checker.check_model(content, full_check=True)
    x = np.random.default_rng(3).normal(size=(2, conv.channels, 9, 8)).astype(np.float32)
    truth = torch_conv(single, x.astype(np.float64))
    assert np.abs(open_session(content).run({"x": x})["y"] - truth).max() <= 1e-5 * np.abs(truth).max()


@every_lowering
def test_the_oracle_sees_a_stripe_at_the_next_tap(name: str) -> None:
    """A weight moved to a neighbouring tap leaves the tolerance: the tests above prove something."""
    conv = wide_conv(name, 16, pads=(1, 1, 1, 1))
    moved = dataclasses.replace(conv, weight=np.roll(conv.weight, 1, axis=3))
    assert error(conv, lowered(moved, name), batch=1, size=(6, 6)) > 1e-3


@every_lowering
def test_the_oracle_sees_a_millionth(name: str) -> None:
    """So does a weight that is off by so little."""
    conv = wide_conv(name, 16, pads=(1, 1, 1, 1))
    weight = conv.weight.copy()
    weight[5, 0] *= 1 + 1e-6
    altered = dataclasses.replace(conv, weight=weight)
    assert error(conv, lowered(altered, name), batch=1, size=(6, 6)) > EXACT
