"""From a checkpoint to the network that everything else is measured against."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.architectures import Architecture, resolve_architecture
from swp_export.architectures.fitting import construct, first_convolution, fit, replace_dead_blocks, run_without_data
from swp_export.architectures.inference import classes_of, infer_architecture
from swp_export.checkpoint import SKELETON_SUFFIX
from swp_export.checkpoint.layouts import skeletons_of
from swp_export.errors import ArchitectureError, InputError
from swp_export.network.apply_threshold import Thresholded, apply_threshold, warn_of_destruction
from swp_export.network.wrapping_prefix import unwrapped
from swp_export.nn import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.checkpoint import Checkpoint
    from swp_export.stripes import Skeleton


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A checkpoint's network with every dead stripe exactly zero.

    Attributes:
        module: float32 on the CPU, in eval mode, no gradients. It multiplies `weight` and `FilterSkeleton` when it
            runs, so its `.double()` copy is the float64 reference. Some tensors share memory with the checkpoint.
        skeletons: Layer -> skeleton. A 1x1 layer is here only if its file holds a mask for it.
        architecture: As in `ARCHITECTURES`, or `package.module:factory`.
        threshold: The one that was applied; None where the file holds the masks.
        num_classes: Width of an output `[N, num_classes]` or `[N, num_classes, H, W]`; None for others.
        input_shape: `(C, H, W)`.
        warnings: One sentence each on what is legal but probably not meant.
        checkpoint: Where it comes from.

    """

    module: nn.Module
    skeletons: dict[str, Skeleton]
    architecture: str
    threshold: float | None
    num_classes: int | None
    input_shape: tuple[int, int, int]
    warnings: tuple[str, ...]
    checkpoint: Checkpoint


def instantiate(
    checkpoint: Checkpoint,
    *,
    threshold: float | None = None,
    architecture: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> Network:
    """Build the network of `checkpoint` and zero its dead stripes.

    A broken file is reproduced as it computes, dead blocks that were replaced by their shortcut included.

    Args:
        checkpoint: Any layout.
        threshold: A stripe is live where `abs(FilterSkeleton) > threshold` in float32. Default: the recorded one.
        architecture: A name or `package.module:factory`. Default: the recorded one, or what the keys spell.
        input_shape: `(C, H, W)`. Default: the recorded one, or the architecture's.

    Raises:
        ThresholdError: The threshold is missing, contradicts the file, or leaves nothing live.
        ArchitectureError: The architecture is unknown or contradicts the file.
        InputError: The input shape is unknown or does not fit the first layer.

    """
    checkpoint = unwrapped(checkpoint, architecture)
    thresholded = apply_threshold(checkpoint, threshold)
    chosen = _architecture(checkpoint, architecture)
    module, warnings = build(checkpoint, chosen, thresholded.state)
    shape = _input_shape(checkpoint, chosen, module, input_shape)
    output = run_without_data(module, shape, chosen)
    return Network(
        module=module,
        skeletons=thresholded.skeletons,
        architecture=chosen.name,
        threshold=thresholded.threshold,
        num_classes=output.shape[1] if output.ndim in {2, 4} else None,
        input_shape=shape,
        warnings=(
            *_told_threshold(checkpoint, threshold, thresholded),
            *warnings,
            *warn_of_destruction(thresholded, checkpoint),
        ),
        checkpoint=checkpoint,
    )


def build(
    checkpoint: Checkpoint, architecture: Architecture, state: dict[str, torch.Tensor]
) -> tuple[nn.Module, list[str]]:
    """Return the network of `checkpoint` that computes with the dense `state`, in eval mode, and warnings.

    Raises:
        ArchitectureError: The state does not fit the architecture.

    """
    module = with_skeletons(construct(architecture, classes_of(state)), state)
    warnings: list[str] = []
    # Fine-tuning leaves unbroken files without these blocks; there the record of modules says that they are gone.
    may_lack_blocks = checkpoint.layout.broken or checkpoint.modules
    if may_lack_blocks and (dead := replace_dead_blocks(module, state, checkpoint.modules)):
        tuned = not checkpoint.layout.broken  # what training made of it since, nobody can tell from the file
        warnings.append(
            f"{len(dead)} residual blocks ({', '.join(dead)}) were replaced by their shortcut when the checkpoint was "
            "broken, without their last ReLU and bn2's constant; they are reproduced as they are"
            + (
                ""
                if tuned
                else "; the network was probably destroyed: start from the unbroken checkpoint and a smaller threshold"
            )
        )
    state, plain = _complete_skeletons(module, state, every_layer=architecture.plain_convolutions)
    warnings += [f"{name} has no FilterSkeleton: taken as an ordinary convolution, never pruned" for name in plain]
    fit(module, state, architecture.name)
    return module.eval(), warnings


def with_skeletons(module: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return `module`, its plain convolutions converted if `state` has a skeleton of one: what `convert` trained.

    So the factory of the network as it was before `convert` will do.
    """
    layers = dict(module.named_modules())
    striped = {name for name, skeleton in skeletons_of(state).items() if skeleton.shape[1:] != (1, 1)}
    if not any(type(layers.get(name)) is nn.Conv2d for name in striped):
        return module
    try:
        return convert(module)
    except ValueError as error:
        raise ArchitectureError(f"the checkpoint has Filter Skeletons, but {error}") from error


def reference_name(network: Network, origin: str = "") -> str:
    """Return what `network` is, in words: the file as it computes, or with which of its values set to zero.

    Args:
        network: of a checkpoint.
        origin: where the threshold comes from, if not from the user.

    """
    path = network.checkpoint.path
    if network.checkpoint.layout.broken:
        return f"{path} as it computes"
    return f"{path} with every |FilterSkeleton| <= {network.threshold:g}{origin} set to zero"


def _told_threshold(checkpoint: Checkpoint, requested: float | None, found: Thresholded) -> tuple[str, ...]:
    """Return one sentence where nobody stated the threshold that was applied."""
    if found.threshold is None or requested is not None or checkpoint.threshold is not None:
        return ()
    live = sum(skeleton.live_stripes for skeleton in found.skeletons.values())
    stripes = sum(skeleton.stripes for skeleton in found.skeletons.values())
    text = f"no --threshold was given: {found.threshold:g} was taken, since every dead stripe of {checkpoint.path} is "
    return (f"{text}exactly zero ({live:,} of {stripes:,} are live)",)


def _architecture(checkpoint: Checkpoint, requested: str | None) -> Architecture:
    if requested is not None:
        return resolve_architecture(requested)
    recorded = checkpoint.architecture
    if recorded is None:
        inferred = infer_architecture(checkpoint.state, modules=checkpoint.modules, broken=checkpoint.layout.broken)
        return resolve_architecture(inferred)
    if ":" in recorded:
        # Importing what a file names would let the file choose which code runs.
        raise ArchitectureError(
            f"{checkpoint.path} says that {recorded} makes its network, code that is run only on request; "
            f"give --arch {recorded} if you trust it"
        )
    return resolve_architecture(recorded)


def _complete_skeletons(
    module: nn.Module, state: dict[str, torch.Tensor], *, every_layer: bool
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Give the layers without a skeleton one of ones, which changes nothing: 1x1 layers, or all where users choose.

    Return the completed state and the larger layers that got one.
    """
    completed, plain = dict(state), []
    for name, layer in module.named_modules():
        key = f"{name}{SKELETON_SUFFIX}"
        skeleton = dict(layer.named_parameters(recurse=False)).get("FilterSkeleton")
        weight = state.get(f"{name}.weight")
        if skeleton is None or weight is None or key in state:
            continue
        striped = skeleton.shape[1:] != (1, 1)
        if every_layer or not striped:
            completed[key] = torch.ones(weight.shape[0], *skeleton.shape[1:])
            plain += [name] if striped else []
    return completed, plain


def _input_shape(
    checkpoint: Checkpoint, architecture: Architecture, module: nn.Module, requested: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    first = first_convolution(module)
    shape = requested or checkpoint.input_shape
    if shape is None and architecture.input_shape is not None and first is not None:
        shape = (first.in_channels, *architecture.input_shape[1:])
    if shape is None:
        raise InputError(f"the input shape of {architecture.name} is not known; give --input-shape C,H,W")
    if first is not None and first.in_channels != shape[0]:
        raise InputError(f"the network takes {first.in_channels} channels, but the input shape is {list(shape)}")
    return shape
