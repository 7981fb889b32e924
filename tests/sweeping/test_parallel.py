"""Thresholds in processes of their own give what they give one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PADS, marked, model_from_text, to_bytes, to_float32, weights

from swp_export.pruning.source import SourceFacts
from swp_export.sweeping.evaluate import DataNames, Evaluator
from swp_export.sweeping.network import MaskedNetwork
from swp_export.sweeping.parallel import evaluate_all

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> MaskedNetwork:
    """Return two convolutions and the values of their stripes."""
    tensors = {"w0": weights(RNG, 6, 3, 3, 3), "w1": weights(RNG, 4, 6, 3, 3)}
    body = f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
    magnitudes = {name: RNG.random((n, 3, 3)).astype(np.float32) for name, n in (("conv0", 6), ("conv1", 4))}
    return MaskedNetwork(
        facts=SourceFacts(
            input_shape=(3, 8, 8),
            skeletons={name: values.shape for name, values in magnitudes.items()},
            layers={},
            floats=378,
            params=388,
            flops=48_384,
            sha256="0" * 64,
        ),
        unpruned=to_bytes(marked(to_float32(model_from_text(body, **tensors)))),
        magnitudes=magnitudes,
    )


def test_processes_find_the_same(network: MaskedNetwork) -> None:
    """Points and models are the same, whichever is ready first."""
    names = DataNames()
    own = Evaluator(network, names)
    alone = list(evaluate_all(network, names, own, [0.2, 0.5, 0.8], 1))
    together = list(evaluate_all(network, names, own, [0.2, 0.5, 0.8], 2))
    assert sorted(together, key=lambda pair: pair[0].threshold or 0) == alone
    stripes = [point.live_stripes for point, _ in alone]
    assert sorted(stripes, reverse=True) == stripes
    assert stripes[0] < own.unpruned().live_stripes


def test_masks(network: MaskedNetwork) -> None:
    """Of each layer exactly the stripes above the threshold are left; the network itself stays as it is."""
    before = network.unpruned
    model, facts = network.at(0.5)
    for name, node in zip(network.magnitudes, [n for n in model.graph if n.op_type == "Conv"], strict=True):
        weight = node.inputs[1].const_value.numpy()
        assert np.array_equal(weight.any(axis=1), network.magnitudes[name] > 0.5)
    assert facts.threshold == 0.5
    assert network.unpruned is before
