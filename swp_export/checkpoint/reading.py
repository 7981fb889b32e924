"""Reading a checkpoint of any layout into one `Checkpoint`."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.checkpoint.content import bytes_of, naming, parse
from swp_export.checkpoint.layouts import PLAIN, layout_of, skeletons_of
from swp_export.checkpoint.self_describing import described
from swp_export.checkpoint.state_dict import unwrap

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from swp_export.checkpoint.layouts import Layout


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: The file.
        sha256: Hexadecimal digest of the very bytes that were read.
        layout: How it holds the layers.
        state: Key -> tensor on the CPU, wrappers and `module.` prefixes removed.
        modules: Names of all modules of the saved network, if the file recorded them (`state_dict()._metadata`).
            They outlive dead blocks, which leave no key; empty where nothing was recorded.
        architecture: Its name, if the file is self-describing; as all below.
        threshold: Of the skeletons.
        input_shape: `(C, H, W)`.
        metadata: `normalisation`, `class_names`, `versions`.

    """

    path: Path
    sha256: str
    layout: Layout
    state: dict[str, torch.Tensor]
    modules: frozenset[str] = frozenset()
    architecture: str | None = None
    threshold: float | None = None
    input_shape: tuple[int, int, int] | None = None
    metadata: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def skeletons(self) -> dict[str, torch.Tensor]:
        """Layer -> its `FilterSkeleton` as saved, `[N, K_h, K_w]`, 1x1 layers included."""
        return skeletons_of(self.state)

    @property
    def magnitudes(self) -> dict[str, torch.Tensor]:
        """Layer -> `abs(FilterSkeleton)` in float32, of the layers that a threshold applies to: of no 1x1 layer."""
        return {
            name: skeleton.float().abs()
            for name, skeleton in self.skeletons.items()
            if skeleton.is_floating_point() and skeleton.shape[1:] != (1, 1)
        }


def read_checkpoint(path: str | Path, *, plain: bool = False) -> Checkpoint:
    """Read a checkpoint in any layout, written by `torch.save` (either format) or safetensors.

    Args:
        path: The file.
        plain: Whether one without any Filter Skeleton will do, whose layout is then PLAIN.

    Raises:
        CheckpointError: The file cannot be read without executing code, or holds no network with Filter Skeletons.

    """
    path = Path(path)
    data = bytes_of(path)
    with naming(path):
        content = parse(path, data)
        facts = described(content)
        state, modules = unwrap(content, len(data))
        return Checkpoint(
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            layout=PLAIN if plain and not skeletons_of(state) else layout_of(state),
            state=state,
            modules=modules,
            **facts,
        )
