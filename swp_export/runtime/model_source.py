"""A model to load: a file, or bytes in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.errors import ModelError

if TYPE_CHECKING:
    import onnx


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model: its name in messages, and its content, a path or the bytes of a file."""

    label: str
    content: str | bytes

    @property
    def in_memory(self) -> bytes | None:
        """The bytes of a model in memory; None where it is a file, whose data may lie beside it."""
        return self.content if isinstance(self.content, bytes) else None


def source_of(model: Path | str | bytes | onnx.ModelProto) -> ModelSource:
    """Return the source of `model`.

    Raises:
        ModelError: There is no such file.

    """
    if isinstance(model, bytes):
        return ModelSource(label="the model", content=model)
    if not isinstance(model, Path | str):
        return ModelSource(label=model.graph.name or "the model", content=model.SerializeToString())
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}, expected an ONNX model")
    return ModelSource(label=str(path), content=str(path))
