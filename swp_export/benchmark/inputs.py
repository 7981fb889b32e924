"""The input that a model is measured on: its shape, and seeded noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError, ModelError
from swp_export.graph.metadata import stated_input_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Session, TensorSpec


def input_of(session: Session) -> TensorSpec:
    """Return the one input of the model.

    Raises:
        ModelError: It has several, or one that holds neither floats nor integers.

    """
    if len(session.inputs) != 1:
        names = ", ".join(spec.name for spec in session.inputs) or "none"
        raise ModelError(f"{session.label}: expected a model with one input, got {len(session.inputs)} ({names})")
    spec = session.inputs[0]
    if spec.dtype.kind not in "fiu" or spec.dtype.isbuiltin != 1:  # bfloat16 and floats of 8 bits are not NumPy's
        raise ModelError(f"{session.label}: expected an input of floats or integers, {spec.name} is {spec.dtype}")
    return spec


def shape_of(session: Session, batch: int, sample: InputShape | None = None) -> tuple[int, ...]:
    """Return the shape `(batch, ...)` to measure the model on.

    That of one sample is `sample` if given, else what the model's own input says, else what its metadata says.

    Raises:
        InputError: Nothing says the shape, or the model's batch is another one.
        ModelError: As `input_of`, or the metadata is not "C,H,W".

    """
    spec = input_of(session)
    fixed = spec.shape[0] if spec.shape else None
    if isinstance(fixed, int) and fixed != batch:
        raise InputError(f"{session.label} has a fixed batch of {fixed}, asked for {batch}; pass --batch {fixed}")
    if isinstance(sample, Mapping):
        unknown = ", ".join(sorted(sample.keys() - {spec.name}))
        if unknown:
            raise InputError(f"{session.label} has no input called {unknown}; it has {spec.name}")
        sample = sample[spec.name]
    if sample is not None:
        return (batch, *sample)
    own = [size for size in spec.shape[1:] if isinstance(size, int)]
    if own and len(own) == len(spec.shape) - 1:
        return (batch, *own)
    stated = stated_input_shape(session.metadata, {spec.name: len(spec.shape) - 1}, session.label)
    if stated is None:
        raise InputError(
            f"{session.label} does not say the shape of input {spec.name}, {_spell(spec.shape)}; "
            "pass --input-shape C,H,W"
        )
    assert not isinstance(stated, Mapping)
    return (batch, *stated)


def noise(session: Session, shape: Sequence[int], *, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return noise of `shape` in the dtype of the model's input, by its name; `seed` decides the values.

    It is normal for floats; bytes are pixels, from 0 to 255; other integers are 0 and 1, which every table of rows has.
    """
    spec, rng = input_of(session), np.random.default_rng(seed)
    if spec.dtype.kind == "f":
        return {spec.name: rng.standard_normal(tuple(shape), dtype=np.float32).astype(spec.dtype)}
    brightest = min(255, int(np.iinfo(spec.dtype).max)) if spec.dtype.itemsize == 1 else 1
    return {spec.name: rng.integers(0, brightest, tuple(shape), spec.dtype, endpoint=True)}


def _spell(shape: tuple[int | str | None, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
