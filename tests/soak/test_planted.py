"""Planted faults, a small run: none that matters is missed. `make soak` plants 1,500."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soak.planted import Base, onnx_bases, random_checkpoint_base, sound, spoil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def bad(bases: Iterable[Base | str], faults: int) -> list[object]:
    """Return what is wrong with the program after `faults` faults in each base; at least one fault must matter."""
    wrong: list[object] = []
    effective = 0
    for base in bases:
        why = base if isinstance(base, str) else sound(base)
        if why is not None or isinstance(base, str):
            wrong.append(why)
            continue
        outcomes = [outcome for _, outcome in filter(None, (spoil(base, seed) for seed in range(faults)))]
        effective += sum(outcome.effective for outcome in outcomes)
        wrong += [o for o in outcomes if o.verdict == "crashed" or (o.effective and o.verdict == "missed")]
    assert effective or wrong
    return wrong


@pytest.mark.parametrize("seed", [0, 2, 4, 8, 13, 20])
def test_onnx_files(seed: int, tmp_path: Path) -> None:
    """In an ONNX file, and in what `prune` made of it, every fault that matters is found."""
    assert bad(onnx_bases(seed, tmp_path), 4) == []


def test_a_checkpoint(tmp_path: Path) -> None:
    """In the model of a checkpoint every fault that matters is found."""
    assert bad([random_checkpoint_base(1, tmp_path)], 12) == []
