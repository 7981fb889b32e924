"""Which channels of a graph are one and the same (union-find), and why some must stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]


class Identities:
    """An integer for every channel: two channels with the same integer are removed together, or stay together."""

    def __init__(self) -> None:
        self._parent = np.zeros(0, np.int64)
        self._count = 0
        self._pinned: list[tuple[Ids, str]] = []

    def __len__(self) -> int:
        """Upper bound of the integers."""
        return self._count

    def fresh(self, count: int) -> Ids:
        """Return `count` channels that are none of those before, int64."""
        start, self._count = self._count, self._count + count
        if self._count > self._parent.size:  # doubled, so that a network of any depth costs the same per layer
            grown = np.arange(max(self._count, 2 * self._parent.size), dtype=np.int64)
            grown[: self._parent.size] = self._parent
            self._parent = grown
        return np.arange(start, self._count, dtype=np.int64)

    def unite(self, some: Ids, others: Ids) -> None:
        """Make each of `some` the same channel as the one of `others` at its place."""
        for one, other in zip(self.roots(some).tolist(), self.roots(others).tolist(), strict=True):
            roots = self._root(one), self._root(other)
            self._parent[max(roots)] = min(roots)

    def roots(self, ids: Ids) -> Ids:
        """Return the one integer that each of `ids` has in common with all that it was united with."""
        while True:
            parents: Ids = self._parent[ids]
            if np.array_equal(parents, ids):
                return parents
            ids = parents

    def pin(self, ids: Ids, reason: str) -> None:
        """State that `ids` must stay, and why."""
        self._pinned.append((ids, reason))

    def pinned(self) -> Ids:
        """Return the channels that must stay, int64, sorted."""
        return np.unique(self.roots(np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in self._pinned)])))

    def reasons(self) -> dict[int, str]:
        """Return why each channel that must stay has to: the reason that was stated first."""
        reasons: dict[int, str] = {}
        for ids, reason in self._pinned:
            for root in self.roots(ids).tolist():
                reasons.setdefault(root, reason)
        return reasons

    def _root(self, identity: int) -> int:
        while self._parent[identity] != identity:
            self._parent[identity] = self._parent[self._parent[identity]]
            identity = int(self._parent[identity])
        return identity
