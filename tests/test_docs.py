"""README and the pages of docs/ keep their word: commands and Python blocks run, links and figures of speech hold."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from in_process import in_less_time, printed
from mkdocs.commands.build import build
from mkdocs.config import load_config
from PIL import Image
from tiny_training import write_images

from swp_export.graph.operators.operator import ChannelRule
from swp_export.graph.operators.table import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTED_ELSEWHERE = ("adding-an-operator.md", "adding-a-lowering.md")
"""Their blocks are parts of the program, or of a lowering that has its own test."""
RUN = [name for name, text in PAGES.items() if name not in TESTED_ELSEWHERE and re.search("```(console|python)", text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that looks like the checkout to the commands, with a small data set to train on, and a picture."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "models").symlink_to(ROOT / "models")
    write_images(folder / "data")
    Image.new("RGB", (40, 30), "grey").save(folder / "shoe.png")
    return folder


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Return the commands that have run in the folder: pages repeat those that they build on."""
    return set()


def run_line(line: str) -> None:
    """Run a command as a shell would, with `> FILE`; only doctor may find something amiss."""
    command, _, file = line.removeprefix("$ ").partition(" > ")
    program, *arguments = shlex.split(command)
    assert program == "swp-export", line
    output = printed(in_less_time(arguments), may_fail=arguments == ["doctor"])
    if file:
        Path(file).write_text(output, encoding="utf-8")


@pytest.mark.parametrize("name", RUN)
def test_commands_and_python_run(name: str, folder: Path, done: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page stands alone: its commands and Python blocks succeed in a checkout; a TOML block is its gates.toml."""
    monkeypatch.chdir(folder)
    names = {"__name__": "__main__"}  # a page's blocks are one session
    for language, text in BLOCK.findall(PAGES[name]):
        if language == "toml":
            Path("gates.toml").write_text(text, encoding="utf-8")
        if language == "python":
            exec(compile(text, name, "exec"), names)  # noqa: S102 # what the page says
        for line in text.splitlines() if language == "console" else ():
            if line not in done:
                run_line(line)
                done.add(line)


def test_most_pages_show_how() -> None:
    """README shows four commands or more, and nothing that runs hides under another language."""
    assert len(RUN) >= 10
    commands = [line for language, text in BLOCK.findall(PAGES["README.md"]) for line in text.splitlines()]
    assert len([line for line in commands if line.startswith("$ swp-export")]) >= 4
    for name, text in PAGES.items():
        known = {"bibtex", "console", "python", "sh", "text", "toml", "yaml"}
        assert {language for language, _ in BLOCK.findall(text)} <= known, name


def test_readme_is_short() -> None:
    """README has at most 900 words."""
    assert len(PAGES["README.md"].split()) <= 900


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name: str) -> None:
    """What README and CONTRIBUTING link to is there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)#]+)[^)]*\)", text), *re.findall(r'src="([^"]+)"', text)]
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_pages_build_strictly(tmp_path: Path) -> None:
    """What `make docs` does: every link and anchor of docs/ leads somewhere, and every page is in the contents."""
    config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path))
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    assert (tmp_path / "index.html").exists()


def test_files_that_pages_name_are_there() -> None:
    """A path of the project in backticks exists."""
    named = re.compile(r"`(?:python |sh )?((?:benchmarks|docs|examples|models|swp_export|tests)/[\w./-]*)")
    for name, text in PAGES.items():
        found = {path.rstrip(".") for path in named.findall(text)} - {"tests/lowerings/test_"}
        assert [path for path in sorted(found) if not (ROOT / path).exists()] == [], name


@pytest.mark.parametrize(("before", "keeps"), [("Channels are followed through ", False), ("they read: ", True)])
def test_the_lists_of_operators_are_those_of_the_table(before: str, keeps: bool) -> None:
    """Each list names the operators of the table that follow channels, or keep them, by alphabet."""
    names = [f"`{name}`" for name, row in sorted(OPERATORS.items()) if (type(row.channels) is ChannelRule) == keeps]
    listed = ", ".join(names[:-1]) + " and " + names[-1] + "."
    page = " ".join(PAGES["your-network.md"].split())
    assert f"{before}{listed}" in page, f"docs/your-network.md should say: {before}{listed}"


def test_make_targets_exist() -> None:
    """Make targets that README, CONTRIBUTING and the pages name are in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join([*PAGES.values(), (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")])
    targets = set(re.findall(r"`make (\w+)`", text)) | set(re.findall(r"^make (\w+)$", text, re.MULTILINE))
    assert {"demo", "test", "lint", "docs", "bench"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
