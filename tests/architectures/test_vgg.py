"""VGG has the keys and sizes of the method's."""

from __future__ import annotations

import pytest
import torch

from swp_export.architectures.vgg import STAGES, VGG, convolution_indices


def test_vgg16_has_the_method_s_keys() -> None:
    """Convolutions stand where the method's checkpoints have them."""
    assert convolution_indices("VGG16") == (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)


@pytest.mark.parametrize("name", STAGES)
def test_indices_are_those_of_the_module(name: str) -> None:
    """`convolution_indices` agrees with the network that is built, which returns logits."""
    with torch.device("meta"):
        module = VGG(name, 7)
        assert module.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    found = [key for key, tensor in module.state_dict().items() if tensor.ndim == 4]
    assert found == [f"features.{n}.weight" for n in convolution_indices(name)]
