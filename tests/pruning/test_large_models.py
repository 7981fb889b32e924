"""Models that protobuf cannot hold: the limit is lowered here to what a test can make in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, model_from_text

import swp_export
from swp_export.errors import ModelError, OutputError
from swp_export.graph.files import content, external_data
from swp_export.graph.files.reading import read_model
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 150_000
RNG = np.random.default_rng(0)


def weight(*shape: int, dead: float = 0.25) -> np.ndarray:
    """Return a weight of which the first share of filters is dead."""
    array = RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    array[: round(dead * shape[0])] = 0
    return array.astype(np.float32)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with 240 kB of weights beside it, where protobuf holds LIMIT."""
    monkeypatch.setattr(content, "MOST_BYTES", LIMIT)
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w) r = Relu (h) d = Conv <{PADS}> (r, v) p = GlobalAveragePool (d) f = Flatten (p)"
        " y = Gemm <transB = 1> (f, g, b)",
        x="float[N, 3, 6, 6] x",
        y="float[N, 150] y",
        w=weight(64, 3, 3, 3),
        v=weight(80, 64, 3, 3),
        g=weight(150, 80, dead=0),
        b=weight(150, dead=0),
    )
    path = tmp_path / "large.onnx"
    onnx.save(ir.to_proto(model), path, save_as_external_data=True, location="large.data", size_threshold=1024)
    return path


def test_read(large: Path) -> None:
    """The content has the large weights beside it, which the model shares; it holds all."""
    file = read_model(large)
    assert content.beside_of(file.content).keys() == {"v", "g"}
    assert content.size_of(file.content) > LIMIT
    whole = onnx.load(large)
    for tensor in whole.graph.initializer:
        held = file.model.graph.initializers[tensor.name].const_value
        assert held is not None
        np.testing.assert_array_equal(held.numpy(), onnx.numpy_helper.to_array(tensor))
        beside = content.beside_of(file.content).get(tensor.name)
        assert beside is None or np.shares_memory(beside, held.numpy())


def test_a_model_in_memory_is_run(large: Path) -> None:
    """A session of a content in parts computes what one of the files does."""
    x = RNG.normal(size=(2, 3, 6, 6)).astype(np.float32)
    (ours,), (theirs,) = (open_session(each).run_on(x).values() for each in (read_model(large).content, large))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("limit", [LIMIT, 40_000])
def test_pruned(large: Path, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is pruned and verified, written in two files only if one is not enough, and each command takes what it is."""
    monkeypatch.setattr(content, "MOST_BYTES", limit)
    output, data = tmp_path / "out.onnx", tmp_path / "out.onnx.data"
    report = swp_export.prune(large, output=output)
    assert report.verification is not None
    assert report.verification.equivalent
    assert report.totals.params_after < 0.7 * report.totals.params_before
    assert data.exists() == (report.bytes > limit)
    assert report.bytes == pytest.approx(sum(f.stat().st_size for f in (output, data) if f.exists()), abs=4096)
    onnx.checker.check_model(onnx.load(output), full_check=True)
    assert swp_export.verify(output, against=large).equivalent
    assert swp_export.inspect(large).parameters == report.totals.params_before
    found = open_session(output).run_on(np.ones((1, 3, 6, 6), np.float32))["y"]
    expected = open_session(large).run_on(np.ones((1, 3, 6, 6), np.float32))["y"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_both_files_or_neither(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside is one more output: without --force it is not overwritten, and then neither is written."""
    monkeypatch.setattr(content, "MOST_BYTES", 40_000)
    output, data = tmp_path / "out.onnx", tmp_path / "out.onnx.data"
    data.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"out\.onnx\.data exists already; pass --force"):
        swp_export.prune(large, output=output, verify=False)
    assert not output.exists()
    assert data.read_bytes() == b"mine"
    assert not list(tmp_path.glob(".swp-export-*"))
    swp_export.prune(large, output=output, verify=False, force=True)
    assert output.exists()
    assert data.stat().st_size > 40_000


def test_data_of_the_source_stay(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside the source is an input: no output takes its name, --force or not."""
    monkeypatch.setattr(content, "MOST_BYTES", 40_000)
    named = large.with_name("out.onnx.data")
    large.with_name("large.data").rename(named)
    model = onnx.load(large, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = named.name if entry.key == "location" else entry.value
    large.write_bytes(model.SerializeToString())
    with pytest.raises(OutputError, match="input of this command"):
        swp_export.prune(large, output=large.with_name("out.onnx"), verify=False, force=True)


def test_too_little_memory(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model for which the memory is not enough is refused before its data are read, with both figures."""
    monkeypatch.setattr(external_data, "available_memory", lambda: 600_000)
    with pytest.raises(ModelError, match=r"large\.onnx has 0\.0 GB of weights.*are free: use a machine with more"):
        read_model(large)


def test_one_piece_of_data_for_many_tensors(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that share bytes cannot make a small file large."""
    monkeypatch.setattr(content, "MOST_BYTES", 1000)
    model = onnx.load(large, load_external_data=False)
    shared = next(tensor for tensor in model.graph.initializer if tensor.name == "v")
    for number in range(3):
        model.graph.initializer.add().CopyFrom(shared)
        model.graph.initializer[-1].name = f"v{number}"
    large.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="same data for many tensors"):
        read_model(large)


def test_a_wrong_size(large: Path) -> None:
    """A weight whose data are not as many as its dimensions say is refused."""
    model = onnx.load(large, load_external_data=False)
    next(tensor for tensor in model.graph.initializer if tensor.name == "v").dims[0] += 1
    large.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="declares tensor 'v' as FLOAT"):
        read_model(large)


def test_what_is_no_weight_and_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant that nothing reads beside an input stays in the file, which then may be too large."""
    monkeypatch.setattr(content, "MOST_BYTES", LIMIT)
    model = model_from_text(
        "t = Transpose (k) y = Add (x, t)", x="float[N, 200, 200] x", k=np.ones((200, 200), np.float32)
    )
    with pytest.raises(ModelError, match="more than 2 GB of constants that are not weights"):
        content.session_content(model)
