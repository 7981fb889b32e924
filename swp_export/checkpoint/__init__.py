"""Checkpoints: read in every layout, and written in the self-describing format. No code of a file is ever executed."""

from swp_export.checkpoint.layouts import SKELETON_SUFFIX, Layout
from swp_export.checkpoint.reading import Checkpoint, read_checkpoint
from swp_export.checkpoint.self_describing import read_training, write_checkpoint

__all__ = ["SKELETON_SUFFIX", "Checkpoint", "Layout", "read_checkpoint", "read_training", "write_checkpoint"]
