"""What single layers took on this machine, kept between runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swp_export.atomic import atomic_write
from swp_export.benchmark.environment import installed
from swp_export.errors import OutputError
from swp_export.input_file import read_bytes
from swp_export.lowerings import LOWERINGS
from swp_export.runtime.cpu import read_cpu

if TYPE_CHECKING:
    from swp_export.tuning.layer_case import LayerCase
    from swp_export.tuning.model_timer import ModelTimer

logger = logging.getLogger(__name__)


class LayerCache:
    """Median milliseconds by lowering, keyed by everything that they depend on; a file that may be deleted any time."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else default_path()
        try:
            document = None if self._path is None else json.loads(read_bytes(self._path).decode())
        except (OSError, ValueError, RecursionError):
            document = None
        self._times = document if isinstance(document, dict) else {}

    def key(self, case: LayerCase, timer: ModelTimer) -> str:
        """Return the key of a layer's times: shape, skeleton, input, device, runtime, processor, version and forms."""
        from swp_export.runtime.session import runtime_of

        conv = case.conv
        facts = [
            conv.weight.shape,
            np.packbits(conv.skeleton.mask).tobytes().hex(),
            [conv.strides, conv.pads, conv.dilations],
            [case.input_shape, case.free, timer.multiple],
            timer.target.to_json(),
            [installed(runtime_of(timer.target).packages), read_cpu().model, version("swp-export"), *LOWERINGS],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def get(self, key: str) -> dict[str, float] | None:
        """Return the times of `key`, or None where they were not measured."""
        times = self._times.get(key)
        usable = isinstance(times, dict) and all(isinstance(ms, float) and ms > 0 for ms in times.values())
        return times if usable else None

    def put(self, key: str, times: dict[str, float]) -> None:
        """Keep `times`."""
        self._times[key] = times

    def save(self) -> None:
        """Write the file; where that is not possible the next run measures again."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path, force=True) as file:
                file.write_text(json.dumps(self._times), encoding="utf-8")
        except (OSError, OutputError) as error:
            logger.debug("the cache of layer times was not written: %s", error)


def default_path() -> Path | None:
    """Return where the cache lies: below XDG_CACHE_HOME, by default ~/.cache; None where there is no home folder."""
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache") / "swp-export" / "layers.json"
    except RuntimeError:
        return None
