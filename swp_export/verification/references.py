"""What a model is compared with: a network that can be run in float64, in float32, and with everything rounded."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx_ir as ir

from swp_export.errors import InputError
from swp_export.graph.analysis.inferred_shapes import with_inferred_shapes
from swp_export.graph.constants import array_of
from swp_export.graph.files.content import session_content
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.operator import Rounding
from swp_export.graph.operators.table import operator
from swp_export.runtime.session import open_session
from swp_export.verification import parting
from swp_export.verification.feeds import main_of, zeros
from swp_export.verification.rounding import UNIT, UNIT_OF_FLOAT16, move_module, moved, rounding_of_mean, summing_means

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Feed, TensorSpec

    Outputs = dict[str, np.ndarray]


MOST_KEPT = 1 << 29
"""Bytes of weights of a model whose moved weights, twice as many, are kept from one run to the next."""


class Reference(Protocol):
    """A network; its only input, float32 `[N, C, H, W]` of a module, goes without a name, several and outputs by name.

    Attributes:
        description: what it is, for the report.
        inputs: what it takes; none are stated where it takes one float32 image.
        computes_in_float16: whether some of it is meant to be run in float16.

    """

    description: str
    inputs: tuple[TensorSpec, ...]
    computes_in_float16: bool

    def only_batch(self, input_shape: InputShape) -> int | None:
        """Return the only number of images `(C, H, W)` that it takes at once; None where any will do.

        Raises:
            InputError: it refuses them one by one too.

        """
        ...

    def float64(self, x: Feed) -> Outputs:
        """Run it in float64: the truth. Raises InputError where the network refuses `x`."""
        ...

    def float32(self, x: Feed) -> Outputs:
        """Run it in float32: how far from the truth float32 is for this network. Raises InputError as `float64`."""
        ...

    def rounded(self, seed: int) -> Callable[[Feed], Outputs]:
        """Return what runs it in float64 with every weight and layer moved by its rounding, by random numbers."""
        ...

    def unoptimised(self) -> Reference | None:
        """Return the same network, its float32 runs not optimised, or None where there is nothing to leave out."""
        ...

    def parts_at(self, x: Feed) -> str | None:
        """Say at which node its float32 run leaves the truth first, and by how much, or None where nothing does."""
        ...

    def wavers_at(self, x: Feed) -> str | None:
        """Say at which node two float32 runs differ first, or None where that cannot be told."""
        ...


class TorchReference:
    """A torch module with one output, called `output` in its export."""

    inputs: tuple[TensorSpec, ...] = ()
    computes_in_float16 = False

    def __init__(self, module: nn.Module, description: str) -> None:
        self.description = description
        self._single = module.eval()
        self._double = copy.deepcopy(module).double().eval()
        self._batches: dict[str, int | None] = {}

    def only_batch(self, input_shape: InputShape) -> int | None:
        """Try, once a shape."""
        key = str(input_shape)
        if key not in self._batches:
            self._batches[key] = _found_batch(self.float32, input_shape)
        return self._batches[key]

    def float64(self, x: Feed) -> Outputs:
        """Run in float64."""
        return self._run(self._double, x, np.float64)

    def float32(self, x: Feed) -> Outputs:
        """Run in PyTorch's float32."""
        return self._run(self._single, x, np.float32)

    def rounded(self, seed: int) -> Callable[[Feed], Outputs]:
        """Move a copy of the module."""
        module = copy.deepcopy(self._double)
        move_module(module, seed, UNIT)

        def run(x: Feed) -> Outputs:
            with summing_means():
                return self._run(module, x, np.float64)

        return run

    def unoptimised(self) -> None:
        """Return nothing: PyTorch runs the module as it stands."""

    def parts_at(self, x: Feed) -> None:
        """Say nothing: a module's layers are not looked into."""

    def wavers_at(self, x: Feed) -> None:
        """Say nothing: a module's layers are not looked into."""

    def _run(self, module: nn.Module, x: Feed, dtype: type[np.floating[Any]]) -> Outputs:
        import torch

        if isinstance(x, Mapping):
            raise InputError(f"the network takes one image, not several inputs: {', '.join(x)}")

        try:
            with torch.no_grad():
                return {"output": module(torch.from_numpy(x.astype(dtype))).numpy()}
        except RuntimeError as error:
            raise InputError(f"the network refuses an input of {list(x.shape)}: {error}") from error


class OnnxReference:
    """An ONNX model: float64 by our own operators, float32 by ONNX Runtime on the CPU, `optimise`d or not."""

    def __init__(self, model: ir.Model, description: str, *, optimise: bool = True) -> None:
        self.description = description
        self._half = _float16_values(model)
        self.computes_in_float16 = bool(self._half)
        self._model = model
        self._optimise = optimise
        self._double = Float64Model(model)
        self._single = open_session(session_content(model), optimise=optimise)
        self.inputs = self._single.inputs
        self._batches: dict[str, int | None] = {}

    def only_batch(self, input_shape: InputShape) -> int | None:
        """Return the stated one, or else try: an exporter may have written the batch that it saw into a Reshape."""
        key = str(input_shape)
        if key not in self._batches:
            stated = main_of(self.inputs).shape[0]
            if isinstance(stated, int):
                self.float32(zeros(input_shape, self.inputs, stated))
                self._batches[key] = stated
            else:
                self._batches[key] = _found_batch(self.float32, input_shape, self.inputs)
        return self._batches[key]

    def float64(self, x: Feed) -> Outputs:
        """Run in float64."""
        return self._double.run(x)

    def float32(self, x: Feed) -> Outputs:
        """Run in ONNX Runtime's float32."""
        return self._single.run_on(x)

    def rounded(self, seed: int) -> Callable[[Feed], Outputs]:
        """Move the constants, always alike, and what its nodes give, anew in each run."""
        rng = np.random.default_rng(seed)
        stored = _constant_names(self._model.graph)
        exact, twice, approximated = (
            {value.name for node in self._model.graph if _rounds(node, kind) for value in node.outputs}
            for kind in (Rounding.EXACT, Rounding.TWICE, Rounding.APPROXIMATED)
        )
        exact -= {node.outputs[0].name for node in self._model.graph if operator_of(node) == "Cast"} & self._half
        constants: dict[str, np.ndarray] = {}

        def move(name: str, array: np.ndarray) -> np.ndarray:
            if name in exact - stored:
                return array
            if name not in stored:
                unit = UNIT_OF_FLOAT16 if name in self._half else UNIT
                unit *= 2 if name in twice else 1
                return moved(array, rng, unit, least=2.0 if name in approximated else 0.0)
            if name in constants:
                return constants[name]
            of_name = np.random.default_rng([seed, zlib.crc32(name.encode())])
            found = moved(array, of_name, UNIT)
            if self._double.stored_bytes <= MOST_KEPT:
                constants[name] = found
            return found

        centring: dict[str | None, list[ir.Node]] = {}
        for node in self._model.graph:
            if operator_of(node) == "InstanceNormalization" and node.inputs[0] is not None:
                centring.setdefault(node.inputs[0].name, []).append(node)
        off: dict[str | None, np.ndarray] = {}

        def see(name: str, array: np.ndarray) -> np.ndarray:
            array = move(name, array + off.pop(name) if name in off else array)
            for node in centring.get(name, ()):
                epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
                off[node.outputs[0].name] = rounding_of_mean(array, rng, UNIT, epsilon, array_of(node.inputs[1]))
            return array

        return lambda x: self._double.run(x, on_value=see)

    def unoptimised(self) -> Reference | None:
        """Load it again, with all optimisations of ONNX Runtime off."""
        return OnnxReference(self._model, self.description, optimise=False) if self._optimise else None

    def parts_at(self, x: Feed) -> str | None:
        """Compare node by node."""
        if self._optimise:
            return parting.misoptimised_node(self._model, x)
        return parting.parting_node(self._model, x)

    def wavers_at(self, x: Feed) -> str | None:
        """Run node by node, twice."""
        return parting.wavering_node(self._model, x)


def _rounds(node: ir.Node, kind: Rounding) -> bool:
    row = operator(node)
    return row is not None and row.rounding is kind


def _found_batch(
    run: Callable[[Feed], Outputs], input_shape: InputShape, inputs: tuple[TensorSpec, ...] = ()
) -> int | None:
    """Return 1 where `run` takes one image and not two, or mixes two into one row; None where it takes two."""
    one = zeros(input_shape, inputs, 1)
    try:
        of_two = run(zeros(input_shape, inputs, 2))
    except InputError:
        run(one)
        return 1
    in_one_row = {name: array.size for name, array in of_two.items() if array.shape[:1] == (1,)}
    of_one = run(one) if in_one_row else {}
    return 1 if any(size > of_one[name].size for name, size in in_one_row.items()) else None


def _constant_names(graph: ir.Graph) -> set[str]:
    given = (node.outputs[0] for node in graph if operator_of(node) == "Constant")
    return {value.name for value in (*graph.initializers.values(), *given) if value.name}


def _float16_values(model: ir.Model) -> frozenset[str]:
    """Return the names of what the nodes of `model` compute in float16 or bfloat16."""
    halves = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
    casts = (node.attributes["to"].as_int() for node in model.graph if operator_of(node) == "Cast")
    if halves.isdisjoint([*(value.dtype for value in model.graph.initializers.values()), *casts]):
        return frozenset()
    inferred = with_inferred_shapes(model, "the reference")
    return frozenset(value.name or "" for node in inferred.graph for value in node.outputs if value.dtype in halves)
