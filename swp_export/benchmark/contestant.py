"""A model in a benchmark: checked, fed, and loaded as often as the schedule asks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from swp_export.benchmark.inputs import noise_of, samples_of
from swp_export.benchmark.streams import Streams
from swp_export.graph.analysis.flops import require_runnable
from swp_export.graph.files.reading import read_model
from swp_export.graph.input_shape import fitted_input_shape, one_image
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Session
    from swp_export.runtime.target import Target


class Contestant:
    """A model and its inputs on one target; calling it loads a new instance and returns the call to measure.

    Attributes:
        label: The file, as it was given.
        session: Of the last instance; of several streams one of them.
        feeds: Its inputs, by name.
        call: What the last instance is measured by.

    Raises:
        SwpExportError: On construction, before anything is measured: the model does not load, its shapes are not known
            or the samples do not fit.

    """

    def __init__(
        self,
        label: str,
        target: Target,
        *,
        streams: int,
        input_shape: InputShape | None,
        data: str | Path | None,
        seed: int,
    ) -> None:
        self.label = label
        self._target = target
        self._streams = streams
        file = read_model(label)  # what would crash ONNX Runtime is refused there
        shape = fitted_input_shape(file.model, input_shape, label)
        require_runnable(onnx.ModelProto.FromString(file.content), one_image(file.model, shape))
        self.session = self._open()
        self.feeds = (
            noise_of(self.session, shape, target.batch, seed=seed)
            if data is None
            else samples_of(self.session, shape, target.batch, data)
        )
        self.call = self._prepared()

    def __call__(self) -> Callable[[], object]:
        """Load a new instance and return the call to measure."""
        self.session = self._open()
        self.call = self._prepared()
        return self.call

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the file."""
        return hashlib.sha256(Path(self.label).read_bytes()).hexdigest()

    def _open(self) -> Session:
        return open_session(self.label, self._target)

    def _prepared(self) -> Callable[[], object]:
        call = self.session.caller(self.feeds)
        others = [self._open().caller(self.feeds) for _ in range(self._streams - 1)]
        return Streams([call, *others]) if others else call
