"""Architectures are recognised by the keys of their state dicts."""

from __future__ import annotations

import pytest
import torch

from swp_export.architectures import ARCHITECTURES
from swp_export.architectures.inference import infer_architecture
from swp_export.errors import ArchitectureError


def keys_of(name: str) -> list[str]:
    """Return the keys of the whole network."""
    with torch.device("meta"):
        return list(ARCHITECTURES[name].constructor(10).state_dict())


def without(keys: list[str], *blocks: str) -> list[str]:
    """Return `keys` but for those of `blocks`."""
    return [key for key in keys if not key.startswith(tuple(f"{block}." for block in blocks))]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_known_by_its_own_keys(name: str, broken: bool) -> None:
    """The complete keys of each architecture name it and no other."""
    assert infer_architecture(keys_of(name), broken=broken) == name


def test_dead_blocks_inside_do_not_hide_the_depth() -> None:
    """A block that left no keys counts as long as only one depth has the others."""
    keys = without(keys_of("ResNet110"), "layer1.17", "layer2.3", "layer3.12")
    assert infer_architecture(keys, broken=True) == "ResNet110"


def test_several_depths_that_fit_are_all_named() -> None:
    """Where the last blocks are gone the keys do not say how many there were, and the error asks."""
    keys = without(keys_of("ResNet56"), "layer1.8", "layer2.8", "layer3.8", "layer1.7", "layer3.4")
    with pytest.raises(ArchitectureError, match=r"^ResNet56, ResNet110 fit.*--arch ResNet56"):
        infer_architecture(keys, broken=True)


def test_recorded_module_names_settle_the_depth() -> None:
    """The names of modules without keys tell how many blocks there were."""
    keys = without(keys_of("ResNet56"), "layer1.8", "layer2.8", "layer3.8")
    modules = [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(9)]
    assert infer_architecture(keys, modules=modules, broken=True) == "ResNet56"


def test_an_unbroken_file_lacks_no_blocks() -> None:
    """Missing blocks of an unbroken file are an error, not dead blocks."""
    with pytest.raises(ArchitectureError, match=r"those of none of VGG11.*--arch"):
        infer_architecture(without(keys_of("ResNet56"), "layer1.4"))


def test_a_shortcut_left_of_a_dead_block_counts_as_the_block() -> None:
    """`layer2.0.0.*` is what remains of the block `layer2.0`."""
    keys = without(keys_of("ResNet20"), "layer2.0")
    assert infer_architecture([*keys, "layer2.0.0.weight", "layer2.0.1.weight"], broken=True) == "ResNet20"


def test_other_keys_are_shown() -> None:
    """The error shows the first keys, so that a user sees what was read."""
    with pytest.raises(ArchitectureError, match=r"\(stem\.weight, head\.weight, \.\.\.\)"):
        infer_architecture(["stem.weight", "head.weight"])
