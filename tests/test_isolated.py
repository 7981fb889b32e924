"""Tools that crash, hang or fail take nothing with them but one line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from swp_export import isolated as tools
from swp_export.errors import ModelError
from swp_export.isolated import isolated

HOSTILE = Path(__file__).parent / "cases" / "hostile"


def folding(count: int) -> bytes:
    """Return a model whose only constant is `count` zeros once it is folded."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["s"], ["c"]),
            helper.make_node("Exp", ["c"], ["e"]),
            helper.make_node("Mul", ["x", "e"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])],
        [onnx.numpy_helper.from_array(np.array([count], np.int64), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_a_crash_is_one_line_and_the_next_call_works() -> None:
    """onnx-simplifier dies of a division by zero; the next model gets a new process."""
    with pytest.raises(ModelError, match=r"^onnx-simplifier crashed \(SIGFPE\) on this model; export it again$"):
        isolated("simplify", (HOSTILE / "zero-strides.onnx").read_bytes())
    assert isolated("simplify", folding(4))


def test_a_refusal_is_one_line() -> None:
    """What the tool raises is told, and its process goes on."""
    with pytest.raises(ModelError, match=r"^ONNX's shape inference cannot process this model: [^\n]+$"):
        isolated("infer_shapes", b"no model")
    worker = tools._worker
    assert isolated("inline", folding(4))
    assert tools._worker is worker


def test_time_is_limited() -> None:
    """A process that does not answer is stopped."""
    with pytest.raises(ModelError, match=r"stopped after 0 s"):
        isolated("simplify", folding(4), seconds=0)


@pytest.mark.parametrize("count", [20_000_000, 1_000_000_000])
def test_memory_is_limited(count: int) -> None:
    """A few bytes become neither a large file nor gigabytes of memory."""
    try:
        answer = isolated("simplify", folding(count))
    except ModelError as error:
        assert "onnx-simplifier" in str(error)  # noqa: PT017 # either is right: left as it is, or refused
    else:
        assert len(answer) < 1000
