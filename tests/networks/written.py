"""Small networks of the kinds that people prune beside classifiers, with torch alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv_norm(channels: int, filters: int, size: int, activation: nn.Module, **options: int) -> nn.Sequential:
    """Return convolution, BatchNorm and `activation`, with the padding that keeps height and width."""
    padding = options.get("dilation", 1) * (size // 2)
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, padding=padding, bias=False, **options), nn.BatchNorm2d(filters), activation
    )


class _SplitBlock(nn.Module):
    """YOLOv8's C2f: split, bottlenecks on one half, each result kept, concatenated."""

    def __init__(self, channels: int, filters: int, depth: int) -> None:
        super().__init__()
        half = filters // 2
        self.enter = conv_norm(channels, filters, 1, nn.SiLU())
        self.inner = nn.ModuleList(
            nn.Sequential(conv_norm(half, half, 3, nn.SiLU()), conv_norm(half, half, 3, nn.SiLU()))
            for _ in range(depth)
        )
        self.leave = conv_norm((2 + depth) * half, filters, 1, nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.enter(x).chunk(2, dim=1))
        for block in self.inner:
            parts.append(parts[-1] + block(parts[-1]))
        return self.leave(torch.cat(parts, dim=1))


class _PooledPyramid(nn.Module):
    """YOLO's SPPF: three max pools in a row, all of them concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = conv_norm(channels, channels // 2, 1, nn.SiLU())
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = conv_norm(2 * channels, channels, 1, nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.enter(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.leave(torch.cat(maps, dim=1))


class Detector(nn.Module):
    """A detector like YOLO for images of any size: pixels sliced into channels, a pyramid up and down, decoded boxes.

    Maps `[N, 3, H, W]` to `[N, boxes, 5 + classes]`.
    """

    def __init__(self, classes: int = 8) -> None:
        super().__init__()
        self.values = 5 + classes
        self.stem = conv_norm(12, 32, 3, nn.SiLU())
        self.fine = nn.Sequential(conv_norm(32, 64, 3, nn.SiLU(), stride=2), _SplitBlock(64, 64, 1))
        self.middle = nn.Sequential(conv_norm(64, 128, 3, nn.SiLU(), stride=2), _SplitBlock(128, 128, 2))
        self.coarse = nn.Sequential(conv_norm(128, 192, 3, nn.SiLU(), stride=2), _PooledPyramid(192))
        self.lateral = conv_norm(192, 128, 1, nn.SiLU())
        self.up = _SplitBlock(256, 128, 1)
        self.down = conv_norm(128, 128, 3, nn.SiLU(), stride=2)
        self.merged = _SplitBlock(256, 192, 1)
        self.heads = nn.ModuleList(nn.Conv2d(width, 2 * self.values, 1) for width in (128, 192))
        self.register_buffer("anchors", torch.tensor([[8.0, 12.0, 20.0, 16.0], [30.0, 44.0, 60.0, 50.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the boxes of both levels: centre, extent, confidence, scores."""
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], dim=1)
        middle = self.middle(self.fine(self.stem(x)))
        lateral = self.lateral(self.coarse(middle))
        up = self.up(torch.cat([functional.interpolate(lateral, scale_factor=2.0, mode="nearest"), middle], dim=1))
        down = self.merged(torch.cat([self.down(up), lateral], dim=1))
        levels = zip(self.heads, (up, down), (8, 16), self.anchors, strict=True)
        return torch.cat([self._boxes(head(maps), stride, sizes) for head, maps, stride, sizes in levels], dim=1)

    def _boxes(self, maps: torch.Tensor, stride: int, sizes: torch.Tensor) -> torch.Tensor:
        count, _, height, width = maps.shape
        maps = maps.view(count, 2, self.values, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        centre, extent, rest = maps.split([2, 2, self.values - 4], dim=-1)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = (2 * centre - 0.5 + torch.stack([x, y], dim=-1).to(maps.dtype)) * stride
        extent = (2 * extent) ** 2 * sizes.view(1, 2, 1, 1, 2)
        return torch.cat([centre, extent, rest], dim=-1).flatten(1, 3)


class UNet(nn.Module):
    """Encoder and decoder with skip connections; up by a transposed convolution, and once by Resize."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.first, self.second = self._double(3, 48), self._double(48, 96)
        self.bottom = self._double(96, 192)
        self.narrow = nn.Conv2d(192, 96, 1)
        self.second_up = self._double(192, 96)
        self.up = nn.ConvTranspose2d(96, 48, 2, stride=2)
        self.first_up = self._double(96, 48)
        self.head = nn.Conv2d(48, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one map per class."""
        first = self.first(x)
        second = self.second(self.pool(first))
        bottom = self.narrow(self.bottom(self.pool(second)))
        bottom = functional.interpolate(bottom, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = self.second_up(torch.cat([second, bottom], dim=1))
        return self.head(self.first_up(torch.cat([first, self.up(x)], dim=1)))

    @staticmethod
    def _double(channels: int, filters: int) -> nn.Sequential:
        return nn.Sequential(conv_norm(channels, filters, 3, nn.ReLU()), conv_norm(filters, filters, 3, nn.ReLU()))


class _Gate(nn.Module):
    """Squeeze-and-excite by two Linear layers."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, channels, _, _ = x.shape
        gate = self.layers(functional.adaptive_avg_pool2d(x, 1).view(count, channels))
        return x * gate.view(count, channels, 1, 1).expand_as(x)


class _Residual(nn.Module):
    """Two convolutions, something between them and behind them, and a shortcut."""

    def __init__(
        self,
        channels: int,
        filters: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        between: nn.Module | None = None,
        behind: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_norm(channels, filters, 3, nn.ReLU(), stride=stride, dilation=dilation),
            between or nn.Identity(),
            conv_norm(filters, filters, 3, nn.Identity(), dilation=dilation),
            behind or nn.Identity(),
        )
        same = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if same else conv_norm(channels, filters, 1, nn.Identity(), stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.branch(x) + self.shortcut(x))


class SqueezeExciteResNet(nn.Module):
    """SE-ResNet as it is mostly written: the gates are Linear layers on `[N, C]`, behind a branch or inside it."""

    def __init__(self, classes: int = 100) -> None:
        super().__init__()
        self.stem = conv_norm(3, 64, 3, nn.ReLU(), stride=2)
        self.blocks = nn.Sequential(
            _Residual(64, 64, behind=_Gate(64, 16)),
            _Residual(64, 128, stride=2, between=_Gate(128, 32)),
            _Residual(128, 128, between=_Gate(128, 32), behind=_Gate(128, 32)),
        )
        self.classifier = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[N, classes]`."""
        return self.classifier(self.blocks(self.stem(x)).mean(dim=(2, 3)))


class _PreActivation(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(filters)
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        same = stride == 1 and channels == filters
        self.shortcut = None if same else nn.Conv2d(channels, filters, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(self.first_norm(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return shortcut + self.second(functional.relu(self.second_norm(self.first(active))))


class PreActivationResNet(nn.Module):
    """BatchNorm and Relu before each convolution: what stands before a Conv cannot be merged into one behind it."""

    def __init__(self, classes: int = 100) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.blocks = nn.Sequential(
            _PreActivation(64, 64), _PreActivation(64, 64), _PreActivation(64, 128, 2), _PreActivation(128, 128)
        )
        self.norm = nn.BatchNorm2d(128)
        self.classifier = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[N, classes]`."""
        x = functional.relu(self.norm(self.blocks(self.stem(x))))
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class DeepLab(nn.Module):
    """A dilated backbone and DeepLabV3's head: dilated branches, one of the pooled image, one map per class."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            conv_norm(3, 48, 3, nn.ReLU(), stride=2), _Residual(48, 96, stride=2), _Residual(96, 128, dilation=2)
        )
        self.branches = nn.ModuleList([conv_norm(128, 64, 1, nn.ReLU())])
        self.branches.extend(conv_norm(128, 64, 3, nn.ReLU(), dilation=rate) for rate in (2, 4, 6))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm(128, 64, 1, nn.ReLU()))
        self.project = nn.Sequential(conv_norm(5 * 64, 96, 1, nn.ReLU()), nn.Dropout(0.5))
        self.head = nn.Sequential(conv_norm(96, 96, 3, nn.ReLU()), nn.Conv2d(96, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one map per class, of the size of the images."""
        maps = self.backbone(x)
        pooled = functional.interpolate(self.pooled(maps), size=maps.shape[-2:], mode="bilinear", align_corners=False)
        together = torch.cat([*(branch(maps) for branch in self.branches), pooled], dim=1)
        scores = self.head(self.project(together))
        return functional.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)


class _FaceBlock(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters), nn.PReLU(filters),
            nn.Conv2d(filters, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip
        same = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if same else conv_norm(channels, filters, 1, nn.Identity(), stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)


class FaceResNet(nn.Module):
    """ArcFace's ResNet: BatchNorm first in each block, PRelu, a flattened map into the Linear of the embedding."""

    def __init__(self, embedding: int = 64) -> None:
        super().__init__()
        self.stem = conv_norm(3, 64, 3, nn.PReLU(64))
        self.blocks = nn.Sequential(
            _FaceBlock(64, 64, 2), _FaceBlock(64, 64, 1), _FaceBlock(64, 128, 2), _FaceBlock(128, 128, 1)
        )
        self.norm = nn.BatchNorm2d(128)
        self.embed = nn.Linear(128 * 8 * 8, embedding)
        self.features = nn.BatchNorm1d(embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embeddings `[N, embedding]`."""
        return self.features(self.embed(self.norm(self.blocks(self.stem(x))).flatten(1)))
