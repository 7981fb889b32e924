"""Random roundings move a network's outputs as far as float32 does, and where it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import model_from_text, to_bytes, to_float32
from torch import nn

from swp_export.runtime.session import open_session
from swp_export.verification.references import OnnxReference, TorchReference
from swp_export.verification.rounding import UNIT, UNIT_OF_FLOAT16, move_module, moved, summing_means

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.verification.references import Reference


@given(st.integers(0, 100), st.sampled_from([UNIT, 2.0**-11]))
def test_each_element_by_its_own_unit(seed: int, unit: float) -> None:
    """No element moves by more than a unit of its own size, most do move, and zeros stay zeros."""
    array = np.random.default_rng(seed).normal(size=(4, 5)) * 10.0 ** np.arange(-2, 3)
    array[1] = 0
    result = moved(array, np.random.default_rng(seed), unit)
    assert (np.abs(result - array) <= unit * np.abs(array)).all()
    assert (result[[0, 2, 3]] != array[[0, 2, 3]]).all()


@pytest.mark.parametrize(
    "array", [np.array(2.0), np.array([2.0, 3.0]), np.ones((2, 2), np.int64), np.ones((2, 2), bool)]
)
def test_what_may_be_a_size_stays(array: np.ndarray) -> None:
    """Scalars, vectors and integers may say how large a map becomes: they are left alone."""
    assert moved(array, np.random.default_rng(0), 0.5) is array


def test_module_moves_each_time_that_it_runs() -> None:
    """Weights move once; the outputs of layers move anew in every run."""
    module = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.ReLU()).double()
    before = module[0].weight.detach().clone()
    move_module(module, 0, UNIT)
    assert 0 < float((module[0].weight.detach() - before).abs().max()) <= UNIT * float(before.abs().max())
    x = torch.rand(1, 2, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.equal(module(x), module(x))


@pytest.mark.parametrize("depth", [1, 8])
def test_as_far_as_float32(depth: int) -> None:
    """By rms, rounded runs of a network stray from the truth within a few times of what its float32 run does."""
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    reference = TorchReference(nn.Sequential(*layers), "r")
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 12)).astype(np.float32)
    truth = reference.float64(x)["output"]
    single = np.sqrt(np.mean((reference.float32(x)["output"] - truth) ** 2))
    rounded = np.sqrt(np.mean((reference.rounded(0)(x)["output"] - truth) ** 2))
    assert 1 / 4 < single / rounded < 4


def test_where_float32_does() -> None:
    """A Sigmoid that is saturated does not move, one that is steep does."""
    reference = TorchReference(nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Sigmoid()), "r")
    reference._double[0].weight.data.fill_(1.0)
    x = np.array([60.0, 0.5], np.float32).reshape(2, 1, 1, 1)
    off = np.abs(reference.rounded(0)(x)["output"] - reference.float64(x)["output"]).reshape(-1)
    assert off[0] <= UNIT
    assert UNIT / 100 < off[1] <= 2 * UNIT


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4), None])
def test_a_mean_that_is_taken_off_is_rounded(norm: nn.Module | None) -> None:
    """Constant maps minus their mean are off by its rounding, over a small deviation: all alike, so a pool sees it."""
    if norm is not None:
        reference: Reference = TorchReference(nn.Sequential(norm, nn.AdaptiveAvgPool2d(1)), "r")
    else:
        body = "a = Abs (x) b = InstanceNormalization (a, s, t) y = GlobalAveragePool (b)"
        model = model_from_text(body, x="double[N, 4, H, W] x", s=np.ones(4), t=np.zeros(4))
        reference = OnnxReference(to_float32(model), "r")
    x = np.full((2, 4, 5, 6), 0.7, np.float32)
    (truth,), (rounded,) = (run(x).values() for run in (reference.float64, reference.rounded(0)))
    assert np.abs(truth).max() < 1e-12
    assert 20 * UNIT < np.abs(rounded).max() < 0.7 * UNIT / np.sqrt(1e-5) * 1.001


@pytest.mark.parametrize(
    "mean", [nn.AdaptiveAvgPool2d(1), lambda x: x.mean((2, 3)), lambda x: torch.mean(x, dim=(2, 3), keepdim=True)]
)
def test_a_mean_is_off_as_onnx_runtime_sums(mean: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """All sums of a constant map round alike, so that its mean is off by tens of units, and no mean of one axis is."""
    x = np.random.default_rng(0).uniform(0.3, 1, (1, 64, 1, 1)).astype(np.float32).repeat(784, axis=2)
    x = x.reshape(1, 64, 28, 28)
    pool = model_from_text("y = GlobalAveragePool (x)", x="double[N, 64, H, W] x", y="double[N, 64, 1, 1] y")
    single = open_session(to_bytes(to_float32(pool)), optimise=False).run(x)["y"]
    maps = torch.from_numpy(x.astype(np.float64))
    with summing_means():
        off = mean(maps).numpy().reshape(1, 64, 1, 1) - maps[:, :, :1, :1].numpy()
        assert np.abs((maps.mean(2) - maps[:, :, 0]).numpy()).max() < UNIT
    real = single - maps[:, :, :1, :1].numpy()
    assert np.abs(off - real).max() < UNIT
    assert np.abs(real).max() > 20 * UNIT


def test_a_seed_repeats_a_run() -> None:
    """Two references moved by one seed give the same, by another seed something else: a report can be repeated."""
    torch.manual_seed(0)
    reference = TorchReference(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), "r")
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype(np.float32)
    first, again, other = (reference.rounded(seed)(x)["output"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_vectors_of_a_module_stay() -> None:
    """A bias rounds with the sum that it is added to, so it is not moved by itself."""
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).double()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    move_module(module, 0, 0.1)
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"0.weight"}


def test_unit_of_float16() -> None:
    """It is half of the distance between 1 and the next number of float16, as that of float32 is."""
    assert np.finfo(np.float16).eps / 2 == UNIT_OF_FLOAT16
    assert np.finfo(np.float32).eps / 2 == UNIT


def test_weights_of_linear_layers_move() -> None:
    """A matrix is moved, as the weight of a convolution is."""
    module = nn.Linear(3, 2).double()
    before = module.weight.detach().clone()
    move_module(module, 0, UNIT)
    assert not torch.equal(module.weight, before)


def test_what_rounds_nothing_moves_nothing() -> None:
    """A ReLU, a pool and a Flatten give what they were given, and so does what holds them."""
    module = nn.Sequential(nn.ReLU(), nn.Sequential(nn.MaxPool2d(2)), nn.Flatten()).double()
    x = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    before = module(x)
    move_module(module, 0, 0.1)
    assert torch.equal(module(x), before)


def test_layers_that_give_no_floats() -> None:
    """A layer that gives several tensors, or integers, is left alone."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    class Integers(nn.Module):
        def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            return pair[0].argmax(dim=1)

    module = nn.Sequential(Two(), Integers()).double()
    move_module(module, 0, 0.1)
    assert module(torch.rand(2, 3, dtype=torch.float64)).dtype == torch.int64
