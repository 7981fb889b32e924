"""Accuracy of networks on the same samples: how many each gets right, and how many predictions differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.progress import silent
from swp_export.verification.cases import in_batches_of
from swp_export.verification.inputs import as_taken
from swp_export.verification.samples import samples_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.runtime.session import Array, Feed, Session, TensorSpec
    from swp_export.verification.cases import Case
    from swp_export.verification.evaluation_data import EvaluationData
    from swp_export.verification.references import Reference

    Predictions = npt.NDArray[np.int64]

BATCH = 64
NUMBERS = 1 << 20
"""Of a batch, at most, where one sample has fewer: what a network holds of it is some hundred times as much."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Top-1 accuracy of two networks on the same samples: one `before`, one `after`.

    Attributes:
        data: what they were run on.
        samples: how many.
        predictions: made by each: one a sample, of networks that classify places one a place.
        right_before: of them, right; None where there are no labels.
        right_after: of them, right; None where there are no labels.
        changed: predictions that differ between the two.

    """

    data: str
    samples: int
    predictions: int
    right_before: int | None
    right_after: int | None
    changed: int

    @property
    def before(self) -> float | None:
        """Share that is right before, in percent."""
        return self._percent(self.right_before)

    @property
    def after(self) -> float | None:
        """Share that is right after, in percent."""
        return self._percent(self.right_after)

    @property
    def drop(self) -> float | None:
        """By how many points `after` is less than `before`; negative where it is more."""
        if self.right_before is None or self.right_after is None:
            return None
        return self._percent(self.right_before - self.right_after)

    def summary(self) -> str:
        """Return one line."""
        changed = f"{self.changed:,} of {self.predictions:,} predictions changed"
        if self.before is None or self.after is None:
            return f"{changed} on {self.data}, which have no labels"
        return f"accuracy {self.before:.2f} % before, {self.after:.2f} % after, {changed} on {self.data}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        shares = {"before": self.before, "after": self.after, "drop": self.drop}
        return dataclasses.asdict(self) | {f"{name}_percent": share for name, share in shares.items()}

    def _percent(self, count: int | None) -> float | None:
        return None if count is None else 100 * count / self.predictions


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A network that is run for its predictions.

    Attributes:
        label: what messages call it.
        run: returns its outputs by name.
        inputs: what it takes; none are stated where it takes one float32 image.
        batch: the only number of samples that it takes at once; None where any will do.

    """

    label: str
    run: Callable[[Feed], Mapping[str, Array]]
    inputs: tuple[TensorSpec, ...] = ()
    batch: int | None = None

    def scores(self, case: Case) -> Array | None:
        """Return the scores of the classes, `[N, classes, ...]`, or the classes where the network gives whole numbers.

        None where its outputs are neither.

        Raises:
            InputError: it refuses the samples, or cannot hold them.

        """
        taken = as_taken(case, self.inputs) if self.inputs else case
        parts = [taken] if self.batch is None else list(in_batches_of(taken, self.batch))
        found = [_scores(self.run(part.x)) for part in parts]
        whole = [part for part in found if part is not None]
        return np.concatenate(whole)[: samples_in(case)] if len(whole) == len(found) else None


def classifier_from_session(session: Session, batch: int | None = None) -> Classifier:
    """Return the model that `session` has loaded; `batch` is the only one it takes, where it does not say so itself."""
    sizes = [spec.shape[0] for spec in session.inputs if spec.shape]
    stated = next((size for size in sizes if isinstance(size, int)), batch)
    return Classifier(label=session.label, run=session.run_on, inputs=session.inputs, batch=stated)


def classifier_from_reference(reference: Reference, input_shape: InputShape) -> Classifier:
    """Return `reference`, as it runs in float32."""
    return Classifier(
        label=reference.description,
        run=reference.float32,
        inputs=reference.inputs,
        batch=reference.only_batch(input_shape),
    )


def have_predictions(data: EvaluationData, network: Classifier) -> bool:
    """Tell whether `data` is there to measure accuracy on: it has labels, or `network` gives classes anyway."""
    return data.labelled or network.scores(data.part(0, 1)[0]) is not None


def compare_accuracy(
    data: EvaluationData,
    before: Classifier,
    after: Sequence[Classifier],
    progress: Progress = silent,
) -> tuple[Accuracy, ...]:
    """Run all networks on `data`, once, and compare each one `after` with the one `before`.

    Raises:
        InputError: a network refuses the samples; or there are labels and the networks give no classes, or others.

    """
    networks = (before, *after)
    rights, changed, predictions, done = [0] * len(networks), [0] * len(after), 0, 0
    for case, labels in data.batches(_batch_size(data)):
        progress("measuring accuracy", done / data.samples)
        done += samples_in(case)
        found = [_predicted(network, case, labels) for network in networks]
        predictions += found[0].size
        for number, classes in enumerate(found):
            rights[number] += 0 if labels is None else int((classes == labels).sum())
        for number, classes in enumerate(found[1:]):
            if classes.shape != found[0].shape:
                raise InputError(
                    f"{after[number].label} predicts {list(classes.shape)} classes where {before.label} predicts "
                    f"{list(found[0].shape)}: they cannot be compared"
                )
            changed[number] += int((classes != found[0]).sum())
    right = rights if data.labelled else [None] * len(networks)
    return tuple(
        Accuracy(
            data=data.name,
            samples=data.samples,
            predictions=predictions,
            right_before=right[0],
            right_after=right_after,
            changed=differing,
        )
        for right_after, differing in zip(right[1:], changed, strict=True)
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What a network predicts of all samples: `classes`, and how many are `right`, None where there are no labels."""

    classes: Predictions
    right: int | None


def predict(data: EvaluationData, network: Classifier, progress: Progress = silent) -> Predicted:
    """Run `network` on `data`, to be compared with others that are not loaded at the same time.

    Raises:
        InputError: as `compare_accuracy`.

    """
    found, right, done = [], 0, 0
    for case, labels in data.batches(_batch_size(data)):
        progress("measuring accuracy", done / data.samples)
        done += samples_in(case)
        found.append(_predicted(network, case, labels))
        right += 0 if labels is None else int((found[-1] == labels).sum())
    return Predicted(classes=np.concatenate(found), right=right if data.labelled else None)


def accuracy_from(data: EvaluationData, before: Predicted, after: Predicted) -> Accuracy:
    """Compare what two networks predicted of `data`."""
    return Accuracy(
        data=data.name,
        samples=data.samples,
        predictions=before.classes.size,
        right_before=before.right,
        right_after=after.right,
        changed=int((before.classes != after.classes).sum()),
    )


def accuracy_change(
    data: EvaluationData,
    reference: Reference,
    session: Session,
    input_shape: InputShape,
    progress: Progress = silent,
) -> Accuracy | None:
    """Compare the model of `session` with `reference`; None where they give no classes and no labels ask for them.

    Raises:
        InputError: as `compare_accuracy`.

    """
    before = classifier_from_reference(reference, input_shape)
    if not have_predictions(data, before):
        return None
    (result,) = compare_accuracy(data, before, [classifier_from_session(session, before.batch)], progress)
    return result


def _batch_size(data: EvaluationData) -> int:
    case, _ = data.part(0, 1)
    arrays = case.x.values() if isinstance(case.x, Mapping) else [case.x]
    numbers = max(math.prod(array.shape[1:]) for array in arrays)
    return max(1, min(BATCH, NUMBERS // max(1, numbers)))


def _predicted(network: Classifier, case: Case, labels: Predictions | None) -> Predictions:
    scores = network.scores(case)
    if scores is None:
        raise InputError(
            f"{network.label} gives no scores of classes [N, classes], so there are no predictions on {case.name} that "
            "could be compared; pass --data without 'labels'"
        )
    is_whole = scores.dtype.kind in "iu"
    classes = np.asarray(scores if is_whole else scores.argmax(axis=1), np.int64)
    if labels is None:
        return classes
    if labels.shape != classes.shape:
        raise InputError(
            f"the labels of {case.name} are {list(labels.shape)}, {network.label} predicts {list(classes.shape)}; "
            "expected one label for each prediction"
        )
    if not is_whole and labels.max() >= scores.shape[1]:
        raise InputError(
            f"a label of {case.name} is {labels.max()}, {network.label} tells {scores.shape[1]} classes apart; "
            f"expected numbers from 0 to {scores.shape[1] - 1}"
        )
    return classes


def _scores(outputs: Mapping[str, Array]) -> Array | None:
    """Return the only output `[N, classes, ...]`, or the only output where it is whole numbers."""
    scores = [y for y in outputs.values() if y.dtype.kind == "f" and y.ndim >= 2 and y.shape[1] > 1]
    flat = [y for y in scores if y.ndim == 2]
    scores = flat if len(flat) == 1 else scores
    if len(scores) == 1:
        return scores[0]
    (only, *others) = outputs.values()
    return only if not others and only.dtype.kind in "iu" and only.ndim else None
