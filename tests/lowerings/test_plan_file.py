"""Plan files: written, read, and refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.errors import InputError
from swp_export.lowerings import FORMER_NAMES, LOWERINGS, lowering_named
from swp_export.lowerings.plan_file import PlanFile, read_plan

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"format": "swp-export-plan", "version": 1, "block": 8, "layers": {"conv0": "dense"}}
MALFORMED = {
    "empty": "",
    "no JSON": "layers: conv0",
    "truncated": json.dumps(GOOD)[:-5],
    "bytes that are no text": b"\xff\xfe\x00",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "nested without end": "[" * 100_000,
    "a list": "[]",
    "null": "null",
    "no fields": "{}",
    "another format": json.dumps({**GOOD, "format": "plan"}),
    "no block": json.dumps({k: v for k, v in GOOD.items() if k != "block"}),
    "a block that is text": json.dumps({**GOOD, "block": "8"}),
    "a block that is a fraction": json.dumps({**GOOD, "block": 8.5}),
    "a block that is true": json.dumps({**GOOD, "block": True}),
    "a block of nothing": json.dumps({**GOOD, "block": 0}),
    "a negative block": json.dumps({**GOOD, "block": -8}),
    "no layers": json.dumps({k: v for k, v in GOOD.items() if k != "layers"}),
    "layers in a list": json.dumps({**GOOD, "layers": ["dense"]}),
    "a lowering that is a number": json.dumps({**GOOD, "layers": {"conv0": 1}}),
    "a lowering that is null": json.dumps({**GOOD, "layers": {"conv0": None}}),
}


def write(path: Path, content: str | bytes) -> Path:
    """Write `content` to `path` and return it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))),
    st.integers(1, 64),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.none() | st.integers() | st.lists(st.integers())),
)
def test_round_trips_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, layers: dict[str, str], multiple: int, found_on: dict[str, object]
) -> None:
    """A plan that was written, read and written again is the same file, and the same plan with its layers in order."""
    plan = PlanFile(layers=layers, multiple=multiple, found_on=found_on)
    read = read_plan(write(tmp_path_factory.getbasetemp() / "plan.json", plan.to_text()))
    assert read == plan
    assert read.to_text().encode() == plan.to_text().encode()
    assert list(read.layers) == list(layers)


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    """One line that names the file and what writes a good one."""
    path = write(tmp_path / "plan.json", MALFORMED[kind])
    with pytest.raises(InputError) as caught:
        read_plan(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "tune" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_named(version: object, tmp_path: Path) -> None:
    """Both versions: the file's and the program's."""
    path = write(tmp_path / "plan.json", json.dumps({**GOOD, "version": version}))
    with pytest.raises(InputError, match=f"is a plan of version {version!r}, this program reads version 1"):
        read_plan(path)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    """So is a folder."""
    with pytest.raises(InputError, match=r"cannot read .*No such file.*; expected a plan that tune wrote"):
        read_plan(tmp_path / "missing.json")
    with pytest.raises(InputError, match="cannot read"):
        read_plan(tmp_path)


@pytest.mark.parametrize("found_on", [None, [], "here"])
def test_circumstances_are_for_the_reader_only(found_on: object, tmp_path: Path) -> None:
    """A plan without usable ones, as somebody writes by hand, is a plan."""
    path = write(tmp_path / "plan.json", json.dumps({**GOOD, "found_on": found_on}))
    assert read_plan(path) == PlanFile(layers={"conv0": "dense"}, multiple=8)


def test_former_names_are_read(tmp_path: Path) -> None:
    """Published plans carry what lowerings were called before; every one of those is a lowering now."""
    layers = dict(enumerate(FORMER_NAMES)) | {-1: "dense"}
    document = {**GOOD, "layers": {f"conv{number}": name for number, name in layers.items()}}
    plan = read_plan(write(tmp_path / "plan.json", json.dumps(document)))
    assert list(plan.layers.values()) == [*FORMER_NAMES.values(), "dense"]
    assert all(lowering_named(former) is LOWERINGS[name] for former, name in FORMER_NAMES.items())
