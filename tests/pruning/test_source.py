"""ONNX files as exporters write them: each is pruned, or refused for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, model_from_text, to_bytes, to_float32, weights

from swp_export.errors import ModelError
from swp_export.graph.opset import OPSET
from swp_export.pruning.prune import prune
from swp_export.pruning.source import Source, read_source

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
TENSORS = {
    "w": weights(RNG, 8, 3, 3, 3, dead=[1, 2, 5]),
    "b": RNG.normal(size=8),
    "v": weights(RNG, 4, 8, 3, 3, dead=[2]),
}
BODY = f"h = Conv <{PADS}> (x, w, b) r = Relu (h) y = Conv <{PADS}> (r, v)"


def model(body: str = BODY, x: str = "double[N, 3, 8, 8] x", **options: object) -> ir.Model:
    """Return a float32 model of `body`, with those of TENSORS and of `options` that it names."""
    tensors = {name: value for name, value in {**TENSORS, **options}.items() if isinstance(value, np.ndarray)}
    names = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    others = {name: value for name, value in options.items() if not isinstance(value, np.ndarray)}
    used = {name: array for name, array in tensors.items() if name in names}
    return to_float32(model_from_text(body, x=x, **others, **used))


def written(found: ir.Model | onnx.ModelProto, folder: Path) -> Path:
    """Write the model and return its path."""
    path = folder / "m.onnx"
    path.write_bytes(to_bytes(found) if isinstance(found, ir.Model) else found.SerializeToString())
    return path


def source(found: ir.Model | onnx.ModelProto, folder: Path) -> Source:
    """Read the model as `prune` does."""
    return read_source(written(found, folder), threshold=None, arch=None, input_shape=None, progress=lambda _: None)


def test_the_reference_is_the_file_as_given(tmp_path: Path) -> None:
    """The graph to prune is normalised, what it must compute is not."""
    given = model(BODY.replace("(x, w", "(x, k").replace("h =", "k = Identity (w) h ="), opset=11)
    found = source(given, tmp_path)
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    assert found.dense.opset_imports[""] == OPSET
    assert [node.op_type for node in found.dense.graph] == ["Conv", "Relu", "Conv"]
    assert found.reference.float32(x)["y"].shape == (1, 4, 8, 8)
    assert (tmp_path / "m.onnx").read_bytes() == to_bytes(given)


@pytest.mark.parametrize("opset", [7, 8, 10, 12, 15, 17, 18, 20, 22, 26])
def test_opsets(opset: int, tmp_path: Path) -> None:
    """Old ones become ours, newer ones stay; the model is valid and equivalent."""
    report = prune(written(model(opset=opset, ir_version=10), tmp_path), output=tmp_path / "o.onnx")
    assert report.verification is not None
    assert report.verification.equivalent
    proto = onnx.load(tmp_path / "o.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [entry.version for entry in proto.opset_import] == [max(opset, OPSET)]


@pytest.mark.parametrize("name", [None, ""])
def test_nodes_without_names(name: str | None, tmp_path: Path) -> None:
    """Each convolution is a row of the table, and every node that is written has a name or none, never another's."""
    found = model()
    for node in found.graph:
        node.name = name
    report = prune(written(found, tmp_path), output=tmp_path / "o.onnx", lowering="pad-slice-add")
    assert len({layer.name for layer in report.layers}) == 2
    assert all(layer.name for layer in report.layers)
    names = [node.name for node in onnx.load(tmp_path / "o.onnx").graph.node if node.name]
    assert len(names) == len(set(names))


def test_shapes_that_say_nothing(tmp_path: Path) -> None:
    """Sizes of the output are open without a name, and nothing is said of the tensors inside."""
    found = model()
    found.graph.outputs[0].shape = ir.Shape([None, None, None, None])
    for node in found.graph:
        if not node.outputs[0].is_graph_output():
            node.outputs[0].shape, node.outputs[0].type = None, None
    report = prune(written(found, tmp_path), output=tmp_path / "o.onnx")
    assert report.verification is not None
    assert report.verification.equivalent


def test_statements_that_contradict(tmp_path: Path) -> None:
    """What the file says of its inner tensors is not believed."""
    found = onnx.ModelProto.FromString(to_bytes(model()))
    del found.graph.value_info[:]
    found.graph.value_info.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, ["N", 8]))
    found.graph.value_info.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, ["N", 3, 8, 8]))
    dense = source(found, tmp_path).dense
    assert [list(node.outputs[0].shape or ())[1] for node in dense.graph] == [8, 8, 4]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("y = MatMul (x, m)", "no convolution that can be pruned.*1 MatMul carry weights"),
        ("r = Relu (x) y = ConvTranspose (r, t)", "no dead stripe in any of its 1 convolutions"),
        (f"y = Conv <group = 3, {PADS}> (x, d)", "no dead stripe in any of its 1 convolutions"),
        ("y = Relu (x)", "no convolution .*no operator carries weights"),
    ],
)
def test_nothing_to_prune_says_why(body: str, says: str, tmp_path: Path) -> None:
    """Where no convolution can be seen, what carries the weights is named."""
    tensors = {"m": RNG.normal(size=(8, 4)), "t": weights(RNG, 3, 4, 2, 2), "d": weights(RNG, 3, 1, 3, 3)}
    with pytest.raises(ModelError, match=says):
        source(model(body, **tensors), tmp_path)


def test_statistics_of_the_batch(tmp_path: Path) -> None:
    """A BatchNormalization in training mode is refused by name, not folded."""
    body = f"h = Conv <{PADS}> (x, w, b) y = BatchNormalization <training_mode = 1> (h, s, s, s, s)"
    with pytest.raises(ModelError, match="training mode"):
        source(model(body, s=np.ones(8)), tmp_path)


def test_a_normalisation_behind_a_hidden_weight(tmp_path: Path) -> None:
    """A weight behind Identity takes the normalisation in float64, as any other."""
    body = f"k = Identity (w) h = Conv <{PADS}> (x, k) n = BatchNormalization (h, s, s, s, s) y = Conv <{PADS}> (n, v)"
    scale = RNG.random(8) + 0.5
    dense = source(model(body, s=scale), tmp_path).dense
    assert [node.op_type for node in dense.graph] == ["Conv", "Conv"]


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ("k = Cast <to = 1> (s)", TENSORS["w"].astype(np.float16)),
        ("k = Transpose <perm = [3, 2, 0, 1]> (s)", TENSORS["w"].transpose(2, 3, 1, 0).copy()),
        ("i = Identity (s) k = Transpose <perm = [3, 2, 0, 1]> (i)", TENSORS["w"].transpose(2, 3, 1, 0).copy()),
        ("t = Constant <value_ints = [8, 3, 3, 3]> () k = Reshape (s, t)", TENSORS["w"].reshape(8, 27)),
        ("m = Constant <value_float = 0.5> () k = Mul (s, m)", TENSORS["w"]),
    ],
)
def test_weights_behind_operators(body: str, stored: np.ndarray, tmp_path: Path) -> None:
    """A weight that follows from constants is one: its dead filters are seen and gone."""
    path = written(model(f"{body} {BODY.replace('(x, w', '(x, k')}", s=stored), tmp_path)
    report = prune(path, output=tmp_path / "o.onnx", lowering="dense")
    assert report.verification is not None
    assert report.verification.equivalent
    assert [layer.live_filters for layer in report.layers] == [5, 3]


def test_filters_that_fill_up_are_told(tmp_path: Path) -> None:
    """Who names a lowering gets whole blocks, and reads how many filters of zeros that takes."""
    path = written(model(BODY), tmp_path)
    named = prune(path, output=tmp_path / "named.onnx", lowering="dense")
    assert [text for text in named.warnings if "filters of zeros fill the layers up to multiples of 8" in text]
    assert not prune(path, output=tmp_path / "plain.onnx").warnings
