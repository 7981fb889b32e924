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

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from swp_export.nn.filter_stripe import FilterStripe, live_stripes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from torch.utils.hooks import RemovableHandle

_PRODUCER = "_swp_producer"
"""Attribute of a convolution's output: the convolution, and the version of the tensor, which writing into it raises."""


class SkeletonUpdate:
    """The skeleton update of a network's FilterStripe layers, in any training loop.

        SkeletonUpdate(network, sr=1e-5, threshold=0.01).attach(optimizer)

    and the loop stays what it is. It applies to kernels larger than 1x1, as the method does; a 1x1 skeleton is an
    ordinary parameter. A layer whose skeleton is frozen (`freeze_skeletons`) keeps it, and dead filters stay silent.
    Which BatchNorm follows which convolution is seen in the first forward pass of training.

    Args:
        network: Any module with FilterStripe layers; may be wrapped in DistributedDataParallel.
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
        self._layers = [layer for layer in network.modules() if isinstance(layer, FilterStripe) and layer.striped]
        if not self._layers:
            raise ValueError("the network has no FilterStripe with a kernel larger than 1x1; swp_export.nn.convert it")
        if any(layer.broken for layer in self._layers):
            raise ValueError("a broken layer cannot be trained; unbreak_ it first")
        # BatchNorm -> whose output it is applied to; None stands for anything but the output of one of the layers.
        self._producers: dict[_BatchNorm, set[FilterStripe | None]] = {}
        self._live: dict[FilterStripe, torch.Tensor] = {}
        self._watches: list[RemovableHandle] = []
        for layer in self._layers:
            self._watches.append(layer.register_forward_hook(_mark_output))
        for norm in network.modules():
            if isinstance(norm, _BatchNorm) and norm.affine:
                self._watches.append(norm.register_forward_pre_hook(self._note_producer, with_kwargs=True))

    def attach(self, optimizer: torch.optim.Optimizer) -> Self:
        """Let every `optimizer.step()` be surrounded by `before_step` and `after_step`."""

        def before(stepping: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
            if getattr(stepping, "grad_scale", None) is not None:
                raise RuntimeError(
                    "this optimizer unscales the gradients inside its step; call scaler.unscale_(optimizer) before "
                    "scaler.step(optimizer), so that the penalty is not scaled with them"
                )
            self.before_step()

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(lambda *_: self.after_step())
        return self

    @torch.no_grad()
    def before_step(self) -> None:
        """Add the penalty's gradient and silence what is dead: the method's own update. Call it after `backward`."""
        self._stop_watching()
        for layer in self._layers:
            skeleton = layer.FilterSkeleton
            self._live[layer] = live = live_stripes(skeleton, self.threshold)
            if not skeleton.requires_grad:
                continue
            skeleton.masked_fill_(~live, 0)
            if skeleton.grad is not None:
                # The sign of a value below the threshold does not matter: its gradient is dropped.
                skeleton.grad.add_(skeleton.sign(), alpha=self.sr).masked_fill_(~live, 0)
        for parameter, dead in self._silenced():
            parameter.masked_fill_(dead, 0)
            if parameter.grad is not None:
                parameter.grad.masked_fill_(dead, 0)

    @torch.no_grad()
    def after_step(self) -> None:
        """Make dead stripes and the BatchNorm of dead filters exactly zero again. Call it after the step."""
        for layer in self._layers:
            skeleton = layer.FilterSkeleton
            if skeleton.requires_grad:
                self._live[layer] &= live_stripes(skeleton, self.threshold)
                skeleton.masked_fill_(~self._live[layer], 0)
        for parameter, dead in self._silenced():
            parameter.masked_fill_(dead, 0)

    def _silenced(self) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
        """Yield each gamma and beta with the mask of its dead channels, bool `[N]`."""
        for norm, layers in self._producers.items():
            if None not in layers:
                live = [self._live[layer].flatten(1).any(dim=1) for layer in layers if layer is not None]
                dead = ~torch.stack(live).any(dim=0)
                yield norm.weight, dead
                yield norm.bias, dead

    def _note_producer(self, norm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if norm.training:
            assert isinstance(norm, _BatchNorm)
            x = args[0] if args else kwargs["input"]
            layer, version = getattr(x, _PRODUCER, (None, None))
            # After `x += shortcut` the tensor is still the same object, but no more what the convolution returned.
            intact = layer is not None and x._version == version  # noqa: SLF001
            self._producers.setdefault(norm, set()).add(layer if intact else None)

    def _stop_watching(self) -> None:
        for watch in self._watches:
            watch.remove()
        self._watches.clear()


def freeze_skeletons(network: nn.Module) -> None:
    """Keep the skeletons of `network` as they are while its weights are trained: fine-tuning after pruning.

    The weights of dead stripes get no gradient, because the skeleton multiplies them by zero.
    """
    for layer in network.modules():
        if isinstance(layer, FilterStripe):
            layer.FilterSkeleton.requires_grad_(False)  # noqa: FBT003 - torch's own signature
            layer.FilterSkeleton.grad = None


def _mark_output(layer: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    if not output.is_inference():
        setattr(output, _PRODUCER, (layer, output._version))  # noqa: SLF001
