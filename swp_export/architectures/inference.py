"""Which architecture a checkpoint belongs to: the names of its keys say it.

A VGG is known by the positions of its convolutions, a ResNet by its stages, its blocks per stage and their kind. The
method's `prune` replaces a dead residual block by its shortcut, and an identity shortcut leaves no key at all. The
state dict's record of module names, where the file kept it, still counts such blocks; otherwise several depths may
fit, and nothing but their blocks' number differs between them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swp_export.architectures import ARCHITECTURES, resnet, resnet_imagenet, vgg
from swp_export.errors import ArchitectureError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import torch

_CONVOLUTION = re.compile(r"features\.(\d+)\.weight")
_BLOCK = re.compile(r"layer(\d+)\.(\d+)(?:\.|$)")


def infer_architecture(keys: Collection[str], *, modules: Collection[str] = (), broken: bool = False) -> str:
    """Return the name in `ARCHITECTURES` that the `keys` of a state dict spell.

    Args:
        keys: All keys.
        modules: The names of all modules, those without keys included, if they are known.
        broken: Whether dead blocks may be gone.

    Raises:
        ArchitectureError: None fits, or several do.

    """
    candidates = _vgg_candidates(keys) or _resnet_candidates(keys, modules, broken=broken)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ArchitectureError(
            f"{', '.join(candidates)} fit: dead blocks are gone from the checkpoint, and nothing in it says how many "
            f"there were; say which it is, for example --arch {candidates[0]}"
        )
    raise ArchitectureError(
        f"the keys ({', '.join(list(keys)[:3])}, ...) are those of none of {', '.join(ARCHITECTURES)}; "
        "name the architecture with --arch NAME or --arch package.module:factory"
    )


def classes_of(state: Mapping[str, torch.Tensor]) -> int | None:
    """Return the width of the last fully connected layer of a state dict, or None if there is none."""
    matrices = [tensor for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim == 2]
    return matrices[-1].shape[0] if matrices else None


def _vgg_candidates(keys: Collection[str]) -> list[str]:
    weights = [int(match[1]) for key in keys if (match := _CONVOLUTION.fullmatch(key))]
    convolutions = tuple(sorted(n for n in weights if f"features.{n}.running_mean" not in keys))
    return [name for name in vgg.STAGES if convolutions == vgg.convolution_indices(name)]


def _resnet_candidates(keys: Collection[str], modules: Collection[str], *, broken: bool) -> list[str]:
    with_keys = _blocks(keys)
    if not with_keys:
        return []
    bottleneck = any(_BLOCK.match(key) and ".conv3." in key for key in keys)
    known = {} if bottleneck else dict(resnet.BLOCKS)
    for name, (block, blocks) in resnet_imagenet.BLOCKS.items():
        if bottleneck == (block is resnet_imagenet.Bottleneck):
            known[name] = blocks
    recorded = _blocks(modules)
    if not recorded >= with_keys:
        recorded = set()
    exact = [name for name, blocks in known.items() if _all_blocks(blocks) == (recorded or with_keys)]
    if exact or recorded or not broken:
        return exact
    stages = max(stage for stage, _ in with_keys)
    return [name for name, blocks in known.items() if len(blocks) == stages and with_keys <= _all_blocks(blocks)]


def _blocks(names: Iterable[str]) -> set[tuple[int, int]]:
    """Return (stage, index) of every residual block that occurs in `names`."""
    return {(int(match[1]), int(match[2])) for name in names if (match := _BLOCK.match(name))}


def _all_blocks(blocks: tuple[int, ...]) -> set[tuple[int, int]]:
    return {(stage, index) for stage, count in enumerate(blocks, start=1) for index in range(count)}
