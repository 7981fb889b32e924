"""What `train` reports."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.training.log import TrainingLog


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training.

    Attributes:
        network: Path of the trained network, a self-describing checkpoint.
        log: The record of its epochs.
        architecture: Its name, as the checkpoint has it.
        threshold: That of the skeletons, recorded in the checkpoint too.
        stripes: Layer -> how many stripes it has.

    """

    network: str
    log: TrainingLog
    architecture: str
    threshold: float
    stripes: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `train --json` prints."""
        return {"command": "train"} | dataclasses.asdict(self)

    def summary(self) -> str:
        """Return one line on what came of it."""
        last = self.log.epochs[-1]
        live, stripes = sum(last["live_stripes"].values()), sum(self.stripes.values())
        return (
            f"{self.network}: {last['test_accuracy']:.2f} % of the test set right, {live:,} of {stripes:,} "
            f"stripes live ({live / stripes:.1%})"
        )
