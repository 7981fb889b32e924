"""convert: what can carry a skeleton gets one and computes what it did; the rest stays as it is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

from swp_export.nn import FilterStripe, convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.sampled_from(["same", "valid"]) | st.integers(0, 2) | st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def plain_convolutions(draw: st.DrawFn) -> nn.Conv2d:
    """Draw a plain convolution of any geometry that can carry a skeleton."""
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)).filter(lambda size: size != (1, 1)))
    padding, dilation = draw(paddings), draw(pairs)
    if padding == "same" and any(d * (k - 1) % 2 for d, k in zip(dilation, kernel, strict=True)):
        padding = "valid"
    stride = 1 if padding == "same" else draw(pairs)
    torch.manual_seed(draw(st.integers(0, 2**16)))
    bias, dtype = draw(st.booleans()), draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    return nn.Conv2d(3, 4, kernel, stride, padding, dilation, bias=bias, dtype=dtype)


@settings(max_examples=60)
@given(plain_convolutions())
def test_outputs_are_bit_for_bit_those_of_before(layer: nn.Conv2d) -> None:
    """For every kernel, stride, padding, dilation, bias and dtype, in value and in gradient."""
    network = nn.Sequential(layer)
    x = torch.randn(2, 3, 24, 25, dtype=layer.weight.dtype)
    expected = network(x)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), layer.weight)
    found = convert(network)(x)
    assert isinstance(network[0], FilterStripe)
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), network[0].weight)
    assert torch.equal(gradient, expected_gradient)


@settings(max_examples=60)
@given(plain_convolutions())
def test_a_converted_layer_can_be_broken(layer: nn.Conv2d) -> None:
    """What the layer is after `convert` is enough to run it stripe by stripe, string paddings included."""
    layer = layer.double()
    x = torch.randn(2, 3, 24, 25, dtype=torch.float64)
    network = convert(nn.Sequential(layer))
    striped = network[0]
    assert isinstance(striped, FilterStripe)
    striped.FilterSkeleton.data[torch.rand_like(striped.FilterSkeleton) < 0.5] = 0
    expected = network(x)
    striped.break_(0.01)
    torch.testing.assert_close(network(x), expected)


def test_layers_stay_the_objects_that_they_are() -> None:
    """Module, parameters, values, dtype, requires_grad, mode and keys stay; an optimizer made before goes on."""
    layer = nn.Conv2d(3, 4, 3, dtype=torch.float64).eval()
    layer.weight.requires_grad_(False)
    network = nn.Sequential(layer)
    weight, bias, before = layer.weight, layer.bias, copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=1)
    assert convert(network) is network
    assert network[0] is layer
    assert layer.weight is weight
    assert layer.bias is bias
    assert not layer.training
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in before.items())
    assert network.state_dict().keys() - before.keys() == {"0.FilterSkeleton"}
    network(torch.ones(1, 3, 5, 5, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert bias is not None
    assert torch.equal(layer.bias, before["0.bias"] - 9)


@pytest.mark.parametrize("trained", [True, False])
def test_the_skeleton_is_like_the_weight(trained: bool) -> None:
    """It has ones for `[N, K_h, K_w]`, in the weight's dtype and on its device, and is frozen if the weight is."""
    layer = nn.Conv2d(3, 4, (1, 7), dtype=torch.bfloat16, device="meta").requires_grad_(trained)
    skeleton = convert(layer).FilterSkeleton
    assert isinstance(skeleton, nn.Parameter)
    assert (skeleton.shape, skeleton.dtype, skeleton.device) == ((4, 1, 7), torch.bfloat16, layer.weight.device)
    assert skeleton.requires_grad == trained
    assert (convert(nn.Conv2d(3, 4, (1, 7))).FilterSkeleton == 1).all()


def test_a_convolution_itself_can_be_converted() -> None:
    """The root may be the convolution."""
    layer = nn.Conv2d(3, 4, 3)
    assert convert(layer) is layer
    assert isinstance(layer, FilterStripe)


def test_hooks_go_on() -> None:
    """Forward and state dict hooks that were registered before are called after."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    seen: list[str] = []
    network[0].register_forward_pre_hook(lambda *_: seen.append("before"))
    network[0].register_forward_hook(lambda *_: seen.append("after"))
    network[0].register_full_backward_hook(lambda *_: seen.append("backward"))
    network[0].register_state_dict_post_hook(lambda *_: seen.append("state"))
    convert(network)(torch.randn(1, 3, 5, 5, requires_grad=True)).sum().backward()
    network.state_dict()
    assert seen == ["before", "after", "backward", "state"]


def test_a_shared_layer_stays_shared() -> None:
    """A convolution under two names has one weight and one skeleton."""
    layer = nn.Conv2d(4, 4, 3, padding=1)
    network = convert(nn.Sequential(layer, nn.ReLU(), layer))
    assert network[0] is network[2] is layer
    assert len(list(network.parameters())) == 3


def test_converting_twice_is_converting_once() -> None:
    """Skeletons that were trained are not touched again; convolutions that came since get one."""
    network = convert(nn.Sequential(nn.Conv2d(3, 4, 3)))
    skeleton = network[0].FilterSkeleton
    skeleton.data.fill_(0.5)
    network.append(nn.Conv2d(4, 4, 3))
    convert(convert(network))
    assert network[0].FilterSkeleton is skeleton
    assert (skeleton == 0.5).all()
    assert isinstance(network[1], FilterStripe)


def test_a_converted_network_is_copied_and_saved_like_any_other(tmp_path: Path) -> None:
    """`deepcopy` and `torch.save` of the whole module keep the layers and what they compute."""
    network = convert(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")))
    network[0].FilterSkeleton.data[0] = 0.5
    torch.save(network, tmp_path / "network.pt")
    x = torch.randn(1, 3, 6, 6)
    for copied in (copy.deepcopy(network), torch.load(tmp_path / "network.pt", weights_only=False)):
        assert isinstance(copied[0], FilterStripe)
        assert torch.equal(copied(x), network(x))


class OwnConvolution(nn.Conv2d):
    """A user's convolution, which computes something else."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name nn.Conv2d gives it
        """Return twice the convolution."""
        return 2 * super().forward(input)


def with_own_forward() -> nn.Conv2d:
    """Return a layer whose forward was replaced on the object."""
    layer = nn.Conv2d(4, 4, 3)
    layer.forward = lambda input: input  # type: ignore[method-assign]  # noqa: A006
    return layer


def with_computed_weight() -> nn.Conv2d:
    """Return a layer whose weight is made elsewhere, as hypernetworks do."""
    layer = nn.Conv2d(4, 4, 3)
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight  # type: ignore[assignment]
    return layer


UNTOUCHED = {
    "1x1": lambda: nn.Conv2d(4, 4, 1),
    "groups=4": lambda: nn.Conv2d(4, 4, 3, groups=4),
    "padding_mode='reflect'": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "one side more": lambda: nn.Conv2d(4, 4, (3, 4), padding="same"),
    "OwnConvolution": lambda: OwnConvolution(4, 4, 3),
    "forward of its own": with_own_forward,
    "ParametrizedConv2d": lambda: parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
    "weight_g, weight_v": lambda: nn.utils.weight_norm(nn.Conv2d(4, 4, 3)),
    "weight_orig": lambda: prune.random_unstructured(nn.Conv2d(4, 4, 3), "weight", amount=0.5),
    "parameters are bias": with_computed_weight,
    "LazyConv2d": lambda: nn.LazyConv2d(4, 3),
    "no Conv2d at all": lambda: nn.ConvTranspose2d(4, 4, 3),
}


@pytest.mark.parametrize("found", UNTOUCHED)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_what_cannot_carry_a_skeleton_stays_as_it_is(found: str) -> None:
    """It keeps class and keys; alone, it is refused in one line that says what was found."""
    make: Callable[[], nn.Module] = UNTOUCHED[found]
    layer = make()
    kind, keys = type(layer), set(layer.state_dict())
    network = convert(nn.Sequential(layer, nn.Conv2d(4, 4, 3)))
    assert network[0] is layer
    assert type(layer) is kind
    assert set(layer.state_dict()) == keys
    assert isinstance(network[1], FilterStripe)
    with pytest.raises(ValueError, match=rf"no convolution for a Filter Skeleton.*found .*{found}") as caught:
        convert(nn.Sequential(make()))
    assert "\n" not in str(caught.value)


def test_a_network_that_is_distributed_already_is_refused(tmp_path: Path) -> None:
    """DistributedDataParallel would leave the skeletons of the processes to drift apart."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Conv2d(3, 4, 3))
        with pytest.raises(ValueError, match="convert the network inside first"):
            convert(wrapped)
        assert type(wrapped.module) is nn.Conv2d
    finally:
        distributed.destroy_process_group()
