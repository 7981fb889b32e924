"""Checks of a checkpoint's pickles before they are read: time and memory stay linear in the size of the file.

`torch.load(weights_only=True)` executes no code, but it builds what it is told to: arrays of any size, and tuples in
tuples whose hash takes for ever.
"""

from __future__ import annotations

import io
import pickletools
import tarfile
import zipfile

from swp_export.errors import CheckpointError

MOST_STEPS = 2_000_000
MOST_PARTS = 2_000_000
"""Parts of one value, counted as if nothing were shared."""

_PLAIN = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"}
_PLAIN |= {"_rebuild_parameter_with_state"}
_MAKERS = {"builtins bytearray", "__builtin__ bytearray"}
"""They make as many bytes as a number says."""
_ENCODER = "_codecs encode"
"""It makes bytes of a text, each time anew; NumPy's numbers and arrays went through it."""
_MOST_ENCODED = 64 << 20
"""Bytes, if every call of a pickle encoded its longest text."""
_KINDS = {"sparse": "sparse", "qtensor": "quantised", "nested": "nested", "meta": "meta", "wrapper": "subclass"}
_MAGIC_BYTES = 4


def require_sound_pickles(data: bytes) -> None:
    """Check every pickle in a file of `torch.save`, in either format.

    Raises:
        CheckpointError: It declares more than the file holds, or needs tensors of another kind.
        Exception: It is damaged, in whatever way the readers of zip files and pickles notice.

    """
    if data[:_MAGIC_BYTES] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > len(data):
                raise CheckpointError(
                    "no checkpoint, or a compressed one: its entries declare more bytes than the file has, and "
                    "torch.save compresses nothing; save it again"
                )
            for entry in entries:
                if entry.filename.endswith(".pkl"):
                    _require_sound(io.BytesIO(archive.read(entry)))
        return
    if tarfile.is_tarfile(io.BytesIO(data)):
        raise CheckpointError("an archive in a format that torch has not written since 2016; save it again")
    stream = io.BytesIO(data)
    for _ in range(5):  # magic number, protocol, system, content, keys of the storages; then come their bytes
        _require_sound(stream)


def _require_sound(stream: io.BytesIO) -> None:
    """Follow one pickle with weights in place of values: how many parts each would have if nothing were shared."""
    stack: list[list[int] | None] = []  # None is a mark; a list of one number is shared by all who hold it
    memo: dict[int, list[int]] = {}
    text: list[object] = []
    calls = longest = 0
    encodes = False
    for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if steps > MOST_STEPS:
            raise CheckpointError(f"its pickle takes more than {MOST_STEPS:,} steps; {_expected()}")
        name = opcode.name
        if name in {"GLOBAL", "STACK_GLOBAL"}:
            called = str(argument) if argument else " ".join(map(str, text[-2:]))
            _require_plain(called)
            encodes = encodes or called == _ENCODER
        if isinstance(argument, str):
            text = [*text[-1:], argument]
            longest = max(longest, len(argument))
        calls += name == "REDUCE"
        if encodes and calls * longest > _MOST_ENCODED:
            raise CheckpointError(f"its pickle may encode more than {_MOST_ENCODED:,} bytes of text; {_expected()}")
        if "PUT" in name or name == "MEMOIZE":
            memo[argument if isinstance(argument, int) else len(memo)] = stack[-1] or [1]
        elif "GET" in name:
            stack.append(memo[int(argument or 0)])
        else:
            _step(opcode, stack)


def _step(opcode: pickletools.OpcodeInfo, stack: list[list[int] | None]) -> None:
    before, after = opcode.stack_before, opcode.stack_after
    if after and after[-1] is pickletools.markobject:
        stack.append(None)
        return
    taken: list[list[int]] = []
    if pickletools.markobject in before:
        while (item := stack.pop()) is not None:
            taken.append(item)
        before = before[: before.index(pickletools.markobject)]
    taken += [stack.pop() or [1] for _ in before]
    weight = 1 + sum(item[0] for item in taken)
    if weight > MOST_PARTS:
        raise CheckpointError(f"its pickle nests one value into more than {MOST_PARTS:,} parts; {_expected()}")
    if opcode.name in {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}:
        container = taken[-1]
        container[0] = weight
        stack.append(container)
    elif opcode.name == "DUP":
        stack += [taken[0], taken[0]]
    else:
        stack += [[weight] for _ in after]


def _require_plain(name: str) -> None:
    """Check that the global `name`, "module name", makes plain tensors; one that torch refuses is left to it."""
    module, _, function = name.partition(" ")
    if name in _MAKERS:
        raise CheckpointError(f"its pickle calls {module}.{function}; {_expected()}")
    if module in {"torch", "torch.cuda", "torch.sparse"} and function.endswith("Tensor") and function != "Tensor":
        raise CheckpointError(f"its pickle calls {module}.{function}; {_expected()}")
    if module == "torch._utils" and function.startswith("_rebuild") and function not in _PLAIN:
        kind = next((kind for part, kind in _KINDS.items() if part in function), function)
        raise CheckpointError(f"holds a tensor of another kind ({kind}); save plain tensors of float32")


def _expected() -> str:
    return "expected a state dict: torch.save(model.state_dict(), 'weights.pth')"
