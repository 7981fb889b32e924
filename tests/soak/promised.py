"""Random networks through the whole program: it must call each equivalent, and be right.

What it says is compared with a float64 run that shares no code with it. A false alarm is a model that computes what its
source does and is refused; worse is the opposite.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

import swp_export
from swp_export.errors import SwpExportError
from swp_export.lowerings import LOWERINGS
from swp_export.verification.report import NotEquivalentError

from . import random_networks, truth
from .planted import TIMES_NOISE, Case, cases_of, distance
from .random_models import random_model
from .random_routes import routed_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swp_export.verification.references import Outputs

    from .planted import Run
    from .random_models import RandomModel

RUNTIME_TIMES_NOISE = 50.0
"""Two float32 runs of one function that add in other orders differ by some times the noise of one of them."""
RIGHT_REFUSALS = (
    "no dead stripe",
    "no convolution that can be pruned",
    "every FilterSkeleton in it is 1x1",
    "nothing of the network would be live",
    "nothing can be proved",
)
"""What is said of networks that there is nothing to do with; any other refusal of a sound network is a defect."""
FAILURES = ("refused wrongly", "false alarm", "wrong, and refused", "wrong, and called equivalent", "crashed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Promise:
    """What became of one random network.

    Attributes:
        name: what it is, enough to make it again.
        kind: `equivalent`, `refused` (exit code 2, for one of RIGHT_REFUSALS), `no second opinion`, or one of FAILURES.
        message: of the program.
        error_to_budget: as the program says.
        times_noise: how far what was written is from the source in float64, in multiples of float32's noise.
        runtime_times_noise: the same of its run in ONNX Runtime, all optimisations off.
        parameters: floats in the source, and in what was written.

    """

    name: str
    kind: str
    message: str = ""
    error_to_budget: float = 0.0
    times_noise: float = 0.0
    runtime_times_noise: float = 0.0
    parameters: tuple[int, int] = (0, 0)


def promise_of(number: int, folder: Path) -> Promise:
    """Prune the random network `number`: a checkpoint, or an ONNX file of either kind."""
    if number % 2:
        return checkpoint_promise(number, folder)
    return onnx_promise(number, folder, routed_model if number % 4 else random_model)


def checkpoint_promise(seed: int, folder: Path) -> Promise:
    """Prune the random network `seed`, by a lowering or a plan that it decides too."""
    from swp_export.checkpoint import read_checkpoint
    from swp_export.network.instantiate import instantiate
    from swp_export.verification.references import TorchReference

    os.environ[random_networks.SEED] = str(seed)
    path, pruned = folder / "network.pth", folder / "pruned.onnx"
    rng = np.random.default_rng([seed, 3])
    options: dict[str, Any] = {
        "threshold": random_networks.THRESHOLD,
        "arch": random_networks.ARCHITECTURE,
        "input_shape": random_networks.write_checkpoint(path, seed),
        "output": pruned,
        "force": True,
    }
    form = "by the static rule"
    if rng.random() < 0.4:
        options["lowering"] = form = str(rng.choice(list(LOWERINGS)))
    elif rng.random() < 0.4:
        form = "planned"

    def cases() -> list[Case]:
        network = instantiate(
            read_checkpoint(path), threshold=options["threshold"], architecture=options["arch"],
            input_shape=options["input_shape"],
        )  # fmt: skip
        reference = TorchReference(network.module, "")
        inputs = truth.inputs_of(network.input_shape, batch=None, resizable=True, seed=seed)
        return cases_of(inputs, reference.float64, reference.float32)

    def planned() -> None:
        if form == "planned":
            swp_export.prune(path, verify=False, **options)
            options["plan"] = random_plan(pruned, folder / "plan.json", rng)

    return _promise(f"random network {seed}, {form}", path, pruned, options, cases, planned)


def onnx_promise(seed: int, folder: Path, make: Callable[[int], RandomModel] = random_model) -> Promise:
    """Prune the random ONNX file `seed` that `make` makes."""
    model = make(seed)
    path, pruned = folder / "source.onnx", folder / "pruned.onnx"
    path.write_bytes(model.proto.SerializeToString())
    rng = np.random.default_rng([seed, 3])
    options: dict[str, Any] = {"input_shape": model.input_shape, "output": pruned, "force": True}
    form = "by the static rule"
    if rng.random() < 0.4:
        options["lowering"] = form = str(rng.choice(list(LOWERINGS)))

    def cases() -> list[Case]:
        session = truth.float32_session(path.read_bytes())
        inputs = truth.inputs_of(model.input_shape, batch=model.batch, resizable=model.resizable, seed=seed)
        return cases_of(inputs, lambda x: truth.evaluate(model.proto, x), lambda x: truth.float32(session, x))

    name = f"{make.__name__} {seed}, opset {model.proto.opset_import[0].version}, {form}"
    return _promise(name, path, pruned, options, cases, lambda: None)


def random_plan(model: Path, plan: Path, rng: np.random.Generator) -> Path:
    """Write a plan that gives each layer of `model` any lowering that does not refuse it."""
    from swp_export.graph.convolutions import iterate_stripe_convs
    from swp_export.graph.metadata import LAYER
    from swp_export.lowerings.rewrite import compact_from_portable

    layers = {}
    for node, conv in iterate_stripe_convs(compact_from_portable(model.read_bytes()).graph):
        if LAYER in node.metadata_props:
            admitted = [name for name, lowering in LOWERINGS.items() if lowering.why_not(conv) is None]
            layers[conv.name] = str(rng.choice(admitted))
    document = {"format": "swp-export-plan", "version": 1, "block": int(rng.choice([1, 4, 16])), "layers": layers}
    plan.write_text(json.dumps(document), encoding="utf-8")
    return plan


def _promise(name: str, path: Path, pruned: Path, options: dict[str, Any], cases: Any, planned: Any) -> Promise:
    try:
        planned()
        report = swp_export.prune(path, **options)
        assert report.verification is not None
        ratio = max(case.error_to_budget for case in report.verification.cases)
        message = report.verification.summary()
    except NotEquivalentError as error:
        ratio, message = error.report.worst.error_to_budget, str(error)
    except SwpExportError as error:
        right = any(reason in str(error) for reason in RIGHT_REFUSALS)
        return Promise(name=name, kind="refused" if right else "refused wrongly", message=str(error))
    except Exception:  # noqa: BLE001 - whatever it is, it is a defect, and counted as one
        return Promise(name=name, kind="crashed", message=traceback.format_exc())
    alarm = message.startswith("not equivalent")
    if alarm:  # nothing was written
        try:
            swp_export.prune(path, verify=False, **options)
        except Exception:  # noqa: BLE001
            return Promise(name=name, kind="crashed", message=traceback.format_exc())
    try:
        wide, narrow = _written(pruned, cases())
    except truth.UnsupportedError as error:
        return Promise(name=name, kind="no second opinion", message=str(error), error_to_budget=ratio)
    wrong = wide > TIMES_NOISE or narrow > RUNTIME_TIMES_NOISE
    kinds = {
        (False, False): "equivalent",
        (True, False): "false alarm",
        (True, True): "wrong, and refused",
        (False, True): "wrong, and called equivalent",
    }
    return Promise(
        name=name,
        kind=kinds[alarm, wrong],
        message=message,
        error_to_budget=ratio,
        times_noise=wide,
        runtime_times_noise=narrow,
        parameters=(_floats(path), _floats(pruned)),
    )


def _written(pruned: Path, cases: list[Case]) -> tuple[float, float]:
    """Return how far the model `pruned` is from the truth of `cases`: in float64, and in the runtime's float32."""
    model, session = onnx.load(pruned), truth.float32_session(pruned.read_bytes())
    single = len(model.graph.output) == 1

    def furthest(run: Run) -> float:
        def named(x: np.ndarray) -> Outputs:
            found = run(x)
            return dict(zip(cases[0].truth, found.values(), strict=True)) if single else found

        return max((distance(case, named) for case in cases), default=0.0)

    wide = furthest(lambda x: truth.evaluate(model, x))
    cases = _with_noise_of_runtime(cases)
    return wide, furthest(lambda x: truth.float32(session, x))


def _with_noise_of_runtime(cases: list[Case]) -> list[Case]:
    """Return `cases` with what ONNX Runtime's functions are off where they are flat: one unit in the last place of 1.

    PyTorch's Sigmoid of -15 is right to the last digit, ONNX Runtime's is zero or twice as large.
    """
    largest = (
        {name: max(truth.scale_of(case.truth[name]) for case in cases) for name in cases[0].truth} if cases else {}
    )
    return [
        dataclasses.replace(
            case, noise={name: max(noise, truth.EPS * min(largest[name], 1.0)) for name, noise in case.noise.items()}
        )
        for case in cases
    ]


def _floats(path: Path) -> int:
    """Return how many floats the initializers of an ONNX file hold, 0 of a checkpoint."""
    if path.suffix != ".onnx":
        return 0
    return sum(
        math.prod(tensor.dims) for tensor in onnx.load(path).graph.initializer if tensor.data_type == tensor.FLOAT
    )
