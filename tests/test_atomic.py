"""Files are there completely or not at all."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from swp_export.atomic import atomic_outputs, atomic_write
from swp_export.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_target_appears_when_the_body_ends(tmp_path: Path) -> None:
    """The temporary file lies beside the target, has its suffix, and becomes it."""
    target = tmp_path / "model.onnx"
    with atomic_write(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".onnx"
        temporary.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    """Nothing is overwritten, and the error says how it would be."""
    target = tmp_path / "model.onnx"
    target.write_text("old")
    with pytest.raises(OutputError, match=r"model\.onnx exists already; pass --force"), atomic_write(target):
        pytest.fail("the body must not run")
    assert target.read_text() == "old"


def test_a_file_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    """The target is looked for again before the last step."""
    target = tmp_path / "model.onnx"
    with pytest.raises(OutputError, match="exists already"), atomic_write(target):
        target.write_text("another program's")
    assert target.read_text() == "another program's"
    assert list(tmp_path.iterdir()) == [target]


def test_force_replaces_the_file(tmp_path: Path) -> None:
    """With force the old content stays until the new one is complete."""
    target = tmp_path / "model.onnx"
    target.write_text("old")
    with atomic_write(target, force=True) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, FileNotFoundError])
def test_an_exception_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """Any exception of the body, Ctrl-C included, passes through and leaves neither target nor temporary file."""

    def write_half() -> None:
        with atomic_write(tmp_path / "model.onnx") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """ENOSPC while writing names the target and leaves nothing."""
    with (
        pytest.raises(OutputError, match=r"^cannot write .*model\.onnx: No space left on device; nothing was written$"),
        atomic_write(tmp_path / "model.onnx"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A target in a folder that does not exist cannot be written, and none is created."""
    with (
        pytest.raises(OutputError, match=r"cannot write .*model\.onnx: No such file or directory"),
        atomic_write(tmp_path / "missing" / "model.onnx"),
    ):
        pytest.fail("the body must not run")


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    """A folder is not replaced, not even with force."""
    with pytest.raises(OutputError, match="is a folder"), atomic_write(tmp_path, force=True):
        pytest.fail("the body must not run")


def test_a_device_is_no_target() -> None:
    """`/dev/null` is not replaced by a file, not even with force."""
    with pytest.raises(OutputError, match="not a regular file"), atomic_write("/dev/null", force=True):
        pytest.fail("the body must not run")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What a symbolic link points to is replaced, not the link."""
    target, link = tmp_path / "model-1.onnx", tmp_path / "model.onnx"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link, force=True) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_several_outputs_are_distinct_and_no_input(tmp_path: Path) -> None:
    """Two outputs in one file, or an output over an input however it is spelled, are refused before anything is."""
    source = tmp_path / "source"
    source.write_text("precious")
    for targets in ((source,), (tmp_path / "a", tmp_path / "a"), (tmp_path / "." / "source",)):
        with (
            pytest.raises(OutputError, match="name another file"),
            atomic_outputs(*targets, inputs=[source], force=True),
        ):
            pytest.fail("the body must not run")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_several_outputs_appear_together_or_not_at_all(tmp_path: Path) -> None:
    """Where the body fails, none of them is there; a target that is not asked for is None."""

    def fail() -> None:
        with atomic_outputs(tmp_path / "a", None, tmp_path / "b", inputs=[], force=False) as files:
            assert files[1] is None
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
