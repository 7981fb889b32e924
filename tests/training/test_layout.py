"""Training on the CPU lays tensors out plainly: torch's other layout crashes there in narrow layers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("narrow_layers.py")


def test_narrow_1x1_convolutions_of_stride_2_are_trained(tmp_path: Path) -> None:
    """In a process of its own, which ends with 0, with gradients that agree with those of float64.

    The network arrives with weights that lie channels last, as people's own networks may.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
