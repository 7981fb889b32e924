"""Convolutions in parts give what they give at once."""

import numpy as np
import pytest
import torch

from swp_export.graph.operators import convolution
from swp_export.graph.operators.call import Call

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("columns", "weights"), [(1, 1), (60, 1), (500, 30), (1 << 20, 60), (1 << 20, 1 << 22)])
@pytest.mark.parametrize(
    ("x", "weight", "strides", "group"),
    [
        ((3, 4, 11), (6, 4, 3), (2,), 1),
        ((5, 4, 7, 6), (6, 4, 3, 2), (1, 2), 1),
        ((5, 4, 7, 6), (6, 2, 3, 3), (2, 1), 2),
        ((2, 3, 5, 4, 6), (2, 3, 2, 3, 2), (1, 2, 1), 1),
        ((3, 4, 5, 5), (6, 4, 1, 1), (2, 2), 1),
        ((3, 4, 5, 5), (4, 1, 3, 3), (1, 1), 4),
    ],
)
def test_parts(
    columns: int,
    weights: int,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    strides: tuple[int, ...],
    group: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However few numbers are copied at a time, rows, images and filters come together again, dead ones among them."""
    monkeypatch.setattr(convolution, "COLUMNS", columns)
    monkeypatch.setattr(convolution, "WEIGHTS", weights)
    images, w, bias = RNG.normal(size=x), RNG.normal(size=weight), RNG.normal(size=weight[0])
    w[:, :, 0] *= weight[2] == 1
    w[1] = 0
    rank = len(strides)
    attributes = {"strides": strides, "pads": (0,) * rank + (0,) * rank, "group": group}
    y = convolution.conv(Call(attributes=attributes, opset=18, inputs=(images, w, bias)))
    truth = getattr(torch.nn.functional, f"conv{rank}d")(
        *map(torch.from_numpy, (images, w, bias)), stride=strides, groups=group
    )
    np.testing.assert_allclose(y, truth.numpy(), rtol=0, atol=1e-12)


def test_a_weight_of_zeros() -> None:
    """A convolution without a live tap gives its bias."""
    inputs = (RNG.normal(size=(2, 3, 4, 4)), np.zeros((2, 3, 3, 3)), np.array([1.0, 2.0]))
    y = convolution.conv(Call(attributes={}, opset=18, inputs=inputs))
    assert np.array_equal(y, np.broadcast_to(inputs[2][:, None, None], (2, 2, 2, 2)))
