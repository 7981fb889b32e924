"""What people have: torchvision's networks and others, with dead filters, against the oracle of what could be left."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from matrix import NETWORKS, Network, damaged_network, export, export_in_the_older_way
from oracle import floats_left

import swp_export
from swp_export.lowerings.plan_file import PlanFile

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1.05
"""Floats in the file by those of the oracle."""

IN_THE_OLDER_WAY = ("squeeze_excite_linear", "detector", "shufflenet_v2_x1_0", "inception_v3")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the networks are exported to."""
    return tmp_path_factory.mktemp("networks")


module_of = functools.cache(lambda name: damaged_network(NETWORKS[name]))
"""Returns the network of that row with dead filters; made once."""


def exported(name: str, folder: Path) -> Path:
    """Return the file of that row's network, exported once."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        export(NETWORKS[name], module_of(name), path)
    return path


def open_shape(network: Network) -> tuple[int, int, int] | None:
    """Return the shape that `prune` must be told."""
    return network.input_shape if network.open_size else None


@pytest.mark.parametrize("name", NETWORKS)
def test_what_could_leave_is_gone(name: str, folder: Path) -> None:
    """The compact model is equivalent, and stores at most 1.05 times the floats that could be left."""
    assert_compact(name, exported(name, folder))


@pytest.mark.parametrize("name", IN_THE_OLDER_WAY)
def test_the_older_exporter(name: str, folder: Path) -> None:
    """So it is where torch's older exporter wrote the file."""
    path = folder / f"{name}-older.onnx"
    export_in_the_older_way(NETWORKS[name], module_of(name), path)
    assert_compact(name, path)


def assert_compact(name: str, source: Path) -> None:
    """Prune `source`, which is the network of that row, and hold it against the oracle."""
    plan = source.with_suffix(".json")
    # Every layer dense: zero stripes are stored. Not filled up to whole blocks: that is for speed, and not dead weight.
    plan.write_text(PlanFile(layers={}, multiple=1).to_text())
    report = swp_export.prune(
        source, plan=plan, input_shape=open_shape(NETWORKS[name]), output=source.with_suffix(".pruned.onnx")
    )
    assert report.verification is not None
    assert report.verification.equivalent
    possible = floats_left(module_of(name), NETWORKS[name].input_shape)
    assert report.totals.params_after <= MOST * possible


@pytest.mark.parametrize("name", ["squeeze_excite_linear", "deeplab", "unet"])
def test_stripes_are_written_as_stripes(name: str, folder: Path) -> None:
    """Broken wherever that is possible the model is equivalent too."""
    source = exported(name, folder)
    shape, output = open_shape(NETWORKS[name]), folder / f"{name}-portable.onnx"
    report = swp_export.prune(source, input_shape=shape, output=output, lowering="pad-slice-add")
    assert report.verification is not None
    assert report.verification.equivalent
    assert any(layer.lowering not in {"dense", "removed"} for layer in report.layers)
