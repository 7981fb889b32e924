"""The inputs on which a model and its reference can both be run: their batch, their sizes and their types."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.verification.cases import Case, in_batches_of, make_cases, noise_case, other_sizes
from swp_export.verification.feeds import channels_last, image_sizes, main_of, zeros

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Array, Session, TensorSpec
    from swp_export.verification.references import Reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedInputs:
    """What both take.

    Attributes:
        batch: the only number of images, None where any will do.
        any_size: whether images of other sizes can be tried.
        specs: the model's inputs, each in a dtype that both hold exactly.
        notes: what is to be said of it, one sentence each.

    """

    batch: int | None
    any_size: bool
    specs: tuple[TensorSpec, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What the cases depend on."""
        return self.batch, self.any_size, tuple((spec.name, spec.dtype) for spec in self.specs)

    def cases(self, input_shape: InputShape, samples: Case | None) -> Iterator[tuple[Case, bool]]:
        """Yield the cases at `input_shape`, and whether the reference must take each.

        Raises:
            InputError: an input cannot hold the user's `samples`.

        """
        own = [] if samples is None else [as_taken(samples, self.specs)]
        for case in (*make_cases(input_shape, inputs=self.specs), *own):
            yield from ((part, True) for part in self._batches(case))
        for sizes in _other_shapes(input_shape) if self.any_size else ():
            yield from ((part, False) for part in self._batches(noise_case(sizes, self.specs)))

    def _batches(self, case: Case) -> Iterator[Case]:
        yield from [case] if self.batch is None else in_batches_of(case, self.batch)


def shared_inputs(session: Session, reference: Reference, input_shape: InputShape) -> SharedInputs:
    """Return what the model of `session` and `reference` both take.

    Raises:
        InputError: the model takes no inputs of this shape, the reference refuses it, or the two have no batch or type
            in common.

    """
    _require_fitting(session, input_shape)
    specs = tuple(_in_shared_dtype(spec, reference) for spec in session.inputs)
    batch, notes = _batch_of(session, reference, input_shape)
    any_size = _takes_any_size(session, input_shape)
    if not any_size:
        notes += _size_note(session, reference, batch or 1, input_shape)
    return SharedInputs(batch=batch, any_size=any_size, specs=specs, notes=tuple(notes))


def shared_dtype(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of inputs that both hold exactly: of integers before floats, of the narrower one.

    Raises:
        InputError: one of the two holds no numbers, or none that NumPy knows, or only one holds booleans.

    """
    for dtype in (one, other):
        if dtype.kind not in "fiub" or dtype.isbuiltin != 1:  # bfloat16 and floats of 8 bits are not NumPy's
            raise InputError(f"an input of {dtype} cannot be made; expected floats, integers or booleans")
    if (one.kind == "b") != (other.kind == "b"):
        raise InputError(f"one of the two takes {one}, the other {other}: no input fits both")
    return min(one, other, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))


def as_taken(samples: Case, specs: Sequence[TensorSpec]) -> Case:
    """Return the user's samples in the dtypes of `specs`: rounded to floats, unchanged as integers.

    Raises:
        InputError: an input cannot hold its values.

    """
    if not isinstance(samples.x, Mapping):
        return dataclasses.replace(samples, x=_held(samples.x, specs[0], samples.name))
    x = {spec.name: _held(samples.x[spec.name], spec, samples.name) for spec in specs}
    return dataclasses.replace(samples, x=x)


def _held(array: Array, spec: TensorSpec, label: str) -> Array:
    with np.errstate(all="ignore"):
        x = array.astype(spec.dtype)
    if np.isfinite(x).all() if spec.dtype.kind == "f" else np.array_equal(x, array):
        return x
    whole = spec.dtype.kind in "iu"
    limits: Any = np.iinfo(spec.dtype) if whole else np.finfo(spec.dtype) if spec.dtype.kind == "f" else None
    span = "booleans" if limits is None else f"{'whole ' * whole}numbers from {limits.min:g} to {limits.max:g}"
    raise InputError(
        f"{label}: the model's input {spec.name} is {spec.dtype}, expected {span}; "
        f"found {array.min():g} to {array.max():g}"
    )


def _require_fitting(session: Session, input_shape: InputShape) -> None:
    taken = {spec.name for spec in session.inputs}
    if not taken or (set(input_shape) != taken if isinstance(input_shape, Mapping) else len(taken) != 1):
        wanted = ", ".join(input_shape) if isinstance(input_shape, Mapping) else f"one [N, {_spelled(input_shape)}]"
        raise InputError(f"{session.label} takes the inputs {', '.join(taken) or 'none'}, to compare are: {wanted}")
    (declared, *_) = [spec.shape for spec in session.inputs]
    if not isinstance(input_shape, Mapping) and len(declared) != 1 + len(input_shape):
        raise InputError(f"{session.label} takes an input {list(declared)}, expected [N, {_spelled(input_shape)}]")


def _spelled(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _in_shared_dtype(spec: TensorSpec, reference: Reference) -> TensorSpec:
    theirs = {other.name: other.dtype for other in reference.inputs}
    only = next(iter(theirs.values()), np.dtype(np.float32))
    other = theirs.get(spec.name, spec.dtype) if len(theirs) > 1 else only
    return dataclasses.replace(spec, dtype=shared_dtype(spec.dtype, other))


def _batch_of(session: Session, reference: Reference, input_shape: InputShape) -> tuple[int | None, list[str]]:
    """Return the only number of images at which the two can be compared, None where any will do, and what to say."""
    shape, batch = main_of(session.inputs).shape, reference.only_batch(input_shape)
    own = shape[0] if shape else None
    if not isinstance(own, int):
        said = f"{reference.description} runs in batches of {batch} only, and so does the model"
        return batch, [] if batch is None else [said]
    if batch is None:
        return own, [f"the model runs in batches of {own} only, {reference.description} in any"]
    if batch != own:
        raise InputError(
            f"{session.label} runs in batches of {own} only and {reference.description} in batches of {batch} only: "
            "no input fits both; export one of them with an open batch"
        )
    return own, []


def _takes_any_size(session: Session, input_shape: InputShape) -> bool:
    """Tell whether the only input is an image whose height and width are open."""
    return _is_image(input_shape) and not any(isinstance(size, int) for size in _stated_size(session, input_shape))


def _is_image(input_shape: InputShape) -> bool:
    return not isinstance(input_shape, Mapping) and len(input_shape) == 3


def _stated_size(session: Session, input_shape: InputShape) -> tuple[int | str | None, ...]:
    """Return height and width as the model states them."""
    assert not isinstance(input_shape, Mapping)
    shape = session.inputs[0].shape
    return shape[1:3] if channels_last(input_shape) else shape[2:]


def _size_note(session: Session, reference: Reference, batch: int, input_shape: InputShape) -> list[str]:
    """Say that the model takes images of one height or width, where the reference takes another."""
    if not _is_image(input_shape):
        return []
    height, width = _stated_size(session, input_shape)
    for sizes in _other_shapes(input_shape):
        with contextlib.suppress(InputError):
            reference.float32(zeros(sizes, reference.inputs, batch))
            size = f"height {height}" if not isinstance(width, int) else f"width {width}"
            size = f"{height}x{width}" if isinstance(height, int) and isinstance(width, int) else size
            return [f"the model runs on images of {size} only, {reference.description} on others too"]
    return []


def _other_shapes(input_shape: InputShape) -> Iterator[tuple[int, ...]]:
    """Yield shapes of an image of other sizes."""
    assert not isinstance(input_shape, Mapping)
    last = channels_last(input_shape)
    channels = input_shape[2] if last else input_shape[0]
    for height, width in other_sizes(*image_sizes(input_shape)):
        yield (height, width, channels) if last else (channels, height, width)
