"""Random networks with Filter Skeletons, for `--arch tests.soak.random_networks:network`, and checkpoints of them."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.nn import FilterStripe

if TYPE_CHECKING:
    from pathlib import Path

SEED = "SWP_EXPORT_RANDOM_NETWORK"
"""Environment variable: the number of the network that `network` makes."""
THRESHOLD = 0.05
ARCHITECTURE = f"{__name__}:network"


def network() -> nn.Module:
    """Return the untrained network of the number in the environment."""
    return RandomNetwork(int(os.environ[SEED]))


def write_checkpoint(path: Path, seed: int) -> tuple[int, int, int]:
    """Write an unbroken checkpoint of the network `seed` and return the shape of one input."""
    module = RandomNetwork(seed)
    draw, generator = random.Random(seed + 1), torch.Generator().manual_seed(seed)  # noqa: S311 - no secret
    state = module.state_dict()
    for key, tensor in state.items():
        if key.endswith("FilterSkeleton"):
            state[key] = _skeleton(tensor, draw, generator)
        elif key.endswith("running_var"):
            state[key] = torch.exp(torch.randn(tensor.shape, generator=generator))
        elif tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            fan_in = max(1, tensor[0].numel()) if tensor.ndim > 1 else 4
            size = draw.choice([1.0, 1.0, 1.0, 1e-3, 30.0]) if tensor.ndim > 1 else 1.0
            state[key] = noise * size / fan_in**0.5
            if tensor.ndim == 1 and draw.random() < 0.2:
                state[key][torch.rand(tensor.shape, generator=generator) < 0.5] = 0
    torch.save(state, path)
    return module.input_shape


class RandomNetwork(nn.Module):
    """A network that the number `seed` describes; its weights are whatever torch initialises them to."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = random.Random(seed)  # noqa: S311 - no secret
        self.input_shape = (self._draw.choice([1, 3, 4]), self._draw.randint(8, 20), self._draw.randint(8, 20))
        channels = self._width()
        layers: list[nn.Module] = [_ConvBlock(self._draw, self.input_shape[0], channels)]
        downs = 0
        for _ in range(self._draw.randint(0, 6)):
            kind = self._draw.choice(BLOCKS)
            if kind is _Down:
                downs += 1
                if downs > 1:
                    continue
            width = self._width()
            block = kind(self._draw, channels, width)
            layers.append(block)
            channels = block.channels
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, self._draw.choice([1, 2, 10, 100]))
        self.pool = nn.AdaptiveMaxPool2d(1) if self._draw.random() < 0.2 else nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.map = self._draw.random() < 0.1
        self.head = self._draw.choice(
            [nn.Identity(), nn.Identity(), nn.Identity(), nn.Sigmoid(), nn.Softmax(1), nn.Tanh(), nn.LogSoftmax(1)]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[N, classes]`, or a map `[N, C, H, W]`."""
        x = self.body(x)
        if self.map:
            return self.head(x)
        return self.head(self.classifier(self.dropout(self.pool(x).flatten(1))))

    def _width(self) -> int:
        return self._draw.choice([1, 2, 3, 5, 8, 12, 16, 16, 24, 32, 48, 128])


def _activation(draw: random.Random, channels: int) -> nn.Module:
    return draw.choice(
        [
            *[nn.ReLU()] * 5,
            nn.ReLU6(),
            nn.LeakyReLU(0.1),
            nn.PReLU(),
            nn.PReLU(channels),
            nn.ELU(),
            nn.SELU(),
            nn.SiLU(),
            nn.GELU(),
            nn.Hardswish(),
            nn.Hardsigmoid(),
            nn.Softplus(),
            nn.Mish(),
            nn.Tanh(),
            nn.Sigmoid(),
            nn.Identity(),
        ]
    )


def _stripes(draw: random.Random, channels: int, filters: int, *, stride: int = 1, bias: bool = False) -> nn.Module:
    kernel = draw.choice([(3, 3), (3, 3), (3, 3), (1, 1), (5, 5), (1, 7), (7, 1), (2, 2)])
    dilation = draw.choice([1, 1, 1, 2])
    odd = kernel[0] % 2 and kernel[1] % 2
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2)) if odd else (1, 1)
    return FilterStripe(channels, filters, kernel, stride, padding, dilation if odd else 1, bias=bias)


def _same(draw: random.Random, channels: int, filters: int) -> nn.Module:
    """Return a convolution that keeps height and width."""
    kernel = draw.choice([(3, 3), (3, 3), (5, 5), (1, 7), (1, 1)])
    return FilterStripe(channels, filters, kernel, bias=draw.random() < 0.3)


class _ConvBlock(nn.Sequential):
    """Convolution, perhaps BatchNorm, activation."""

    def __init__(self, draw: random.Random, channels: int, width: int) -> None:
        self.channels = width
        layers = [_stripes(draw, channels, width, stride=draw.choice([1, 1, 1, 2]), bias=draw.random() < 0.5)]
        if draw.random() < 0.7:
            layers.append(nn.BatchNorm2d(width))
        super().__init__(*layers, _activation(draw, width))


class _Residual(nn.Module):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        super().__init__()
        self.channels, inner = channels, draw.choice([4, 8, 16])
        self.branch = nn.Sequential(
            _same(draw, channels, inner), nn.BatchNorm2d(inner), _activation(draw, inner),
            _same(draw, inner, channels), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.activation = _activation(draw, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(x + self.branch(x))


class _PreactivatedDense(nn.Module):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        super().__init__()
        growth = draw.choice([1, 4, 8])
        self.channels = channels + growth
        self.layer = nn.Sequential(
            nn.BatchNorm2d(channels), _activation(draw, channels), _same(draw, channels, growth)
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.layer(x)], 1)


class _Inception(nn.Module):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        super().__init__()
        widths = [draw.choice([1, 4, 8]) for _ in range(3)]
        self.channels = sum(widths)
        self.branches = nn.ModuleList(
            [nn.Sequential(_same(draw, channels, width), _activation(draw, width)) for width in widths]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class _SqueezeAndExcite(nn.Module):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        super().__init__()
        self.channels, narrow = channels, max(1, channels // 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, channels, 1),
            draw.choice([nn.Sigmoid(), nn.Hardsigmoid()]),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class _Depthwise(nn.Sequential):
    def __init__(self, draw: random.Random, channels: int, width: int) -> None:
        self.channels = width
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels), _activation(draw, channels), _same(draw, channels, width),
        )  # fmt: skip


class _Grouped(nn.Sequential):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        self.channels = channels
        groups = 2 if channels % 2 == 0 else 1
        super().__init__(nn.Conv2d(channels, channels, 3, padding=1, groups=groups), _activation(draw, channels))


class _Down(nn.Sequential):
    def __init__(self, draw: random.Random, channels: int, _width: int) -> None:
        self.channels = channels
        super().__init__(
            draw.choice([nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.MaxPool2d(2, ceil_mode=True)])
        )


BLOCKS = (
    _ConvBlock, _ConvBlock, _ConvBlock, _Residual, _Residual, _PreactivatedDense, _Inception, _SqueezeAndExcite,
    _Depthwise, _Grouped, _Down,
)  # fmt: skip


def _skeleton(tensor: torch.Tensor, draw: random.Random, generator: torch.Generator) -> torch.Tensor:
    """Return a skeleton: a random share of stripes lives, some filters die as a whole, rarely the layer does."""
    live = draw.choice([0.1, 0.3, 0.3, 0.6, 1.0]) if draw.random() < 0.95 else 0.0
    values = torch.where(torch.rand(tensor.shape, generator=generator) < live, 0.8, 0.01)
    values *= 0.5 + torch.rand(tensor.shape, generator=generator)
    values[torch.rand(len(tensor), generator=generator) < draw.choice([0, 0.3, 0.6])] = 0.0
    return values * torch.where(torch.rand(tensor.shape, generator=generator) < 0.5, 1, -1)
