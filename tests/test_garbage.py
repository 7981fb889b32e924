"""Garbage collection stops for a block, and never for longer."""

from __future__ import annotations

import gc

import pytest

from swp_export.garbage import without_collection


def test_it_goes_on_behind_the_block() -> None:
    """Also behind one that failed."""

    @without_collection()
    def fail() -> None:
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gc.isenabled()


def test_who_switched_it_off_finds_it_off() -> None:
    """A block within a block ends nothing."""
    with without_collection():
        with without_collection():
            pass
        assert not gc.isenabled()
