"""Networks that others published, with dead filters and stripes, against the oracle."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from onnx import numpy_helper
from onnx_in_torch import OnnxInTorch
from oracle import floats_left
from test_generated_graphs import SIZES, graphs

import swp_export
from swp_export.graph.float64.model import Float64Model
from swp_export.lowerings.plan_file import PlanFile

PUBLISHED = Path(sys.prefix) / "published" / "rapidocr_onnxruntime" / "models"
"""Where `make test` puts the models of the package rapidocr-onnxruntime (Apache-2.0), without what it depends on."""
DEAD_FILTERS = 0.3
DEAD_TAPS = 0.3


def damaged(path: Path) -> onnx.ModelProto:
    """Return the model with 30 % dead filters in every convolution, and dead stripes in those that are not grouped."""
    model, rng = onnx.load(path), np.random.default_rng(0)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors |= {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    shapes = {node.input[1]: node for node in model.graph.node if node.op_type in {"Conv", "ConvTranspose"}}
    for name, node in shapes.items():
        weight = numpy_helper.to_array(tensors[name]).copy()
        transposed = node.op_type == "ConvTranspose"
        filters = weight.swapaxes(0, 1) if transposed else weight
        if filters.shape[1] > 1 and filters[0, 0].size > 1:
            filters *= rng.random((len(filters), 1, *filters.shape[2:])) >= DEAD_TAPS
        filters[rng.permutation(len(filters))[: round(DEAD_FILTERS * len(filters))]] = 0
        tensors[name].CopyFrom(numpy_helper.from_array(weight, tensors[name].name))
    return model


@pytest.mark.parametrize(
    ("name", "input_shape", "most"),
    [
        ("ch_PP-OCRv4_det_infer", (3, 64, 64), 1.25),
        ("ch_ppocr_mobile_v2.0_cls_infer", (3, 48, 96), 1.4),
        ("ch_PP-OCRv4_rec_infer", (3, 48, 64), 1.12),
    ],
)
def test_what_could_leave_is_gone(name: str, input_shape: tuple[int, int, int], most: float, tmp_path: Path) -> None:
    """PaddleOCR's networks are pruned equivalently, and each dead filter that stays has a reason.

    More than 1.05 times the oracle's floats stay: behind their depthwise convolutions and gates, constants are combined
    with what varies, on layers so narrow that a Gather of the others would cost more than it saves.
    """
    file = PUBLISHED / f"{name}.onnx"
    assert file.exists(), f"{file} is missing: `make test` installs it, see PUBLISHED in the Makefile"
    model, source, plan = damaged(file), tmp_path / "source.onnx", tmp_path / "dense.json"
    onnx.save(model, source)
    plan.write_text(PlanFile(layers={}, multiple=1).to_text())
    report = swp_export.prune(source, plan=plan, input_shape=input_shape, output=tmp_path / "pruned.onnx")
    assert report.verification is not None
    assert report.verification.equivalent
    assert report.totals.params_after <= most * floats_left(OnnxInTorch(model), input_shape)
    assert report.kept
    assert all(kept.reason for kept in report.kept)


@settings(max_examples=30)
@given(model=graphs())
def test_graphs_in_torch(model: ir.Model) -> None:
    """What the oracle looks at is the graph: torch computes the same."""
    x = np.random.default_rng(0).normal(size=(2, 3, *SIZES[0]))
    truth = Float64Model(model).run(x)
    found = OnnxInTorch(ir.to_proto(model))(torch.from_numpy(x))
    for expected, output in zip(truth.values(), found, strict=True):
        np.testing.assert_allclose(output.numpy(), expected, atol=1e-9, rtol=1e-9)
