"""Reading ONNX files: the answer is a model, or one sentence on what is wrong."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_models import PADS, model_from_text, to_bytes, weights

from swp_export.errors import ModelError
from swp_export.graph.files.reading import is_onnx, read_model


def content(x: str = "double[N, 3, 8, 8] x") -> bytes:
    """Return a valid file."""
    return to_bytes(model_from_text(f"y = Conv <{PADS}> (x, w)", x=x, w=weights(np.random.default_rng(0), 4, 3, 3, 3)))


def test_a_model(tmp_path: Path) -> None:
    """A valid file gives its model, its bytes and their digest."""
    path = tmp_path / "m.onnx"
    path.write_bytes(content())
    file = read_model(path)
    assert [node.op_type for node in file.model.graph] == ["Conv"]
    assert file.content == content()
    assert file.sha256 == hashlib.sha256(content()).hexdigest()


@pytest.fixture
def in_two_files(tmp_path: Path) -> Path:
    """Write the model with its weight in a file beside it, `m.data`."""
    path = tmp_path / "m.onnx"
    proto = onnx.ModelProto.FromString(content())
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def test_data_in_another_file(in_two_files: Path) -> None:
    """Data beside the model is read with it; the content is the whole, the digest that of the file."""
    assert (in_two_files.parent / "m.data").exists()
    file = read_model(in_two_files)
    assert file.sha256 == hashlib.sha256(in_two_files.read_bytes()).hexdigest()
    expected = onnx.ModelProto.FromString(content()).graph.initializer[0]
    weight = file.model.graph.initializers["w"].const_value
    assert weight is not None
    np.testing.assert_array_equal(weight.numpy(), onnx.numpy_helper.to_array(expected))
    (in_two_files.parent / "m.data").unlink()
    onnx.checker.check_model(file.content, full_check=True)
    stored = onnx.ModelProto.FromString(file.content).graph.initializer[0]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored), onnx.numpy_helper.to_array(expected))


@pytest.mark.parametrize("length", [None, 8])
def test_data_that_is_missing_or_truncated(in_two_files: Path, length: int | None) -> None:
    """Without all the data beside it, a model is refused on one line."""
    data = in_two_files.parent / "m.data"
    if length is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"m\.onnx") as caught:
        read_model(in_two_files)
    assert "\n" not in str(caught.value)


def invalid() -> bytes:
    """Return a file whose Conv reads a weight that is not there."""
    proto = onnx.ModelProto.FromString(content())
    proto.graph.node[0].input[1] = "nowhere"
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"not a model at all", "no ONNX file|holds no graph"),
        (content()[:200], "no ONNX file|holds no graph|breaks ONNX's rules"),
        (onnx.ModelProto().SerializeToString() or b"\x08\x01", "holds no graph"),
        (invalid(), "breaks ONNX's rules.*nowhere"),
    ],
)
def test_what_is_no_model(data: bytes, says: str, tmp_path: Path) -> None:
    """Every broken file is named with what is wrong with it."""
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=says) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.onnx", "."])
def test_what_cannot_be_read(name: str, tmp_path: Path) -> None:
    """A missing file and a folder are an error of the user's."""
    with pytest.raises(ModelError, match="cannot read"):
        read_model(tmp_path / name)


def test_suffix_decides() -> None:
    """A file is meant to be ONNX by its suffix, in any case."""
    assert is_onnx("a/b.onnx")
    assert is_onnx("B.ONNX")
    assert not is_onnx("onnx.pth.tar")


def test_data_of_a_constant_node_in_another_file(tmp_path: Path) -> None:
    """The tensor of a Constant node may lie beside the model too: it is read with it."""
    path = tmp_path / "m.onnx"
    values = np.arange(3 * 8 * 8, dtype=np.float64).reshape(3, 8, 8)
    proto = to_bytes(model_from_text("y = Add (x, k)", x="double[N, 3, 8, 8] x", k=values))
    model = onnx.ModelProto.FromString(proto)
    constant = onnx.helper.make_node("Constant", [], ["k"], value=model.graph.initializer[0])
    del model.graph.initializer[:]
    model.graph.node.insert(0, constant)
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0, convert_attribute=True)
    file = read_model(path)
    (tmp_path / "m.data").unlink()
    stored = onnx.ModelProto.FromString(file.content).graph.node[0].attribute[0].t
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored), values)
