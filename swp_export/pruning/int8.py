"""What `prune` does in int8: tune for it, or write it as a plan says, and check the integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.errors import InputError
from swp_export.precision.images import noise_images
from swp_export.tuning.integer_tuning import IntegerSettings
from swp_export.verification.quantised import images_of, verify_quantised

if TYPE_CHECKING:
    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.pruning.source import Source
    from swp_export.verification.evaluation_data import EvaluationData
    from swp_export.verification.quantised import QuantisedReport


def settings_from(
    data: EvaluationData | None, training: EvaluationData | None, max_accuracy_drop: float | None, unpruned: bytes
) -> IntegerSettings:
    """Return what int8 is to be found with.

    Raises:
        InputError: the samples are no images.

    """
    assert data is not None
    return IntegerSettings(images=images_of(data, training), max_accuracy_drop=max_accuracy_drop, unpruned=unpruned)


def check_integers(
    content: bytes,
    origin: Source,
    name: str,
    data: EvaluationData | None,
    max_accuracy_drop: float | None,
    progress: Progress,
) -> QuantisedReport:
    """Compare a quantised model with its source, on the user's images or on noise."""
    shape = _sizes(origin.input_shape)
    return verify_quantised(
        content,
        name=name,
        reference=origin.reference.float32,
        reference_name=origin.reference.description,
        dense=origin.dense,
        images=noise_images(shape) if data is None else images_of(data),
        max_accuracy_drop=max_accuracy_drop,
        progress=progress,
    )


def _sizes(input_shape: InputShape) -> tuple[int, ...]:
    if not isinstance(input_shape, tuple):
        raise InputError(f"int8 takes networks of one image, this one has the inputs {', '.join(input_shape)}")
    return input_shape
