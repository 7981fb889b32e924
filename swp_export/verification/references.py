"""What a model is compared with: a network that can be run in float64, and in its framework's own float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Protocol

import numpy as np

from swp_export.errors import InputError
from swp_export.graph.float64.model import Float64Model
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

    Outputs = dict[str, np.ndarray]


class Reference(Protocol):
    """A network; both methods map float32 `[N, C, H, W]` to outputs by name and raise InputError where it refuses."""

    description: str

    def float64(self, x: np.ndarray) -> Outputs:
        """Run it in float64: the truth."""
        ...

    def float32(self, x: np.ndarray) -> Outputs:
        """Run it in float32: how far from the truth float32 is for this network."""
        ...


class TorchReference:
    """A torch module with one output, called `output` in its export."""

    def __init__(self, module: nn.Module, description: str) -> None:
        self.description = description
        self._single = module.eval()
        self._double = copy.deepcopy(module).double().eval()

    def float64(self, x: np.ndarray) -> Outputs:
        """Run in float64."""
        return self._run(self._double, x.astype(np.float64))

    def float32(self, x: np.ndarray) -> Outputs:
        """Run in PyTorch's float32."""
        return self._run(self._single, x)

    def _run(self, module: nn.Module, x: np.ndarray) -> Outputs:
        import torch

        try:
            with torch.no_grad():
                return {"output": module(torch.from_numpy(x)).numpy()}
        except RuntimeError as error:
            raise InputError(f"the network refuses an input of {list(x.shape)}: {error}") from error


class OnnxReference:
    """An ONNX model: float64 by a reference evaluator, float32 by ONNX Runtime on the CPU."""

    def __init__(self, model: ir.Model, description: str) -> None:
        import onnx_ir as ir

        self.description = description
        self._double = Float64Model(model)
        self._single = open_session(ir.serde.serialize_model(model).SerializeToString())

    def float64(self, x: np.ndarray) -> Outputs:
        """Run in float64."""
        try:
            return self._double.run(x)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise InputError(f"the reference refuses an input of {list(x.shape)}: {error}") from error

    def float32(self, x: np.ndarray) -> Outputs:
        """Run in ONNX Runtime's float32."""
        return self._single.run({self._single.inputs[0].name: x})
