"""What turns a picture into a model's input, and its output into a word, as texts of the model's metadata.

x[c] = (v[c] / 255 - mean[c]) / std[c],    v a byte of channel c
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ModelError
from swp_export.graph.metadata import CLASS_NAMES, NORMALISATION
from swp_export.printable import LONGEST, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalisation:
    """One `mean` and one `std` per channel, of values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def parsed(cls, recorded: object) -> Normalisation | None:
        """Return what `recorded`, of a checkpoint or of JSON, says; None where that is no normalisation."""
        match recorded:
            case {"mean": [*mean], "std": [*std]} if len(mean) == len(std) > 0:
                numbers = [*mean, *std]
                if all(isinstance(n, float | int) and math.isfinite(n) for n in numbers) and min(std) > 0:
                    return cls(mean=tuple(map(float, mean)), std=tuple(map(float, std)))
        return None

    def of_bytes(self, images: npt.NDArray[np.uint8], *, axis: int = 1) -> npt.NDArray[np.float32]:
        """Return bytes as the network takes them; its channels lie along `axis`."""
        mean, std = (_along(values, images.ndim, axis) for values in (self.mean, self.std))
        return ((images / np.float32(255) - mean) / std).astype(np.float32)

    def from_other(
        self, other: Normalisation, images: npt.NDArray[np.float32], *, axis: int = 1
    ) -> npt.NDArray[np.float32]:
        """Return `images`, which are normalised by `other`, as they are by this one."""
        if self == other:
            return images
        mean, std, own_mean, own_std = (
            _along(values, images.ndim, axis) for values in (other.mean, other.std, self.mean, self.std)
        )
        return ((images * std + mean - own_mean) / own_std).astype(np.float32)

    def to_text(self) -> str:
        """Return the text of NORMALISATION."""
        return json.dumps({"mean": list(self.mean), "std": list(self.std)})


def _along(values: tuple[float, ...], axes: int, axis: int) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32).reshape([-1 if a == axis % axes else 1 for a in range(axes)])


def encode_class_names(names: tuple[str, ...]) -> str:
    """Return the text of CLASS_NAMES."""
    return json.dumps(list(names))


def normalisation_of(metadata: Mapping[str, str], label: str = "the model") -> Normalisation | None:
    """Return the normalisation that a model's `metadata` states, if it does.

    Raises:
        ModelError: what it states is none; the message calls the model `label`.

    """
    text = metadata.get(NORMALISATION)
    if text is None:
        return None
    found = Normalisation.parsed(_from_json(text))
    if found is None:
        raise ModelError(
            f"{label} records {NORMALISATION} = {printable(text, longest=LONGEST)}, expected mean and std, with one "
            "number per channel each; write the model again"
        )
    return found


def class_names_of(metadata: Mapping[str, str], label: str = "the model") -> tuple[str, ...] | None:
    """Return the names of the classes that a model's `metadata` states, if it does.

    Raises:
        ModelError: what it states are none; the message calls the model `label`.

    """
    text = metadata.get(CLASS_NAMES)
    if text is None:
        return None
    found = _names(_from_json(text))
    if found is None:
        raise ModelError(
            f"{label} records {CLASS_NAMES} = {printable(text, longest=LONGEST)}, expected a list of names; write the "
            "model again"
        )
    return found


def recorded_preprocessing(
    recorded: Mapping[str, object], channels: int, classes: int | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what a checkpoint records as `normalisation` and `class_names` as a model's metadata, and warnings.

    Args:
        recorded: metadata of the checkpoint.
        channels: that the network takes.
        classes: that it tells apart; None where that is not known.

    """
    facts, warnings = {}, []
    normalisation, names = recorded.get("normalisation"), recorded.get("class_names")
    if normalisation is not None:
        parsed = Normalisation.parsed(normalisation)
        if parsed is None or len(parsed.mean) != channels:
            warnings.append(_left_out("normalisation", f"mean and std of {channels} channels", normalisation))
        else:
            facts[NORMALISATION] = parsed.to_text()
    if names is not None:
        words = _names(names)
        if words is None or classes not in {None, len(words)}:
            warnings.append(_left_out("class_names", f"{'' if classes is None else f'{classes} '}names", names))
        else:
            facts[CLASS_NAMES] = encode_class_names(words)
    return facts, tuple(warnings)


def _left_out(key: str, expected: str, found: object) -> str:
    return (
        f"the checkpoint records {key} = {printable(reprlib.repr(found))}, expected {expected}: left out of the model"
    )


def _names(recorded: object) -> tuple[str, ...] | None:
    if not isinstance(recorded, list | tuple) or not recorded or not all(isinstance(name, str) for name in recorded):
        return None
    return tuple(recorded)


def _from_json(text: str) -> object:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found
