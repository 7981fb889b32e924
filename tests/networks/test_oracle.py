"""The oracle, on modules small enough to be counted by hand."""

from __future__ import annotations

import torch
from oracle import LiveLayer, floats_left, live_layers
from torch import nn


def conv(channels: int, filters: int, size: int = 3, dead: tuple[int, ...] = (), **options: int) -> nn.Conv2d:
    """Return a convolution whose filters `dead` are zero; every other weight is not."""
    layer = nn.Conv2d(channels, filters, size, padding=size // 2, **options)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    with torch.no_grad():
        layer.weight[list(dead)] = 0
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm of no particular statistics."""
    layer = nn.BatchNorm2d(channels)
    nn.init.uniform_(layer.bias, 0.5, 1.5)
    nn.init.uniform_(layer.running_mean, -1, 1)
    return layer


def rows_and_columns(module: nn.Module, channels: int = 2) -> dict[str, tuple[int, int]]:
    """Return the live rows and columns by layer."""
    return {layer.name: (layer.rows, layer.columns) for layer in live_layers(module, (channels, 6, 6))}


def test_a_chain() -> None:
    """A dead filter leaves with the column that reads it, whatever its constant; the last layer's filters stay."""
    module = nn.Sequential(conv(2, 5, dead=(1, 3)), norm(5), nn.ReLU(), conv(5, 4, dead=(0,)))
    assert rows_and_columns(module) == {"0": (3, 2), "3": (4, 3)}
    assert floats_left(module, (2, 6, 6)) == (3 * 2 * 9 + 3) + (4 * 3 * 9 + 4)


def test_channels_that_nothing_reads() -> None:
    """A filter that no live filter reads is dead."""
    last = conv(5, 4)
    with torch.no_grad():
        last.weight[:, 2] = 0
    assert rows_and_columns(nn.Sequential(conv(2, 5, dead=(1,)), nn.ReLU(), last)) == {"0": (3, 2), "2": (4, 3)}


def test_a_closed_relu_is_no_dead_channel() -> None:
    """A channel that is negative everywhere counts: another image could open it."""
    first = conv(2, 5)
    nn.init.constant_(first.bias, -1e4)
    for activation in (nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.Hardsigmoid(), nn.GELU()):
        assert rows_and_columns(nn.Sequential(first, activation, conv(5, 4)))["2"] == (4, 5)


class _Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(2, 4, dead=(0, 1)), conv(4, 1)
        self.branch = conv(4, 4, dead=(1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x += self.branch(x)
        return self.last(x)


def test_a_sum() -> None:
    """A dead filter stays where its map is added to one that varies, and leaves where it is not."""
    assert rows_and_columns(_Sum()) == {"first": (3, 2), "branch": (3, 2), "last": (1, 3)}


class _Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(2, 4, dead=(0, 1)), conv(4, 1)
        self.squeeze, self.excite = conv(4, 3, 1, dead=(0,)), conv(3, 4, 1, dead=(1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.last(x * torch.sigmoid(self.excite(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))))


def test_a_gate() -> None:
    """A gate that scales a live map stays though it is constant; a constant that a live gate scales varies."""
    assert rows_and_columns(_Gate()) == {"first": (3, 2), "squeeze": (2, 2), "excite": (3, 2), "last": (1, 3)}


class _GatedRelu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(2, 4, dead=(0, 1)), conv(4, 1)
        self.gate = conv(2, 4, 1)
        nn.init.constant_(self.first.bias, -1.0)
        with torch.no_grad():
            self.first.bias[1] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.gate(x.mean(dim=(2, 3), keepdim=True)))
        return self.last(nn.functional.relu(self.first(x), inplace=True) * gate)


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(2, 4, dead=(1,)), nn.Linear(4, 5)
        with torch.no_grad():
            self.last.bias[2] = 1e6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x).mean(dim=(2, 3))).softmax(1)


def test_a_sure_classifier() -> None:
    """A softmax that is sure of one class, whatever the image, makes no other class dead."""
    assert rows_and_columns(_Classifier()) == {"first": (3, 2), "last": (5, 3)}


def test_a_gate_on_zero() -> None:
    """A dead filter whose constant a Relu makes zero stays zero under a gate, and so the gate's channel is dead too."""
    assert rows_and_columns(_GatedRelu()) == {"gate": (3, 2), "first": (3, 2), "last": (1, 3)}


def test_depthwise_and_grouped() -> None:
    """A depthwise filter leaves with its channel; a group is as large as its own live rows and columns."""
    module = nn.Sequential(conv(2, 4, dead=(0,)), conv(4, 4, groups=4, dead=(1,)), conv(4, 4, groups=2, dead=(3,)))
    module.append(conv(4, 1))
    layers = live_layers(module, (2, 6, 6))
    assert [(layer.rows, layer.columns) for layer in layers] == [(2, 2), (2, 2), (1, 2), (1, 1)]
    assert layers[2].floats == 1 * 2 * 9 + 1


def test_maps_at_borders_are_constants() -> None:
    """A constant through a padded depthwise convolution differs at the borders, for every image alike: no channel."""
    module = nn.Sequential(conv(2, 4, dead=(0,)), conv(4, 4, groups=4), nn.ReLU(), conv(4, 1))
    assert rows_and_columns(module) == {"0": (3, 2), "1": (3, 3), "3": (1, 3)}


def test_normalisations() -> None:
    """A BatchNorm behind a convolution costs one bias, one behind a sum two floats per live channel; PRelu one."""
    merged = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 1, 1))
    assert floats_left(merged, (2, 6, 6)) == 4 * 2 + 4 + 4 + 4 + 1
    alone = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1, bias=False))
    assert floats_left(alone, (2, 6, 6)) == 2 * 2 + 3 * 2


def test_flattened_maps() -> None:
    """A dead channel takes all its columns of a Linear behind Flatten with it."""
    module = nn.Sequential(conv(2, 4, dead=(2,)), nn.Flatten(), nn.Linear(4 * 36, 5))
    assert rows_and_columns(module)["2"] == (5, 3 * 36)


def test_transposed_convolution() -> None:
    """A transposed convolution's rows are its second axis."""
    up = nn.ConvTranspose2d(4, 3, 2, stride=2)
    with torch.no_grad():
        up.weight[:, 1] = 0
    module = nn.Sequential(conv(2, 4, dead=(0,)), up, nn.ReLU(), conv(3, 1))
    assert live_layers(module, (2, 6, 6))[1] == LiveLayer(
        name="1", kind="transposed", rows=2, columns=3, floats=2 * 3 * 4 + 2
    )
