"""What the models of a benchmark get right: beside their speed, on the device that they were measured on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.graph.files.reading import read_model
from swp_export.graph.input_shape import fitted_input_shape
from swp_export.runtime.session import open_session
from swp_export.verification.accuracy import classifier_from_session, compare_accuracy, have_predictions
from swp_export.verification.evaluation_data import read_evaluation_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.runtime.target import Target
    from swp_export.verification.accuracy import Accuracy


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAccuracy:
    """What one model gets right; before is the baseline."""

    model: str
    accuracy: Accuracy

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"model": self.model, **self.accuracy.to_json()}


def measure_accuracies(
    labels: Sequence[str],
    target: Target,
    *,
    input_shape: InputShape | None,
    data: str | Path | None,
    dataset: str | None,
    data_path: str | Path,
    progress: Progress,
) -> tuple[ModelAccuracy, ...]:
    """Return the accuracy of each of the models `labels`, the first of which is the baseline.

    Empty without data, and where they have no labels and the models give no classes.

    Raises:
        SwpExportError: the data cannot be read, or do not fit.

    """
    file = read_model(labels[0])
    evaluated = read_evaluation_data(
        data=data,
        dataset=dataset,
        data_path=data_path,
        input_shape=fitted_input_shape(file.model, input_shape, labels[0]),
        metadata=file.model.metadata_props,
    )
    if evaluated is None:
        return ()
    # A graph is captured for one batch, and the last one is smaller.
    on = dataclasses.replace(target, cuda_graph=False)
    before, *after = [classifier_from_session(open_session(label, on)) for label in labels]
    if not have_predictions(evaluated, before):
        return ()
    found = compare_accuracy(evaluated, before, [before, *after], progress)
    return tuple(ModelAccuracy(model=label, accuracy=each) for label, each in zip(labels, found, strict=True))
