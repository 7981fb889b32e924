"""Which integers there are, by device and processor."""

from __future__ import annotations

import numpy as np
import pytest
from int8_models import saturating_products

from swp_export.precision.scheme import Scheme, scheme_for
from swp_export.runtime.cpu import FEATURES, Cpu


def cpu(*having: str, known: bool = True) -> Cpu:
    """Return a processor with the features `having`."""
    return Cpu(model="some", features={name: name in having for name in FEATURES} if known else None, cores=1)


@pytest.mark.parametrize(
    ("processor", "bits"),
    [(cpu("AVX2"), 7), (cpu("AVX-512F"), 7), (cpu("AVX-512 VNNI"), 8), (cpu("AVX-VNNI"), 8), (cpu(known=False), 8)],
)
def test_weights_have_7_bits_without_vnni(processor: Cpu, bits: int) -> None:
    """Where an x86 processor lacks VNNI weights have 7 bits; where nothing is known of it (ARM) they have 8."""
    assert scheme_for("cpu", processor).weight_bits == bits


def test_seven_bits_do_not_saturate() -> None:
    """The largest pair of products fits 16 bits with 7 bits, and does not with 8."""
    x = np.full((2, 1), 255, np.uint8)
    for scheme, fits in ((Scheme(), False), (Scheme(weight_bits=7), True)):
        weight = np.full((1, 2), scheme.largest_weight, np.int8)
        assert (saturating_products(x, weight)[0, 0] == 2 * 255 * scheme.largest_weight) == fits


def test_cuda_is_symmetric() -> None:
    """TensorRT wants int8 about 0."""
    assert scheme_for("cuda").parameters(0.0, 2.54) == (pytest.approx(0.02), 0)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.3, 0.9), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)])
def test_zero_is_exact(ends: tuple[float, float]) -> None:
    """Padding is zero: it is one of the integers, and every range is within them."""
    scale, zero = Scheme().parameters(*ends)
    assert 0 <= zero <= 255
    assert round(ends[1] / scale) + zero <= 255
    assert round(ends[0] / scale) + zero >= 0
