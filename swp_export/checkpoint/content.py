"""From a file of `torch.save` or safetensors to what it holds: tensors, containers and plain values.

No code of a file is ever executed.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import warnings
from typing import TYPE_CHECKING, Self

import torch

from swp_export.checkpoint.pickles import require_sound_pickles
from swp_export.errors import CheckpointError
from swp_export.file_kinds import EXPORTED, ONNX, SAFETENSORS, TORCHSCRIPT, kind_of, nearby
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAVE_STATE_DICT = "save the state dict alone: torch.save(model.state_dict(), 'weights.pth')"
"""What to do with a file that holds more, or something else."""

BESIDE = (
    *(f"{module}.multiarray.{name}" for module in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.dtypes.{name}DType"
        for name in ("Bool", "Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "Str")
    ),
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
)
"""What training scripts save beside the weights: scores, settings and paths. None of it is made, nor its code run."""
_INSTEAD = {
    TORCHSCRIPT: "its code is not run: load it where you trust it, torch.jit.load('{0}'), and save that module's "
    "state_dict()",
    EXPORTED: "load it where you trust it, torch.export.load('{0}'), and save that program's state_dict",
    ONNX: "rename it so that it ends in .onnx",
}
"""What to do with a file of another kind that holds a network too."""
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__


def bytes_of(path: Path) -> bytes:
    """Return the bytes of `path`, read once: digest and weights cannot be of two versions of the file.

    Raises:
        CheckpointError: It cannot be read, or is empty; the message names it.

    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist{nearby(path) or '; expected a checkpoint (.pth, .pth.tar, .safetensors)'}"
        ) from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise CheckpointError(f"{path} is empty (0 bytes); was its copy or download cut off?")
    return data


def parse(path: Path, data: bytes) -> object:
    """Return what the file `path`, whose bytes are `data`, holds: tensors, containers and plain values only.

    Raises:
        CheckpointError: It is damaged, needs code to load, or is of another format.

    """
    kind = kind_of(data)
    if kind in _INSTEAD:
        raise CheckpointError(f"{kind}, expected a checkpoint; {_INSTEAD[kind].format(path)}")
    if path.suffix == ".safetensors" or kind == SAFETENSORS:
        return _parse_safetensors(data)
    if not data.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)):
        raise CheckpointError(
            f"{f'{kind}, not a checkpoint' if kind else f'not a checkpoint: it starts with {data[:8]!r}'}; expected a "
            "file that torch.save or safetensors wrote"
        )
    try:
        require_sound_pickles(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file, which is read or refused
            with torch.serialization.safe_globals([(_Beside, name) for name in BESIDE]):
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _unpickling_error(data, error) from error
    except Exception as error:  # a damaged file may make the unpickler raise anything
        raise _damaged(error) from error


class _Beside:
    """Stands for a value that lies beside the weights and is not looked at: it takes whatever is said of it."""

    def __new__(cls, *_arguments: object, **_named: object) -> Self:
        """Return one that knows nothing."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Forget it."""


_Beside.__name__ = "value of NumPy or Python"


def _parse_safetensors(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise _damaged(error) from error
    return tensors


def _damaged(error: Exception) -> CheckpointError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return CheckpointError(f"truncated, damaged or no checkpoint at all ({reason}); copy or download it again")


def _unpickling_error(data: bytes, error: pickle.UnpicklingError) -> CheckpointError:
    """Tell a file that needs code from a damaged one."""
    names: list[str] = re.findall(r"Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)", str(error))
    if data.startswith(_ZIP_MAGIC):
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) or names
        except Exception as damage:  # noqa: BLE001 - a damaged file may make the unpickler raise anything
            return _damaged(damage)
    elif names and data[:-1].endswith(names[0].rpartition(".")[2].encode()):
        return _damaged(error)  # cut off inside a name, of which the unpickler drops one more character
    if not names:
        return _damaged(error)
    if any(name.startswith("torch.nn.modules.") for name in names):
        return CheckpointError(
            f"a whole pickled module, which needs code to load ({', '.join(names[:3])}); load it where its code is "
            f"and {SAVE_STATE_DICT}"
        )
    return CheckpointError(
        f"needs code to load ({', '.join(names[:3])}), which is never executed; load it where you trust it and "
        f"{SAVE_STATE_DICT}"
    )
