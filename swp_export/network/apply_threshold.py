"""Applying a threshold: from any checkpoint layout to dense weights and skeletons that are exactly zero where dead."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch

from swp_export.checkpoint import SKELETON_SUFFIX
from swp_export.errors import ThresholdError
from swp_export.network.widest_gap import round_number_in, widest_gap
from swp_export.nn.filter_stripe import dense_from_rows, live_stripes
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    from swp_export.checkpoint import Checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Thresholded:
    """A state dict with one meaning whatever the layout was: a layer computes with `weight * FilterSkeleton`.

    Attributes:
        state: float32; every weight dense, every `FilterSkeleton` float and exactly zero in dead stripes.
        skeletons: Layer -> its skeleton. A 1x1 layer is here only if its file holds a mask for it.
        threshold: The one that was applied; None where the file holds the masks.
        gap: The widest gap between the values that it was applied to, if one is wide.

    """

    state: dict[str, torch.Tensor]
    skeletons: dict[str, Skeleton]
    threshold: float | None
    gap: tuple[float, float] | None


def apply_threshold(checkpoint: Checkpoint, threshold: float | None) -> Thresholded:
    """Zero the stripes of `checkpoint` that are dead: `abs(FilterSkeleton) <= threshold`, compared in float32.

    The tensors that need no change share their memory with the checkpoint. A width of zero, the layer that lost its
    every filter in the method's `prune`, becomes one channel of zeros: torch and ONNX know no empty convolution.

    Raises:
        ThresholdError: The threshold is missing, no number, contradicts the file, or leaves nothing live.

    """
    applied = _applicable(checkpoint, threshold)
    # The masks of a broken file need no threshold, whatever it is.
    state, skeletons = _dense(checkpoint, math.inf if applied is None else applied)
    if applied is not None and not any(skeleton.live_stripes for skeleton in skeletons.values()):
        largest = max(float(values.max()) for values in checkpoint.magnitudes.values() if values.numel())
        raise ThresholdError(
            f"threshold {applied:g} is not below the largest |FilterSkeleton|, {largest:.4g}: nothing of the network "
            f"would be live; choose a smaller one. {_where_they_lie(checkpoint)}"
        )
    gap = None if applied is None else _gap(checkpoint)
    return Thresholded(state=state, skeletons=skeletons, threshold=applied, gap=gap)


def are_exact(checkpoint: Checkpoint) -> bool:
    """Tell whether every dead stripe of an unbroken `checkpoint` is exactly zero: then the threshold is 0.

    That is where nothing lies between the zeros and the widest gap of the values.
    """
    gap = None if checkpoint.layout.broken else _gap(checkpoint)
    return gap is not None and gap[0] == 0


def _where_they_lie(checkpoint: Checkpoint) -> str:
    """Return where a threshold would fit the values of `checkpoint`, and the command that shows them."""
    shown = f"`swp-export inspect {checkpoint.path}` shows how they lie"
    gap = fitting_thresholds(checkpoint) if checkpoint.layout.broken else _gap(checkpoint)
    if gap is None:
        return f"The values have no gap that suggests one; {shown}"
    what = "By its rows it was broken at one" if checkpoint.layout.broken else "The widest gap of the values is"
    return f"{what} from {gap[0]:.3g} to {gap[1]:.3g}, so --threshold {round_number_in(gap):g} suggests itself; {shown}"


def warn_of_destruction(thresholded: Thresholded, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return one sentence where the threshold left layers without a live stripe, or lies beyond the widest gap."""
    skeletons, threshold, gap = thresholded.skeletons, thresholded.threshold, thresholded.gap
    dead = [name for name, skeleton in skeletons.items() if not skeleton.live_stripes]
    reasons = []
    if dead:
        at = "" if threshold is None else f" at threshold {threshold:g}"
        names = ", ".join(dead[:3]) + (f" and {len(dead) - 3} more" if len(dead) > 3 else "")
        reasons.append(f"{len(dead)} of {len(skeletons)} layers have no live stripe{at} ({names})")
    if gap is not None and threshold is not None and threshold >= gap[1]:
        lost = sum(int(((values > gap[0]) & (values <= threshold)).sum()) for values in checkpoint.magnitudes.values())
        reasons.append(
            f"the threshold {threshold:g} lies beyond the widest gap of the values, {gap[0]:.3g} to {gap[1]:.3g}, and "
            f"cuts {lost} stripes above it"
        )
    if not reasons:
        return ()
    advice = "take one inside that gap" if len(reasons) > 1 or not dead else "choose a smaller one"
    if threshold is None:
        advice = "start from the unbroken checkpoint and a smaller threshold"
    text = f"the network was probably destroyed: {'; '.join(reasons)}; `swp-export inspect {checkpoint.path}`"
    return (f"{text} shows what is left, and how the values lie: {advice}",)


def as_saved(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Return the state of an unbroken `checkpoint` in the form of `Thresholded.state`, with every stripe kept."""
    return _dense(checkpoint, -math.inf)[0]


def fitting_thresholds(checkpoint: Checkpoint) -> tuple[float, float] | None:
    """Return `(low, high)`: at `low <= threshold < high` each layer keeps as many stripes as its weight has rows.

    None where no threshold does, and for an unbroken file, whose weights have no rows.
    """
    if not checkpoint.layout.broken:
        return None
    low, high = 0.0, math.inf
    for name, values in checkpoint.magnitudes.items():
        rows = checkpoint.state[f"{name}.weight"].shape[0]
        falling = values.flatten().sort(descending=True).values
        # Exactly the first `rows` values exceed t where falling[rows] <= t < falling[rows - 1].
        low = max(low, float(falling[rows])) if rows < len(falling) else low
        high = min(high, float(falling[rows - 1])) if rows else high
    return (low, high) if low < high else None


def _dense(checkpoint: Checkpoint, threshold: float) -> tuple[dict[str, torch.Tensor], dict[str, Skeleton]]:
    state = {key: t.float() if t.is_floating_point() else t for key, t in checkpoint.state.items()}
    skeletons: dict[str, Skeleton] = {}
    for name, skeleton in checkpoint.skeletons.items():
        if skeleton.dtype != torch.bool and skeleton.shape[1:] == (1, 1):
            continue  # it only scales the weight
        mask = live_stripes(skeleton, threshold)
        weight_key, skeleton_key = f"{name}.weight", f"{name}{SKELETON_SUFFIX}"
        of_live = mask.float() if checkpoint.layout.broken else state[skeleton_key]
        state[skeleton_key] = torch.where(mask, of_live, 0.0)
        if state[weight_key].shape[:1] + state[weight_key].shape[2:] != mask.shape:
            state[weight_key] = dense_from_rows(state[weight_key], mask)
        skeletons[name] = Skeleton(_without_empty_width(name, mask).numpy())
    return {key: _without_empty_width(key, tensor) for key, tensor in state.items()}, skeletons


def _applicable(checkpoint: Checkpoint, threshold: float | None) -> float | None:
    """Return the threshold to apply, None for the masks of a broken file."""
    if threshold is not None and not threshold >= 0:
        raise ThresholdError(f"the threshold is {threshold}, expected a number that is not negative")
    if not checkpoint.layout.takes_threshold:
        if threshold is None or threshold == checkpoint.threshold:
            return None
        raise ThresholdError(
            f"{checkpoint.path} is already broken: its skeletons are fixed and no threshold applies; leave out "
            "--threshold, or start from the unbroken checkpoint"
        )
    chosen = checkpoint.threshold if threshold is None else threshold
    if chosen is None:
        chosen = 0.0 if are_exact(checkpoint) else None
    if chosen is None:
        raise ThresholdError(
            f"{checkpoint.path} needs --threshold F, the one it was trained with: stripes with |FilterSkeleton| <= F "
            f"are dead. {_where_they_lie(checkpoint)}"
        )
    if checkpoint.layout.broken:
        _require_row_counts(checkpoint, chosen)
    return chosen


def _gap(checkpoint: Checkpoint) -> tuple[float, float] | None:
    magnitudes = [values.flatten() for values in checkpoint.magnitudes.values()]
    return widest_gap(torch.cat(magnitudes).sort().values.numpy()) if magnitudes else None


def _require_row_counts(checkpoint: Checkpoint, threshold: float) -> None:
    """Check that in every layer as many values exceed `threshold` as there are rows."""
    wrong: list[str] = []
    for name, values in checkpoint.magnitudes.items():
        rows, live = checkpoint.state[f"{name}.weight"].shape[0], int(live_stripes(values, threshold).sum())
        if live != rows:
            wrong.append(f"{name} has {rows} rows but {live} values above it")
    if not wrong:
        return
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    fitting = fitting_thresholds(checkpoint)
    advice = (
        "no threshold fits all layers, so the file does not belong to one prune(threshold)"
        if fitting is None
        else f"every threshold from {fitting[0]:.6g} to below {fitting[1]:.6g} fits all layers"
    )
    raise ThresholdError(f"{checkpoint.path} was not broken at {threshold:g}: {'; '.join(wrong[:3])}{more}; {advice}")


def _without_empty_width(key: str, tensor: torch.Tensor) -> torch.Tensor:
    if 0 not in tensor.shape:
        return tensor
    return tensor.new_full([max(1, size) for size in tensor.shape], 1 if key.endswith("running_var") else 0)
