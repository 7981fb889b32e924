"""The evaluator that decides what is true, the generators, and the faults: they are what they are taken for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from soak import truth
from soak.faults import plant
from soak.random_models import OPSETS, RandomModel, random_model
from soak.random_routes import routed_model


@pytest.mark.parametrize("opset", OPSETS)
def test_the_second_opinion_is_onnx_runtimes(opset: int) -> None:
    """In float64 PyTorch computes of a random model what ONNX Runtime computes in float32, unoptimised."""
    for seed in range(1000 + 6 * opset, 1006 + 6 * opset):
        assert_agrees(random_model(seed, opset=opset), seed)


@pytest.mark.parametrize("seed", range(60))
def test_the_second_opinion_on_routes_is_onnx_runtimes(seed: int) -> None:
    """It is so of the models whose channels take many ways."""
    assert_agrees(routed_model(seed), seed)


def assert_agrees(model: RandomModel, seed: int) -> None:
    """Compare the two on some inputs."""
    session = truth.float32_session(model.proto.SerializeToString())
    for x in truth.inputs_of(model.input_shape, batch=model.batch, resizable=model.resizable, seed=seed)[:4]:
        single, wide = truth.float32(session, x), truth.evaluate(model.proto, x)
        for name, array in wide.items():
            np.testing.assert_allclose(single[name], array, rtol=0, atol=1e-4 * truth.scale_of(array) + 1e-30)


def test_the_same_number_is_the_same_model_and_the_same_fault() -> None:
    """What a seed makes can be made again."""
    content = random_model(3).proto.SerializeToString(deterministic=True)
    assert content == random_model(3).proto.SerializeToString(deterministic=True)
    assert plant(content, 5) == plant(content, 5)
    assert plant(content, 5) != plant(content, 6)


def test_a_fault_is_single() -> None:
    """A fault leaves the names of inputs and outputs and all but a few fields as they are."""
    content = random_model(7).proto.SerializeToString(deterministic=True)
    sound = onnx.ModelProto.FromString(content)
    for seed in range(40):
        spoiled = onnx.ModelProto.FromString(plant(content, seed)[0])
        assert [value.name for value in spoiled.graph.output] == [value.name for value in sound.graph.output]
        nodes = sum(a != b for a, b in zip(spoiled.graph.node, sound.graph.node, strict=False))
        tensors = sum(a != b for a, b in zip(spoiled.graph.initializer, sound.graph.initializer, strict=False))
        inserted = len(spoiled.graph.node) - len(sound.graph.node)
        assert inserted in {0, 1}
        assert inserted or (nodes, tensors) in {(1, 0), (0, 1), (1, 1)}
