"""float16: half the size, float32 inputs and outputs, and the same bytes of the same model."""

from __future__ import annotations

import numpy as np
import onnx
from small_models import from_bytes
from tunable_models import SHAPE, portable

from swp_export.precision.float16 import in_float16, is_float16
from swp_export.runtime.session import open_session

X = np.random.default_rng(0).standard_normal((2, *SHAPE), np.float32)


def test_inputs_and_outputs_stay() -> None:
    """Who feeds and reads the model need not know; its weights are float16."""
    content = in_float16(portable())
    session = open_session(content)
    assert [spec.dtype for spec in (*session.inputs, *session.outputs)] == [np.float32] * 2
    assert is_float16(from_bytes(content))
    assert not is_float16(from_bytes(portable()))
    truth = open_session(portable()).run_on(X)["y"]
    np.testing.assert_allclose(session.run_on(X)["y"], truth, atol=0.02 * np.abs(truth).max())


def test_the_same_bytes() -> None:
    """Conversion is deterministic, and keeps what the model says of itself."""
    content = in_float16(portable())
    assert content == in_float16(portable())
    facts, before = (
        {p.key: p.value for p in onnx.ModelProto.FromString(of).metadata_props} for of in (content, portable())
    )
    assert facts == before
