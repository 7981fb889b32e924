"""What is written is the fastest form that computes what it should; the next fastest where it does not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from swp_export.tuning.final_race import ranked
from swp_export.tuning.tuned_model import _first_equivalent
from swp_export.verification.report import NotEquivalentError

if TYPE_CHECKING:
    from swp_export.tuning.candidates import Discarded

ROUNDS = np.random.default_rng(0).uniform(0.99, 1.01, (3, 8, 5))


def taking(seconds: float) -> list[list[np.ndarray]]:
    """Return the times of three instances of a model whose run takes about so long."""
    return [list(instance) for instance in seconds * ROUNDS]


@dataclasses.dataclass
class Report:
    """A verification's outcome."""

    equivalent: bool
    name: str

    def summary(self) -> str:
        """Say whose it is."""
        return f"not equivalent: {self.name}"


class Forms:
    """Forms of a model by name, some of them wrong; keeps what was verified and what was discarded."""

    def __init__(self, contents: dict[str, bytes], wrong: set[bytes]) -> None:
        self.contents, self.wrong = contents, wrong
        self.verified: list[bytes] = []
        self.discarded: list[Discarded] = []

    def verify(self, content: bytes) -> Report:
        """Compare one."""
        self.verified.append(content)
        return Report(equivalent=content not in self.wrong, name=content.decode())

    def first(self, ranked: list[str]) -> str:
        """Return the name of the one to write."""
        return _first_equivalent(ranked, self.contents, self.verify, self)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ({"found": 1, "own": 2, "dense": 3}, ["found", "own", "dense"]),
        ({"found": 1, "own": 3, "dense": 2}, ["found", "dense", "own"]),
        ({"found": 3, "own": 2, "dense": 1}, ["dense", "own", "found"]),
        ({"found": 2, "own": 1, "dense": 3}, ["own", "found", "dense"]),
    ],
)
def test_what_is_next_goes_by_time(times: dict[str, float], order: list[str]) -> None:
    """What was found is first unless another is shown to be faster; the others follow by how long they took."""
    assert ranked({name: taking(seconds) for name, seconds in times.items()}) == order


def test_what_is_not_shown_to_be_faster_comes_behind() -> None:
    """A rival whose lead is within the noise does not displace what was found."""
    swaying = [list(instance) for instance in 0.999 * ROUNDS[:, ::-1]]
    assert ranked({"found": taking(1), "own": taking(2), "dense": swaying}) == ["found", "dense", "own"]


def test_the_next_one_is_taken() -> None:
    """A wrong form is discarded with its reason, and the next one verified."""
    forms = Forms({"found": b"f", "own": b"o", "dense": b"d"}, wrong={b"f"})
    assert forms.first(["found", "dense", "own"]) == "dense"
    assert forms.verified == [b"f", b"d"]
    assert [(each.lowering, each.reason) for each in forms.discarded] == [("found", "not equivalent: f")]


def test_like_contents_are_verified_once() -> None:
    """Where the plan that was found is the model's own, it is wrong twice and verified once."""
    forms = Forms({"found": b"f", "own": b"f", "dense": b"d"}, wrong={b"f"})
    assert forms.first(["found", "own", "dense"]) == "dense"
    assert forms.verified == [b"f", b"d"]
    assert [each.lowering for each in forms.discarded] == ["found", "own"]


def test_nothing_is_right() -> None:
    """Where every form is wrong, the error is the fastest one's."""
    forms = Forms({"found": b"f", "own": b"f", "dense": b"f"}, wrong={b"f"})
    with pytest.raises(NotEquivalentError, match="not equivalent: f"):
        forms.first(["found", "own", "dense"])
    assert forms.verified == [b"f"]
