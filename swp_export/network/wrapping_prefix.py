"""A network inside another module: `model.conv1.weight` of a LightningModule that is `conv1.weight` of the network.

`module.` and `_orig_mod.` say what put them there and go when a file is read. Any other name may be the network's own,
so it goes only where the network shows that it is not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct
from swp_export.architectures.inference import classes_of, infer_architecture
from swp_export.errors import ArchitectureError

if TYPE_CHECKING:
    from collections.abc import Collection

    from swp_export.checkpoint import Checkpoint

_DEEPEST = 4


def unwrapped(checkpoint: Checkpoint, architecture: str | None = None) -> Checkpoint:
    """Return `checkpoint` without the names that all its keys begin with and the network's do not.

    Args:
        checkpoint: of any layout.
        architecture: that was asked for; by default what the keys spell must be a known one.

    """
    found = checkpoint
    for _ in range(_DEEPEST):
        prefix = _common(found.state)
        if not prefix:
            break
        found = _without(found, prefix)
        if _spells_network(found, architecture):
            return found
    return checkpoint


def _common(keys: Collection[str]) -> str:
    """Return the name, with its dot, that all `keys` begin with, empty where they do not."""
    first, dot, _ = next(iter(keys), "").partition(".")
    prefix = first + dot
    return prefix if dot and all(key.startswith(prefix) for key in keys) else ""


def _without(checkpoint: Checkpoint, prefix: str) -> Checkpoint:
    return dataclasses.replace(
        checkpoint,
        state={key.removeprefix(prefix): tensor for key, tensor in checkpoint.state.items()},
        modules=frozenset(name.removeprefix(prefix) for name in checkpoint.modules if name.startswith(prefix)),
    )


def _spells_network(checkpoint: Checkpoint, architecture: str | None) -> bool:
    try:
        if architecture is None:
            infer_architecture(checkpoint.state, modules=checkpoint.modules, broken=checkpoint.layout.broken)
            return True
        known = resolve_architecture(architecture)
        names = construct(known, classes_of(checkpoint.state)).state_dict().keys()
    except ArchitectureError:
        return False
    return any(key in names for key in checkpoint.state)
