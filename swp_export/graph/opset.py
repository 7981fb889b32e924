"""Bring a model to the one opset that the passes and lowerings know.

Older models are brought up to OPSET. Newer ones keep theirs: of what we read and emit, nothing but the types that are
admitted has changed since, and a file of opset 22 was made for a runtime that has it.

Not by `onnx.version_converter`, which drops node metadata, leaves subgraphs as they are and ends the process on some
files. What changed from opset 7 to 18 is history and fits into one table, `opset_changes`.
"""

from __future__ import annotations

import onnx.defs
import onnx.helper
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.opset_changes import CHANGES

OPSET = 18
"""With opset 22, ONNX Runtime before 1.26 does not move Conv to its fast layout; 18 has all that we emit."""
OLDEST = 7
"""ONNX Runtime runs nothing older, so nothing older can be checked."""


def bring_to_opset(model: ir.Model, label: str) -> None:
    """Rewrite `model`, which knows its tensors' types and has no functions, in place: its opset is OPSET or later.

    Raises:
        ModelError: it is older than OLDEST, newer than what onnx knows, or has an operator that has no equal in OPSET.
            The message calls the model `label`.

    """
    found = model.opset_imports.get("", OPSET)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= found <= newest:
        raise ModelError(
            f"{label} is of opset {found}, expected {OLDEST} to {newest}; export it again with one of them"
        )
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        name = operator_of(node)
        if not name:
            continue
        _require_schema(node, name, found, label)
        for since, change in CHANGES.get(name, ()):
            if found < since <= OPSET:
                reason = change(node)
                if reason is not None:
                    raise ModelError(
                        f"{label}: {name} {node.name or _first_output(node)!r} of opset {found} {reason}, which has "
                        f"no equal in opset {OPSET}; export the model again with opset {OPSET}"
                    )
    opset = max(found, OPSET)
    model.opset_imports[""] = opset
    oldest_ir = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    model.ir_version = max(model.ir_version, oldest_ir)


def _require_schema(node: ir.Node, name: str, opset: int, label: str) -> None:
    if not onnx.defs.has(name, opset):
        raise ModelError(f"{label}: opset {opset} has no operator {name} (node {node.name or _first_output(node)!r})")


def _first_output(node: ir.Node) -> str:
    return next((value.name for value in node.outputs if value.name), "")
