"""`prune` from a file to a file: what it writes, what it reports, and that it writes nothing when it fails."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from lowering_double import one_percent_off
from real_networks import RESNET, Pruned
from small_models import PADS, from_bytes, model_from_text, ops, to_bytes, to_float32, weights
from small_networks import mixed, write_checkpoint

from swp_export.errors import InputError, LoweringError, ModelError, OutputError, SwpExportError, ThresholdError
from swp_export.graph.metadata import ARCHITECTURE, INPUT_SHAPE, RELATIVE_THRESHOLD, SOURCE, THRESHOLD, VERSION
from swp_export.lowerings import LOWERINGS
from swp_export.pruning.prune import default_output, prune
from swp_export.runtime.session import open_session
from swp_export.verification.report import NotEquivalentError
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport

ARCH = "small_networks:residual"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small residual network of the user's own."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "own.pth.tar")


def prune_own(checkpoint: Path, output: Path, **options: object) -> PruneReport:
    """Prune the small network at its threshold."""
    return prune(checkpoint, threshold=0.05, output=output, arch=ARCH, input_shape=(3, 10, 10), **options)


class TestSharedCheckpoints:
    """Networks that the method's own code trained."""

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_report(self, network: str, request: pytest.FixtureRequest) -> None:
        """Size, digest, architecture, threshold and layers are those of the files; the verification passed."""
        pruned: Pruned = request.getfixturevalue(network)
        report = pruned.report
        assert (report.bytes, report.sha256) == (len(pruned.content), hashlib.sha256(pruned.content).hexdigest())
        expected = ("ResNet56", 0.01, 57) if network == "resnet56" else ("VGG16", None, 13)
        assert (report.architecture, report.threshold, len(report.layers)) == expected
        assert report.verification is not None
        assert report.verification.equivalent
        assert any("samples.npz" in case.case for case in report.verification.cases)
        for layer in report.layers:
            assert 0 <= layer.live_filters <= layer.filters
            assert layer.live_filters <= layer.live_stripes <= layer.stripes
            assert layer.reason
            assert layer.lowering in {*LOWERINGS, "removed"}

    @pytest.mark.parametrize(("network", "live"), [("resnet56", 0.081), ("vgg16", 0.04)])
    def test_share_of_live_stripes(self, network: str, live: float, request: pytest.FixtureRequest) -> None:
        """Pruning leaves no more stripes than the checkpoint has live, and totals that fit."""
        report = request.getfixturevalue(network).report
        share = sum(layer.live_stripes for layer in report.layers) / sum(layer.stripes for layer in report.layers)
        assert 0.5 * live < share < 1.03 * live
        totals = report.totals
        assert totals.params_after < totals.params_before
        assert totals.paper_flops_after < totals.flops_after < totals.executed_flops < totals.flops_before
        assert totals.flops_removed_percent == pytest.approx(100 * (1 - totals.flops_after / totals.flops_before))
        assert 80 < totals.paper_flops_removed_percent < 99

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_totals_count_the_file(self, network: str, request: pytest.FixtureRequest) -> None:
        """`params_after` is the number of floats in the file; the paper's count, of live stripes alone, is less."""
        pruned: Pruned = request.getfixturevalue(network)
        stored = onnx.ModelProto.FromString(pruned.content).graph.initializer
        floats = [math.prod(tensor.dims) for tensor in stored if tensor.data_type == onnx.TensorProto.FLOAT]
        assert pruned.report.totals.params_after == sum(floats)
        assert pruned.report.totals.paper_params_after < sum(floats)

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_file(self, network: str, request: pytest.FixtureRequest) -> None:
        """The file is valid, says what it was made from, and uses standard operators of opset 18 only."""
        pruned: Pruned = request.getfixturevalue(network)
        onnx.checker.check_model(pruned.content, full_check=True)
        model = from_bytes(pruned.content)
        assert model.opset_imports == {"": 18}
        assert {node.domain for node in model.graph} == {""}
        metadata = dict(model.metadata_props)
        assert metadata[ARCHITECTURE] == pruned.report.architecture
        assert metadata.get(THRESHOLD) == ("0.01" if network == "resnet56" else None)
        assert metadata[INPUT_SHAPE] == "3,32,32"
        assert metadata[SOURCE] == hashlib.sha256(Path(pruned.report.source).read_bytes()).hexdigest()
        assert VERSION in metadata
        assert model.producer_name == "swp-export"

    def test_logits(self, resnet56: Pruned) -> None:
        """The written file computes the recorded float64 logits to float32 accuracy."""
        recorded = np.load(RESNET / "samples.npz")
        images = np.repeat(recorded["images"], 3, axis=1)
        found = open_session(resnet56.content).run({"input": images})["output"]
        assert np.abs(found - recorded["logits_reference"]).max() < 2e-5
        assert np.array_equal(found.argmax(1), recorded["logits_reference"].argmax(1))

    def test_json(self, resnet56: Pruned) -> None:
        """The report is strict JSON with every field."""
        document = json.loads(json.dumps(resnet56.report.to_json(), allow_nan=False))
        assert document["verification"]["equivalent"] is True
        assert document["totals"]["paper_flops_removed_percent"] > 80
        assert len(document["layers"]) == 57
        assert document["warnings"] == list(resnet56.report.warnings)


class TestOwnArchitecture:
    """`arch="package.module:factory"`."""

    @pytest.mark.usefixtures("exporter")
    def test_reproducible(self, checkpoint: Path, tmp_path: Path) -> None:
        """Two runs write the same bytes."""
        reports = [prune_own(checkpoint, tmp_path / name) for name in ("a.onnx", "b.onnx")]
        assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
        assert reports[0].sha256 == reports[1].sha256
        assert reports[0].architecture == ARCH

    @pytest.mark.parametrize("lowering", sorted(LOWERINGS))
    def test_forced_lowering(self, lowering: str, checkpoint: Path, tmp_path: Path) -> None:
        """Every layer that admits it is written by the lowering that is asked for, and the model is equivalent."""
        report = prune_own(checkpoint, tmp_path / "m.onnx", lowering=lowering)
        assert {layer.lowering for layer in report.layers} <= {lowering, "dense"}
        assert all(layer.reason == "asked for" for layer in report.layers if layer.lowering == lowering)
        assert report.verification is not None
        assert report.verification.equivalent

    def test_dense_out(self, checkpoint: Path, tmp_path: Path) -> None:
        """The unpruned network is written too, with all its stripes and no threshold."""
        report = prune_own(checkpoint, tmp_path / "m.onnx", dense_out=tmp_path / "dense.onnx")
        assert report.dense == str(tmp_path / "dense.onnx")
        stored = onnx.load(tmp_path / "dense.onnx").graph.initializer
        floats = [math.prod(tensor.dims) for tensor in stored if tensor.data_type == onnx.TensorProto.FLOAT]
        assert report.totals.params_before == sum(floats)
        dense = from_bytes((tmp_path / "dense.onnx").read_bytes())
        assert ops(dense).count("Conv") == 3
        assert not {"Slice", "Gather"} & set(ops(dense))
        assert THRESHOLD not in dense.metadata_props
        assert (tmp_path / "dense.onnx").stat().st_size > 3 * 12 * 12 * 9

    def test_without_verification(self, checkpoint: Path, tmp_path: Path) -> None:
        """Verification can be switched off, and the report then claims none."""
        report = prune_own(checkpoint, tmp_path / "m.onnx", verify=False)
        assert report.verification is None
        assert report.to_json()["verification"] is None

    def test_progress(self, checkpoint: Path, tmp_path: Path) -> None:
        """Every stage is announced."""
        said: list[str] = []
        prune_own(checkpoint, tmp_path / "m.onnx", progress=lambda text, _=None: said.append(text))
        text = "\n".join(said)
        for part in ("reading", "exporting", "pruning and lowering", "verifying: impulses"):
            assert part in text

    def test_what_the_report_claims(self, checkpoint: Path, tmp_path: Path) -> None:
        """The model is equivalent to the checkpoint as thresholded; how far that is from the trained one stands by."""
        report = prune_own(checkpoint, tmp_path / "m.onnx")
        words = f"equivalent to {checkpoint} with every |FilterSkeleton| <= 0.05 set to zero; setting them"
        assert report.claim().startswith(words)
        assert report.threshold_error is not None
        assert 0 < report.threshold_error < 1
        assert f"by {report.threshold_error:.2g} of the largest" in report.claim()
        assert report.to_json()["threshold_error"] == report.threshold_error
        assert report.warnings == ()
        unverified = dataclasses.replace(report, verification=None)
        assert unverified.claim() == "not verified: --no-verify"

    def test_nothing_dead(self, checkpoint: Path, tmp_path: Path) -> None:
        """A threshold below every value prunes nothing, and the report says so."""
        options: dict[str, Any] = {"arch": ARCH, "input_shape": (3, 10, 10), "verify": False}
        report = prune(checkpoint, threshold=0.001, output=tmp_path / "m.onnx", **options)
        (warning,) = report.warnings
        assert warning.startswith("no stripe is dead at threshold 0.001: there was nothing to prune")
        assert report.threshold_error == 0
        assert report.totals.params_after == report.totals.params_before

    def test_nothing_live(self, checkpoint: Path, tmp_path: Path) -> None:
        """A threshold that leaves nothing is refused, and nothing is written."""
        with pytest.raises(ThresholdError):
            prune(checkpoint, threshold=5.0, output=tmp_path / "m.onnx", arch=ARCH, input_shape=(3, 10, 10))
        assert list(tmp_path.iterdir()) == []


class TestFailure:
    """Nothing is written, and nothing of what was there before is lost."""

    def test_not_equivalent(self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lowering with a defect is caught: exit code 1, the layer's name, no file, the old file untouched."""
        monkeypatch.setitem(LOWERINGS, "pad-slice-add", one_percent_off(LOWERINGS["pad-slice-add"]))
        target = tmp_path / "m.onnx"
        target.write_bytes(b"old")
        with pytest.raises(NotEquivalentError) as caught:
            prune_own(checkpoint, target, lowering="pad-slice-add", force=True, dense_out=tmp_path / "dense.onnx")
        assert caught.value.exit_code == 1
        assert caught.value.report.first_diverging_layer == "stem"
        assert "stem" in str(caught.value)
        assert target.read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]

    def test_existing_output(self, checkpoint: Path, tmp_path: Path) -> None:
        """An existing file, of either output, is refused before any work, and replaced with force."""
        target = tmp_path / "m.onnx"
        target.write_bytes(b"old")
        for options in ({}, {"dense_out": target}):
            output = tmp_path / "other.onnx" if options else target
            with pytest.raises(OutputError, match="exists already"):
                prune_own(checkpoint, output, **options)
            assert target.read_bytes() == b"old"
            assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
        prune_own(checkpoint, target, force=True)
        assert target.read_bytes() != b"old"

    def test_one_name_for_two_files(self, checkpoint: Path, tmp_path: Path) -> None:
        """The pruned and the unpruned model cannot have one name, however it is spelt."""
        with pytest.raises(OutputError, match="named for two outputs"):
            prune_own(checkpoint, tmp_path / "m.onnx", dense_out=tmp_path / "x" / ".." / "m.onnx")
        assert list(tmp_path.iterdir()) == []

    def test_unknown_lowering(self, tmp_path: Path) -> None:
        """An unknown lowering is refused with those there are, before the source is read."""
        with pytest.raises(LoweringError, match="there are: dense, pad-slice-add"):
            prune(tmp_path / "missing.pth", lowering="magic", output=tmp_path / "m.onnx")

    @pytest.mark.parametrize("source", ["missing.pth", "missing.onnx", "text.pth", "text.onnx"])
    def test_sources_that_are_none(self, source: str, tmp_path: Path) -> None:
        """A missing file and one that holds something else are errors of the user's, and leave nothing behind."""
        (tmp_path / "text.pth").write_text("hello")
        (tmp_path / "text.onnx").write_text("hello")
        with pytest.raises(SwpExportError) as caught:
            prune(tmp_path / source, threshold=0.1, output=tmp_path / "m.onnx")
        assert caught.value.exit_code == 2
        assert not list(tmp_path.glob("*m.onnx")) + list(tmp_path.glob(".swp*"))

    def test_samples_that_do_not_fit(self, checkpoint: Path, tmp_path: Path) -> None:
        """Unusable samples are refused, and leave nothing behind."""
        with pytest.raises(InputError, match="does not exist"):
            prune_own(checkpoint, tmp_path / "m.onnx", data=tmp_path / "missing.npz")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b/pruned.pth.tar", "pruned.onnx"),
        ("best.pth", "best.onnx"),
        ("best.pt", "best.onnx"),
        ("best.safetensors", "best.onnx"),
        ("v1.2.ckpt", "v1.2.onnx"),
        ("model.onnx", "model-pruned.onnx"),
        ("noend", "noend.onnx"),
    ],
)
def test_default_output(source: str, expected: str) -> None:
    """The default output has the source's name, lies in the current folder, and is never the source itself."""
    assert default_output(source) == Path(expected)


def test_default_output_is_used(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an output the file is written into the current folder."""
    monkeypatch.chdir(tmp_path)
    prune(os.path.relpath(checkpoint), threshold=0.05, arch=ARCH, input_shape=(3, 10, 10), verify=False)
    assert [path.name for path in tmp_path.iterdir()] == ["own.onnx"]


class TestOnnxSource:
    """An ONNX file whose dead stripes are exactly zero."""

    rng = np.random.default_rng(0)
    tensors: ClassVar = {
        "w0": weights(rng, 8, 3, 3, 3, dead=[1, 2, 5]),
        "b0": rng.normal(size=8),
        "w1": weights(rng, 4, 8, 3, 3, dead=[2]) * (rng.random((4, 1, 3, 3)) < 0.5),
    }
    body = f"h = Conv <{PADS}> (x, w0, b0) r = Relu (h) y = Conv <{PADS}> (r, w1)"

    def write(self, folder: Path, body: str = "", name: str = "m.onnx", **options: object) -> Path:
        """Write a float32 model of `body`, or of the class, and return its path."""
        options = {"x": "double[N, 3, 8, 8] x", **self.tensors, **options}
        path = folder / name
        path.write_bytes(to_bytes(to_float32(model_from_text(body or self.body, **options))))
        return path

    @pytest.mark.parametrize("lowering", sorted(LOWERINGS))
    @pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
    def test_every_opset(self, opset: int, lowering: str, tmp_path: Path) -> None:
        """Models of old and new opsets are pruned; one that is too old for our operators is converted."""
        path = self.write(tmp_path, opset=opset)
        report = prune(path, output=tmp_path / "out.onnx", lowering=lowering)
        assert report.verification is not None
        assert report.verification.equivalent
        assert report.verification.reference == f"{path} as given"
        assert [(layer.filters, layer.live_filters) for layer in report.layers] == [(8, 5), (4, 3)]
        assert report.architecture is None
        onnx.checker.check_model((tmp_path / "out.onnx").read_bytes(), full_check=True)

    @pytest.mark.parametrize("x", ["double[N, 3, H, W] x", "double[1, 3, 8, 8] x", "double[4, 3, 8, 8] x"])
    def test_open_and_fixed_shapes(self, x: str, tmp_path: Path) -> None:
        """A batch or size that the file fixes is respected, also with more samples than the batch."""
        np.savez(tmp_path / "d.npz", images=self.rng.normal(size=(5, 3, 8, 8)).astype(np.float32))
        report = prune(
            self.write(tmp_path, x=x), output=tmp_path / "o.onnx", input_shape=(3, 8, 8), data=tmp_path / "d.npz"
        )
        assert report.verification is not None
        assert report.verification.equivalent

    def write_small(self, folder: Path) -> Path:
        """Write the model with small stripes where dead ones are zero."""
        tensors = {name: np.where(array == 0, 1e-6, array) for name, array in self.tensors.items()}
        return self.write(folder, name="small.onnx", **tensors)

    def test_small_stripes(self, tmp_path: Path) -> None:
        """A threshold sets stripes to zero by their layer's largest; what is equivalent to what is said."""
        path, out = self.write_small(tmp_path), tmp_path / "o.onnx"
        with pytest.raises(ModelError, match="pass --threshold F where dead stripes are small"):
            prune(path, output=out)
        report = prune(path, threshold=1e-4, output=out)
        dense = prune(self.write(tmp_path), output=tmp_path / "zero.onnx")
        assert report.layers == dense.layers
        assert report.totals.params_after == dense.totals.params_after
        assert report.verification is not None
        assert report.verification.equivalent
        dead = sum(int((~array.any(axis=1)).sum()) for array in self.tensors.values() if array.ndim == 4)
        assert f"small.onnx with {dead} stripes set to zero, those of at most 0.0001 times" in report.claim()
        assert "in the file as given (one image of noise)" in report.claim()
        assert report.threshold == 1e-4
        assert report.threshold_error is not None
        assert 1e-8 < report.threshold_error < 1e-4
        assert not report.warnings

    def test_what_a_threshold_decided_is_recorded(self, tmp_path: Path) -> None:
        """`verify` against the very source applies it again, and against another file does not."""
        path, out = self.write_small(tmp_path), tmp_path / "o.onnx"
        prune(path, threshold=1e-4, output=out, verify=False)
        metadata = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
        assert metadata[RELATIVE_THRESHOLD] == "0.0001"
        assert THRESHOLD not in metadata
        assert "set to zero" in verify(out, against=path).reference
        assert verify(out, against=self.write(tmp_path)).reference.endswith("as given")
        prune(out, output=tmp_path / "again.onnx", verify=False, lowering="dense")
        assert RELATIVE_THRESHOLD not in {entry.key for entry in onnx.load(tmp_path / "again.onnx").metadata_props}

    def test_the_unpruned_network_is_as_given(self, tmp_path: Path) -> None:
        """`--dense-out` is the file before any stripe was set to zero."""
        path = self.write_small(tmp_path)
        prune(path, threshold=1e-4, output=tmp_path / "o.onnx", dense_out=tmp_path / "d.onnx")
        report = verify(tmp_path / "d.onnx", against=path)
        assert report.equivalent
        assert report.reference == f"{path} as given"

    def test_a_threshold_at_which_nothing_dies(self, tmp_path: Path) -> None:
        """The message says by what a stripe is measured."""
        with pytest.raises(ModelError, match="its norm is at most 1e-09 times the largest of its layer"):
            prune(self.write_small(tmp_path), threshold=1e-9, output=tmp_path / "o.onnx")

    def test_weights_among_the_inputs(self, tmp_path: Path) -> None:
        """Files of old exporters list their weights as inputs."""
        path = self.write(tmp_path)
        proto = onnx.load(path)
        for tensor in proto.graph.initializer:
            proto.graph.input.insert(0, onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        onnx.save(proto, path)
        assert prune(path, output=tmp_path / "o.onnx").verification.equivalent  # type: ignore[union-attr]

    def test_several_outputs(self, tmp_path: Path) -> None:
        """A convolution that is an output itself keeps its name and its filters; an integer output is compared too."""
        body = self.body.replace("y =", "z =") + " y = ArgMax <axis = 1> (z)"
        path = self.write(tmp_path, body, y="double[N, 8, 8, 8] h, int64[N, 1, 8, 8] y")
        prune(path, output=tmp_path / "o.onnx", lowering="pad-slice-add")
        model = from_bytes((tmp_path / "o.onnx").read_bytes())
        assert [value.name for value in model.graph.outputs] == ["h", "y"]

    def test_constant_nodes_and_automatic_padding(self, tmp_path: Path) -> None:
        """What other exporters write: constants as nodes, paddings by name. The rest is pruned around it."""
        body = (
            f"k = Constant <value = float[1, 8, 1, 1] {{1, 2, 3, 4, 5, 6, 7, 8}}> () h = Conv <{PADS}> (x, w0, b0) "
            'm = Mul (h, k) y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (m, w1)'
        )
        report = prune(self.write(tmp_path, body), output=tmp_path / "o.onnx")
        assert report.verification is not None
        assert report.verification.equivalent

    def test_names_that_clash_with_ours(self, tmp_path: Path) -> None:
        """Tensors that are called like the nodes we add do no harm."""
        path = self.write(tmp_path, self.body.replace("r =", "t =").replace("(r,", "(t,"))
        proto = onnx.load(path)
        for node, name in zip(proto.graph.node, "abc", strict=True):
            node.name = name
        proto.graph.node[1].output[0] = proto.graph.node[2].input[0] = "c/conv"
        onnx.save(proto, path)
        assert prune(path, output=tmp_path / "o.onnx", lowering="pad-slice-add").verification is not None

    def test_nothing_dead(self, tmp_path: Path) -> None:
        """A file without a dead stripe is refused: there is nothing to prune."""
        full = {"w0": weights(self.rng, 8, 3, 3, 3), "w1": weights(self.rng, 4, 8, 3, 3)}
        with pytest.raises(ModelError, match="no dead stripe in any of its 2 convolutions"):
            prune(self.write(tmp_path, **full), output=tmp_path / "o.onnx")

    @pytest.mark.parametrize(
        ("options", "error", "says"),
        [
            ({"x": "double[N, 3, 8, 8] x", "opset": 18}, ModelError, "takes no input"),
            ({"x": "double[N, 3, H, W] x"}, InputError, "pass --input-shape"),
        ],
    )
    def test_inputs(self, options: dict[str, object], error: type[Exception], says: str, tmp_path: Path) -> None:
        """An input, of a shape that is known or given, is needed."""
        path = self.write(tmp_path, **options)
        if "opset" in options:
            proto = onnx.load(path)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 3, 8, 8), np.float32), "x"))
            onnx.save(proto, path)
        with pytest.raises(error, match=says):
            prune(path, output=tmp_path / "o.onnx")
        assert not (tmp_path / "o.onnx").exists()

    def test_input_shape_that_contradicts(self, tmp_path: Path) -> None:
        """An input shape that is not the file's own is refused."""
        with pytest.raises(InputError, match=r"\[1, 8, 8\] does not fit"):
            prune(self.write(tmp_path), output=tmp_path / "o.onnx", input_shape=(1, 8, 8))

    def test_other_precision(self, tmp_path: Path) -> None:
        """A model that convolves in float64, as ONNX Runtime does not, is refused with what to do."""
        path = tmp_path / "m.onnx"
        path.write_bytes(to_bytes(model_from_text(self.body, x="double[N, 3, 8, 8] x", **self.tensors)))
        with pytest.raises(ModelError, match=r"holds a Conv node .* convert it to float32"):
            prune(path, output=tmp_path / "o.onnx")

    @pytest.mark.parametrize("dtype", [2, 10, 11], ids=["uint8", "float16", "double"])
    def test_other_inputs(self, dtype: int, tmp_path: Path) -> None:
        """A float32 network behind a Cast of its input is pruned, and still takes that input."""
        body = f"f = Cast <to = 1> (x) {self.body.replace('(x,', '(f,')}"
        path = self.write(tmp_path, body)
        proto = onnx.load(path)
        proto.graph.input[0].type.tensor_type.elem_type = dtype
        onnx.save(proto, path)
        report = prune(path, output=tmp_path / "o.onnx")
        assert [(layer.filters, layer.live_filters) for layer in report.layers] == [(8, 5), (4, 3)]
        assert report.verification is not None
        assert report.verification.equivalent
        assert from_bytes((tmp_path / "o.onnx").read_bytes()).graph.inputs[0].dtype == dtype

    def test_float16_throughout(self, tmp_path: Path) -> None:
        """A network of float16 weights, inputs and outputs is pruned and stays one."""
        tensors = {name: array.astype(np.float16) for name, array in self.tensors.items()}
        path = tmp_path / "m.onnx"
        sizes = {"x": "float16[N, 3, 8, 8] x", "y": "float16[N, 4, P, Q] y"}
        path.write_bytes(to_bytes(model_from_text(self.body, **sizes, **tensors)))
        report = prune(path, output=tmp_path / "o.onnx")
        assert report.verification is not None
        assert report.verification.equivalent
        assert report.totals.paper_params_after < report.totals.paper_params_before
        stored = {tensor.data_type for tensor in onnx.load(tmp_path / "o.onnx").graph.initializer}
        assert onnx.TensorProto.FLOAT16 in stored
        assert onnx.TensorProto.FLOAT not in stored

    def test_an_input_of_no_numbers(self, tmp_path: Path) -> None:
        """A model of numbers that NumPy does not know is refused by its input's type."""
        path = self.write(tmp_path, f"f = Cast <to = 1> (x) {self.body.replace('(x,', '(f,')}")
        proto = onnx.load(path)
        proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
        onnx.save(proto, path)
        with pytest.raises(ModelError, match="takes an input of BFLOAT16, expected floats or integers"):
            prune(path, output=tmp_path / "o.onnx")

    def test_operators_of_others(self, tmp_path: Path) -> None:
        """A model that nobody but its owner can run cannot be verified, and says so."""
        body = self.body.replace("y =", "z =") + " y = other.Magic (z)"
        with pytest.raises(ModelError, match="Magic"):
            prune(self.write(tmp_path, body, domains=["other"]), output=tmp_path / "o.onnx")


class TestReview:
    """What a reviewer broke once."""

    def test_an_output_is_never_an_input(self, tmp_path: Path) -> None:
        """Not even with force is a trained checkpoint replaced by what is made of it."""
        checkpoint = write_checkpoint(tmp_path / "own.pth")
        before = checkpoint.read_bytes()
        for options in ({"output": checkpoint}, {"output": tmp_path / "x.onnx", "dense_out": checkpoint}):
            with pytest.raises(OutputError, match="an input of this command"):
                prune(checkpoint, threshold=0.5, force=True, **options)
        assert checkpoint.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["own.pth"]

    def test_an_onnx_source_with_nan_is_unusable(self, tmp_path: Path) -> None:
        """Weights that are no numbers are named before anything is compared."""
        weight = weights(np.random.default_rng(0), 4, 3, 3, 3, dead=[1])
        weight[0, 0, 0, 0] = np.nan
        model = to_float32(model_from_text(f"y = Conv <{PADS}> (x, w)", w=weight))
        ir.save(model, tmp_path / "nan.onnx")
        with pytest.raises(ModelError, match=r"w of .*nan.onnx holds NaN"):
            prune(tmp_path / "nan.onnx", output=tmp_path / "out.onnx", input_shape=(3, 8, 8))

    def test_what_an_onnx_source_says_of_itself_is_kept(self, tmp_path: Path) -> None:
        """Metadata of other tools goes along, class names for one."""
        weight = weights(np.random.default_rng(0), 4, 3, 3, 3, dead=[1])
        model = to_float32(
            model_from_text(f"h = Conv <{PADS}> (x, w) y = Conv <{PADS}> (h, v)", w=weight, v=np.ones((2, 4, 3, 3)))
        )
        model.metadata_props["names"] = "cat,dog"
        ir.save(model, tmp_path / "named.onnx")
        prune(tmp_path / "named.onnx", output=tmp_path / "out.onnx", input_shape=(3, 8, 8))
        assert ir.load(tmp_path / "out.onnx").metadata_props["names"] == "cat,dog"

    def test_rows_are_layers_that_can_be_pruned(self, tmp_path: Path) -> None:
        """A depthwise convolution is a row that no lowering writes, and not a removed one; a layer run twice is two."""
        checkpoint = write_checkpoint(tmp_path / "mixed.pth", factory=mixed)
        options = {"arch": "small_networks:mixed", "threshold": 0.05, "input_shape": (3, 10, 9)}
        report = prune(checkpoint, output=tmp_path / "mixed.onnx", **options)
        assert [layer.name for layer in report.layers] == ["stem", "depthwise", "twice", "twice_again"]
        assert all(layer.lowering != "removed" and layer.paper_flops for layer in report.layers)
        depthwise = [n for n in ir.load(tmp_path / "mixed.onnx").graph if n.name == "depthwise"]
        assert len(depthwise) == 1
