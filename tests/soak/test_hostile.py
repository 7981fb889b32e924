"""Hostile inputs, a small run over all readers. `make soak` tries 10,000."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soak.hostile import READERS, Attacker, hostile_input

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """Return what runs commands on the sound files, damaged."""
    attacker = Attacker(tmp_path_factory.mktemp("hostile"))
    yield attacker
    attacker.close()


def test_each_kind_of_file_is_damaged(attacker: Attacker) -> None:
    """Every reader has its turn, and what it gets differs from the sound file; the same number makes the same input."""
    met = set()
    for seed in range(100):
        reader, command, content = hostile_input(seed, attacker.sound)
        met.add(reader.name)
        again = hostile_input(seed, attacker.sound)
        assert (reader, command) == again[:2]
        assert content == again[2] or content.startswith(b"\x80")  # the legacy format holds addresses
    assert met == {reader.name for reader in READERS}


def test_the_program_keeps_its_word(attacker: Attacker) -> None:
    """No traceback, crash, hang, gigabytes, control character or lost input, whatever the file holds."""
    attacks = [attacker.attack(seed) for seed in range(48)]
    assert [attack for attack in attacks if attack.failure is not None] == []
    assert {attack.code for attack in attacks} >= {"0", "2"}
