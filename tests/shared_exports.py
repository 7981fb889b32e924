"""PyTorch's exporter, asked once for each structure of network: it takes seconds, and says nothing of the weights.

A network like one that was exported before gets the same graph with weights of its own, where that is sure to be what
the exporter would give: the structure says all, and each number of the graph is a tensor of the network under its
name. Graphs are kept in a folder of the session, so that pytest's workers share them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch
from small_models import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import nn

    Export = Callable[[nn.Module, tuple[int, int, int]], ir.Model]

_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_UNUSED = "num_batches_tracked"
"""A counter of training, which eval mode does not read."""


class SharedExports:
    """`export`, which looks into `folder` first: `_exported` of swp_export.graph.from_torch.export."""

    def __init__(self, export: Export, folder: Path) -> None:
        self.export = export
        self._folder = folder

    def __call__(self, module: nn.Module, input_shape: tuple[int, int, int]) -> ir.Model:
        """Return the graph of `module`."""
        structure = structure_of(module, input_shape)
        if structure is None:
            return self.export(module, input_shape)
        path = self._folder / f"{structure}.onnx"
        if path.exists():
            return _with_weights_of(module, from_bytes(path.read_bytes()))
        model = self.export(module, input_shape)
        if _only_holds_weights_of(module, model):
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(to_bytes(model))
            unfinished.replace(path)
        return model


def structure_of(module: nn.Module, input_shape: tuple[int, int, int]) -> str | None:
    """Return a digest of classes, settings, names and shapes, or None where they do not say all.

    Classes within functions have no name that tells them apart, and settings may be functions or objects.
    """
    found = hashlib.sha256(repr((input_shape, torch.get_default_dtype())).encode())
    try:
        for name, part in module.named_modules(remove_duplicate=False):
            for word in _words(part):
                found.update(f"{name}:{word}\n".encode())
    except _Unknown:
        return None
    for once in (True, False):  # which of them are one tensor under several names
        for name, tensor in _state(module, once=once):
            found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\n".encode())
            if not tensor.is_floating_point() and not name.endswith(_UNUSED):
                found.update(tensor.numpy().tobytes())
    return found.hexdigest()


class _Unknown(Exception):  # noqa: N818 # an answer, not an error
    pass


def _state(module: nn.Module, *, once: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in (
        *module.named_parameters(remove_duplicate=once),
        *module.named_buffers(remove_duplicate=once),
    ):
        yield name, tensor.detach()


def _words(part: nn.Module) -> Iterator[str]:
    """Yield the class and the settings of one module.

    Raises:
        _Unknown: They do not say all.

    """
    yield _literal(type(part))
    if "forward" in vars(part):
        raise _Unknown
    for name, value in vars(part).items():
        if name.startswith("_") and "hooks" in name:
            if value:
                raise _Unknown
        elif name not in {"_parameters", "_buffers", "_modules"}:
            yield f"{name}={_literal(value)}"


def _literal(value: object) -> str:
    if isinstance(value, type) and "<locals>" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (bool, int, float, str, type(None), torch.dtype, torch.device)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"({','.join(map(_literal, value))})"
    if isinstance(value, set):
        return f"{{{','.join(sorted(map(_literal, value)))}}}"
    if isinstance(value, dict):
        return _literal(list(value.items()))
    raise _Unknown


def _floats(model: ir.Model) -> dict[str, ir.Value]:
    return {name: value for name, value in model.graph.initializers.items() if value.dtype in _FLOATS}


def _only_holds_weights_of(module: nn.Module, model: ir.Model) -> bool:
    """Tell whether each float of `model` is the tensor of that name, a single number, or a bias of zeros."""
    state = dict(_state(module, once=False))
    for node in model.graph:
        if node.op_type == "Constant":
            value = node.attributes.get("value")
            if "value_floats" in node.attributes or (value is not None and not _says_little(value.as_tensor())):
                return False
    for name, initializer in _floats(model).items():
        tensor = initializer.const_value
        assert tensor is not None
        if name not in state:
            if not _says_little(tensor):
                return False
        elif not torch.equal(torch.from_numpy(tensor.numpy()), state[name]):
            return False
    return True


def _says_little(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype not in _FLOATS or tensor.size == 1 or not tensor.numpy().any()


def _with_weights_of(module: nn.Module, model: ir.Model) -> ir.Model:
    state = dict(_state(module, once=False))
    for name, value in _floats(model).items():
        with contextlib.suppress(KeyError):
            value.const_value = ir.tensor(state[name].numpy(), name=name)
    return model
