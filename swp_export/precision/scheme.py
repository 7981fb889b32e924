"""How numbers become integers: which integers, and which of them a kernel can multiply without overflow.

    activations   uint8 from low to high, or int8 about 0         q = round(x / scale) + zero point
    weights       int8 about 0, a scale for each filter           -127 to 127, or -63 to 63
    biases        int32 at the scale of the products; float32 where activations are int8

Without VNNI, x86 multiplies uint8 by int8 in pairs and adds them in 16 bits: 2 * 255 * 127 saturates, 2 * 255 * 63 does
not, so weights have 7 bits there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.runtime.cpu import read_cpu

if TYPE_CHECKING:
    from swp_export.runtime.cpu import Cpu


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
    """Which integers there are.

    Attributes:
        symmetric: activations are int8 about 0, which TensorRT wants; else uint8, which ONNX Runtime's CPU kernels are
            written for, and which waste nothing behind a Relu.
        weight_bits: 8, or 7 where products saturate.

    """

    symmetric: bool = False
    weight_bits: int = 8

    @property
    def largest_weight(self) -> int:
        """127 or 63."""
        return (1 << self.weight_bits - 1) - 1

    @property
    def dtype(self) -> np.dtype[np.int8] | np.dtype[np.uint8]:
        """Of activations."""
        return np.dtype(np.int8) if self.symmetric else np.dtype(np.uint8)

    def parameters(self, low: float, high: float) -> tuple[float, int]:
        """Return scale and zero point of activations from `low` to `high`; 0 is always among them, and exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        if self.symmetric:
            return max(-low, high) / 127 or 1.0, 0
        scale = (high - low) / 255 or 1.0
        return scale, round(-low / scale)

    def signed(self, peak: float) -> tuple[float, int]:
        """Return scale and zero point of activations from -`peak` to `peak`."""
        return peak / 127 or 1.0, 0 if self.symmetric else 128


def scheme_for(device: str, cpu: Cpu | None = None) -> Scheme:
    """Return what the kernels of `device` ("cpu", "cuda", "openvino") are made for on this processor."""
    if device == "cuda":
        return Scheme(symmetric=True)
    features = (read_cpu() if cpu is None else cpu).features
    saturates = features is not None and not (features.get("AVX-512 VNNI") or features.get("AVX-VNNI"))
    return Scheme(weight_bits=7 if saturates else 8)
