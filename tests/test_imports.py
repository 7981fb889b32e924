"""Imports point one way: no module imports from a stage below its own, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1] / "swp_export"

# A module may import from its own stage and from those above it. Names are files or folders of swp_export.
STAGES: tuple[tuple[str, ...], ...] = (
    ("errors",),
    (
        "distributions",
        "stripes",
        "printable",
        "input_file",
        "figures",
        "file_kinds",
        "memory",
        "garbage",
        "progress",
        "shown",
    ),
    ("atomic", "isolated", "junit", "npz"),
    ("checkpoint",),
    ("nn",),
    ("architectures",),
    ("network",),
    ("training",),
    ("graph",),
    ("lowerings",),
    ("runtime",),
    ("precision",),
    ("verification",),
    ("benchmark",),
    ("tuning",),
    ("pruning", "inspection", "gates"),
    ("page",),
    ("sweeping",),
    ("command_line",),
    ("cli",),
)
PUBLIC = ("__init__", "__main__")
"""They open the package from outside, so they may import anything, and nothing may import them."""

STAGE_OF = {name: number for number, names in enumerate(STAGES) for name in names}
FILES = sorted(ROOT.rglob("*.py"))


def imported(source: str, *, types: bool = True) -> set[str]:
    """Return the dotted names that `source` imports, inside functions too, and those for type checkers if `types`."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if not types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return names


def package_of(name: str) -> str:
    """Return the file or folder of swp_export that the dotted `name` lies in; "" for other packages."""
    first, _, rest = name.partition(".")
    return rest.split(".")[0] if first == "swp_export" else ""


def part_of(path: Path) -> str:
    """Return the file or folder of swp_export that `path` lies in."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def violations(part: str, source: str) -> list[str]:
    """Return the imports of `source`, a file of `part`, that point below its stage."""
    own = STAGE_OF[part]
    return [name for name in sorted(imported(source)) if STAGE_OF.get(package_of(name), -1) > own]


def test_every_stage_exists() -> None:
    """What the tables above name is there."""
    assert {*STAGE_OF, *PUBLIC} == {part_of(path) for path in FILES}


@pytest.mark.parametrize("path", [p for p in FILES if part_of(p) not in PUBLIC], ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path: Path) -> None:
    """A module imports from its own stage and from those above it only."""
    assert part_of(path) in STAGE_OF, f"{path} belongs to no stage: put it in STAGES"
    assert violations(part_of(path), path.read_text()) == []


def test_a_wrong_arrow_is_found() -> None:
    """An import of a lower stage is found at the top, inside a function, and under TYPE_CHECKING."""
    assert violations("stripes", "from swp_export.graph.constants import array_of") != []
    assert violations("graph", "def f():\n    import swp_export.lowerings.lower") != []
    assert violations("graph", "from swp_export import verification") != []
    assert violations("graph", "if TYPE_CHECKING:\n    from swp_export.lowerings.lower import lower") != []
    assert violations("lowerings", "from swp_export.graph.constants import array_of") == []


def module_of(path: Path) -> str:
    """Return the dotted name of the file `path`; a package's `__init__` goes by the package's name."""
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, each followed by one that it imports; empty without one."""
    done: set[str] = set()
    for start in arrows:
        way: list[str] = []
        pending = [(start, False)]
        while pending:
            name, left = pending.pop()
            if left:
                done.add(way.pop())
            elif name in way:
                return [*way[way.index(name) :], name]
            elif name not in done:
                way.append(name)
                pending += [(name, True), *((other, False) for other in sorted(arrows[name]))]
    return []


def test_no_circles() -> None:
    """No module imports, by whatever way, one that imports it: not inside functions, not for type checkers alone."""
    modules = {module_of(path): path for path in FILES}
    arrows: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = imported(path.read_text())
        found = {name if name in modules else name.rpartition(".")[0] for name in names} & modules.keys()
        arrows[module] = found - {module}
    assert circle(arrows) == []


def test_a_circle_is_found() -> None:
    """A circle is found behind a module that is in none, and named in the order of its imports."""
    assert circle({"a": {"b", "e"}, "b": {"c"}, "c": {"d"}, "d": {"b"}, "e": set()}) == ["b", "c", "d", "b"]
    assert circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_imports_the_way_in(path: Path) -> None:
    """The command line and the package's own front are imported by nobody else inside the package."""
    if part_of(path) not in {*PUBLIC, "cli"}:
        assert "cli" not in {package_of(name) for name in imported(path.read_text())}
        assert not imported(path.read_text()) & {"swp_export"}


def packages(path: Path) -> set[str]:
    """Return the top-level packages that `path` imports when it runs."""
    return {name.split(".")[0] for name in imported(path.read_text(), types=False)}


def test_stripes_need_numpy_only() -> None:
    """The vocabulary's types stand on numpy and the standard library."""
    assert packages(ROOT / "stripes.py") == {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "math",
        "numpy",
        "typing",
    }


@pytest.mark.parametrize(
    "part", ["lowerings", "runtime", "precision", "benchmark", "tuning", "command_line", "errors", "atomic"]
)
def test_works_without_torch(part: str) -> None:
    """What runs on the target machine imports no torch, in no function either."""
    files = [path for path in FILES if part_of(path) == part]
    assert files
    assert [path for path in files if packages(path) & {"torch", "torchvision"}] == []


def test_torch_is_imported_only_for_checkpoints() -> None:
    """What verifies, measures, tunes and inspects models loads without torch, with all that it imports at once."""
    parts = {"verification", "runtime", "benchmark", "tuning"}
    files = [path for path in FILES if part_of(path) in parts] + [ROOT / "inspection" / "onnx_file.py"]
    names = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in files]
    code = (
        "import importlib, sys\n"
        "sys.modules.update(torch=None, torchvision=None)\n"  # makes an import of them fail
        f"for name in {names}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_one_file_spells_metadata_keys() -> None:
    """What models of ours say of themselves is spelled, written and read by one module."""
    keys = re.compile(r"[\"']swp_export\.[a-z_0-9]*[\"']")
    modules = {"__init__.py"}  # names modules, which look like keys
    found = [path.relative_to(ROOT) for path in FILES if path.name not in modules and keys.search(path.read_text())]
    assert found == [Path("graph", "metadata.py")]


def test_only_one_file_imports_the_simplifier() -> None:
    """Importing onnxsim takes seconds, and it can crash, so only a process of its own does it."""
    assert [path.name for path in FILES if "onnxsim" in packages(path)] == ["isolated.py"]
