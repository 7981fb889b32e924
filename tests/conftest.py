"""What all tests share: hypothesis without a clock, and the real checkpoints, each exported and pruned once."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from real_networks import RESNET, VGG, Exported, Pruned, pruned, read
from shared_exports import SharedExports

from swp_export.graph.from_torch import export

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same examples in every run, and no deadline: a slow machine is no failure.
settings.register_profile("swp-export", deadline=None, derandomize=True)
settings.load_profile("swp-export")

# Most objects are modules, tests and kernels' tables that live to the end: going through them again and again took as
# long as many tests.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what is there before the first test."""
    gc.collect()
    gc.freeze()


# On a busy machine torch's threads mostly wait for one another.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def shared_exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedExports]:
    """Let PyTorch's exporter run once for each structure of network."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    shared = SharedExports(export._exported, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_exported", shared)
        yield shared


@pytest.fixture
def exporter(shared_exports: SharedExports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch's exporter run each time."""
    monkeypatch.setattr(export, "_exported", shared_exports.export)


@pytest.fixture(scope="session")
def resnet56(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """ResNet56, unbroken, pruned at 0.01."""
    return pruned(RESNET / "best.pth.tar", 0.01, tmp_path_factory.mktemp("resnet56"))


@pytest.fixture(scope="session")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """VGG16, broken, pruned."""
    return pruned(VGG / "pruned.pth.tar", None, tmp_path_factory.mktemp("vgg16"))


@pytest.fixture(scope="session")
def resnet56_at_0_1() -> Exported:
    """ResNet56 thresholded at 0.1, where 16 blocks die."""
    return read(RESNET / "best.pth.tar", 0.1)


@pytest.fixture(scope="session")
def resnet56_at_0_2() -> Exported:
    """ResNet56 thresholded at 0.2, where 25 blocks die, one with a downsample among them."""
    return read(RESNET / "best.pth.tar", 0.2)
