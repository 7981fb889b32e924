"""What each process of `test_ranks` does: torchrun two_processes.py DATA OUTPUT."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest import mock

import tiny_training
import torch
from tiny_training import OPTIONS
from torch import nn

from swp_export.errors import SwpExportError
from swp_export.training.train import train

NETWORKS: list[nn.Module] = []
RANK = int(os.environ["RANK"])


def plain(num_classes: int) -> nn.Module:
    """Keep the network that `train` makes, to look at it afterwards."""
    NETWORKS.append(tiny_training.plain(num_classes))
    return NETWORKS[-1]


def spread(num_classes: int) -> nn.Module:
    """Do so for the one with BatchNorm."""
    NETWORKS.append(tiny_training.spread(num_classes))
    return NETWORKS[-1]


def main(data: Path, output: Path) -> None:
    """Train two networks, one after the other, and make mistakes."""
    torch.set_num_threads(1)
    options = OPTIONS | {"data_path": data}
    if RANK:  # a process that is not the first and writes fails
        mock.patch("swp_export.checkpoint.self_describing.atomic_write", None).start()
        mock.patch("swp_export.training.run_folder.atomic_write", None).start()
    told: list[str] = []
    errors: list[str] = []
    for name in ("plain", "spread"):
        train(
            save=output / name,
            progress=lambda text, _: told.append(text),
            **options | {"arch": f"two_processes:{name}"},
        )
        torch.save(NETWORKS[-1].state_dict(), output / f"{name}-{RANK}.pth")
    for wrong in ({"batch_size": 15}, {}, {"dataset": "imagefolder", "download": True}, {"data_path": "nowhere"}):
        try:
            train(save=output / "spread", **options | wrong)
        except SwpExportError as error:
            errors.append(str(error))
    (output / f"{RANK}.json").write_text(json.dumps({"told": len(told), "errors": errors}))


if __name__ == "__main__":
    sys.modules["two_processes"] = sys.modules["__main__"]
    main(Path(sys.argv[1]), Path(sys.argv[2]))
