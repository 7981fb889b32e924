"""BatchNorm2d drops channels."""

from __future__ import annotations

import torch

from swp_export.nn import BatchNorm2d


def test_gamma_starts_at_a_half() -> None:
    """Gamma starts at 0.5, as the method sets it, also when it is reset."""
    layer = BatchNorm2d(3)
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.5] * 3


def test_the_channels_that_stay_compute_what_they_did() -> None:
    """Pruning keeps gamma, beta and both statistics of the channels in the mask."""
    layer = BatchNorm2d(4)
    layer(torch.randn(8, 4, 5, 5) * 3 + 1)
    layer.eval()
    mask = torch.tensor([True, False, True, True])
    x = torch.randn(2, 4, 3, 3)
    expected = layer(x)[:, mask]
    layer.prune(mask)
    assert layer.num_features == 3
    torch.testing.assert_close(layer(x[:, mask]), expected)


def test_a_layer_without_parameters_or_statistics_is_pruned_too() -> None:
    """`affine=False` and `track_running_stats=False` leave nothing to prune but the width."""
    layer = BatchNorm2d(2, affine=False, track_running_stats=False)
    layer.prune(torch.tensor([True, False]))
    assert layer.num_features == 1
