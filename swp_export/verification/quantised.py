"""Whether a quantised model is what it says: integer by integer exact, and no further from the network than allowed.

1. Every rounded value is what an integer reference makes of the integers before it (`precision.integer_reference`): a
   kernel that saturates, a wrong scale or a shift in the wrong direction shows in the layer where it is.
2. Without its rounding of values it gives what the float network gives, filter by filter on noise, but for the rounding
   of its weights: a filter that is another, or a stripe that has moved, shows.
3. How far rounding takes it from the float network: signal to noise by layer, and changed predictions. That is a
   measure, no proof; with a bound on accuracy it is judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import InputError
from swp_export.precision.images import CALIBRATION, Images
from swp_export.precision.integer_reference import IntegerReference, worst_steps
from swp_export.precision.ranges import BATCH
from swp_export.precision.unrounded import unrounded
from swp_export.progress import silent
from swp_export.runtime.session import open_session
from swp_export.shown import Shown
from swp_export.verification.layer_outputs import LayerOutput, LayerOutputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.precision.integer_reference import Rounding, Steps
    from swp_export.progress import Progress
    from swp_export.runtime.session import Array
    from swp_export.verification.evaluation_data import EvaluationData

    Run = Callable[[Array], Mapping[str, Array]]

CHECKED = 4
"""Images on which every integer is checked: each has as many places as a layer has positions."""
LEAST_SNR = 15.0
"""Of a filter on noise, with rounded weights: 8 bits leave 40 dB of a layer, 7 bits 34, and a chain of 50 layers 20; a
stripe that has moved leaves 6.5 dB of a full 3x3 filter, and less of any other."""
SILENT = 1e-3
"""A filter whose output is so much smaller than its layer's is not judged: float32 rounds it as much."""
MEASURED = 32
"""Images on which the noise of each layer is measured."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerNoise:
    """How far rounding takes a layer's output from the float network's: 20 dB are 10 % of its rms, 40 dB are 1 %."""

    layer: str
    snr_db: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stranger:
    """Filters of a layer, or outputs where it is "", that are further from the float network than rounded weights."""

    layer: str
    filters: tuple[int, ...]
    snr_db: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """What two networks predict.

    Attributes:
        images: how many they were run on.
        changed: predictions that differ.
        right_before: of the float network's predictions, None without labels.
        right_after: of the model's.
        snr_db: of the model's outputs.

    """

    images: int
    changed: int
    right_before: int | None
    right_after: int | None
    snr_db: float

    @property
    def drop(self) -> float:
        """Points of accuracy that are lost; without labels the most that the changed predictions can lose."""
        if self.right_before is None or self.right_after is None:
            return 100 * self.changed / self.images
        return 100 * (self.right_before - self.right_after) / self.images

    def summary(self) -> str:
        """Return a few words."""
        text = f"{self.changed} of {self.images} predictions changed"
        if self.right_before is None or self.right_after is None:
            return text
        after, before = 100 * self.right_after / self.images, 100 * self.right_before / self.images
        return f"{text}, accuracy {after:.2f} % after {before:.2f} %"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return dataclasses.asdict(self) | {"drop_percent": self.drop}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class QuantisedReport(Shown):
    """What is known of a quantised model.

    Attributes:
        model: what was verified.
        reference: the float network.
        steps: of every rounded value and output, the largest distance to the integer reference.
        strangers: what is not the float network, in order.
        noise: of each layer that both name, in order.
        predictions: what rounding makes of them.
        max_accuracy_drop: in points, the bound; None where there is none.

    """

    model: str
    reference: str
    steps: tuple[Steps, ...]
    strangers: tuple[Stranger, ...]
    noise: tuple[LayerNoise, ...]
    predictions: Predictions
    max_accuracy_drop: float | None

    @property
    def exact(self) -> bool:
        """Whether every integer is what it must be."""
        return all(each.ok for each in self.steps)

    @property
    def within_bound(self) -> bool:
        """Whether no more accuracy is lost than allowed."""
        return self.max_accuracy_drop is None or self.predictions.drop <= self.max_accuracy_drop

    @property
    def equivalent(self) -> bool:
        """Whether the model is what it says, of that network, and within the bound."""
        return self.exact and not self.strangers and self.within_bound

    @property
    def noisiest(self) -> LayerNoise | None:
        """The layer with the most noise for its signal."""
        return min(self.noise, key=lambda layer: layer.snr_db, default=None)

    def summary(self) -> str:
        """Return one line."""
        if not self.exact:
            worst = next(each for each in self.steps if not each.ok)
            where = f"layer {worst.layer}, value {worst.value}" if worst.layer else f"value {worst.value}"
            return (
                f"not what its integers say: {where}: up to {worst.steps} steps off, allowed {worst.allowed}, at "
                f"{worst.off} of {worst.elements} places; the first one that is off"
            )
        if self.strangers:
            first = self.strangers[0]
            which = f"layer {first.layer}" if first.layer else "the output"
            return (
                f"another network: {len(first.filters)} channels of {which} (number {first.filters[0]} ...) are "
                f"{first.snr_db:.1f} dB above the difference, rounded weights leave {LEAST_SNR:g}"
            )
        text = f"every integer within {max(each.steps for each in self.steps)} step of the reference, shifts exact"
        noisiest = self.noisiest
        text += f"; output {self.predictions.snr_db:.1f} dB above the rounding"
        text += f", least in {noisiest.layer}: {noisiest.snr_db:.1f} dB" if noisiest else ""
        text += f"; {self.predictions.summary()}"
        if not self.within_bound:
            text = f"accuracy may fall by {self.max_accuracy_drop:g} points, not by {self.predictions.drop:.2f}; {text}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "command": "verify",
            "model": self.model,
            "reference": self.reference,
            "equivalent": self.equivalent,
            "exact": self.exact,
            "within_bound": self.within_bound,
            "steps": [dataclasses.asdict(each) | {"ok": each.ok} for each in self.steps],
            "strangers": [dataclasses.asdict(each) for each in self.strangers],
            "noise": [dataclasses.asdict(each) for each in self.noise],
            "noisiest_layer": None if self.noisiest is None else self.noisiest.layer,
            "predictions": self.predictions.to_json(),
            "max_accuracy_drop": self.max_accuracy_drop,
        }


def verify_quantised(
    content: bytes,
    *,
    name: str,
    reference: Run,
    reference_name: str,
    dense: ir.Model | None,
    images: Images,
    max_accuracy_drop: float | None = None,
    progress: Progress = silent,
) -> QuantisedReport:
    """Check a quantised model, integer by integer, and measure how far it is from the float network.

    Args:
        content: the model.
        name: what the report calls it.
        reference: runs the float network and gives its outputs by name.
        reference_name: what the report calls that.
        dense: the float network as a graph that names its layers, for the noise of each.
        images: to run both on.
        max_accuracy_drop: in points.
        progress: called with what is being done.

    Raises:
        SwpExportError: one of the two does not run on the images.

    """
    progress("checking every integer")
    integers = IntegerReference(content)
    run = integers.looked_into()
    checked = images.images[:CHECKED]
    found = [integers.steps(x, run(x)) for x in (checked, *_hard(checked))]
    progress("measuring what rounding does")
    strangers = _strangers(content, reference, dense, checked.shape)
    noise = () if dense is None else _noise(content, integers, run, dense, images.images[:MEASURED])
    return QuantisedReport(
        model=name,
        reference=reference_name,
        steps=tuple(worst_steps(found)),
        strangers=strangers,
        noise=noise,
        predictions=compare_predictions(reference, open_session(content).run_on, images),
        max_accuracy_drop=max_accuracy_drop,
    )


def images_of(data: EvaluationData, training: EvaluationData | None = None) -> Images:
    """Return all samples of `data`, and of `training` those to calibrate on.

    Raises:
        InputError: they are no images, or their labels not one for each.

    """
    case, labels = data.part(0, data.samples)
    if not isinstance(case.x, np.ndarray):
        raise InputError(f"int8 takes networks of one image, {data.name} has the inputs {', '.join(case.x)}")
    if labels is not None and labels.ndim != 1:
        raise InputError(f"'labels' in {data.name} are {list(labels.shape)}, int8 expects one for each image")
    others = None if training is None else training.part(0, min(CALIBRATION, training.samples))[0].x
    assert not isinstance(others, Mapping)
    return Images(images=case.x, labels=labels, name=data.name, training=others)


def compare_predictions(before: Run, after: Run, images: Images) -> Predictions:
    """Run both networks on `images` and compare what they predict.

    Raises:
        InputError: they give no outputs of the same shape.

    """
    found: tuple[list[Array], list[Array]] = ([], [])
    for start in range(0, len(images.images), BATCH):
        x = images.images[start : start + BATCH]
        for run, outputs in zip((before, after), found, strict=True):
            outputs.append(_scores(run(x)))
    truth, y = (np.concatenate(outputs) for outputs in found)
    if truth.shape != y.shape:
        raise InputError(f"the model gives {list(y.shape)} where the float network gives {list(truth.shape)}")
    classes, ours = (scores.reshape(len(scores), -1).argmax(axis=1) for scores in (truth, y))
    labels = images.labels
    return Predictions(
        images=len(truth),
        changed=int((classes != ours).sum()),
        right_before=None if labels is None else int((classes == labels).sum()),
        right_after=None if labels is None else int((ours == labels).sum()),
        snr_db=snr_db(truth, y),
    )


def snr_db(truth: np.ndarray, y: np.ndarray) -> float:
    """Return the power of `truth` over that of the distance to it, in decibels; 200 where there is no distance."""
    signal, noise = float((truth.astype(np.float64) ** 2).mean()), float(((truth - y).astype(np.float64) ** 2).mean())
    if noise == 0:
        return 200.0
    return 10 * float(np.log10(signal / noise)) if signal > 0 else -200.0


def _strangers(content: bytes, reference: Run, dense: ir.Model | None, shape: tuple[int, ...]) -> tuple[Stranger, ...]:
    """Return what differs on noise though nothing but weights is rounded."""
    model = ir.from_proto(onnx.ModelProto.FromString(content))
    unrounded(model)
    ours = LayerOutputs(model)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    values = open_session(ir.serde.serialize_model(ours.model).SerializeToString()).run_on(noise)
    found = []
    if dense is not None:
        theirs = LayerOutputs(dense)
        truths = open_session(ir.serde.serialize_model(theirs.model).SerializeToString()).run_on(noise)
        for layer, mine in ours.layers.items():
            other = theirs.layers.get(layer)
            both = _common(mine, other)
            if other is not None and both.size:
                truth, y = truths[other.value][:, other.places(both)], values[mine.value][:, mine.places(both)]
                found.append(_stranger(layer, truth, y, both))
    truth, y = _scores(reference(noise)), _scores(values)
    if truth.shape != y.shape:
        raise InputError(f"the model gives {list(y.shape)} where the float network gives {list(truth.shape)}")
    found.append(_stranger("", truth, y, np.arange(truth.shape[1])))
    return tuple(each for each in found if each.filters)


def _stranger(layer: str, truth: Array, y: Array, filters: np.ndarray) -> Stranger:
    """Return which of `filters` leave less than LEAST_SNR, and the least that one leaves."""
    if truth.shape != y.shape:  # behind a pool that stands in the branches of a Concat
        return Stranger(layer=layer, filters=(), snr_db=0.0)
    size = float((truth.astype(np.float64) ** 2).mean()) ** 0.5
    pairs = [(truth[:, at], y[:, at]) for at in range(len(filters))]
    of_filter = [
        snr_db(t, o) if float((t.astype(np.float64) ** 2).mean()) ** 0.5 > SILENT * size else 200.0 for t, o in pairs
    ]
    strange = tuple(int(f) for f, snr in zip(filters, of_filter, strict=True) if not snr >= LEAST_SNR)
    return Stranger(layer=layer, filters=strange, snr_db=min(of_filter, default=200.0))


def _common(mine: LayerOutput, other: LayerOutput | None) -> np.ndarray:
    """Return the filters that both give; none where the two are different layers of one name."""
    if other is None or other.filters != mine.filters:
        return np.zeros(0, np.int64)
    return np.intersect1d(mine.order[mine.order >= 0], other.order)


def _hard(images: Array) -> list[Array]:
    """Return inputs that drive sums to their ends: saturation shows there that usual images may miss."""
    high, low = float(images.max()), float(images.min())
    sign = np.where(np.indices(images.shape[1:]).sum(axis=0) % 2, high, low)
    return [np.full_like(images[:1], high), np.full_like(images[:1], low), sign[None].astype(images.dtype)]


def _scores(outputs: Mapping[str, Array]) -> Array:
    """Return the only output, or the first that has scores for classes."""
    flat = [y for y in outputs.values() if y.ndim == 2]
    return (flat or list(outputs.values()))[0]


def _noise(
    content: bytes, integers: IntegerReference, run: Run, dense: ir.Model, images: Array
) -> tuple[LayerNoise, ...]:
    """Return the noise of each layer of which both models give the same filters."""
    ours = LayerOutputs(ir.from_proto(onnx.ModelProto.FromString(content)))
    theirs = LayerOutputs(dense)
    values = open_session(ir.serde.serialize_model(theirs.model).SerializeToString()).run_on(images)
    roundings = {rounding.value: rounding for rounding in integers.roundings}
    actual = run(images)
    found = []
    for layer, mine in ours.layers.items():
        other, rounding = theirs.layers.get(layer), roundings.get(mine.value)
        both = _common(mine, other)
        if other is None or rounding is None or not both.size:
            continue
        truth, y = values[other.value][:, other.places(both)], rounding.read(actual)[:, mine.places(both)]
        if truth.shape == y.shape:
            found.append(LayerNoise(layer=layer, snr_db=snr_db(_cut_off(truth, rounding), y)))
    return tuple(found)


def _cut_off(truth: Array, rounding: Rounding) -> Array:
    """Return `truth` behind the Relu that the rounding of the layer's output stands for, where it does."""
    return np.maximum(truth, 0) if rounding.zero == np.iinfo(rounding.dtype).min else truth
