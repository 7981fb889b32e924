"""References run in both precisions, and say when they refuse an input."""

import numpy as np
import pytest
import torch
from small_models import PADS, model_from_text, to_float32, weights
from torch import nn

from swp_export.errors import InputError
from swp_export.verification.references import OnnxReference, Reference, TorchReference

RNG = np.random.default_rng(0)
WEIGHT = weights(RNG, 4, 3, 3, 3).astype(np.float32)
X = RNG.normal(size=(2, 3, 5, 5)).astype(np.float32)


def torch_reference() -> Reference:
    """Return a torch module in training mode, with a Dropout."""
    module = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    module.weight = nn.Parameter(torch.from_numpy(WEIGHT), requires_grad=False)
    return TorchReference(nn.Sequential(module, nn.Dropout()).train(), "torch")


def onnx_reference() -> Reference:
    """Return the same convolution as an ONNX model."""
    model = model_from_text(f"output = Conv <{PADS}> (x, w)", y="double[N, 4, P, Q] output", w=WEIGHT)
    return OnnxReference(to_float32(model), "onnx")


@pytest.mark.parametrize("make", [torch_reference, onnx_reference])
def test_both_precisions(make: type[Reference]) -> None:
    """float64 is exact where float32 is not, and training-time behaviour is off."""
    reference = make()
    truth = torch.nn.functional.conv2d(torch.from_numpy(X).double(), torch.from_numpy(WEIGHT).double(), padding=1)
    double, single = reference.float64(X)["output"], reference.float32(X)["output"]
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    assert np.abs(double - truth.numpy()).max() < 1e-12
    assert 1e-12 < np.abs(single - truth.numpy()).max() < 1e-4


@pytest.mark.parametrize("make", [torch_reference, onnx_reference])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_refusal(make: type[Reference], precision: str) -> None:
    """An input that the network does not take is the user's error, not a traceback."""
    with pytest.raises(InputError, match=r"refuses"):
        getattr(make(), precision)(np.zeros((1, 5, 4, 4), np.float32))
