"""The table of architectures, and factories of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from torch import nn

from swp_export.architectures import ARCHITECTURES, resolve_architecture
from swp_export.errors import ArchitectureError

if TYPE_CHECKING:
    from pathlib import Path

FACTORIES = """
import torch

def with_classes(num_classes=10):
    return torch.nn.Linear(4, num_classes)

def without_classes():
    return torch.nn.Linear(4, 7)

def keywords(**options):
    return torch.nn.Linear(4, options["num_classes"])

def raising():
    return {}["width"]

def needs_classes(num_classes):
    return torch.nn.Linear(4, num_classes)

def wrong():
    return "network"

class Holder:
    class Network(torch.nn.Linear):
        def __init__(self, num_classes):
            super().__init__(4, num_classes)

number = 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of an importable module with the factories above."""
    (tmp_path / "users_networks.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    return "users_networks"


def test_the_table_is_keyed_by_name() -> None:
    """Each entry's key is its own name."""
    assert all(name == architecture.name for name, architecture in ARCHITECTURES.items())


def test_case_does_not_matter() -> None:
    """The method writes VGG16, torchvision resnet18; both are found."""
    assert resolve_architecture("vgg16") is ARCHITECTURES["VGG16"]
    assert resolve_architecture("ResNet18") is resolve_architecture("resnet18")


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    """A typing error is met with the name that was probably meant, and with all others."""
    with pytest.raises(ArchitectureError, match=r"did you mean ResNet56\?.*VGG11.*package\.module:factory"):
        resolve_architecture("resnet65")


@pytest.mark.parametrize(
    ("factory", "classes"), [("with_classes", 5), ("keywords", 5), ("without_classes", 7), ("Holder.Network", 5)]
)
def test_a_factory_gets_the_number_of_classes_if_it_takes_it(factories: str, factory: str, classes: int) -> None:
    """`num_classes` is passed to a function or class that accepts it, and to no other."""
    module = resolve_architecture(f"{factories}:{factory}").constructor(5)
    assert isinstance(module, nn.Linear)
    assert module.out_features == classes


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("no_such_package:factory", "cannot import 'no_such_package'.*PYTHONPATH"),
        ("users_networks:missing", "no function or class 'missing'"),
        ("users_networks:number", "no function or class 'number'"),
        (":factory", r"not of the form package\.module:factory"),
        ("users_networks:", r"not of the form package\.module:factory"),
    ],
)
def test_a_factory_that_cannot_be_had_says_why(factories: str, reference: str, complaint: str) -> None:
    """The error names the part of `package.module:factory` that is wrong."""
    with pytest.raises(ArchitectureError, match=complaint):
        resolve_architecture(reference)


def test_a_factory_must_return_a_module(factories: str) -> None:
    """What a factory returns is checked before it is used."""
    with pytest.raises(ArchitectureError, match="returned str, expected a"):
        resolve_architecture(f"{factories}:wrong").constructor(10)


@pytest.mark.parametrize("factory", ["with_classes", "without_classes"])
def test_a_factory_is_called_without_an_unknown_number_of_classes(factories: str, factory: str) -> None:
    """A network without a fully connected layer says no number; the factory's own default counts."""
    assert isinstance(resolve_architecture(f"{factories}:{factory}").constructor(None), nn.Linear)


@pytest.mark.parametrize(
    ("factory", "classes", "complaint"),
    [
        ("raising", 10, "raising called with no arguments fails with KeyError: 'width'"),
        ("needs_classes", None, "needs_classes called with no arguments fails with TypeError: .*num_classes"),
    ],
)
def test_what_a_factory_raises_is_an_error_of_the_user_s(
    factories: str, factory: str, classes: int | None, complaint: str
) -> None:
    """An exception in the user's code is told by its type and text."""
    with pytest.raises(ArchitectureError, match=complaint):
        resolve_architecture(f"{factories}:{factory}").constructor(classes)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [("def factory(:", "fails with SyntaxError: "), ("1 / 0", "fails with ZeroDivisionError: division by zero")],
)
def test_a_module_that_does_not_load_is_an_error_of_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, complaint: str
) -> None:
    """Whatever the import raises is told by its type and text."""
    (tmp_path / "damaged_networks.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArchitectureError, match=f"'damaged_networks'.*{complaint}"):
        resolve_architecture("damaged_networks:factory")


def test_a_width_multiplies_every_layer() -> None:
    """`VGG11x0.25` has a quarter of the channels, and is known by that name everywhere."""
    narrow = resolve_architecture("vgg11x0.25")
    assert narrow.name == "VGG11x0.25"
    state = narrow.constructor(10).state_dict()
    stock = ARCHITECTURES["VGG11"].constructor(10).state_dict()
    assert {k: [4 * n for n in t.shape] for k, t in state.items() if k.endswith("running_var")} == {
        k: list(t.shape) for k, t in stock.items() if k.endswith("running_var")
    }
    assert resolve_architecture("ResNet18x2").constructor(3).state_dict()["layer4.1.conv2.weight"].shape[0] == 1024


@pytest.mark.parametrize("name", ["VGG11x0", "VGG11x17", "VGG11x", "VGGx0.5", "VGG11x2x2"])
def test_a_wrong_width_is_refused(name: str) -> None:
    """A width is a number above 0 that leaves a network to hold."""
    with pytest.raises(ArchitectureError, match=r"VGG11x0\.25"):
        resolve_architecture(name)
