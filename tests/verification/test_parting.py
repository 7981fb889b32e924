"""The node at which two runs of a model part is named, and by how far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_models import PADS, model_from_text, to_float32, weights

from swp_export.verification import parting

if TYPE_CHECKING:
    import onnx_ir as ir

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)


def model(body: str, *, opset: int = 18, **tensors: np.ndarray) -> ir.Model:
    """Return the float32 model of `body`, its nodes named by their outputs."""
    made = to_float32(model_from_text(body, opset=opset, w=weights(RNG, 4, 3, 3, 3), **tensors))
    for node in made.graph:
        node.name = f"makes_{node.outputs[0].name}"
    return made


CLEAN = model(f"h = Conv <{PADS}> (x, w) r = Relu (h) y = Sigmoid (r)")


@pytest.mark.parametrize("question", [parting.parting_node, parting.misoptimised_node, parting.wavering_node])
def test_nothing_parts_where_all_agrees(question: object) -> None:
    """Convolution and Relu are the same in every run."""
    assert question(CLEAN, X) is None


def test_truth_and_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first node whose float64 differs is named, not the ones behind it, which differ too."""
    real = parting.Float64Model

    class Wrong(real):  # type: ignore[misc,valid-type]
        def run(self, feeds: object, *, on_value: object = None) -> object:
            def off(name: str, array: np.ndarray) -> np.ndarray:
                array = on_value(name, array)
                return array + 0.01 * np.abs(array).max() if name == "r" else array

            return super().run(feeds, on_value=lambda name, array: on_value(name, off(name, array)))

    monkeypatch.setattr(parting, "Float64Model", Wrong)
    found = parting.parting_node(CLEAN, X)
    assert found is not None
    assert found.startswith("Relu node 'makes_r': off by 0.0")


def test_optimised_and_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least part of a model that optimisation changes ends in the node that is named."""
    real = parting._run

    def wrong(model: ir.Model, names: list[str], x: np.ndarray, *, optimise: bool) -> dict[str, np.ndarray]:
        found = real(model, names, x, optimise=optimise)
        return {name: array * 1.5 if optimise and name in {"r", "y"} else array for name, array in found.items()}

    monkeypatch.setattr(parting, "_run", wrong)
    assert parting.misoptimised_node(CLEAN, X) == "Relu node 'makes_r': off by 0.33 of its largest value"


def test_random_numbers() -> None:
    """What draws random numbers differs from run to run, and is found behind what does not."""
    noisy = model(f"h = Conv <{PADS}> (x, w) n = RandomNormalLike (h) s = Add (h, n) y = Relu (s)")
    assert parting.wavering_node(noisy, X) == "RandomNormalLike node 'makes_n'"


@pytest.mark.parametrize(
    ("a", "b", "share"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), 0.0),
        (np.array([1.0, 2.0]), np.array([1.0, 1.0]), 0.5),
        (np.array(1.0), np.array(0.0), 1.0),
        (np.array([np.inf, np.nan, 1.0]), np.array([np.inf, np.nan, 1.0]), 0.0),
        (np.array([np.nan]), np.array([1.0]), np.inf),
        (np.array([1.0]), np.array([1.0, 2.0]), np.inf),
        (np.array([True]), np.array([False]), np.inf),
        (np.array([], np.float32), np.array([], np.float32), 0.0),
    ],
)
def test_distance(a: np.ndarray, b: np.ndarray, share: float) -> None:
    """It is a share of the largest value; what has no distance is as far as can be."""
    assert parting._distance(a, b) == share
