"""One small data set, and one training on it, for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_training import OPTIONS, write_images

from swp_export.training.train import train

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.training.report import TrainReport


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a FashionMNIST with 64 images to train on and 33 to test on."""
    return write_images(tmp_path_factory.mktemp("images"), test=33)


@pytest.fixture(scope="session")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    """Return a training of three epochs that nothing interrupted."""
    return train(save=tmp_path_factory.mktemp("finished"), data_path=images, **OPTIONS)
