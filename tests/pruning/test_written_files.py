"""What `prune` writes is clean, can be quantised, and has the same bytes from any folder, process and file name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from small_models import PADS, model_from_text, to_bytes, to_float32, weights
from small_networks import write_checkpoint

from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import apply_plan_file
from swp_export.pruning.prune import prune

ARCH = "small_networks:residual"
TESTS = Path(__file__).parents[1]
FILES = ("portable.onnx", "dense.onnx", "planned.onnx", "again.onnx")
AUTHOR = {"author": "me", "labels": '["a", "b"]'}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint and what `prune` makes of it: portable, dense, by a plan, and from the dense ONNX file."""
    folder = tmp_path_factory.mktemp("written")
    checkpoint = write_checkpoint(folder / "own.pth.tar")
    plan = PlanFile(layers={"stem": "sliced-ellpack(160)", "conv1": "shift-sum", "conv2": "cropped"}, multiple=8)
    (folder / "plan.json").write_text(plan.to_text(), encoding="utf-8")
    options = {"threshold": 0.05, "arch": ARCH, "input_shape": (3, 10, 10), "verify": False}
    prune(checkpoint, output=folder / "portable.onnx", dense_out=folder / "dense.onnx", **options)
    prune(checkpoint, output=folder / "planned.onnx", plan=folder / "plan.json", **options)
    write_onnx(folder / "source.onnx")
    prune(folder / "source.onnx", output=folder / "again.onnx", verify=False)
    return folder


def write_onnx(path: Path) -> None:
    """Write an ONNX model with dead stripes as exporters leave it: traces in its nodes, words of its author."""
    rng = np.random.default_rng(0)
    tensors = {"w": weights(rng, 8, 3, 3, 3, dead=[1, 2]), "v": weights(rng, 5, 8, 3, 3, dead=[4])}
    body = f"h = Conv <{PADS}> (x, w) r = Relu (h) c = Conv <{PADS}> (r, v) y = Relu (c)"
    model = to_float32(model_from_text(body, x="double[N, 3, 10, 10] x", y="double[N, 5, 10, 10] y", **tensors))
    proto = onnx.ModelProto.FromString(to_bytes(model))
    for node in proto.graph.node:
        node.doc_string = f"File {Path.cwd()}/site-packages/torch/nn.py"
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=f"{Path.home()}/site-packages/torch/nn.py")
    proto.doc_string, proto.model_version, proto.domain = "what it is for", 7, "my.domain"
    for key, value in AUTHOR.items():
        proto.metadata_props.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


@pytest.mark.parametrize("name", FILES)
def test_dynamic_quantisation(name: str, folder: Path, tmp_path: Path) -> None:
    """ONNX Runtime's quantize_dynamic accepts the file, and its result runs."""
    quantize_dynamic(folder / name, tmp_path / "int8.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    [output] = session.run(None, {session.get_inputs()[0].name: np.ones((1, 3, 10, 10), np.float32)})
    assert np.isfinite(output).all()


class TwoImages(CalibrationDataReader):
    """Two images for calibration."""

    def __init__(self) -> None:
        self._images = iter(np.random.default_rng(0).normal(size=(2, 1, 3, 10, 10)).astype(np.float32))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next image, None after the last."""
        image = next(self._images, None)
        return None if image is None else {"input": image}


@pytest.mark.parametrize("name", ["portable.onnx", "dense.onnx"])
def test_static_quantisation(name: str, folder: Path, tmp_path: Path) -> None:
    """ONNX Runtime's quantize_static accepts the file."""
    quantize_static(folder / name, tmp_path / "int8.onnx", TwoImages())
    assert (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("name", FILES)
def test_shapes_hold_together(name: str, folder: Path) -> None:
    """ONNX's strict inference and ONNX Runtime's symbolic one find no contradiction."""
    model = onnx.load(folder / name)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    pytest.importorskip("sympy")
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    SymbolicShapeInference.infer_shapes(model)


@pytest.mark.parametrize("name", FILES)
def test_nothing_tells_the_machine(name: str, folder: Path) -> None:
    """No byte tells where the file was made: not this folder, the home folder, nor where packages lie."""
    content = (folder / name).read_bytes()
    for place in (str(Path.cwd()), str(Path.home()), str(folder), "/site-packages/", "stack_trace", "pkg.torch"):
        assert place.encode() not in content


def test_what_the_author_says_is_kept(folder: Path) -> None:
    """doc_string, metadata, domain and version of an ONNX source pass through `prune`, plans included."""
    pruned = (folder / "again.onnx").read_bytes()
    for content in (pruned, apply_plan_file(pruned, PlanFile(layers={}, multiple=8))):
        model = onnx.ModelProto.FromString(content)
        assert (model.doc_string, model.model_version, model.domain) == ("what it is for", 7, "my.domain")
        assert AUTHOR.items() <= {entry.key: entry.value for entry in model.metadata_props}.items()
        assert model.producer_name == "swp-export"


def test_same_bytes_from_anywhere(folder: Path, tmp_path: Path) -> None:
    """Another folder, process, hash seed, file name, and a relative path give the same bytes, also of dense files."""
    shutil.copy(folder / "own.pth.tar", tmp_path / "renamed.pt")
    shutil.copy(folder / "source.onnx", tmp_path / "renamed.onnx")
    code = f"""
from swp_export.pruning.prune import prune
o = dict(threshold=0.05, arch={ARCH!r}, input_shape=(3, 10, 10), verify=False)
prune("renamed.pt", output="portable.onnx", dense_out="dense.onnx", **o)
prune("renamed.onnx", output="again.onnx", verify=False)
"""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for name in ("portable.onnx", "dense.onnx", "again.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
