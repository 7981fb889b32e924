"""What a run leaves in its folder: everything needed to go on, and the record of its epochs.

`checkpoint.pth` is a checkpoint of the self-describing layout, so that `prune` and `inspect` read it at any time, with
the state of the training beside it. It is replaced as a whole after each epoch; `log.jsonl` is written from it, so the
two never disagree. `network.pth` appears when the training is done: the same network without the training's state.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from swp_export.atomic import atomic_write
from swp_export.checkpoint import read_training, write_checkpoint
from swp_export.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The files of one run. `description` is what makes them self-describing, see `write_checkpoint`."""

    path: Path
    description: Mapping[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The state after the last whole epoch."""
        return self.path / "checkpoint.pth"

    @property
    def network(self) -> Path:
        """The trained network; there when the training is done."""
        return self.path / "network.pth"

    @property
    def log(self) -> Path:
        """One JSON document per epoch."""
        return self.path / "log.jsonl"

    def prepare(self, *, resume: bool, force: bool) -> None:
        """Make the folder, and refuse to overwrite another run.

        Raises:
            OutputError: There is a run already and neither `resume` nor `force`, or the folder cannot be made.

        """
        resumable = resume and self.checkpoint.exists()
        if (self.checkpoint.exists() or self.network.exists()) and not resumable and not force:
            advice = "no checkpoint.pth to go on from" if resume else "pass --resume to go on with it"
            raise OutputError(f"{self.path} holds a run already; {advice}, --force to begin anew")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not resumable:
                for file in (self.checkpoint, self.network, self.log):  # of the run that is overwritten
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to the folder {self.path}: {error.strerror}") from error

    def read(self, settings: Mapping[str, object]) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the network's and the training's state to go on from, None if there is none yet.

        Raises:
            CheckpointError: It was begun with other `settings`, or is damaged.

        """
        if not self.checkpoint.exists():
            return None
        state, training = read_training(self.checkpoint)
        begun = training.get("settings")
        if not isinstance(begun, dict):
            raise CheckpointError(f"{self.checkpoint} is damaged: it lacks its settings; begin anew with --force")
        other = {key: (begun.get(key), value) for key, value in settings.items()}
        changed = [f"{key} was {was}, now {now}" for key, (was, now) in other.items() if was != now]
        if changed:
            raise CheckpointError(
                f"{self.checkpoint} was begun with other settings ({'; '.join(changed)}); resume with the same ones, "
                "or train in another folder"
            )
        return state, training

    def write(
        self, state: Mapping[str, torch.Tensor], training: Mapping[str, Any], log: Sequence[Mapping[str, Any]]
    ) -> None:
        """Replace checkpoint and log."""
        write_checkpoint(
            self.checkpoint, state, training={**training, "log": list(log)}, force=True, **self.description
        )
        self.write_log(log)

    def write_log(self, log: Sequence[Mapping[str, Any]]) -> None:
        """Replace the log."""
        with atomic_write(self.log, force=True) as temporary:
            temporary.write_text("".join(f"{json.dumps(record)}\n" for record in log), encoding="utf-8")

    def finish(self, state: Mapping[str, torch.Tensor]) -> None:
        """Write the trained network."""
        write_checkpoint(self.network, state, force=True, **self.description)
