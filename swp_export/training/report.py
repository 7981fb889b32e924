"""What `train` reports."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training.

    Attributes:
        network: Path of the trained network, a self-describing checkpoint.
        log: Path of the record of the epochs.
        architecture: Its name, as the checkpoint has it.
        threshold: That of the skeletons, recorded in the checkpoint too.
        stripes: Layer -> how many stripes it has.
        epochs: One record each: `epoch`, `lr`, `loss`, `accuracy` (percent), `test_loss`, `test_accuracy`,
            `live_stripes` (layer -> number), `seconds`.

    """

    network: str
    log: str
    architecture: str
    threshold: float
    stripes: Mapping[str, int]
    epochs: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `train --json` prints."""
        return {**dataclasses.asdict(self), "epochs": list(self.epochs)}

    def summary(self) -> str:
        """Return one line on what came of it."""
        last = self.epochs[-1]
        live, stripes = sum(last["live_stripes"].values()), sum(self.stripes.values())
        return (
            f"{self.network}: {last['test_accuracy']:.2f} % of the test set right, {live:,} of {stripes:,} "
            f"stripes live ({live / stripes:.1%})"
        )
