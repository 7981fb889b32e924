"""The distributions that the program is installed as: the same program, with what its machine needs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from small_models import model_from_text

import swp_export.distributions as module
from swp_export.cli import cli
from swp_export.distributions import DISTRIBUTIONS, program_version

ROOT = Path(__file__).resolve().parent.parent
NAMES = [each.name for each in DISTRIBUTIONS[1:]]


def pyproject(name: str = "") -> dict[str, Any]:
    """Return what builds the distribution `name`, by default the whole program."""
    folder = ROOT / "packaging" / name.removeprefix("swp-export-") if name else ROOT
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def without_marker(requirements: list[str]) -> set[str]:
    """Return `requirements` without the machines that they are limited to."""
    return {requirement.partition(";")[0] for requirement in requirements}


def test_the_table_names_what_is_built() -> None:
    """Each distribution of the table has a folder that builds it, and the other way round."""
    assert {pyproject()["project"]["name"], *NAMES} == {each.name for each in DISTRIBUTIONS}
    assert {path.parent.name for path in ROOT.glob("packaging/*/pyproject.toml")} == {
        name.removeprefix("swp-export-") for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_distribution_is_the_same_program(name: str) -> None:
    """It has the whole one's version, command, Python, license and data files, and takes its code from one folder."""
    whole, other = pyproject(), pyproject(name)
    assert other["project"]["name"] == name
    for key in ("version", "scripts", "requires-python", "license"):
        assert other["project"][key] == whole["project"][key]
    assert other["build-system"] == whole["build-system"]
    extras = whole["project"]["optional-dependencies"]
    found = other["project"]["optional-dependencies"]
    assert found == {key: extras[key] for key in ("report", "train", "openvino") if key in found}
    assert ("train" in found) == ("torch" not in {each.name: each for each in DISTRIBUTIONS}[name].without)
    assert other["tool"]["setuptools"]["package-data"] == whole["tool"]["setuptools"]["package-data"]
    folder = ROOT / "packaging" / name.removeprefix("swp-export-")
    assert (folder / other["tool"]["setuptools"]["package-dir"]["swp_export"]).resolve() == ROOT / "swp_export"


@pytest.mark.parametrize("distribution", DISTRIBUTIONS[1:], ids=NAMES)
def test_it_needs_what_the_whole_one_needs_but_what_it_leaves_out(distribution: module.Distribution) -> None:
    """Its requirements are the whole one's, with its own ONNX Runtime and without what the table says."""
    whole = without_marker(pyproject()["project"]["dependencies"])
    found = without_marker(pyproject(distribution.name)["project"]["dependencies"])
    left_out = {need for need in whole - found if not need.startswith("onnxruntime")}
    assert found < whole
    assert {re.split("[<>=]", need)[0] for need in left_out} == distribution.without - {"torchvision"}
    assert [re.split("[<>=]", need)[0] for need in found if need.startswith("onnxruntime")] == [distribution.runtime]


@pytest.mark.parametrize("name", ["swp-export", *NAMES])
def test_it_tells_its_version_by_whatever_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` and what is written into models are there, as whatever it is installed."""

    def version(of: str) -> str:
        if of != name:
            raise importlib.metadata.PackageNotFoundError(of)
        return "7.8.9"

    monkeypatch.setattr(module.importlib.metadata, "version", version)
    assert CliRunner().invoke(cli, ["--version"]).output == f"{name}, version 7.8.9\n"
    assert program_version() == "7.8.9"


def test_it_runs_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkout that nobody installed, the version is unknown, which is no error."""
    monkeypatch.setattr(module, "DISTRIBUTIONS", ())
    assert program_version() == "unknown"


def test_models_are_pruned_without_torch(tmp_path: Path) -> None:
    """Where only models run, prune, verify, inspect and doctor work: nothing imports what is left out."""
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    weight[1:, :, 0] = 0
    text = "y = Conv <pads = [1, 1, 1, 1]> (x, w)"
    model = model_from_text(text, x="float[N, 3, 8, 8] x", y="float[N, 4, 8, 8] y", w=weight)
    onnx.save(ir.to_proto(model), tmp_path / "given.onnx")
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'onnxscript', 'safetensors']))\n"
        "from swp_export.cli import cli\n"
        "for line in ('prune given.onnx -o small.onnx', 'verify small.onnx --against given.onnx',\n"
        "             'inspect small.onnx', 'doctor'):\n"
        "    cli.main(line.split(), standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "equivalent" in done.stdout
