"""A model in float16 is proved by what float16 rounds, and a wrong one is refused all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from small_models import copied
from tunable_models import SHAPE, compact_network, portable

from swp_export.cli import cli
from swp_export.graph.files.writing import serialized
from swp_export.precision.float16 import in_float16
from swp_export.verification.float16_reference import Float16Reference
from swp_export.verification.references import OnnxReference
from swp_export.verification.verify import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.verification.report import VerificationReport


def verified(content: bytes) -> VerificationReport:
    """Compare a model with the network."""
    network = compact_network()
    return Verifier(Float16Reference(OnnxReference(network, "the network")), SHAPE, dense=lambda: network).verify(
        content, "half.onnx"
    )


def test_a_right_model_is_equivalent() -> None:
    """Rounding to float16 is within the budget, in every case that float16 is made for; float32 is far within."""
    report = verified(in_float16(portable()))
    assert report.equivalent
    assert {case.case for case in report.cases if case.undecided} == {
        "noise times 30",
        "noise times 1000",
        "noise times 10000",
        "noise times 0.001",
    }
    assert verified(portable()).worst.error_to_budget < report.worst.error_to_budget / 10


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_filter_that_is_off_is_found(factor: float) -> None:
    """Ten percent in one filter of a layer are beyond what float16 rounds, where a Relu lets it through."""
    wrong = copied(compact_network())
    value = wrong.graph.initializers["w2"]
    assert value.const_value is not None
    weight = np.array(value.const_value.numpy())
    live = np.flatnonzero(np.abs(weight).sum(axis=(1, 2, 3)))
    weight[live[7]] *= factor
    value.const_value = ir.tensor(weight, name="w2")
    report = verified(in_float16(serialized(wrong, {})))
    assert not report.equivalent


def test_verify_sees_that_a_model_is_in_float16(tmp_path: Path) -> None:
    """`verify` takes the budget of float16 by itself."""
    half, whole = tmp_path / "half.onnx", tmp_path / "whole.onnx"
    half.write_bytes(in_float16(portable()))
    whole.write_bytes(portable())
    done = CliRunner().invoke(cli, ["verify", str(half), "--against", str(whole)], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_float32_budgets_refuse_float16() -> None:
    """What float32 rounds does not explain float16: the two are not mixed up."""
    reference = OnnxReference(compact_network(), "the network")
    assert not Verifier(reference, SHAPE).verify(in_float16(portable()), "half.onnx").equivalent
