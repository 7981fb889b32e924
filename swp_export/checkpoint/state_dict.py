"""The state dict inside what a file holds: out of its wrappers, and made of plain, finite tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from swp_export.checkpoint.content import SAVE_STATE_DICT
from swp_export.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "state_dict_ema", "model_ema", "ema")
_PREFIXES = ("module.", "_orig_mod.")  # nn.DataParallel and AveragedModel, torch.compile
_COUNTER = "n_averaged"
"""Of AveragedModel, beside its `module.`."""
_COUNTERS = ("total_ops", "total_params")
"""What thop leaves in every layer that it counted."""
_DEEPEST_WRAPPER = 8
_SMALL_FILE = 16 << 20
_MOST_PER_BYTE = 8
"""Bytes of tensors: so many for a small file, and so many for each byte of it; shared tensors count each time."""


def unwrap(content: object, size: int) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Return the state dict inside `content`, read from a file of `size` bytes, and the module names it recorded."""
    for _ in range(_DEEPEST_WRAPPER):
        wrapper = _wrapper(content)
        if wrapper is None or not isinstance(content, Mapping):
            break
        content = content[wrapper]
    else:
        raise CheckpointError(f"wraps its state dict more than {_DEEPEST_WRAPPER} times; {SAVE_STATE_DICT}")
    if not isinstance(content, Mapping):
        raise CheckpointError(f"holds a {type(content).__name__}, expected a state dict; {SAVE_STATE_DICT}")
    state = plain_tensors(content, most=_SMALL_FILE + _MOST_PER_BYTE * size)
    recorded = getattr(content, "_metadata", ())
    modules = [name for name in recorded if isinstance(name, str)] if isinstance(recorded, Mapping | tuple) else []
    state = _without_counters(state)
    while prefix := next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
        modules = [name.removeprefix(prefix) for name in modules]
    return state, frozenset(modules)


def _wrapper(content: object) -> str | None:
    """Return the key of `content` that holds the state dict, None where it is one itself."""
    if not isinstance(content, Mapping):
        return None
    present = [key for key in _WRAPPERS if key in content and not isinstance(content[key], torch.Tensor)]
    filled = [key for key in present if isinstance(content[key], Mapping) and content[key]]
    if len(filled) > 1:
        names = " and ".join(map(repr, filled))
        raise CheckpointError(
            f"holds several state dicts, {names}, and nothing says which one is meant; save that one alone: "
            f"torch.save(torch.load('...')[{filled[0]!r}], 'weights.pth')"
        )
    return next(iter(filled or present), None)


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` without what counts runs, operations and parameters, and is no part of the network."""
    kept = {key: tensor for key, tensor in state.items() if key.rpartition(".")[2] not in _COUNTERS}
    if all(key == _COUNTER or key.startswith("module.") for key in kept):
        kept.pop(_COUNTER, None)
    return kept


def plain_tensors(content: Mapping[str, object], most: float = math.inf) -> dict[str, torch.Tensor]:
    """Check that `content` maps names to plain, finite tensors of at most `most` bytes in all."""
    state: dict[str, torch.Tensor] = {}
    total = 0
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{shown(key)} is a {type(value).__name__}, expected a state dict of tensors only; {SAVE_STATE_DICT}"
            )
        tensor = _plain(key, value)
        total += tensor.numel() * tensor.element_size()
        if total > most:
            raise CheckpointError(
                f"{key} is declared as {list(tensor.shape)}, with which all tensors are {total:,} bytes, far more than "
                "the file holds; save tensors that were expanded with .contiguous()"
            )
        finite = torch.isfinite(tensor.float()) if tensor.is_floating_point() else torch.ones(())
        if not bool(finite.all()):
            bad = int(tensor.numel() - finite.sum())
            raise CheckpointError(
                f"{key} has {bad} of {tensor.numel()} values that are NaN or infinite in float32; training "
                "diverged: use an earlier checkpoint"
            )
        state[key] = tensor
    return state


def _plain(key: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` without its history and its class, if it is one that holds its numbers itself."""
    kind = "sparse" if tensor.layout != torch.strided else "quantised" if tensor.is_quantized else None
    kind = "nested" if tensor.is_nested else "meta (it has no values)" if tensor.is_meta else kind
    kind = "complex" if tensor.is_complex() else kind
    if tensor.is_floating_point() and tensor.element_size() == 1:
        kind = str(tensor.dtype).removeprefix("torch.")
    if kind is not None:
        raise CheckpointError(f"{key} is a tensor of another kind: {kind}; save plain tensors of float32")
    with torch.no_grad():
        return tensor.detach().as_subclass(torch.Tensor)


def shown(value: object) -> str:
    """Return `value` as it stands in a message: containers, whose text may be endless, by their type."""
    plain = isinstance(value, str | int | float | None)
    if isinstance(value, list) and len(value) <= 8:
        plain = all(isinstance(item, str | int | float | None) for item in value)
    return repr(value)[:80] if plain else f"a {type(value).__name__}"
