"""Random networks, a small run: no false alarm, nothing wrong. `make soak` tries 500."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soak.promised import FAILURES, checkpoint_promise, onnx_promise
from soak.random_routes import routed_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", [0, 2, 4, 6, 8, 10, 12, 16, 113, 120])
def test_onnx_files(seed: int, tmp_path: Path) -> None:
    """A random ONNX file is pruned as it computes, and called equivalent."""
    promise = onnx_promise(seed, tmp_path)
    assert promise.kind not in FAILURES, promise


@pytest.mark.parametrize("seed", [0, 1, 3, 5, 8, 21, 40, 62])
def test_routes(seed: int, tmp_path: Path) -> None:
    """A random ONNX file of operators that channels run through is pruned as it computes, and called equivalent."""
    promise = onnx_promise(seed, tmp_path, routed_model)
    assert promise.kind not in FAILURES, promise


@pytest.mark.parametrize("seed", [1, 9, 13, 121, 139])
def test_checkpoints(seed: int, tmp_path: Path) -> None:
    """A random network is pruned as it computes, and called equivalent."""
    promise = checkpoint_promise(seed, tmp_path)
    assert promise.kind not in FAILURES, promise
