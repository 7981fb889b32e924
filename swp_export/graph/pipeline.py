"""The passes that turn a dense masked model into a compact one, in order."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from swp_export.graph.passes.fold_constant_branches import FoldConstantBranches
from swp_export.graph.passes.fold_constant_channels import FoldConstantChannels
from swp_export.graph.passes.gather_channels import GatherChannels
from swp_export.graph.passes.remove_dead_channels import RemoveDeadChannels
from swp_export.graph.passes.remove_identity import RemoveIdentity
from swp_export.graph.passes.remove_repeated_relu import RemoveRepeatedRelu
from swp_export.graph.passes.split_uneven_groups import SplitUnevenGroups

logger = logging.getLogger(__name__)

PASSES: tuple[type[ir.passes.InPlacePass], ...] = (
    RemoveIdentity,
    FoldConstantChannels,
    FoldConstantBranches,
    RemoveRepeatedRelu,
    RemoveUnusedNodesPass,
    RemoveDeadChannels,
)

MAX_ROUNDS = 20
"""Rounds end when nothing changes; each round but the last removes something, and two or three are usual."""


def compact(model: ir.Model) -> ir.Model:
    """Prune `model` (dense, masked: weights exactly zero in dead stripes) in place, exactly, and return it."""
    before = len(model.graph)
    rounds = ir.passes.PassManager([make() for make in PASSES], steps=MAX_ROUNDS, early_stop=True)
    model = rounds(model).model
    if SplitUnevenGroups()(model).modified:  # last, since it takes what is left of each group for what will be left
        model = rounds(model).model
    model = ir.passes.Sequential(GatherChannels(), RemoveUnusedNodesPass(), RemoveDeadChannels())(model).model
    logger.debug("compacted %d nodes to %d", before, len(model.graph))
    return model
