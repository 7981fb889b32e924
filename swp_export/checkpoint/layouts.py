"""How checkpoints hold their layers: a literal table of layouts, told apart by the tensors alone.

| layout | FilterSkeleton | weight |
| --- | --- | --- |
| unbroken | float `[N, K, K]`, not multiplied into the weight | `[N, C, K, K]` |
| broken | bool `[N, K, K]` | `[S, C, 1, 1]`, one row per live stripe, ordered (i, j, filter) |
| broken-float | float `[N, K, K]`, multiplied into the weight | `[S, C, 1, 1]` |

The skeleton of a 1x1 convolution says nothing about the layout: the method never thresholds or breaks it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from swp_export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SKELETON_SUFFIX = ".FilterSkeleton"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to hold a network with Filter Skeletons.

    Attributes:
        name: of the layout.
        broken: whether the method's `prune` has been there: dead stripes, filters and blocks are gone, and the
            skeletons are multiplied into the weights.
        takes_threshold: whether a threshold decides which stripes are live; otherwise the file says it.
        fits: whether a layer's `FilterSkeleton` and `weight` may be held in this way.

    """

    name: str
    broken: bool
    takes_threshold: bool
    fits: Callable[[torch.Tensor, torch.Tensor], bool]


def _is_dense(skeleton: torch.Tensor, weight: torch.Tensor) -> bool:
    return weight.shape[:1] + weight.shape[2:] == skeleton.shape


def _has_rows(weight: torch.Tensor) -> bool:
    return weight.shape[2:] == (1, 1)


def _fits_unbroken(skeleton: torch.Tensor, weight: torch.Tensor) -> bool:
    return skeleton.is_floating_point() and _is_dense(skeleton, weight)


def _fits_broken(skeleton: torch.Tensor, weight: torch.Tensor) -> bool:
    return skeleton.dtype == torch.bool and (_has_rows(weight) or _is_dense(skeleton, weight))


def _fits_broken_float(skeleton: torch.Tensor, weight: torch.Tensor) -> bool:
    striped = skeleton.shape[1:] != (1, 1)
    return skeleton.is_floating_point() and striped and _has_rows(weight) and weight.shape[0] <= skeleton.numel()


LAYOUTS = (
    Layout(name="unbroken", broken=False, takes_threshold=True, fits=_fits_unbroken),
    Layout(name="broken", broken=True, takes_threshold=False, fits=_fits_broken),
    Layout(name="broken-float", broken=True, takes_threshold=True, fits=_fits_broken_float),
)
"""The first that fits a layer is the layer's."""
PLAIN = Layout(name="plain", broken=False, takes_threshold=True, fits=lambda _skeleton, _weight: False)
"""No layer has a Filter Skeleton: a network of ordinary convolutions, whose stripes are measured by their norms."""


def skeletons_of(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the `FilterSkeleton` of each layer of a state dict, by the layer's name."""
    return {key.removesuffix(SKELETON_SUFFIX): t for key, t in state.items() if key.endswith(SKELETON_SUFFIX)}


def layout_of(state: Mapping[str, torch.Tensor]) -> Layout:
    """Return the one layout that all layers of a state dict agree on.

    Raises:
        CheckpointError: there are no Filter Skeletons, one does not fit its weight, or the layers do not agree.

    """
    skeletons = skeletons_of(state)
    if not skeletons:
        raise CheckpointError(
            f"none of its {len(state)} entries is a FilterSkeleton: it was trained without. To train it with them, "
            "pass the network through swp_export.nn.convert before its optimizer is made; to prune it as it is, "
            "`prune` takes it with --arch package.module:factory, or its ONNX file"
        )
    found: dict[Layout, str] = {}
    for name, skeleton in skeletons.items():
        layout = _layout_of_layer(name, skeleton, state.get(f"{name}.weight"))
        if skeleton.shape[1:] != (1, 1):
            found.setdefault(layout, name)
    if not found:
        raise CheckpointError("every FilterSkeleton in it is 1x1; expected convolutions with larger kernels")
    if len(found) > 1:
        layers = ", ".join(f"{name} is {layout.name}" for layout, name in found.items())
        raise CheckpointError(f"mixes layouts ({layers}); expected one: save it before or after prune(), not amid it")
    return next(iter(found))


def _layout_of_layer(name: str, skeleton: torch.Tensor, weight: torch.Tensor | None) -> Layout:
    if weight is None or not weight.is_floating_point() or weight.ndim != 4 or skeleton.ndim != 3:
        found = "no weight" if weight is None else f"weight {weight.dtype} {list(weight.shape)}"
        raise CheckpointError(
            f"{name} has a FilterSkeleton {list(skeleton.shape)} and {found}; expected [N, K, K] and a float weight "
            "[N, C, K, K] or [S, C, 1, 1]"
        )
    layout = next((layout for layout in LAYOUTS if layout.fits(skeleton, weight)), None)
    if layout is None:
        raise CheckpointError(
            f"{name} has a FilterSkeleton {skeleton.dtype} {list(skeleton.shape)}, which does not fit its weight "
            f"{list(weight.shape)}; expected a float or bool [N, K, K] and [N, C, K, K], or [S, C, 1, 1] once broken"
        )
    if not layout.takes_threshold and not _is_dense(skeleton, weight) and weight.shape[0] != int(skeleton.sum()):
        raise CheckpointError(
            f"{name} has {weight.shape[0]} rows, but {int(skeleton.sum())} live stripes in its skeleton; expected as "
            "many: the file was altered after prune()"
        )
    return layout
