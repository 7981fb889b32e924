"""FilterStripe: a broken layer computes what the masked dense one does."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from swp_export.nn import FilterStripe
from swp_export.nn.filter_stripe import dense_from_rows, live_stripes, rows_from_dense

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer in float64, with dead stripes, and an input for it."""

    layer: FilterStripe
    x: torch.Tensor


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a geometry, a mask (all, none, one, a dead tap, random) and an input not smaller than the kernel."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)).filter(lambda k: k != (1, 1)))
    stride, dilation = draw(pairs), draw(pairs)
    padding = draw(st.none() | st.integers(0, 2) | st.tuples(st.integers(0, 3), st.integers(0, 3)))
    filters, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    layer = FilterStripe(channels, filters, kernel, stride, padding, dilation, bias=draw(st.booleans())).double()
    live = draw(st.sampled_from(["all", "none", "one", "dead tap", "random"]))
    mask = torch.rand(filters, *kernel) < 0.4
    if live == "dead tap":
        mask = torch.ones(filters, *kernel, dtype=torch.bool)
        mask[:, 0, -1] = False
    elif live != "random":
        mask = torch.full((filters, *kernel), live == "all")
        mask[0, -1, 0] |= live == "one"
    layer.FilterSkeleton.data = torch.where(mask, 0.5 + torch.rand(filters, *kernel, dtype=torch.float64), 0.001)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [r + draw(st.integers(0, 5)) for r in reach]
    return Case(layer, torch.randn(2, channels, *size, dtype=torch.float64))


def masked(layer: FilterStripe, x: torch.Tensor) -> torch.Tensor:
    """Return what the dense layer computes with its dead stripes set to zero."""
    skeleton = torch.where(live_stripes(layer.FilterSkeleton, 0.01), layer.FilterSkeleton, 0.0)
    weight = layer.weight * skeleton[:, None]
    return functional.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation)


@settings(deadline=None)
@given(cases())
def test_a_broken_layer_equals_the_masked_dense_one(case: Case) -> None:
    """For every kernel, stride, padding, dilation, bias and mask both forms compute the same."""
    expected = masked(case.layer, case.x)
    case.layer.break_(0.01)
    torch.testing.assert_close(case.layer(case.x), expected)


@settings(deadline=None, max_examples=25)
@given(cases())
def test_unbreaking_restores_the_masked_weight(case: Case) -> None:
    """`unbreak_` undoes `break_`: the dense layer computes the same again, with 0/1 skeletons."""
    expected = masked(case.layer, case.x)
    case.layer.break_(0.01)
    mask = case.layer.FilterSkeleton.detach()
    case.layer.unbreak_()
    assert not case.layer.broken
    assert torch.equal(case.layer.FilterSkeleton, mask.double())
    torch.testing.assert_close(case.layer(case.x), expected)


@settings(deadline=None, max_examples=25)
@given(cases())
def test_only_live_stripes_at_kept_positions_are_computed(case: Case) -> None:
    """A broken layer costs 2 * S * C FLOPs per position of its output, whatever the stride."""
    case.layer.break_(0.01)
    with FlopCounterMode(display=False) as counter:
        out = case.layer(case.x)
    stripes, channels = case.layer.weight.shape[:2]
    assert counter.get_total_flops() == 2 * stripes * channels * out.shape[0] * out.shape[2] * out.shape[3]


@settings(deadline=None, max_examples=25)
@given(cases())
def test_a_broken_layer_trains_its_live_stripes_alone(case: Case) -> None:
    """The gradient of the rows is the masked dense weight's gradient at the live stripes."""
    layer = case.layer
    layer.break_(0.01)
    mask = layer.FilterSkeleton.detach()
    assume(bool(mask.any()))  # otherwise the output depends on nothing to be trained
    layer(case.x).square().sum().backward()
    weight = dense_from_rows(layer.weight.detach(), mask).requires_grad_()
    bias = None if layer.bias is None else layer.bias.detach()
    functional.conv2d(case.x, weight, bias, layer.stride, layer.padding, layer.dilation).square().sum().backward()
    assert layer.weight.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, rows_from_dense(weight.grad, mask))


def test_rows_are_ordered_by_tap_and_then_by_filter() -> None:
    """Row order is (i, j, filter), the order of the method's files."""
    weight = torch.arange(8.0).reshape(2, 1, 2, 2)
    mask = torch.tensor([[[True, True], [False, True]], [[True, False], [True, True]]])
    rows = rows_from_dense(weight, mask)
    assert rows.shape == (6, 1, 1, 1)
    assert rows.flatten().tolist() == [0, 4, 1, 6, 3, 7]


def test_broken_layers_have_the_keys_of_the_method() -> None:
    """A broken layer saves a bool, untrained skeleton and its rows, and does not save BrokenTarget."""
    layer = FilterStripe(3, 4, 3)
    layer.FilterSkeleton.data[0, 1] = 0
    layer.break_(0.01)
    state = layer.state_dict()
    assert {key: (tuple(t.shape), t.dtype) for key, t in state.items()} == {
        "weight": ((33, 3, 1, 1), torch.float32),
        "FilterSkeleton": ((4, 3, 3), torch.bool),
    }
    assert not layer.FilterSkeleton.requires_grad
    assert layer.BrokenTarget is not None
    assert torch.equal(layer.BrokenTarget, layer.FilterSkeleton.sum(0))


def test_without_a_live_stripe_the_output_is_the_bias() -> None:
    """A layer with no live stripe is constant and keeps its output's shape."""
    layer = FilterStripe(3, 2, 3, stride=2, bias=True)
    layer.break_(2.0)
    out = layer(torch.randn(1, 3, 7, 9))
    assert layer.bias is not None
    assert torch.equal(out, layer.bias[None, :, None, None].expand(1, 2, 4, 5))


def test_a_threshold_is_strict_and_compared_in_float32() -> None:
    """A value that rounds to the threshold in float32 is dead, though it exceeds it in float64."""
    values = torch.tensor([[[0.1, -0.1, 0.10001]]])
    assert values[0, 0, 0].item() > 0.1
    assert live_stripes(values, 0.1).tolist() == [[[False, False, True]]]


def test_a_1x1_layer_is_scaled_and_never_thresholded() -> None:
    """Every stripe of a 1x1 layer is live, whatever its skeleton says; breaking it only multiplies."""
    layer = FilterStripe(3, 4, 1)
    layer.FilterSkeleton.data.fill_(1e-6)
    x = torch.randn(1, 3, 5, 5)
    expected = layer(x)
    assert not layer.striped
    assert layer.prune_out(0.5).tolist() == [True] * 4
    layer.break_(0.5)
    assert layer.FilterSkeleton.all()
    torch.testing.assert_close(layer(x), expected)


def test_prune_out_drops_filters_without_a_live_stripe() -> None:
    """The filters that stay compute what they did, bias included."""
    layer = FilterStripe(3, 4, 3, bias=True)
    layer.FilterSkeleton.data[[1, 3]] = 0.005
    x = torch.randn(2, 3, 6, 6)
    expected = layer(x)[:, [0, 2]]
    assert layer.prune_out(0.01).tolist() == [True, False, True, False]
    assert layer.out_channels == 2
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("broken", [False, True])
def test_prune_in_drops_input_channels(broken: bool) -> None:
    """Dropping a channel is the same as feeding it zeros, before and after breaking."""
    layer = FilterStripe(3, 4, 3)
    layer.FilterSkeleton.data[0] = 0
    x = torch.randn(2, 3, 6, 6)
    x[:, 1] = 0
    expected = layer(x)
    if broken:
        layer.break_(0.01)
    layer.prune_in(torch.tensor([True, False, True]))
    assert layer.in_channels == 2
    torch.testing.assert_close(layer(x[:, [0, 2]]), expected)


@pytest.mark.parametrize(("kernel", "padding"), [(3, (1, 1)), (1, (0, 0)), ((5, 2), (2, 1))])
def test_default_padding_is_half_the_kernel(kernel: int | tuple[int, int], padding: tuple[int, int]) -> None:
    """Without a padding the layer has the method's."""
    assert FilterStripe(1, 1, kernel).padding == padding


def test_a_broken_layer_keeps_dtype_and_takes_unbatched_input() -> None:
    """A broken layer works in bfloat16 and on `[C, H, W]`, as nn.Conv2d does."""
    layer = FilterStripe(3, 4, 3).bfloat16()
    layer.break_(0.01)
    out = layer(torch.randn(3, 6, 6, dtype=torch.bfloat16))
    assert (out.shape, out.dtype) == ((4, 6, 6), torch.bfloat16)


def test_groups_are_refused() -> None:
    """A grouped convolution has no Filter Skeleton, and the error says what to use."""
    with pytest.raises(ValueError, match=r"groups=2: use nn\.Conv2d"):
        FilterStripe(4, 4, 3, groups=2)


def test_a_broken_layer_is_not_broken_again() -> None:
    """Operations that need the other form say so instead of computing something else."""
    layer = FilterStripe(3, 4, 3)
    with pytest.raises(ValueError, match="not broken"):
        layer.unbreak_()
    layer.break_(0.01)
    with pytest.raises(ValueError, match="broken already"):
        layer.break_(0.01)
    with pytest.raises(ValueError, match="broken already"):
        layer.prune_out(0.01)


def test_an_input_smaller_than_the_kernel_is_refused() -> None:
    """A broken layer refuses what the dense one does, instead of returning an empty map."""
    layer = FilterStripe(1, 1, 5, padding=0)
    layer.break_(0.01)
    with pytest.raises(ValueError, match="smaller than the kernel"):
        layer(torch.zeros(1, 1, 4, 8))
