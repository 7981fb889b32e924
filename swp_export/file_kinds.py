"""What a file is that was given where another kind was expected, told by its content.

Nothing of it is executed; of an archive the names of its entries are read.
"""

from __future__ import annotations

import difflib
import io
import zipfile
from pathlib import Path

PYTORCH = "a PyTorch checkpoint"
SAFETENSORS = "a safetensors checkpoint"
ONNX = "an ONNX model"
TORCHSCRIPT = "a TorchScript file"
EXPORTED = "a file of torch.export"
CHECKPOINTS = (PYTORCH, SAFETENSORS)

_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer instead of the file itself (`git lfs pull` gets it)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (b"<", "a web page or XML, perhaps of a download that failed"),
    (b"\x08", ONNX),  # protobuf's tag of field 1, `ir_version`
    (b"\x80", PYTORCH),
)
_ENTRIES = (("constants.pkl", TORCHSCRIPT), ("data.pkl", PYTORCH), (".npy", "an .npz of NumPy arrays"))


def kind_of(data: bytes) -> str | None:
    """Return what the content `data` of a file is, as a phrase that follows "is"; None where it is not known."""
    if data.startswith(b"PK\x03\x04"):
        return _kind_of_archive(data)
    if data[8:9] == b"{":
        return SAFETENSORS
    return next((kind for start, kind in _STARTS if data.lstrip().startswith(start)), None)


def nearby(path: str | Path) -> str:
    """Return a question that names the file most like the missing `path` in its folder; empty where there is none."""
    path = Path(path)
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    begun = [name for name in names if path.name and name.startswith(f"{path.name}.")]
    close = begun or difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _kind_of_archive(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name.endswith(("serialized_exported_program.json", "models/model.json")) for name in names):
        return EXPORTED
    return next((kind for end, kind in _ENTRIES if any(name.endswith(end) for name in names)), None)
