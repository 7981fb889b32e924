"""What a model makes this process allocate has an end, whoever allocates it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from swp_export.errors import SwpExportError
from swp_export.graph.float64.model import Float64Model
from swp_export.memory import allowance, memory_within
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

resource = pytest.importorskip("resource")
X = np.zeros((1, 3, 8, 8), np.float32)


def model_of(*nodes: onnx.NodeProto, **constants: object) -> onnx.ModelProto:
    """Return a model of `nodes` from x to y."""
    graph = helper.make_graph(
        [*nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def grown(op_type: str, inputs: list[str], **attributes: object) -> tuple[onnx.NodeProto, ...]:
    """Return nodes that give `op_type` sizes which follow from the input's values: s int64 [4], n a number."""
    return (
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Exp", ["top"], ["one"]),
        helper.make_node("Cast", ["one"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["sizes", "whole"], ["s"]),
        helper.make_node("Mul", ["one", "count"], ["n"]),
        helper.make_node(op_type, inputs, ["grown"], **attributes),
        helper.make_node("Neg", ["grown"], ["y"]),  # NumPy expands without copying
    )


SIZES = {"sizes": np.array([1, 1, 30_000, 30_000]), "count": np.float32(3e9)}
GROWING = {
    "Tile": model_of(*grown("Tile", ["x", "s"]), sizes=np.array([1, 1, 1000, 1000]), count=np.float32(1)),
    "Expand": model_of(*grown("Expand", ["top", "s"]), **SIZES),
    "ConstantOfShape": model_of(*grown("ConstantOfShape", ["s"]), **SIZES),
    "Range": model_of(*grown("Range", ["zero", "n", "one"]), **SIZES, zero=np.float32(0)),
    "Resize": model_of(*grown("Resize", ["x", "", "", "s"], mode="nearest"), **SIZES),
    "Pad": model_of(
        *grown("Pad", ["x", "s"]), sizes=np.array([0, 0, 9000, 9000, 0, 0, 9000, 9000]), count=np.float32(1)
    ),
}


@pytest.mark.parametrize("run", [
    lambda model: open_session(model.SerializeToString()).run({"x": X}),
    lambda model: open_session(model.SerializeToString(), optimise=False).run({"x": X}),
    lambda model: Float64Model(ir.from_proto(model)).run(X),
], ids=["onnxruntime", "unoptimised", "float64"])  # fmt: skip
@pytest.mark.parametrize("name", GROWING)
def test_sizes_that_only_a_run_shows(name: str, run: Callable[[onnx.ModelProto], object]) -> None:
    """A gigabyte that follows from the input's values is refused in one line, by ONNX Runtime and in float64."""
    with pytest.raises(SwpExportError, match=r"^[^\n]+$") as caught:
        run(GROWING[name])
    assert "memory" in str(caught.value)


def test_the_limit_ends_with_its_block() -> None:
    """What is too much inside is possible again after it, however the block ended."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), memory_within(1 << 20):
        np.zeros(1 << 28, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert np.zeros(1 << 28, np.uint8).size


def test_blocks_side_by_side() -> None:
    """A block in another thread neither waits nor leaves its limit behind."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def inner() -> None:
        with memory_within(1 << 30):
            pass

    with memory_within(1 << 30):
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        assert resource.getrlimit(resource.RLIMIT_AS) != before
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_small_models_may_take_less_than_large_ones() -> None:
    """A file of 1 MB with small images stays below 500 MB, in float64 too; a decoder's 14 MB may become gigabytes."""
    assert allowance(model=1 << 20, inputs=8 * 3 * 12 * 12 * 8) < 500e6
    assert allowance(model=14 << 20) > 3e9
