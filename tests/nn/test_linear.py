"""Linear drops inputs and outputs."""

from __future__ import annotations

import pytest
import torch

from swp_export.nn import Linear


def test_weights_start_small() -> None:
    """The weights are drawn from N(0, 0.01)."""
    torch.manual_seed(0)
    assert Linear(100, 100).weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_dropping_an_input_is_feeding_it_zero() -> None:
    """`prune_in` keeps the columns in the mask."""
    layer = Linear(3, 2)
    x = torch.tensor([[1.0, 0.0, 2.0]])
    expected = layer(x)
    layer.prune_in(torch.tensor([True, False, True]))
    assert layer.in_features == 2
    torch.testing.assert_close(layer(x[:, [0, 2]]), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_dropping_outputs_keeps_the_others(bias: bool) -> None:
    """`prune_out` keeps rows and biases in the mask."""
    layer = Linear(3, 4, bias=bias)
    x = torch.randn(2, 3)
    expected = layer(x)[:, [1, 2]]
    layer.prune_out(torch.tensor([False, True, True, False]))
    assert layer.out_features == 2
    torch.testing.assert_close(layer(x), expected)
