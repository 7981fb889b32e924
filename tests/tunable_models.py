"""Models to tune, small enough for a search to be over at once, and measurements whose winner a test decides."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

import numpy as np
from small_models import PADS, from_bytes, marked, model_from_text, to_float32

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import INPUT_SHAPE, LAYER, LOWERING
from swp_export.graph.pipeline import compact
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.rewrite import planned_bytes
from swp_export.runtime.target import CPU, Target
from swp_export.tuning.model_timer import ModelTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from swp_export.benchmark.measure import Instances, Schedule

SHAPE = (3, 8, 8)
LAYERS = ("conv0", "conv1", "conv2")
ROUNDS = np.random.default_rng(0).lognormal(sigma=0.01, size=(2, 8, 3))
"""What the machine does in each run, to all models alike: 2 instances, 8 rounds, 3 runs."""


def sparse(rng: np.random.Generator, filters: int, channels: int, counts: Sequence[int]) -> np.ndarray:
    """Return a weight `[filters, channels, 3, 3]` of which each filter keeps one of `counts` stripes."""
    mask = np.zeros((filters, 9), bool)
    for row, live in zip(mask, rng.choice(counts, size=filters), strict=True):
        row[rng.permutation(9)[:live]] = True
    return rng.normal(size=(filters, channels, 3, 3)) * mask.reshape(filters, 1, 3, 3) / channels**0.5


def compact_network() -> ir.Model:
    """Return three float32 stripe convolutions and a classifier, dead filters removed; only conv1 can be a `shift`."""
    rng = np.random.default_rng(4)
    model = model_from_text(
        f"a = Conv <{PADS}> (x, w0, b0) ra = Relu (a) b = Conv <{PADS}> (ra, w1, b1) rb = Relu (b)"
        f"p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (rb) c = Conv <{PADS}> (p, w2, b2) rc = Relu (c)"
        "q = GlobalAveragePool (rc) f = Flatten (q) y = Gemm (f, g, z)",
        y="double[N, 10] y",
        w0=sparse(rng, 13, 3, [0, 1, 2, 5]),
        b0=rng.normal(size=13),
        w1=sparse(rng, 21, 13, [1]),
        b1=rng.normal(size=21),
        w2=sparse(rng, 19, 21, [0, 1, 1, 3]),
        b2=rng.normal(size=19),
        g=rng.normal(size=(19, 10)),
        z=rng.normal(size=10),
    )
    return compact(marked(to_float32(model)))


@functools.cache
def portable(lowering: str = "dense") -> bytes:
    """Return the network with every layer that admits it written by `lowering`, the others densely."""
    model = compact_network()
    model.metadata_props[INPUT_SHAPE] = ",".join(map(str, SHAPE))
    convs = [conv for _, conv in iterate_stripe_convs(model.graph)]
    plan = {conv.name: "dense" if LOWERINGS[lowering].why_not(conv) else lowering for conv in convs}
    return planned_bytes(model, plan, 1)


def lowerings_of(content: bytes) -> dict[str, str]:
    """Return the lowering of each layer of the model in `content`, by its metadata."""
    return {
        node.metadata_props[LAYER]: node.metadata_props[LOWERING]
        for node in from_bytes(content).graph
        if LOWERING in node.metadata_props
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class RiggedTimer(ModelTimer):
    """Loads and runs models, but `seconds` says how long that takes; `compared` collects what was measured."""

    seconds: Callable[[bytes], float]
    on_one: float = 1.0
    compared: list[Sequence[bytes]] = dataclasses.field(default_factory=list)

    def quick_seconds(self, model: bytes, shape: Sequence[int]) -> float:
        """Load and run the model, and return what `seconds` decides."""
        self.opener(model, shape)()
        return self.seconds(model)

    def measure(
        self,
        models: Sequence[bytes],
        shape: Sequence[int],  # noqa: ARG002 (ModelTimer's signature)
        schedule: Schedule,  # noqa: ARG002
        threads: Sequence[int] = (),
    ) -> list[Instances]:
        """Return the times that `seconds` decides, times `on_one` on one thread, with a little noise that all share."""
        factors = [self.on_one if count == 1 else 1.0 for count in threads or [0] * len(models)]
        self.compared.append(tuple(models))
        timed = [factor * self.seconds(model) for factor, model in zip(factors, models, strict=True)]
        return [[list(seconds * instance) for instance in ROUNDS] for seconds in timed]


def rigged(seconds: Callable[[bytes], float], target: Target = CPU) -> RiggedTimer:
    """Return a timer on which `seconds` decides."""
    return RiggedTimer(target=target, seconds=seconds)


def by_lowering(**seconds: float) -> Callable[[bytes], float]:
    """Return the sum over a model's layers of what `seconds` says for their lowerings, else 1.

    `sliced_ellpack_40` stands for "sliced-ellpack(40)". A model of a single layer states no lowering and takes 1.
    """

    def of_model(content: bytes) -> float:
        names = lowerings_of(content).values()
        return sum(seconds.get(re.sub(r"\W", "_", name).rstrip("_"), 1.0) for name in names) or 1.0

    return of_model
