"""ONNX models of several inputs and outputs, and of inputs that are no images [N, C, H, W]."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import PADS, model_from_text, to_bytes, to_float32, weights

from swp_export.cli import cli
from swp_export.errors import InputError, ModelError
from swp_export.graph.metadata import INPUT_SHAPE
from swp_export.inspection.inspect import inspect
from swp_export.pruning.prune import prune
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.pruning.report import PruneReport

RNG = np.random.default_rng(0)
TENSORS = {"w": weights(RNG, 8, 3, 3, 3, dead=[1, 2, 5]), "v": weights(RNG, 4, 8, 3, 3, dead=[2])}
IMAGE = f"h = Conv <{PADS}> (x, w) r = Relu (h) c = Conv <{PADS}> (r, v)"
BODIES = {
    "two images": (f"{IMAGE} d = Conv <{PADS}> (z, w) y = Sub (h, d)", "double[N, 3, 8, 8] x, double[N, 3, 8, 8] z"),
    "scale": (
        f"{IMAGE} p = GlobalAveragePool (c) f = Flatten (p) y = Div (f, z)",
        "double[N, 3, 8, 8] x, double[1, 4] z",
    ),
    "ids": (
        f"{IMAGE} e = Gather (table, z) m = ReduceMean (e) y = Add (c, m)",
        "double[N, 3, 8, 8] x, int64[N, 5] z",
    ),
    "mask": (f"{IMAGE} y = Where (z, c, zero)", "double[N, 3, 8, 8] x, bool[N, 1, 8, 8] z"),
    "length": (f"{IMAGE} y = Slice (c, one, z, axis)", "double[N, 3, 8, 8] x, int64[1] z"),
    "scalar": (f"{IMAGE} y = Mul (c, z)", "double[N, 3, 8, 8] x, double z"),
    "side first": (f"{IMAGE} y = Mul (c, z)", "double[1] z, double[N, 3, 8, 8] x"),
    "all fixed": (f"{IMAGE} y = Mul (c, z)", "double[1, 3, 8, 8] x, double[1, 4, 1, 1] z"),
    "batch of four": (f"{IMAGE} y = Mul (c, z)", "double[4, 3, 8, 8] x, double[4, 4, 1, 1] z"),
    "open": (f"{IMAGE} y = Mul (c, z)", "double[N, 3, H, W] x, double[N, 4, 1, 1] z"),
}
CONSTANTS = {
    "table": RNG.normal(size=(2, 4)),
    "zero": np.zeros(1),
    "one": np.zeros(1, np.int64),
    "axis": np.full(1, 2, np.int64),
}


def written(folder: Path, name: str, **options: str) -> Path:
    """Write a model of BODIES in float32."""
    body, x = BODIES[name]
    names = set(re.findall(r"\w+", body))
    tensors = {key: array for key, array in {**TENSORS, **CONSTANTS}.items() if key in names}
    path = folder / f"{name.replace(' ', '-')}.onnx"
    path.write_bytes(to_bytes(to_float32(model_from_text(body, x=x, y="double[?, M, P, Q] y", **options, **tensors))))
    return path


def pruned(path: Path, folder: Path, **options: object) -> PruneReport:
    """Prune the model."""
    shape = {"x": (3, 8, 8)} if "open" in path.name else None
    return prune(path, output=folder / "o.onnx", **{"input_shape": shape, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BODIES)
def test_pruned_and_verified(name: str, tmp_path: Path) -> None:
    """Dead filters go, whatever else is fed, and `verify` and `inspect` take both files."""
    path = written(tmp_path, name)
    report = pruned(path, tmp_path)
    assert report.verification is not None
    assert report.verification.equivalent
    assert report.layers[0].live_filters == 5
    assert verify(tmp_path / "o.onnx", against=path).equivalent
    assert len(inspect(tmp_path / "o.onnx").graph.inputs) == 2  # type: ignore[union-attr]


def test_a_fault_is_found(tmp_path: Path) -> None:
    """What only the second input shows is seen: a scale of another power."""
    path = written(tmp_path, "scale")
    proto = onnx.load(path)
    proto.graph.node[-1].op_type = "Mul"
    onnx.save(proto, tmp_path / "other.onnx")
    assert not verify(tmp_path / "other.onnx", against=path).equivalent


def test_shapes_by_name(tmp_path: Path) -> None:
    """Only what the model leaves open is asked for, by name; all are recorded."""
    path = written(tmp_path, "open")
    with pytest.raises(InputError, match=r"leaves its input x .* open; pass --input-shape"):
        prune(path, output=tmp_path / "o.onnx")
    with pytest.raises(InputError, match="has 2 inputs; say which: --input-shape NAME:SIZES of x, z"):
        pruned(path, tmp_path, input_shape=(3, 8, 8))
    with pytest.raises(InputError, match="has no input called image; it has x, z"):
        pruned(path, tmp_path, input_shape={"image": (3, 8, 8)})
    with pytest.raises(InputError, match=r"\[5, 1, 1\] does not fit .* z is"):
        pruned(path, tmp_path, input_shape={"x": (3, 8, 8), "z": (5, 1, 1)})
    pruned(path, tmp_path, verify=False)
    recorded = {entry.key: entry.value for entry in onnx.load(tmp_path / "o.onnx").metadata_props}[INPUT_SHAPE]
    assert recorded == '{"x": [3, 8, 8], "z": [4, 1, 1]}'


def test_own_samples_by_name(tmp_path: Path) -> None:
    """An array for each input; one that is missing is named."""
    path = written(tmp_path, "ids")
    images = RNG.normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=images, z=RNG.integers(0, 2, (3, 5)))
    report = pruned(path, tmp_path, data=tmp_path / "d.npz")
    assert report.verification is not None
    assert "samples of d.npz" in {case.case for case in report.verification.cases}
    np.savez(tmp_path / "d.npz", x=images)
    with pytest.raises(InputError, match=r"no array 'z', it has: x; --data wants 'z' \[N, 5\]"):
        pruned(path, tmp_path, data=tmp_path / "d.npz", force=True)


def test_other_inputs_are_no_counterpart(tmp_path: Path) -> None:
    """Models that take inputs of other names or types are not compared."""
    path, other = written(tmp_path, "mask"), written(tmp_path, "scalar")
    with pytest.raises(InputError, match="one of the two takes bool, the other float32"):
        verify(path, against=other)
    proto = onnx.load(path)
    proto.graph.input[1].name = proto.graph.node[-1].input[0] = "mask"
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="takes the inputs x, mask, to compare are x, z"):
        verify(path, against=tmp_path / "other.onnx")


def test_types_that_cannot_be_made(tmp_path: Path) -> None:
    """An input of bfloat16 is refused by its type."""
    path = written(tmp_path, "scalar")
    proto = onnx.load(path)
    proto.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    proto.graph.node.insert(0, onnx.helper.make_node("Cast", ["z"], ["zz"], to=onnx.TensorProto.FLOAT))
    proto.graph.node[-1].input[1] = "zz"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="expected floats or integers"):
        pruned(path, tmp_path)


def test_command_line(tmp_path: Path) -> None:
    """`--input-shape` is given once for each input that is open; a name may hold a colon."""
    path = written(tmp_path, "open")
    out = str(tmp_path / "o.onnx")
    done = CliRunner().invoke(cli, ["prune", str(path), "-o", out, "--input-shape", "x:3,8,8"])
    assert done.exit_code == 0, done.output
    for shapes in (["3,8,8", "x:3,8,8"], ["x:3,8,8", "x:3,8,8"], ["x:3,0,8"], ["x:a"], [""]):
        options = [part for shape in shapes for part in ("--input-shape", shape)]
        assert CliRunner().invoke(cli, ["prune", str(path), "-o", out, *options]).exit_code == 2


def test_tuned_are_models_of_one_input(tmp_path: Path) -> None:
    """What takes several is refused in one line."""
    result = CliRunner().invoke(cli, ["tune", str(written(tmp_path, "mask"))])
    assert result.exit_code == 2
    assert "one " in result.stderr
