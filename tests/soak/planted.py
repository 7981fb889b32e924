"""Faults planted in models that the program wrote, or in ONNX files: each that matters must be found.

Whether a fault matters is decided without the program: it must move an output, in float64 and in ONNX Runtime's
unoptimised float32, by more than ten times the noise that float32 has in the unspoiled network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx

import swp_export
from swp_export.errors import SwpExportError
from swp_export.graph.files.reading import read_model
from swp_export.verification.references import OnnxReference
from swp_export.verification.verify import Verifier

from . import random_networks, truth
from .faults import plant
from .random_models import random_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swp_export.verification.references import Outputs, Reference

    from .random_models import RandomModel

    Verdict = Literal["found", "missed", "refused", "crashed"]
    Run = Callable[[np.ndarray], Outputs]

MODELS = Path(__file__).parents[2] / "models"
TIMES_NOISE = 10.0
"""A fault matters where it moves an output by more than this many times float32's noise."""
LOWERINGS = (
    None, "dense", "pad-slice-add", "shift-sum", "split(2, shift-sum)", "shift-chunks", "cropped",
    "sliced-ellpack(160)", "shift",
)  # fmt: skip
ZOO: tuple[tuple[str, float | None], ...] = (
    ("resnet56-fashion-mnist/best.pth.tar", 0.01),
    ("resnet56-fashion-mnist/best.pth.tar", 0.1),
    ("resnet56-fashion-mnist/pruned.pth.tar", None),
    ("vgg16-fashion-mnist/pruned.pth.tar", None),
    ("vgg11-fashion-mnist/mild.pth", None),
    ("vgg11-fashion-mnist/strong.pth", None),
    ("resnet20-fashion-mnist/mild.pth", None),
    ("resnet20-fashion-mnist/strong.pth", None),
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """An input, what the network computes of it in float64, and float32's noise, by output."""

    x: np.ndarray
    truth: Outputs
    noise: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """A sound model to spoil.

    Attributes:
        name: what it is, enough to make it again.
        content: the model.
        verify: what the program says of a spoiled one.
        cases: on which a fault may matter, and what the network computes there.

    """

    name: str
    content: bytes
    verify: Callable[[bytes], Verdict]
    cases: list[Case]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one fault; `times_noise` is how far it moves an output, in float64, at most."""

    base: str
    seed: int
    fault: str
    times_noise: float
    effective: bool
    settled: bool
    verdict: str


def spoil(base: Base, seed: int) -> tuple[bytes, Outcome] | None:
    """Plant the fault `seed` in `base` and say whether it matters and was found; None where no runtime loads it."""
    content, fault = plant(base.content, seed)
    try:
        onnx.checker.check_model(content)
        session = truth.float32_session(content)
    except Exception:  # noqa: BLE001 - whatever ONNX Runtime raises: no valid model, so no fault that could ship
        return None
    model = onnx.ModelProto.FromString(content)
    wide = _furthest(base, lambda x: truth.evaluate(model, x))
    narrow = _furthest(base, lambda x: truth.float32(session, x))
    effective = min(wide, narrow) > TIMES_NOISE
    return content, Outcome(
        base=base.name,
        seed=seed,
        fault=fault,
        times_noise=wide,
        effective=effective,
        settled=effective or max(wide, narrow) <= 2 * TIMES_NOISE,
        verdict=base.verify(content),
    )


def sound(base: Base) -> str | None:
    """Return why `base` is no base to plant faults in: the program does not call it equivalent; None if it does."""
    if not base.cases:
        return "its network overflows on every input"
    session, model = truth.float32_session(base.content), onnx.ModelProto.FromString(base.content)
    try:
        wide = _furthest(base, lambda x: truth.evaluate(model, x))
        narrow = _furthest(base, lambda x: truth.float32(session, x))
    except truth.UnsupportedError as error:
        return f"no second opinion on {error}"
    if max(wide, narrow) > TIMES_NOISE:
        return f"unspoiled, it is off by {wide:.2g} times the noise in float64, {narrow:.2g} times in float32"
    verdict = base.verify(base.content)
    return None if verdict == "missed" else f"unspoiled, it is {verdict}"


def onnx_bases(seed: int, folder: Path, make: Callable[[int], RandomModel] = random_model) -> Iterator[Base | str]:
    """Yield the ONNX file `seed` that `make` makes, and what `prune` makes of it; or why there is none."""
    model = make(seed)
    opset = model.proto.opset_import[0].version
    name = f"{make.__name__} {seed}, opset {opset}"
    source = folder / "source.onnx"
    source.write_bytes(model.proto.SerializeToString())
    inputs = truth.inputs_of(model.input_shape, batch=model.batch, resizable=model.resizable, seed=seed)
    session = truth.float32_session(source.read_bytes())
    cases = cases_of(inputs, lambda x: truth.evaluate(model.proto, x), lambda x: truth.float32(session, x))

    verify = _verifying(OnnxReference(read_model(source).model, name), model.input_shape)

    def base(label: str, content: bytes) -> Base:
        return Base(
            name=f"{name}, {label}",
            content=content,
            verify=verify,
            cases=cases,
        )

    yield base("as it is", source.read_bytes())
    lowering = LOWERINGS[seed % len(LOWERINGS)]
    pruned = folder / "pruned.onnx"
    try:
        swp_export.prune(
            source, output=pruned, lowering=lowering, input_shape=model.input_shape, verify=False, force=True
        )
    except SwpExportError as error:
        yield f"{name}: not pruned: {error}"
    except Exception as error:  # noqa: BLE001 - a defect, to be counted and shown
        yield f"{name}: prune crashed: {type(error).__name__}: {error}"
    else:
        yield base(f"pruned, {lowering}", pruned.read_bytes())


def random_checkpoint_base(seed: int, folder: Path) -> Base | str:
    """Return the model that `prune` makes of the random network `seed`."""
    os.environ[random_networks.SEED] = str(seed)
    path = folder / "network.pth"
    shape = random_networks.write_checkpoint(path, seed)
    lowering = LOWERINGS[seed % len(LOWERINGS)]
    return checkpoint_base(
        f"random network {seed}", path, random_networks.THRESHOLD, lowering, folder,
        arch=random_networks.ARCHITECTURE, input_shape=shape,
    )  # fmt: skip


def zoo_base(number: int, folder: Path) -> Base | str:
    """Return the model of one of the zoo's checkpoints, by one of the lowerings."""
    file, threshold = ZOO[number % len(ZOO)]
    lowering = LOWERINGS[number // len(ZOO) % len(LOWERINGS)]
    return checkpoint_base(f"{file} at {threshold}", MODELS / file, threshold, lowering, folder)


def checkpoint_base(
    name: str, path: Path, threshold: float | None, lowering: str | None, folder: Path, **options: Any
) -> Base | str:
    """Return what `prune` makes of a checkpoint; or why there is nothing."""
    from swp_export.checkpoint import read_checkpoint
    from swp_export.network.instantiate import instantiate
    from swp_export.verification.references import TorchReference

    name = f"{name}, {lowering}"
    pruned = folder / "pruned.onnx"
    try:
        swp_export.prune(
            path, threshold=threshold, output=pruned, lowering=lowering, verify=False, force=True, **options
        )
    except SwpExportError as error:
        return f"{name}: not pruned: {error}"
    network = instantiate(
        read_checkpoint(path), threshold=threshold, architecture=options.get("arch"),
        input_shape=options.get("input_shape"),
    )  # fmt: skip
    reference = TorchReference(network.module, name)
    content = pruned.read_bytes()
    declared = truth.float32_session(content).get_inputs()[0].shape
    inputs = truth.inputs_of(
        network.input_shape, batch=None, resizable=not any(isinstance(size, int) for size in declared[2:]), seed=0
    )
    output = onnx.ModelProto.FromString(content).graph.output[0].name

    return Base(
        name=name,
        content=content,
        verify=_verifying(reference, network.input_shape),
        cases=cases_of(
            inputs,
            lambda x: {output: next(iter(reference.float64(x).values()))},
            lambda x: {output: next(iter(reference.float32(x).values()))},
        ),
    )


def _verifying(reference: Reference, input_shape: tuple[int, int, int]) -> Callable[[bytes], Verdict]:
    """Return what says of a model whether it computes what `reference` does; that is run once for all of them."""
    verifier = Verifier(reference, input_shape)
    return lambda content: _verdict(lambda: verifier.verify(content, "spoiled.onnx").equivalent)


def _verdict(equivalent: Callable[[], bool]) -> Verdict:
    try:
        return "missed" if equivalent() else "found"
    except SwpExportError:
        return "refused"
    except Exception:  # noqa: BLE001 - whatever it is, it is a defect, and counted as one
        return "crashed"


def _furthest(base: Base, run: Run) -> float:
    """Return how far `run` is from the truth of `base`, in multiples of float32's noise."""
    return max((distance(case, run) for case in base.cases), default=0.0)


def cases_of(inputs: list[np.ndarray], true: Run, single: Run) -> list[Case]:
    """Return what the network computes of `inputs`, without those that it refuses or that overflow.

    The noise of float32 in an output is what its float32 run is off; where that is little by luck, what is usual of the
    other inputs, in proportion to their scale.
    """
    found = []
    for x in inputs:
        with contextlib.suppress(SwpExportError, RuntimeError):  # the network refuses this size
            pair = true(x), single(x)
            if all(np.isfinite(array).all() for outputs in pair for array in outputs.values()):
                found.append((x, *pair))
    if not found:
        return []
    usual = {
        name: float(np.median([truth.noise_of(y[name], z[name]) / (truth.scale_of(y[name]) or 1) for _, y, z in found]))
        for name in found[0][1]
    }
    return [
        Case(
            x=x,
            truth=y,
            noise={
                name: max(truth.noise_of(array, z[name]), usual[name] * truth.scale_of(array))
                for name, array in y.items()
            },
        )
        for x, y, z in found
    ]


def distance(case: Case, run: Run) -> float:
    """Return how far `run` is from the truth of `case`, in multiples of float32's noise."""
    try:
        found = run(case.x)
    except truth.UnsupportedError:
        raise
    except Exception:  # noqa: BLE001 - the spoiled model cannot be run on what the network takes
        return float("inf")
    distances = [0.0]
    for name, array in case.truth.items():
        other = found.get(name)
        if other is None or other.shape != array.shape or not np.isfinite(other).all():
            return float("inf")
        difference = float(np.max(np.abs(other - array), initial=0))
        noise = case.noise[name]
        distances.append(difference / noise if noise else (float("inf") if difference else 0.0))
    return max(distances)
