"""Reading every checkpoint layout into one `Checkpoint`, and writing the self-describing one.

| layout | FilterSkeleton | weight |
| --- | --- | --- |
| unbroken | float `[N, K, K]`, not multiplied into the weight | `[N, C, K, K]` |
| broken | bool `[N, K, K]` | `[S, C, 1, 1]`, one row per live stripe, ordered (i, j, filter) |
| broken-float | float `[N, K, K]`, multiplied into the weight | `[S, C, 1, 1]` |

The skeleton of a 1x1 convolution says nothing about the layout: the method never thresholds or breaks it.
No code of a file is ever executed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import io
import math
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch

from swp_export.atomic import atomic_write
from swp_export.checkpoint_pickle import require_sound_pickles
from swp_export.errors import CheckpointError
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Layout = Literal["unbroken", "broken", "broken-float"]

FORMAT = "swp-export-checkpoint"
VERSION = 1
SKELETON_SUFFIX = ".FilterSkeleton"

_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # nn.DataParallel, torch.compile
_DEEPEST_WRAPPER = 8
_LARGEST = 1 << 20
"""Of the numbers of an input shape."""
_SMALL_FILE = 16 << 20
_MOST_PER_BYTE = 8
"""Bytes of tensors: so many for a small file, and so many for each byte of it; shared tensors count each time."""
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_SAVE_STATE_DICT = "save the state dict alone: torch.save(model.state_dict(), 'weights.pth')"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: The file.
        sha256: Hexadecimal digest of the very bytes that were read.
        layout: See the module's docstring.
        state: Key -> tensor on the CPU, wrappers and `module.` prefixes removed.
        modules: Names of all modules of the saved network, if the file recorded them (`state_dict()._metadata`).
            They outlive dead blocks, which leave no key; empty where nothing was recorded.
        architecture: Its name, if the file is self-describing; as all below.
        threshold: Of the skeletons.
        input_shape: `(C, H, W)`.
        metadata: `normalisation`, `class_names`, `versions`.

    """

    path: Path
    sha256: str
    layout: Layout
    state: dict[str, torch.Tensor]
    modules: frozenset[str] = frozenset()
    architecture: str | None = None
    threshold: float | None = None
    input_shape: tuple[int, int, int] | None = None
    metadata: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def skeletons(self) -> dict[str, torch.Tensor]:
        """Layer -> its `FilterSkeleton` as saved, `[N, K_h, K_w]`, 1x1 layers included."""
        return _skeletons(self.state)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint in any layout, written by `torch.save` (either format) or safetensors.

    Raises:
        CheckpointError: The file cannot be read without executing code, or holds no network with Filter Skeletons.

    """
    path = Path(path)
    data = _read_bytes(path)
    with _naming(path):
        content = _parse(path, data)
        described = _described(content)
        state, modules = _unwrap(content, len(data))
        return Checkpoint(
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            layout=_layout(state),
            state=state,
            modules=modules,
            **described,
        )


def write_checkpoint(
    path: str | Path,
    state: Mapping[str, torch.Tensor],
    *,
    architecture: str | None = None,
    threshold: float | None = None,
    input_shape: tuple[int, int, int] | None = None,
    normalisation: Mapping[str, Sequence[float]] | None = None,
    class_names: Sequence[str] | None = None,
    training: Mapping[str, object] | None = None,
    force: bool = False,
) -> None:
    """Write `state` with what is needed to use it: the self-describing layout that `read_checkpoint` knows.

    Args:
        path: The file; it appears complete or not at all.
        state: A state dict with Filter Skeletons, unbroken or broken.
        architecture: A name of `swp_export.architectures.ARCHITECTURES`, or `package.module:factory`.
        threshold: Of the skeletons.
        input_shape: `(C, H, W)`.
        normalisation: `{"mean": [...], "std": [...]}`, per channel.
        class_names: One per class.
        training: What `read_training` gives back: tensors, containers and plain values that training goes on from.
        force: Overwrite an existing file.

    Raises:
        CheckpointError: `state` is not one that could be read again.
        OutputError: The file exists, or cannot be written.

    """
    tensors = OrderedDict((key, tensor.cpu().contiguous().clone()) for key, tensor in _tensors(state).items())
    _layout(tensors)
    if metadata := getattr(state, "_metadata", None):  # the names of all modules, for `Checkpoint.modules`
        tensors.__dict__["_metadata"] = metadata
    content = {
        "format": FORMAT,
        "version": VERSION,
        "state_dict": tensors,
        "architecture": architecture,
        "threshold": threshold,
        "input_shape": None if input_shape is None else list(input_shape),
        "normalisation": None if normalisation is None else {key: list(v) for key, v in normalisation.items()},
        "class_names": None if class_names is None else list(class_names),
        "versions": {"swp-export": importlib.metadata.version("swp-export"), "torch": str(torch.__version__)},
        "training": training,
    }
    # Into memory first: torch.save itself reports a full disk as a RuntimeError without its cause.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_write(path, force=force) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_training(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the state dict, with the keys it was written with, and the `training` that `write_checkpoint` put beside it.

    Raises:
        CheckpointError: The file cannot be read without executing code, or records no training.

    """
    path = Path(path)
    data = _read_bytes(path)
    with _naming(path):
        content = _parse(path, data)
        training = content.get("training") if isinstance(content, Mapping) and _described(content) else None
        if not isinstance(content, Mapping) or not isinstance(training, dict) or "state_dict" not in content:
            raise CheckpointError("it records no training that could be resumed; name a folder `train` wrote")
        return content["state_dict"], training


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__


def _read_bytes(path: Path) -> bytes:
    # One read for digest and weights, so that they cannot be of two versions of the file.
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; expected a checkpoint (.pth, .pth.tar, .safetensors)") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise CheckpointError(f"{path} is empty (0 bytes); was its copy or download cut off?")
    return data


def _parse(path: Path, data: bytes) -> object:
    """Return what the file holds: tensors, containers and plain values only."""
    if path.suffix == ".safetensors" or data[8:9] == b"{":
        return _parse_safetensors(data)
    if not data.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)):
        raise CheckpointError(
            f"not a checkpoint: it starts with {data[:8]!r}; expected a file that torch.save or safetensors wrote"
        )
    try:
        require_sound_pickles(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file, which is read or refused
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _unpickling_error(data, error) from error
    except Exception as error:  # a damaged file may make the unpickler raise anything
        raise _damaged(error) from error


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
            f"and {_SAVE_STATE_DICT}"
        )
    return CheckpointError(
        f"needs code to load ({', '.join(names[:3])}), which is never executed; load it where you trust it and "
        f"{_SAVE_STATE_DICT}"
    )


class _Description(TypedDict, total=False):
    architecture: str | None
    threshold: float | None
    input_shape: tuple[int, int, int] | None
    metadata: dict[str, object]


def _described(content: object) -> _Description:
    """Return the self-describing layout's own fields; none for another layout."""
    stated = content.get("format") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(stated, str) or stated != FORMAT:
        return {}
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(
            f"written in version {_shown(version)} of {FORMAT}, this program reads version {VERSION}; "
            "upgrade swp-export"
        )
    architecture, threshold, shape = (content.get(key) for key in ("architecture", "threshold", "input_shape"))
    if not isinstance(architecture, str | None):
        raise CheckpointError(f"its architecture is {_shown(architecture)}, expected a name")
    if threshold is not None and not (isinstance(threshold, float | int) and 0 <= threshold < math.inf):
        raise CheckpointError(f"its threshold is {_shown(threshold)}, expected a number that is not negative")
    return {
        "architecture": architecture,
        "threshold": None if threshold is None else float(threshold),
        "input_shape": None if shape is None else _image_shape(shape),
        "metadata": {key: content.get(key) for key in ("normalisation", "class_names", "versions")},
    }


def _image_shape(shape: object) -> tuple[int, int, int]:
    match shape:
        case [int(channels), int(height), int(width)] if 0 < min(channels, height, width) <= max(shape) <= _LARGEST:
            return channels, height, width
    raise CheckpointError(f"its input_shape is {_shown(shape)}, expected [C, H, W]")


def _unwrap(content: object, size: int) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Return the state dict inside `content`, read from a file of `size` bytes, and the module names it recorded."""
    for _ in range(_DEEPEST_WRAPPER):
        if not isinstance(content, Mapping) or not (
            wrapper := next((key for key in _WRAPPERS if key in content), None)
        ):
            break
        content = content[wrapper]
    else:
        raise CheckpointError(f"wraps its state dict more than {_DEEPEST_WRAPPER} times; {_SAVE_STATE_DICT}")
    if not isinstance(content, Mapping):
        raise CheckpointError(f"holds a {type(content).__name__}, expected a state dict; {_SAVE_STATE_DICT}")
    state = _tensors(content, most=_SMALL_FILE + _MOST_PER_BYTE * size)
    recorded = getattr(content, "_metadata", ())
    modules = [name for name in recorded if isinstance(name, str)] if isinstance(recorded, Mapping | tuple) else []
    while prefix := next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
        modules = [name.removeprefix(prefix) for name in modules]
    return state, frozenset(modules)


def _tensors(content: Mapping[str, object], most: float = math.inf) -> dict[str, torch.Tensor]:
    """Check that `content` maps names to plain, finite tensors of at most `most` bytes in all."""
    state: dict[str, torch.Tensor] = {}
    total = 0
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{_shown(key)} is a {type(value).__name__}, expected a state dict of tensors only; {_SAVE_STATE_DICT}"
            )
        tensor = _plain(key, value)
        total += tensor.numel() * tensor.element_size()
        if total > most:
            raise CheckpointError(
                f"{key} is declared as {list(tensor.shape)}, with which all tensors are {total:,} bytes, far more than "
                "the file holds; save tensors that were expanded with .contiguous()"
            )
        finite = torch.isfinite(tensor.float()) if tensor.is_floating_point() else torch.ones(())
        if not bool(finite.all()):
            bad = int(tensor.numel() - finite.sum())
            raise CheckpointError(
                f"{key} has {bad} of {tensor.numel()} values that are NaN or infinite in float32; training "
                "diverged: use an earlier checkpoint"
            )
        state[key] = tensor
    return state


def _plain(key: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` without its history and its class, if it is one that holds its numbers itself."""
    kind = "sparse" if tensor.layout != torch.strided else "quantised" if tensor.is_quantized else None
    kind = "nested" if tensor.is_nested else "meta (it has no values)" if tensor.is_meta else kind
    kind = "complex" if tensor.is_complex() else kind
    if tensor.is_floating_point() and tensor.element_size() == 1:
        kind = str(tensor.dtype).removeprefix("torch.")
    if kind is not None:
        raise CheckpointError(f"{key} is a tensor of another kind: {kind}; save plain tensors of float32")
    with torch.no_grad():
        return tensor.detach().as_subclass(torch.Tensor)


def _shown(value: object) -> str:
    """Return `value` as it stands in a message: containers, whose text may be endless, by their type."""
    plain = isinstance(value, str | int | float | None)
    if isinstance(value, list) and len(value) <= 8:
        plain = all(isinstance(item, str | int | float | None) for item in value)
    return repr(value)[:80] if plain else f"a {type(value).__name__}"


def _skeletons(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removesuffix(SKELETON_SUFFIX): t for key, t in state.items() if key.endswith(SKELETON_SUFFIX)}


def _layout(state: Mapping[str, torch.Tensor]) -> Layout:
    """Return the one layout that all layers agree on."""
    skeletons = _skeletons(state)
    if not skeletons:
        raise CheckpointError(
            f"none of its {len(state)} entries is a FilterSkeleton; expected a network trained with Filter Skeletons"
        )
    found: dict[Layout, str] = {}
    for name, skeleton in skeletons.items():
        layout = _layer_layout(name, skeleton, state.get(f"{name}.weight"))
        if skeleton.shape[1:] != (1, 1):
            found.setdefault(layout, name)
    if not found:
        raise CheckpointError("every FilterSkeleton in it is 1x1; expected convolutions with larger kernels")
    if len(found) > 1:
        layers = ", ".join(f"{name} is {layout}" for layout, name in found.items())
        raise CheckpointError(f"mixes layouts ({layers}); expected one: save it before or after prune(), not amid it")
    return next(iter(found))


def _layer_layout(name: str, skeleton: torch.Tensor, weight: torch.Tensor | None) -> Layout:
    """Return one layer's layout, after checking that its skeleton and weight agree."""
    if weight is None or not weight.is_floating_point() or weight.ndim != 4 or skeleton.ndim != 3:
        found = "no weight" if weight is None else f"weight {weight.dtype} {list(weight.shape)}"
        raise CheckpointError(
            f"{name} has a FilterSkeleton {list(skeleton.shape)} and {found}; expected [N, K, K] and a float weight "
            "[N, C, K, K] or [S, C, 1, 1]"
        )
    dense = weight.shape[:1] + weight.shape[2:] == skeleton.shape
    rows = weight.shape[2:] == (1, 1)
    if skeleton.dtype == torch.bool:
        live = int(skeleton.sum())
        if rows and not dense and weight.shape[0] != live:
            raise CheckpointError(
                f"{name} has {weight.shape[0]} rows, but {live} live stripes in its skeleton; expected as many: "
                "the file was altered after prune()"
            )
        if rows or dense:
            return "broken"
    elif skeleton.is_floating_point():
        if dense:
            return "unbroken"
        if rows and skeleton.shape[1:] != (1, 1) and weight.shape[0] <= math.prod(skeleton.shape):
            return "broken-float"
    raise CheckpointError(
        f"{name} has a FilterSkeleton {skeleton.dtype} {list(skeleton.shape)}, which does not fit its weight "
        f"{list(weight.shape)}; expected a float or bool [N, K, K] and [N, C, K, K], or [S, C, 1, 1] once broken"
    )
