"""The networks that are known by name, and the way to bring one's own."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import re
from functools import partial
from typing import TYPE_CHECKING

from swp_export.architectures.resnet import ResNet
from swp_export.architectures.resnet_imagenet import ImageNetResNet
from swp_export.architectures.vgg import VGG
from swp_export.errors import ArchitectureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

__all__ = ["ARCHITECTURES", "Architecture", "known_architecture", "resolve_architecture"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network before it is pruned.

    Attributes:
        name: As in `ARCHITECTURES`, `VGG11x0.25` for one with other widths, or `package.module:factory`.
        constructor: Number of classes, None where it is not known -> network with its stock widths.
        input_shape: `(C, H, W)` it is made for; None where only the user knows.
        plain_convolutions: Whether a checkpoint may lack the skeleton of any convolution, not only of 1x1 ones: the
            networks into which users swap FilterStripe themselves, here and there.

    """

    name: str
    constructor: Callable[..., nn.Module]
    input_shape: tuple[int, int, int] | None
    plain_convolutions: bool = False

    @property
    def known(self) -> bool:
        """Whether its code is ours, not a user's factory."""
        return ":" not in self.name


def _vgg(name: str) -> Architecture:
    return Architecture(name=name, constructor=partial(VGG, name), input_shape=(3, 32, 32))


def _resnet(name: str) -> Architecture:
    return Architecture(name=name, constructor=partial(ResNet, name), input_shape=(3, 32, 32))


def _imagenet_resnet(name: str) -> Architecture:
    constructor = partial(ImageNetResNet, name)
    return Architecture(name=name, constructor=constructor, input_shape=(3, 224, 224), plain_convolutions=True)


ARCHITECTURES: Mapping[str, Architecture] = {
    "VGG11": _vgg("VGG11"),
    "VGG13": _vgg("VGG13"),
    "VGG16": _vgg("VGG16"),
    "VGG19": _vgg("VGG19"),
    "ResNet20": _resnet("ResNet20"),
    "ResNet32": _resnet("ResNet32"),
    "ResNet44": _resnet("ResNet44"),
    "ResNet56": _resnet("ResNet56"),
    "ResNet110": _resnet("ResNet110"),
    "ResNet18": _imagenet_resnet("ResNet18"),
    "ResNet34": _imagenet_resnet("ResNet34"),
    "ResNet50": _imagenet_resnet("ResNet50"),
}


_NAME_AND_WIDTH = re.compile(r"(.+?)x(\d*\.?\d+)")
_WIDEST = 16


def known_architecture(name: str) -> Architecture | None:
    """Return the architecture called `name`, case ignored, or None.

    `NAMExW` is NAME with W times as many channels in every layer, VGG11x0.25 for example.
    """
    by_lower_case = {known.lower(): architecture for known, architecture in ARCHITECTURES.items()}
    if stock := by_lower_case.get(name.lower()):
        return stock
    named = _NAME_AND_WIDTH.fullmatch(name)
    if not named or not 0 < (width := float(named[2])) <= _WIDEST or not (stock := by_lower_case.get(named[1].lower())):
        return None
    constructor = partial(stock.constructor, width=width)
    return dataclasses.replace(stock, name=f"{stock.name}x{width:g}", constructor=constructor)


def resolve_architecture(name_or_factory: str) -> Architecture:
    """Return the architecture of that name, see `known_architecture`, or the one that `package.module:factory` makes.

    A factory is called with `num_classes=...` if it accepts that and the number is known, else without arguments.

    Raises:
        ArchitectureError: No such name, or the factory cannot be imported; from its constructor: it cannot be called,
            or returns no module.

    """
    if ":" in name_or_factory:
        factory = _import_factory(name_or_factory)
        return Architecture(name=name_or_factory, constructor=_constructor(name_or_factory, factory), input_shape=None)
    if known := known_architecture(name_or_factory):
        return known
    close = difflib.get_close_matches(name_or_factory.lower(), [name.lower() for name in ARCHITECTURES], n=1)
    hint = f"did you mean {next(name for name in ARCHITECTURES if name.lower() == close[0])}? " if close else ""
    raise ArchitectureError(
        f"there is no architecture {name_or_factory!r}; {hint}Known are {', '.join(ARCHITECTURES)}, each also with its "
        f"channels multiplied, as VGG11x0.25, by up to {_WIDEST}; bring your own with package.module:factory"
    )


def _import_factory(reference: str) -> Callable[..., object]:
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise ArchitectureError(f"{reference!r} is not of the form package.module:factory")
    try:
        found: object = importlib.import_module(module_name)
    except ImportError as error:
        raise ArchitectureError(
            f"cannot import {module_name!r} for {reference!r}: {error}; is its folder on PYTHONPATH?"
        ) from error
    except Exception as error:  # whatever the user's code raises, SyntaxError included
        raise ArchitectureError(f"{module_name!r}, imported for {reference!r}, fails with {_spell(error)}") from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ArchitectureError(f"{module_name!r} has no function or class {attribute!r} to call")
    return found


def _constructor(reference: str, factory: Callable[..., object]) -> Callable[[int | None], nn.Module]:
    def construct(num_classes: int | None) -> nn.Module:
        from torch import nn

        options = {"num_classes": num_classes} if num_classes is not None and _accepts_num_classes(factory) else {}
        called = f"{reference} called with {', '.join(f'{k}={v}' for k, v in options.items()) or 'no arguments'}"
        try:
            network = factory(**options)
        except Exception as error:  # whatever the user's code raises
            raise ArchitectureError(f"{called} fails with {_spell(error)}") from error
        if not isinstance(network, nn.Module):
            raise ArchitectureError(f"{reference} returned {type(network).__name__}, expected a torch.nn.Module")
        return network

    return construct


def _accepts_num_classes(factory: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # a builtin without a signature
        return False
    keywords = inspect.Parameter.VAR_KEYWORD
    return "num_classes" in parameters or any(parameter.kind is keywords for parameter in parameters.values())


def _spell(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
