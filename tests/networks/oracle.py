"""The parameters that could be left of a torch module: the oracle that files are held against.

It looks at numbers alone, in float64, and shares no code with swp_export. A few random images run through the module,
and random gradients back from its outputs. A channel of the tensor that a layer reads counts where it

1. varies with the image, at any position: a map that is the same for every image is a constant, not a channel;
2. moves an output: its gradient is not zero.

A row of a layer (a filter) counts where its own map does both, and also where it must be there for others: a dead
filter whose map is added to a live one, scales a live one, or is an output of the network, cannot leave. Which maps
those are is seen by gradients too: from each map that counts, backward, as far as the outputs of the layers before it.

Activations are replaced by strictly monotone ones, so that a Relu that happens to be closed for these images, or a
saturated gate or softmax, does not make a channel look dead. What does not vary goes through the activations as they
are: a Relu that closes a dead filter's constant makes a zero, and zero times a gate is dead.

A constant map that differs from position to position (a constant through a zero-padded convolution) is none of the
oracle's channels: what a file needs for it counts against the file.

The floats: live rows x live columns x taps of each layer, of a grouped convolution in each of its groups; one bias per
live row where the layer has one, or a BatchNorm that merges into it; two floats per live channel of a normalisation
that merges into nothing; one slope per live channel of a PRelu.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGES = 3
NOISE = 1e-9
"""A map varies if it does by more than this share of its largest value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveLayer:
    """What could be left of one layer: `rows` and `columns` count its live channels, `floats` all its parameters."""

    name: str
    kind: str
    rows: int
    columns: int
    floats: int


def live_layers(module: nn.Module, input_shape: tuple[int, ...]) -> list[LiveLayer]:
    """Return what could be left of each layer of `module`, in the order of their first call.

    Args:
        module: maps `[N, *input_shape]` to a tensor, or to a tuple or list of tensors.
        input_shape: of one image.

    """
    module = copy.deepcopy(module).double().eval()
    names = {id(parameter): name.removesuffix(".weight") for name, parameter in module.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(1, *input_shape, generator=generator, dtype=torch.float64) for _ in range(IMAGES)]
    fixed = _fixed_elements(module, images)
    live = _channels_that_count(module, images, fixed, generator)
    _add_rows_for_others(module, images[0], fixed, live, generator)
    merged: dict[int, _Live] = {}
    for state in live:
        layer = merged.setdefault(id(state.call.weight), state)
        layer.rows, layer.columns = layer.rows | state.rows, layer.columns | state.columns
    return [_counted(state, names.get(key, "?")) for key, state in merged.items()]


def floats_left(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return how many floats could be left of `module`; see the module's docstring."""
    return sum(layer.floats for layer in live_layers(module, input_shape))


@dataclasses.dataclass(kw_only=True, eq=False)
class _Call:
    """One call of something that has parameters.

    Attributes:
        kind: of which parameters are counted: a key of _FLOATS.
        weight: identifies the layer, which may be called several times.
        source, result: what it reads, and what it returns.
        groups: of a convolution.
        biased: whether each row has a bias.

    """

    kind: str
    weight: torch.Tensor
    source: torch.Tensor
    result: torch.Tensor
    groups: int = 1
    biased: bool = False

    @property
    def axis(self) -> int:
        """The axis of the channels, in `source` and in `result`."""
        return -1 if self.kind in {"linear", "layer_norm"} else 1


@dataclasses.dataclass(kw_only=True, eq=False)
class _Live:
    """Which rows and columns of a layer count, both bool."""

    call: _Call
    rows: np.ndarray
    columns: np.ndarray


def _monotone(x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2)


def _gate(x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return 0.5 + 0.5 * functional.softsign(x)


def _centred(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Return what a softmax makes of small inputs, but for its scale: it weighs each against all others."""
    return x - x.mean(dim=kwargs["dim"] if "dim" in kwargs else args[0], keepdim=True)


_SOFTMAX = frozenset([functional.softmax, torch.softmax, torch.Tensor.softmax])
_ACTIVATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys(
        [
            functional.relu, functional.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_,
            functional.relu6, functional.hardtanh, functional.hardswish, functional.silu, functional.gelu,
            functional.leaky_relu, functional.elu, functional.mish, torch.clamp, torch.Tensor.clamp,
        ],
        _monotone,
    ),
    **dict.fromkeys(
        [
            functional.hardsigmoid, functional.sigmoid, torch.sigmoid, torch.Tensor.sigmoid, torch.tanh,
            torch.Tensor.tanh, functional.tanh,
        ],
        _gate,
    ),
}  # fmt: skip
"""What is run instead of an activation."""
_IN_PLACE = {
    torch.Tensor.__iadd__: torch.add,
    torch.Tensor.add_: torch.add,
    torch.Tensor.__imul__: torch.mul,
    torch.Tensor.mul_: torch.mul,
}
"""What is run instead of what would overwrite a tensor that is looked at."""

_CONVOLUTIONS = {
    torch.conv1d: "conv",
    torch.conv2d: "conv",
    torch.conv3d: "conv",
    torch.conv_transpose1d: "transposed",
    torch.conv_transpose2d: "transposed",
    torch.conv_transpose3d: "transposed",
}
_GROUPS_ARGUMENT = 6
"""Position of the groups among the arguments of all of them."""
_PER_CHANNEL = {
    functional.batch_norm: "norm",
    functional.instance_norm: "norm",
    functional.group_norm: "norm",
    functional.layer_norm: "layer_norm",
    functional.prelu: "slopes",
    torch.prelu: "slopes",
}
_WEIGHT_ARGUMENT = {
    functional.batch_norm: 3,
    functional.instance_norm: 3,
    functional.group_norm: 2,
    functional.layer_norm: 2,
    functional.prelu: 1,
    torch.prelu: 1,
}


class _Recorder(TorchFunctionMode):
    """Runs a module with monotone activations and records each call that has parameters.

    With `cut` the result of every call that mixes channels is a new leaf, so that gradients stop there. `fixed` says,
    for each activation in the order of their calls, which elements of its input do not vary with the image.
    """

    def __init__(self, *, cut: bool, fixed: list[torch.Tensor]) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self.activated: list[torch.Tensor] = []
        self._cut, self._fixed = cut, fixed
        self._readers: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []  # so that no id is used twice

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _ACTIVATIONS:
            result = self._activate(func, args, kwargs)
        elif func in _SOFTMAX:
            result = _centred(*args, **kwargs)
        else:
            result = _IN_PLACE.get(func, func)(*args, **kwargs)
        if any(isinstance(value, torch.Tensor) for value in _flat([result])):  # unlike dim() and size()
            for tensor in (value for value in _flat(args) if isinstance(value, torch.Tensor)):
                self._readers[id(tensor)] = self._readers.get(id(tensor), 0) + 1
                self._alive.append(tensor)
        call = _call_of(func, args, kwargs, result)
        if call is None:
            return result
        mixes = call.kind in {"conv", "transposed", "linear"}
        if self._cut and mixes:
            call.result = result.detach().requires_grad_()
        self.calls.append(call)
        return call.result

    def _activate(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        x, replaced = args[0], _ACTIVATIONS[func](args[0])
        self.activated.append(x.detach())
        if not self._fixed:
            return replaced
        true = func(x.detach().clone(), *args[1:], **kwargs)
        fixed = self._fixed[len(self.activated) - 1]
        return replaced + torch.where(fixed, true - replaced.detach(), 0)

    def unmerged(self) -> list[_Call]:
        """Return the calls without the BatchNorms that merge into the layer before them, which get their bias."""
        by_result = {id(call.result): call for call in self.calls if call.kind in {"conv", "transposed", "linear"}}
        left = []
        for call in self.calls:
            before = by_result.get(id(call.source)) if call.kind == "norm" else None
            if before is not None and self._readers[id(call.source)] == 1:
                before.biased = True
            else:
                left.append(call)
        return left


def _call_of(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor
) -> _Call | None:
    if func in _CONVOLUTIONS:
        kind = _CONVOLUTIONS[func]
        groups = kwargs.get("groups", args[_GROUPS_ARGUMENT] if len(args) > _GROUPS_ARGUMENT else 1)
        bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
        return _Call(kind=kind, weight=args[1], source=args[0], result=result, groups=groups, biased=bias is not None)
    if func is functional.linear:
        bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
        return _Call(kind="linear", weight=args[1], source=args[0], result=result, biased=bias is not None)
    if func in _PER_CHANNEL:
        position = _WEIGHT_ARGUMENT[func]
        weight = kwargs.get("weight", args[position] if len(args) > position else None)
        if weight is not None:
            return _Call(kind=_PER_CHANNEL[func], weight=weight, source=args[0], result=result)
    return None


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _run(
    module: nn.Module, image: torch.Tensor, fixed: list[torch.Tensor], *, cut: bool
) -> tuple[_Recorder, list[torch.Tensor]]:
    """Return what was recorded, and the outputs."""
    recorder = _Recorder(cut=cut, fixed=fixed)
    with recorder:
        outputs = module(image.clone().requires_grad_())
    return recorder, [value for value in _flat([outputs]) if isinstance(value, torch.Tensor)]


def _fixed_elements(module: nn.Module, images: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return, for each activation, which elements of its input are the same for all images.

    Fixed elements go through the activation as it is, which may fix others behind it.
    """
    fixed: list[torch.Tensor] = []
    while True:
        by_image = zip(*(_run(module, image, fixed, cut=False)[0].activated for image in images), strict=True)
        again = []
        for maps in by_image:
            stacked = torch.stack(maps)
            again.append(stacked.amax(0) - stacked.amin(0) <= NOISE * stacked.abs().amax(0))
        if all(torch.equal(*pair) for pair in zip(fixed, again, strict=False)) and len(fixed) == len(again):
            return fixed
        fixed = again


def _channels_that_count(
    module: nn.Module, images: list[torch.Tensor], fixed: list[torch.Tensor], generator: torch.Generator
) -> list[_Live]:
    """Return, for each call, which channels of what it reads and returns vary and move an output."""
    seen: list[dict[str, list[np.ndarray]]] = []
    for image in images:
        recorder, outputs = _run(module, image, fixed, cut=False)
        calls = recorder.unmerged()
        wanted = [tensor for call in calls for tensor in (call.source, call.result)]
        loss = sum(
            (output * torch.randn(output.shape, generator=generator, dtype=output.dtype)).sum() for output in outputs
        )
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        seen = seen or [{key: [] for key in ("source", "result", "to source", "to result")} for _ in calls]
        for index, call in enumerate(calls):
            facts = seen[index]
            facts["source"].append(_by_channel(call.source, call.axis))
            facts["result"].append(_by_channel(call.result, call.axis))
            facts["to source"].append(_largest(gradients[2 * index], call.source, call.axis))
            facts["to result"].append(_largest(gradients[2 * index + 1], call.result, call.axis))
    return [
        _Live(
            call=call,
            rows=_varies(facts["result"]) & (np.max(facts["to result"], axis=0) > 0),
            columns=_varies(facts["source"]) & (np.max(facts["to source"], axis=0) > 0),
        )
        for call, facts in zip(calls, seen, strict=True)
    ]


def _by_channel(tensor: torch.Tensor, axis: int) -> np.ndarray:
    """Return `tensor` as `[C, everything else]`."""
    moved = tensor.detach().movedim(axis, 0)
    return moved.reshape(moved.shape[0], -1).numpy().copy()


def _largest(gradient: torch.Tensor | None, tensor: torch.Tensor, axis: int) -> np.ndarray:
    if gradient is None:
        return np.zeros(tensor.shape[axis])
    return np.abs(_by_channel(gradient, axis)).max(axis=1)


def _varies(by_image: list[np.ndarray]) -> np.ndarray:
    maps = np.stack(by_image)
    difference = (maps.max(axis=0) - maps.min(axis=0)).max(axis=1)
    varies: np.ndarray = difference > NOISE * np.abs(maps).max(axis=(0, 2))
    return varies


def _add_rows_for_others(
    module: nn.Module,
    image: torch.Tensor,
    fixed: list[torch.Tensor],
    live: list[_Live],
    generator: torch.Generator,
) -> None:
    """Add the rows whose maps are part of one that counts, or of an output."""
    recorder, outputs = _run(module, image, fixed, cut=True)
    calls = recorder.unmerged()
    mixing = [index for index, call in enumerate(calls) if call.kind in {"conv", "transposed", "linear"}]
    leaves = [calls[index].result for index in mixing]
    ends = [(output, torch.ones_like(output)) for output in outputs]
    for call, state in zip(calls, live, strict=True):
        shape = [1] * call.source.ndim
        shape[call.axis] = -1
        ends.append((call.source, torch.from_numpy(state.columns.astype(np.float64)).reshape(shape)))
    for tensor, counts in ends:
        if not tensor.requires_grad:
            continue
        weights = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        gradients = torch.autograd.grad((tensor * counts * weights).sum(), leaves, allow_unused=True, retain_graph=True)
        for index, gradient in zip(mixing, gradients, strict=True):
            call = calls[index]
            live[index].rows |= _largest(gradient, call.result, call.axis) > 0


def _counted(state: _Live, name: str) -> LiveLayer:
    call, rows, columns = state.call, state.rows, state.columns
    if call.kind in {"norm", "layer_norm"}:
        floats = 2 * int(rows.sum())
    elif call.kind == "slopes":
        floats = min(int(rows.sum()), call.weight.numel())
    else:
        taps = math.prod(call.weight.shape[2:])
        in_groups = zip(rows.reshape(call.groups, -1), columns.reshape(call.groups, -1), strict=True)
        floats = taps * sum(int(r.sum()) * int(c.sum()) for r, c in in_groups) + call.biased * int(rows.sum())
    kind = call.kind if call.groups == 1 else f"{call.kind} of {call.groups} groups"
    return LiveLayer(name=name, kind=kind, rows=int(rows.sum()), columns=int(columns.sum()), floats=floats)
