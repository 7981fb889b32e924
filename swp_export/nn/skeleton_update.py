"""What the method adds to a training loop: the update of the Filter Skeletons, around the optimizer's step.

    loss            cross-entropy of the network whose weights are W * FS, plus sr * |FS|_1
    before a step   grad(FS) += sr * sign(FS);   FS, grad(FS) = 0 in dead stripes, abs(FS) <= threshold;
                    gamma, beta and their gradients = 0 in the BatchNorm that follows a dead filter
    after it        FS = 0 in the stripes that are dead now or were dead before, gamma = beta = 0 as above

"Pruning Filter in Filter", NeurIPS 2020, arXiv 2009.14410, section 3.2. What happens before the step is the update of
the method's public code. What happens after it is ours: the optimizer's momentum moves a stripe that was set to zero
before the step away from zero again, so that the method's checkpoints hold small residues in dead stripes. Here a
stripe is exactly zero or beyond the threshold after every step, and one that died stays dead.
"""

from __future__ import annotations

import functools
import uuid
import weakref
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from swp_export.nn.filter_stripe import FilterStripe, live_stripes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Self

    from torch.utils.hooks import RemovableHandle

_WATCHING: weakref.WeakValueDictionary[str, SkeletonUpdate] = weakref.WeakValueDictionary()
"""The updates that watch, by a key of their own, unique beyond this process.

Hooks hold keys and numbers alone: so a network can be copied, replicated, pickled and compiled with them.
"""


class SkeletonUpdate:
    """The skeleton update of a network's FilterStripe layers, in any training loop.

        SkeletonUpdate(network, sr=1e-5, threshold=0.01).attach(optimizer)

    and the loop stays what it is. It applies to kernels larger than 1x1, as the method does; a 1x1 skeleton is an
    ordinary parameter. A layer whose skeleton is frozen (`freeze_skeletons`) keeps it, and dead filters stay silent.
    Which BatchNorm follows which convolution is seen in the first forward pass of training, compiled ones included.

    Args:
        network: Any module with FilterStripe layers; may be wrapped in DistributedDataParallel, DataParallel or
            `torch.compile`.
        sr: Strength of the L1 penalty, per unit of skeleton.
        threshold: A stripe is dead where `abs(FilterSkeleton) <= threshold`.

    Raises:
        ValueError: There is no layer to update, one is broken already, or a number is negative.

    """

    def __init__(self, network: nn.Module, *, sr: float, threshold: float) -> None:
        if not sr >= 0 or not threshold >= 0:
            raise ValueError(f"sr and threshold must not be negative, got sr={sr}, threshold={threshold}")
        self.sr = sr
        self.threshold = threshold
        self._layers = _striped_layers(network)
        if not self._layers:
            raise ValueError("the network has no FilterStripe with a kernel larger than 1x1; swp_export.nn.convert it")
        if any(layer.broken for layer in self._layers):
            raise ValueError("a broken layer cannot be trained; unbreak_ it first")
        self._norms = _affine_norms(network)
        # BatchNorm -> whose output it is applied to; None stands for anything but the output of one of the layers.
        self._producers: dict[int, set[int | None]] = {}
        self._live: list[torch.Tensor] = []
        self._watches: list[RemovableHandle] = []
        self._watch()

    def attach(self, optimizer: torch.optim.Optimizer) -> Self:
        """Let every `optimizer.step()` be surrounded by `before_step` and `after_step`.

        Of several optimizers attach each; the penalty goes to the skeletons that an optimizer holds. With
        `optimizer.step(closure)` the update follows each call of the closure; the loss stays what it returns.
        """

        def before(
            stepping: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            if getattr(stepping, "grad_scale", None) is not None:
                raise RuntimeError(
                    "this optimizer unscales the gradients inside its step; call scaler.unscale_(optimizer) before "
                    "scaler.step(optimizer), so that the penalty is not scaled with them"
                )
            held = {parameter for group in stepping.param_groups for parameter in group["params"]}
            # args begins with the optimizer itself.
            closure = args[1] if len(args) > 1 else kwargs.get("closure")
            if closure is None:
                self._prepare(held)
                return None
            return args[:1], {**kwargs, "closure": self._followed(closure, held)}

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(lambda *_: self.after_step())
        return self

    def before_step(self) -> None:
        """Add the penalty's gradient and silence what is dead: the method's own update. Call it after `backward`."""
        self._prepare({layer.FilterSkeleton for layer in self._layers})

    @torch.no_grad()
    def after_step(self) -> None:
        """Make dead stripes and the BatchNorm of dead filters exactly zero again. Call it after the step."""
        for layer, live in zip(self._layers, self._live, strict=True):
            skeleton = layer.FilterSkeleton
            if skeleton.requires_grad:
                live &= live_stripes(skeleton, self.threshold)  # noqa: PLW2901 - in place
                skeleton.masked_fill_(~live, 0)
        for parameter, dead in self._silenced(self._norms, self._live):
            parameter.masked_fill_(dead, 0)

    @torch.no_grad()
    def silence(self, average: nn.Module) -> None:
        """Make exactly zero in `average` what is dead in the network, or at or below the threshold in `average`.

        `average` holds other values of the same network, those of `torch.optim.swa_utils.AveragedModel` for example:
        a stripe that died late is not zero in the mean over the steps. Call it when the averaging is done.

        Raises:
            ValueError: `average` is another network.

        """
        layers, norms = _striped_layers(average), _affine_norms(average)
        shapes = [[layer.FilterSkeleton.shape for layer in side] for side in (layers, self._layers)]
        if shapes[0] != shapes[1] or len(norms) != len(self._norms):
            raise ValueError("this is not an average of the network: its layers are others")
        masks = []
        for layer, own in zip(layers, self._layers, strict=True):
            live = live_stripes(layer.FilterSkeleton, self.threshold)
            live &= live_stripes(own.FilterSkeleton, self.threshold).to(live.device)
            layer.FilterSkeleton.masked_fill_(~live, 0)
            masks.append(live)
        for parameter, dead in self._silenced(norms, masks):
            parameter.masked_fill_(dead, 0)

    def _followed(self, closure: Callable[[], Any], held: set[nn.Parameter]) -> Callable[[], Any]:
        """Return `closure` with the update behind it: it is the closure that computes the gradients."""
        again = False

        def penalised() -> Any:
            nonlocal again
            loss = closure()
            self._prepare(held, again=again)
            again = True
            return loss

        return penalised

    @torch.no_grad()
    def _prepare(self, held: set[nn.Parameter], *, again: bool = False) -> None:
        """Do what comes before a step; `held` get the penalty; `again`: within one, where the dead stay dead too."""
        self._stop_watching()
        known, self._live = self._live, []
        for index, layer in enumerate(self._layers):
            skeleton = layer.FilterSkeleton
            live = live_stripes(skeleton, self.threshold)
            if again:
                live &= known[index]
            self._live.append(live)
            if not skeleton.requires_grad:
                continue
            skeleton.masked_fill_(~live, 0)
            if skeleton.grad is not None:
                if skeleton in held:
                    skeleton.grad.add_(skeleton.sign(), alpha=self.sr)
                # The sign of a value below the threshold did not matter: its gradient is dropped.
                skeleton.grad.masked_fill_(~live, 0)
        for parameter, dead in self._silenced(self._norms, self._live):
            parameter.masked_fill_(dead, 0)
            if parameter.grad is not None:
                parameter.grad.masked_fill_(dead, 0)

    def _silenced(
        self, norms: Sequence[_BatchNorm], live: Sequence[torch.Tensor]
    ) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
        """Yield each gamma and beta with the mask of its dead channels, bool `[N]`."""
        for norm, layers in self._producers.items():
            if None not in layers:
                filters = [live[layer].flatten(1).any(dim=1) for layer in layers if layer is not None]
                dead = ~torch.stack(filters).any(dim=0)
                yield norms[norm].weight, dead
                yield norms[norm].bias, dead

    def _watch(self) -> None:
        """See which BatchNorm follows which convolution, from now until the first step."""
        key = uuid.uuid4().hex
        _WATCHING[key] = self
        # The optimizers import torch's compiler anyway; at the top of this file it would cost everyone a second.
        for function in (_mark_output, _note_producer):
            torch.compiler.allow_in_graph(function)  # type: ignore[no-untyped-call]
        for index, layer in enumerate(self._layers):
            hook = functools.partial(_after_convolution, key, index)
            self._watches.append(layer.register_forward_hook(hook))
        for index, norm in enumerate(self._norms):
            before = functools.partial(_before_norm, key, index)
            self._watches.append(norm.register_forward_pre_hook(before, with_kwargs=True))
        self._key: str | None = key
        self._compiled = False

    def _stop_watching(self) -> None:
        if self._key is None:
            return
        del _WATCHING[self._key]
        self._key = None
        # Without its hooks a compiled network would be compiled a second time; in its graph they do nothing any more.
        if not self._compiled:
            for watch in self._watches:
                watch.remove()
        self._watches.clear()

    def _note(self, norm: int, layer: int | None, *, compiled: bool) -> None:
        self._producers.setdefault(norm, set()).add(layer)
        self._compiled |= compiled


def freeze_skeletons(network: nn.Module) -> None:
    """Keep the skeletons of `network` as they are while its weights are trained: fine-tuning after pruning.

    The weights of dead stripes get no gradient, because the skeleton multiplies them by zero.
    """
    for layer in network.modules():
        if isinstance(layer, FilterStripe):
            layer.FilterSkeleton.requires_grad_(False)  # noqa: FBT003 - torch's own signature
            layer.FilterSkeleton.grad = None


def _striped_layers(network: nn.Module) -> list[FilterStripe]:
    return [layer for layer in network.modules() if isinstance(layer, FilterStripe) and layer.striped]


def _affine_norms(network: nn.Module) -> list[_BatchNorm]:
    return [norm for norm in network.modules() if isinstance(norm, _BatchNorm) and norm.affine]


def _after_convolution(
    key: str, index: int, _layer: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor
) -> None:
    _mark_output(output, key, index)


def _before_norm(key: str, index: int, norm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if norm.training:
        _note_producer(args[0] if args else kwargs["input"], key, index)


# torch.compile does not look into these two: it calls them with the tensors that it traces with, which is when they are
# of use, and leaves no trace of them in what it compiles.


def _mark_output(output: torch.Tensor, key: str, layer: int) -> None:
    """Note at a convolution's output which it is, and the version of the tensor, which writing into it raises."""
    if key in _WATCHING and not output.is_inference():
        setattr(output, f"_swp_producer_{key}", (layer, output._version))  # noqa: SLF001


def _note_producer(x: torch.Tensor, key: str, norm: int) -> None:
    update = _WATCHING.get(key)
    if update is not None:
        layer, version = getattr(x, f"_swp_producer_{key}", (None, None))
        # After `x += shortcut` the tensor is still the same object, but no more what the convolution returned.
        intact = layer is not None and x._version == version  # noqa: SLF001
        update._note(norm, layer if intact else None, compiled=type(x) is not torch.Tensor)  # noqa: SLF001
