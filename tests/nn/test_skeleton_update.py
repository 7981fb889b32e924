"""The skeleton update: each equation by hand or against autograd, and the method's own update reproduced."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn import functional

from swp_export.architectures.resnet import ResNet
from swp_export.architectures.vgg import VGG
from swp_export.nn import BatchNorm2d, FilterStripe, SkeletonUpdate, freeze_skeletons

if TYPE_CHECKING:
    from collections.abc import Callable

SR = 0.1
THRESHOLD = 0.05


def vgg_like() -> nn.Sequential:
    """Return two convolutions, each with its BatchNorm, and a classifier, for `[B, 2, 6, 6]`; some skeletons small."""
    torch.manual_seed(0)
    network = nn.Sequential(
        FilterStripe(2, 6, 3),
        BatchNorm2d(6),
        nn.ReLU(inplace=True),
        FilterStripe(6, 5, 3),
        BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    for layer in stripe_layers(network):
        values = torch.rand(layer.FilterSkeleton.shape) * 2 - 1
        values[1] *= 0.1  # these filters die on the way
        values[2] *= 0.01  # and these are dead from the beginning
        layer.FilterSkeleton.data = values
    return network


def stripe_layers(network: nn.Module) -> list[FilterStripe]:
    """Return the layers to which the update applies."""
    return [layer for layer in network.modules() if isinstance(layer, FilterStripe) and layer.striped]


def loss_of(network: nn.Module, step: int = 0) -> torch.Tensor:
    """Return the cross-entropy of one batch of random images, another one in each step."""
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(8, 2, 6, 6, generator=generator, dtype=next(network.parameters()).dtype)
    return functional.cross_entropy(network(images), torch.randint(3, (8,), generator=generator))


def sgd(network: nn.Module) -> torch.optim.SGD:
    """Return the method's optimizer."""
    return torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)


class TestBeforeStep:
    """Gradients and values after `before_step`."""

    def test_live_stripes_get_the_gradient_of_the_penalised_loss(self) -> None:
        """On live stripes it is autograd's, of CE + sr * |FS|_1; on dead ones it is zero."""
        network = vgg_like().double()
        layers = stripe_layers(network)
        live = [layer.FilterSkeleton.detach().abs() > THRESHOLD for layer in layers]
        update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)
        penalty = SR * torch.stack([layer.FilterSkeleton.abs().sum() for layer in layers]).sum()
        expected = torch.autograd.grad(loss_of(network) + penalty, [layer.FilterSkeleton for layer in layers])
        loss_of(network).backward()
        update.before_step()
        for layer, mask, gradient in zip(layers, live, expected, strict=True):
            torch.testing.assert_close(layer.FilterSkeleton.grad, gradient * mask)
            assert mask.any()
            assert not mask.all()

    def test_dead_values_become_zero_and_live_ones_stay(self) -> None:
        """A value at the threshold is dead already."""
        network = vgg_like()
        first = stripe_layers(network)[0]
        first.FilterSkeleton.data[0, 0] = torch.tensor([THRESHOLD, -THRESHOLD, 0.06])
        before = first.FilterSkeleton.detach().clone()
        SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).before_step()
        assert first.FilterSkeleton[0, 0].tolist() == pytest.approx([0, 0, 0.06])
        assert torch.equal(first.FilterSkeleton, before * (before.abs() > THRESHOLD))

    def test_the_batch_norm_of_dead_filters_is_silent(self) -> None:
        """Gamma, beta and their gradients are zero in filter 2, which has no live stripe, and untouched in others."""
        network = vgg_like()
        norm = network[1]
        norm.bias.data.fill_(0.25)
        update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)
        loss_of(network).backward()
        gradients = [norm.weight.grad.clone(), norm.bias.grad.clone()]
        update.before_step()
        others = torch.arange(6) != 2
        assert norm.weight.tolist() == [0.5, 0.5, 0, 0.5, 0.5, 0.5]
        assert norm.bias.tolist() == [0.25, 0.25, 0, 0.25, 0.25, 0.25]
        assert torch.equal(norm.weight.grad, gradients[0] * others)
        assert torch.equal(norm.bias.grad, gradients[1] * others)

    def test_1x1_skeletons_are_ordinary_parameters(self) -> None:
        """Neither value nor gradient is touched, nor the BatchNorm behind, however small the value."""
        network = nn.Sequential(FilterStripe(2, 3, 3), BatchNorm2d(3), FilterStripe(3, 3, 1), BatchNorm2d(3))
        small = network[2].FilterSkeleton
        small.data.fill_(1e-3)
        update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).attach(optimizer := sgd(network))
        network(torch.randn(4, 2, 6, 6)).square().sum().backward()
        gradient = small.grad.clone()
        update.before_step()
        assert torch.equal(small.grad, gradient)
        assert small.flatten().tolist() == pytest.approx([1e-3] * 3)
        optimizer.step()
        assert (small != 0).all()
        assert (network[3].weight != 0).all()

    def test_frozen_skeletons_are_kept_and_their_dead_filters_stay_silent(self) -> None:
        """Not even a residue below the threshold is touched; the BatchNorm of a dead filter is."""
        network = vgg_like()
        freeze_skeletons(network)
        before = [layer.FilterSkeleton.clone() for layer in stripe_layers(network)]
        optimizer = sgd(network)
        SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).attach(optimizer)
        for step in range(3):
            optimizer.zero_grad()
            loss_of(network, step).backward()
            optimizer.step()
        for layer, values, norm in zip(stripe_layers(network), before, (network[1], network[4]), strict=True):
            assert torch.equal(layer.FilterSkeleton, values)
            assert layer.FilterSkeleton.grad is None
            assert (norm.weight == 0).tolist() == [index == 2 for index in range(len(norm.weight))]


class PreActivation(nn.Module):
    """A residual block in the order BatchNorm, ReLU, convolution, twice; the shortcut is added in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = FilterStripe(3, 4, 3)
        self.bn1, self.conv1 = BatchNorm2d(4), FilterStripe(4, 4, 3)
        self.bn2, self.conv2 = BatchNorm2d(4), FilterStripe(4, 4, 3)
        self.last = BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, 4, H, W]`."""
        x = self.stem(x)
        branch = self.conv1(torch.relu(self.bn1(x)))
        branch = self.conv2(torch.relu(self.bn2(branch)))
        branch += x
        return self.last(branch)


class Twice(nn.Module):
    """One convolution with two BatchNorms, one for each call; the first is called with a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = FilterStripe(3, 4, 3), FilterStripe(4, 4, 3)
        self.bn1, self.bn2, self.other = BatchNorm2d(4), BatchNorm2d(4), BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, 4, H, W]`."""
        x = torch.relu(self.stem(x))
        x = torch.relu(self.bn1(input=self.conv(x)))
        return self.other(torch.relu(self.bn2(self.conv(x))))


class OneNormForTwo(nn.Module):
    """A BatchNorm that follows two convolutions, and one that follows a convolution and something else."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = FilterStripe(3, 4, 3), FilterStripe(3, 4, 3)
        self.shared, self.mixed = BatchNorm2d(4), BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, 4, H, W]`."""
        both = self.shared(self.left(x)) + self.shared(self.right(x))
        return self.mixed(both) + self.mixed(self.left(x))


class TestWhichBatchNormFollows:
    """It is the one that is applied to what the convolution returned, in whatever order modules are written."""

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: VGG("VGG11", width=0.1), [f"features.{n}" for n in (1, 5, 9, 12, 16, 19, 23, 26)]),
            (
                lambda: ResNet("ResNet20", width=0.2),  # bn2 too, not the one behind a 1x1 convolution
                ["bn1", *(f"layer{s}.{b}.bn{n}" for s in (1, 2, 3) for b in (0, 1, 2) for n in (1, 2))],
            ),
            (PreActivation, ["bn1", "bn2"]),
            (Twice, ["bn1", "bn2"]),
            (OneNormForTwo, ["shared"]),
        ],
    )
    def test_these_are_silenced(self, make: Callable[[], nn.Module], expected: list[str]) -> None:
        """With filter 0 dead in every layer, channel 0 of these is zero, and of no others."""
        network = make()
        for layer in stripe_layers(network):
            layer.FilterSkeleton.data[0] = 0
        assert silenced(network) == expected

    def test_one_of_two_convolutions_keeps_the_channel(self) -> None:
        """A channel that another convolution fills is not dead."""
        network = OneNormForTwo()
        network.left.FilterSkeleton.data[0] = 0
        assert silenced(network) == []

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_an_evaluation_before_training_does_no_harm(self, mode: Callable[[], object]) -> None:
        """What follows is seen in training only: an evaluated network may do things in another order."""
        network = vgg_like()
        update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)
        with mode():
            network.eval()
            network(torch.randn(2, 2, 6, 6))
            network[1](torch.randn(2, 6, 6, 6))
        network.train()
        loss_of(network).backward()
        update.before_step()
        assert network[1].weight[2] == 0
        assert network[4].weight[2] == 0

    def test_the_hooks_are_gone_after_the_first_step(self) -> None:
        """From then on the forward pass costs nothing more, and no layer carries anything of ours."""
        network = vgg_like()
        update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)
        assert hooks(network)
        loss_of(network).backward()
        update.before_step()
        assert not hooks(network)


def hooks(network: nn.Module) -> list[object]:
    """Return all hooks of the forward pass."""
    return [hook for layer in network.modules() for hook in (*layer._forward_hooks.values(), *layer._forward_pre_hooks)]


def silenced(network: nn.Module) -> list[str]:
    """Return the BatchNorms whose channel 0 is zero after one `before_step`."""
    update = SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)
    network(torch.randn(2, 3, 32, 32)).square().sum().backward()
    update.before_step()
    return [
        name for name, norm in network.named_modules() if isinstance(norm, nn.BatchNorm2d) and not norm.weight.data[0]
    ]


def public_update(network: nn.Sequential, sr: float, threshold: float) -> None:
    """Do what the method's public code does between `backward` and the optimizer's step."""
    modules = list(network)
    for layer, norm in itertools.pairwise(modules):
        if not isinstance(layer, FilterStripe):
            continue
        skeleton = layer.FilterSkeleton
        skeleton.grad.data = skeleton.grad.data + sr * torch.sign(skeleton.data)
        stripes = (skeleton.data.abs() > threshold).float()
        skeleton.data = skeleton.data * stripes
        skeleton.grad.data = skeleton.grad.data * stripes
        filters = (stripes.sum(dim=(1, 2)) != 0).float()
        for parameter in (norm.weight, norm.bias):
            parameter.data = parameter.data * filters
            parameter.grad.data = parameter.grad.data * filters


class TestThePublicUpdate:
    """Step by step, on a network in which stripes and filters die meanwhile."""

    def test_before_step_is_the_public_update_bit_for_bit(self) -> None:
        """Values, gradients and the optimizer's state are equal after each of six steps."""
        theirs = vgg_like()
        ours = copy.deepcopy(theirs)
        update = SkeletonUpdate(ours, sr=SR, threshold=THRESHOLD)
        optimizers = sgd(theirs), sgd(ours)
        filters = []
        for step in range(6):
            for network, optimizer in zip((theirs, ours), optimizers, strict=True):
                optimizer.zero_grad()
                loss_of(network, step).backward()
            public_update(theirs, SR, THRESHOLD)
            update.before_step()
            filters.append(int((ours[1].weight != 0).sum()))
            for optimizer in optimizers:
                optimizer.step()
            for (name, expected), value in zip(theirs.named_parameters(), ours.parameters(), strict=True):
                assert torch.equal(value, expected), (step, name)
                assert torch.equal(value.grad, expected.grad), (step, name)
            for (name, expected), (_, value) in zip(theirs.named_buffers(), ours.named_buffers(), strict=True):
                assert torch.equal(value, expected), (step, name)
            states = [[s["momentum_buffer"] for s in optimizer.state.values()] for optimizer in optimizers]
            assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
        assert filters[0] == 5
        assert filters[-1] < 5  # a whole filter died in between

    def test_after_step_dead_is_exactly_zero_for_good(self) -> None:
        """Momentum leaves residues in the method's dead stripes; ours hold zero, or a value beyond the threshold."""
        theirs = vgg_like()
        ours = copy.deepcopy(theirs)
        optimizers = sgd(theirs), sgd(ours)
        SkeletonUpdate(ours, sr=SR, threshold=THRESHOLD).attach(optimizers[1])
        dead = [torch.zeros_like(layer.FilterSkeleton, dtype=torch.bool) for layer in stripe_layers(ours)]
        residues = died = 0
        for step in range(8):
            for network, optimizer in zip((theirs, ours), optimizers, strict=True):
                optimizer.zero_grad()
                loss_of(network, step).backward()
            public_update(theirs, SR, THRESHOLD)
            for optimizer in optimizers:
                optimizer.step()
            for layer in stripe_layers(theirs):
                values = layer.FilterSkeleton.detach().abs()
                residues += int(((values > 0) & (values <= THRESHOLD)).sum())
            for index, (layer, norm) in enumerate(zip(stripe_layers(ours), (ours[1], ours[4]), strict=True)):
                values = layer.FilterSkeleton.detach()
                assert ((values == 0) | (values.abs() > THRESHOLD)).all()
                assert (values[dead[index]] == 0).all()
                died += int(((values == 0) & ~dead[index]).sum()) if step else 0
                dead[index] = values == 0
                silent = dead[index].all(dim=2).all(dim=1)
                assert torch.equal(norm.weight == 0, silent)
                assert (norm.bias[silent] == 0).all()
        assert residues
        assert died


class TestMistakes:
    """What the class refuses."""

    @pytest.mark.parametrize("numbers", [{"sr": -1e-5}, {"threshold": -0.1}, {"sr": float("nan")}])
    def test_negative_numbers(self, numbers: dict[str, float]) -> None:
        """The message has both numbers."""
        with pytest.raises(ValueError, match=r"^sr and threshold must not be negative, got sr=.*, threshold="):
            SkeletonUpdate(vgg_like(), **{"sr": SR, "threshold": THRESHOLD} | numbers)

    def test_nothing_to_update(self) -> None:
        """Convolutions of torch's, or 1x1 alone, have no stripes."""
        with pytest.raises(ValueError, match="no FilterStripe with a kernel larger than 1x1"):
            SkeletonUpdate(nn.Sequential(nn.Conv2d(3, 4, 3), FilterStripe(4, 4, 1)), sr=SR, threshold=THRESHOLD)

    def test_a_broken_layer(self) -> None:
        """It has no skeleton to learn any more."""
        network = vgg_like()
        network[0].break_(THRESHOLD)
        with pytest.raises(ValueError, match=r"a broken layer cannot be trained; unbreak_ it first"):
            SkeletonUpdate(network, sr=SR, threshold=THRESHOLD)

    def test_an_optimizer_that_unscales_within_its_step(self) -> None:
        """A fused one gets the penalty scaled with the gradients, unless they are unscaled before."""
        network = vgg_like()
        optimizer = torch.optim.SGD(network.parameters(), 0.1, fused=True)
        SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).attach(optimizer)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(loss_of(network)).backward()
        with pytest.raises(RuntimeError, match=r"call scaler\.unscale_\(optimizer\) before scaler\.step"):
            scaler.step(optimizer)
        del optimizer.grad_scale, optimizer.found_inf  # torch removes them only after a step without an exception
        scaler.unscale_(optimizer)
        before = network[0].FilterSkeleton.detach().clone()
        scaler.step(optimizer)
        assert not torch.equal(network[0].FilterSkeleton, before)

    def test_scaled_gradients_are_unscaled_before_the_penalty(self) -> None:
        """With torch's scaler and an ordinary optimizer the step is the one without scaling."""
        plain = vgg_like()
        scaled = copy.deepcopy(plain)
        for network in (plain, scaled):
            optimizer = sgd(network)
            SkeletonUpdate(network, sr=SR, threshold=THRESHOLD).attach(optimizer)
            scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=network is scaled)
            scaler.scale(loss_of(network)).backward()
            scaler.step(optimizer)
        for expected, value in zip(plain.parameters(), scaled.parameters(), strict=True):
            torch.testing.assert_close(value, expected)
