"""Run an ONNX model in float64: what it computes when nothing is rounded, the truth that others are compared with.

Every float tensor, of 16, 32 or 64 bits, becomes float64; integers and booleans keep their type and their meaning. A
Cast to float16 or float32 rounds nothing: those types are how a network is stored and run, not what it means. The
file's own shapes and types of inner values are never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.graph.float64.execution import Program, Scope
from swp_export.graph.operators.call import promoted
from swp_export.memory import allowance, memory_within

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

_BYTES = np.dtype(np.float64).itemsize


class Float64Model:
    """`model` in float64, as it is now: it is not changed, and later changes of it are not seen.

    Attributes:
        inputs: the names of what must be fed; stored weights are not among them, where they are also graph inputs.
        outputs: the names of the outputs.
        stored_bytes: what the stored tensors take in float32.

    Raises:
        ModelError: it holds an operator that is not ONNX's own, that is not implemented at its opset, or that draws
            random numbers, or a tensor of a type that is neither float of 16 bits or more, integer nor boolean.

    """

    def __init__(self, model: ir.Model) -> None:
        scope = Scope(opsets=model.opset_imports, functions=model.functions)
        self._program = Program(model.graph, scope)
        stored = (array.size for array in self._program.constants.values() if array is not None)
        self.stored_bytes = np.dtype(np.float32).itemsize * sum(stored)
        self._fed = {value.name or "": value for value in model.graph.inputs if value not in self._program.constants}
        self.inputs = tuple(self._fed)
        self.outputs = tuple(value.name or "" for value in model.graph.outputs)

    def run(
        self,
        feeds: np.ndarray | Mapping[str, np.ndarray],
        *,
        on_value: Callable[[str, np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the outputs by name; those that are floats in float64.

        Args:
            feeds: the inputs by name, or the only input. Numbers for a float input are taken as they are, in float64;
                for an integer or boolean input they are converted to its type.
            on_value: called with the name and the array of every stored float tensor, once, and of every output of a
                node of the graph itself, in the order of execution; what it returns takes the value's place.

        Raises:
            InputError: an input is missing or unknown, or a node refuses what it is given, or needs memory or time
                without bounds.
            ModelError: a node turns out to have a setting that is not implemented.

        """
        if not isinstance(feeds, Mapping):
            if len(self.inputs) != 1:
                raise InputError(f"one array for the inputs {', '.join(self.inputs) or '(none)'}; give them by name")
            feeds = {self.inputs[0]: feeds}
        if set(feeds) != set(self.inputs):
            raise InputError(f"inputs called {', '.join(sorted(feeds))}, expected {', '.join(self.inputs) or 'none'}")
        values: dict[ir.Value, np.ndarray | None] = {}
        for name, array in feeds.items():
            value = self._fed[name]
            if value.dtype is None:
                values[value] = promoted(array)
            else:
                values[value] = array.astype(np.float64 if value.dtype.is_floating_point() else value.dtype.numpy())
        given = _BYTES * sum(array.size for array in feeds.values())
        try:
            # NumPy warns of an overflow inside a sigmoid that is no mistake.
            with np.errstate(all="ignore"), memory_within(allowance(model=self.stored_bytes, inputs=given)):
                outputs = self._program.run(values, on_value)
        except MemoryError as error:
            sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise InputError(
                f"the model needs far more memory in float64 than the input {sizes} can explain; pass a smaller "
                "--input-shape, or export the model with smaller sizes"
            ) from error
        return {name: np.asarray(array) for name, array in zip(self.outputs, outputs, strict=True)}
