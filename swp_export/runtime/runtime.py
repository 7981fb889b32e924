"""What every runtime can do: say whether it is there, open a model, run it, and be put before a stopwatch.

A runtime is one file here and one row of `swp_export.runtime.session.RUNTIMES`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swp_export.runtime.model_source import ModelSource
    from swp_export.runtime.target import Target

Array = npt.NDArray[Any]
Feed = Array | Mapping[str, Array]
"""The only input of a model, or all of them by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a model: `shape` has an int, a symbol's name or None per dimension."""

    name: str
    shape: tuple[int | str | None, ...]
    dtype: np.dtype[Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Session(abc.ABC):
    """A loaded model. Made by `open_session`.

    Attributes:
        label: The model's name in messages.
        target: What was asked for, and what is used.
        inputs: What the model takes, in its order.
        outputs: What the model gives, in its order.
        metadata: The model's own `metadata_props`.

    """

    label: str
    target: Target
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]

    @property
    @abc.abstractmethod
    def provider(self) -> str:
        """What really runs the model, as its runtime calls it.

        Raises:
            DeviceError: It is not what was asked for.

        """

    @abc.abstractmethod
    def run(self, feeds: Feed) -> dict[str, Array]:
        """Run the model on `feeds`, its only input or all by name, and return its outputs by name.

        Raises:
            InputError: The model refuses the inputs' names, dtypes or shapes, or needs time or memory without bounds.
            DeviceError: The device failed, or another one was used.

        """

    @abc.abstractmethod
    def caller(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that runs the model on `feeds` and nothing else: no checks, for a stopwatch.

        It returns when the work is done. The model has then run at least once. Raises what `run` raises.
        """

    def run_on(self, feeds: Feed) -> dict[str, Array]:
        """Run the model on `feeds` as `run` does, each of them cast to the dtype of its input."""
        dtypes = {spec.name: spec.dtype for spec in self.inputs}
        return self.run(
            {name: x.astype(dtypes.get(name, x.dtype), copy=False) for name, x in self.named(feeds).items()}
        )

    def named(self, feeds: Feed) -> dict[str, Array]:
        """Return `feeds` by name."""
        return dict(feeds) if isinstance(feeds, Mapping) else {self.inputs[0].name: feeds}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How a model is loaded, beside its target; other values than these only ONNX Runtime has.

    Attributes:
        optimise: Let the runtime rewrite the graph; without, each node is run as it stands.
        profile_prefix: Write a profile to a file whose name begins so.
        optimized_model: Write the graph that is really run to this file.

    """

    optimise: bool = True
    profile_prefix: Path | None = None
    optimized_model: Path | None = None


class Runtime(Protocol):
    """One way to run models."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions decide how fast a model is; those that are not installed are left out."""

    def why_absent(self) -> str | None:
        """Return what is missing here and what to do about it, or None if models can be run."""

    def hardware(self, target: Target) -> str | None:
        """Return the name of the device where it is not the processor.

        Raises:
            DeviceError: There is no such device.

        """

    def open(self, source: ModelSource, target: Target, loading: Loading) -> Session:
        """Load a model; see `open_session` for what is raised."""
