"""The convolution with a Filter Skeleton, dense while it is trained and stripe by stripe once it is broken.

    trained:  y = conv(x, weight * FilterSkeleton)               weight [N, C, K_h, K_w], FilterSkeleton [N, K_h, K_w]
    broken:   y[o] = sum over live (i, j):  row(i, j, o) . x shifted to tap (i, j)              weight [S, C, 1, 1]

"Pruning Filter in Filter", NeurIPS 2020, arXiv 2009.14410, sections 3.1 and 3.3. The names `FilterSkeleton` and
`BrokenTarget` are the method's: they are keys of its checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    Pair = int | tuple[int, int]


def live_stripes(skeleton: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return the mask of live stripes, bool `[N, K_h, K_w]`: where `abs(skeleton) > threshold`, compared in float32.

    The method never thresholds a 1x1 convolution, its skeleton only scales the weight: there every stripe is live.
    A bool skeleton is the mask already.
    """
    if skeleton.dtype == torch.bool:
        return skeleton
    if skeleton.shape[1:] == (1, 1):
        return torch.ones_like(skeleton, dtype=torch.bool)
    return skeleton.float().abs() > threshold


def rows_from_dense(weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the live stripes of `weight` `[N, C, K_h, K_w]` as rows `[S, C, 1, 1]` in (i, j, filter) order."""
    return weight.permute(2, 3, 0, 1)[mask.permute(1, 2, 0)][..., None, None]


def dense_from_rows(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the weight `[N, C, K_h, K_w]`, zero in dead stripes, of `rows` `[S, C, 1, 1]`: undo `rows_from_dense`."""
    filters, height, width = mask.shape
    dense = rows.new_zeros(height, width, filters, rows.shape[1])
    dense[mask.permute(1, 2, 0)] = rows[:, :, 0, 0]
    return dense.permute(2, 3, 0, 1).contiguous()


class FilterStripe(nn.Conv2d):
    """A convolution whose stripes are scaled by a learnt Filter Skeleton, float `[N, K_h, K_w]`, all ones at first.

    `padding=None` is half the kernel, as in the method. After `break_` the layer holds only its live stripes and
    computes only them; `kernel_size` and `out_channels` go on to say what the layer is, not how it is stored.
    """

    FilterSkeleton: nn.Parameter
    BrokenTarget: torch.Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | None = None,
        dilation: Pair = 1,
        *,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        if groups != 1:
            raise ValueError(f"a Filter Skeleton is defined for groups=1, got groups={groups}: use nn.Conv2d instead")
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if padding is None:
            padding = (height // 2, width // 2)
        super().__init__(in_channels, out_channels, (height, width), stride, padding, dilation, bias=bias)
        self.add_skeleton()

    def add_skeleton(self) -> None:
        """Start with a skeleton of ones, which changes nothing; it is trained if the weight is."""
        ones = self.weight.detach().new_ones(self.out_channels, *self.kernel_size)
        self.FilterSkeleton = nn.Parameter(ones, requires_grad=self.weight.requires_grad)
        # Not persistent: the method's checkpoints do not hold it, it follows from the skeleton.
        self.register_buffer("BrokenTarget", None, persistent=False)

    @property
    def striped(self) -> bool:
        """Whether a threshold applies: the kernel is larger than 1x1."""
        return self.kernel_size != (1, 1)

    @property
    def broken(self) -> bool:
        """Whether the layer holds only its live stripes."""
        return self.BrokenTarget is not None

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name nn.Conv2d gives it
        """Return the convolution of `input` `[B, C, H, W]`, in the form that the layer is in."""
        if self.broken:
            return self._stripe_wise(input)
        weight = self.weight * self.FilterSkeleton.unsqueeze(1)
        return functional.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation)

    @torch.no_grad()
    def prune_in(self, mask: torch.Tensor) -> None:
        """Keep the input channels where `mask`, bool `[C]`, is true."""
        self.weight = nn.Parameter(self.weight[:, mask])
        self.in_channels = int(mask.sum())

    @torch.no_grad()
    def prune_out(self, threshold: float) -> torch.Tensor:
        """Drop the filters without a live stripe and return which stay, bool `[N]`; a 1x1 layer keeps all.

        Raises:
            ValueError: The layer is broken already.

        """
        self._require_dense("prune_out")
        mask = live_stripes(self.FilterSkeleton, threshold).any(dim=2).any(dim=1)
        self.weight = nn.Parameter(self.weight[mask])
        self.FilterSkeleton = nn.Parameter(self.FilterSkeleton[mask])
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias[mask])
        self.out_channels = int(mask.sum())
        return mask

    @torch.no_grad()
    def break_(self, threshold: float) -> None:
        """Break the filters into their live stripes; in a 1x1 layer every stripe is live.

        Afterwards `weight` is `[S, C, 1, 1]` in (i, j, filter) order with the skeleton multiplied in,
        `FilterSkeleton` is the bool mask, not trainable, and `BrokenTarget` `[K_h, K_w]` counts the stripes per tap.

        Raises:
            ValueError: The layer is broken already.

        """
        self._require_dense("break_")
        mask = live_stripes(self.FilterSkeleton, threshold)
        self.weight = nn.Parameter(rows_from_dense(self.weight * self.FilterSkeleton.unsqueeze(1), mask))
        self.FilterSkeleton = nn.Parameter(mask, requires_grad=False)
        self.BrokenTarget = mask.sum(dim=0)

    @torch.no_grad()
    def unbreak_(self) -> None:
        """Undo `break_`: the masked dense weight, with the mask as a float skeleton.

        Raises:
            ValueError: The layer is not broken.

        """
        if not self.broken:
            raise ValueError("unbreak_ undoes break_, but this layer is not broken")
        mask = self.FilterSkeleton
        self.weight = nn.Parameter(dense_from_rows(self.weight, mask))
        self.FilterSkeleton = nn.Parameter(mask.to(self.weight.dtype))
        self.BrokenTarget = None

    def _require_dense(self, operation: str) -> None:
        if self.broken:
            raise ValueError(f"{operation} needs the dense layer, but this one is broken already: unbreak_ it first")

    def _stripe_wise(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve tap by tap with the live stripes alone; `x` is `[B, C, H, W]` or `[C, H, W]`."""
        top, left = (int(pad) for pad in self.padding)
        height, width = self._output_size(x.shape[-2] + 2 * top, x.shape[-1] + 2 * left)
        padded = functional.pad(x, (left, left, top, top))
        out = self.weight.new_zeros(*x.shape[:-3], self.out_channels, height, width)
        for row, column, filters, rows in self._taps():
            # Slicing with the stride first leaves only the positions that are kept to be convolved.
            window = padded[
                ...,
                row : row + self.stride[0] * (height - 1) + 1 : self.stride[0],
                column : column + self.stride[1] * (width - 1) + 1 : self.stride[1],
            ]
            out.index_add_(-3, filters, functional.conv2d(window, rows))
        return out if self.bias is None else out + self.bias[:, None, None]

    def _taps(self) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor]]:
        """Yield for each live tap its offset in the padded input, its filters `[n]` and its rows `[n, C, 1, 1]`."""
        first = 0
        for i, j in torch.nonzero(self.FilterSkeleton.any(dim=0)).tolist():
            filters = torch.nonzero(self.FilterSkeleton[:, i, j])[:, 0]
            last = first + len(filters)
            yield i * self.dilation[0], j * self.dilation[1], filters, self.weight[first:last]
            first = last

    def _output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the output size for a padded input of `height` x `width`."""
        rows, columns = (
            (size - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation in zip(
                (height, width), self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        if rows < 1 or columns < 1:
            raise ValueError(f"the padded input {height}x{width} is smaller than the kernel {self.kernel_size}")
        return rows, columns
