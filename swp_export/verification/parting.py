"""The first node of a model at which two runs of it part.

Three questions, one answer each: where ONNX Runtime, all optimisations off, leaves float64; where its optimisations
leave its own unoptimised run; where two runs that should be alike differ.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.files.content import session_content
from swp_export.graph.float64.model import Float64Model
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.runtime.session import Feed

    Values = dict[str, np.ndarray]

NOTICEABLE = 1e-4
"""Two runs part where they differ by more than this share of a value's largest element."""


def parting_node(model: ir.Model, x: Feed) -> str | None:
    """Say at which node ONNX Runtime, unoptimised, leaves the run in float64 on `x`, and by how much; or None."""
    single = _traced(model, x)
    double: Values = {}

    def keep(name: str, array: np.ndarray) -> np.ndarray:
        double[name] = array
        return array

    Float64Model(model).run(x, on_value=keep)
    for node in model.graph:
        for value in node.outputs:
            if value.name in single and value.name in double:
                off = _distance(single[value.name], double[value.name])
                if off > NOTICEABLE:
                    return f"{_called(node)}: {_share(off)}"
    return None


def misoptimised_node(model: ir.Model, x: Feed) -> str | None:
    """Say up to which node ONNX Runtime's optimisations leave its own unoptimised run on `x`; or None.

    What is optimised is never seen from inside: the model is cut after a node, and run with and without. The least such
    part that differs is found by halving, since what is wrong stays wrong from there on.
    """
    plain = _traced(model, x)
    nodes = [node for node in model.graph if node.outputs[0].name in plain]

    def distance(index: int) -> float:
        name = nodes[index].outputs[0].name or ""
        return _distance(_run(model, [name], x, optimise=True)[name], plain[name])

    first = bisect.bisect_left(range(len(nodes)), x=True, key=lambda index: distance(index) > NOTICEABLE)
    if first == len(nodes):
        return None
    return f"{_called(nodes[first])}: {_share(distance(first))}"


def wavering_node(model: ir.Model, x: Feed) -> str | None:
    """Say at which node two runs by ONNX Runtime on `x` differ first; or None."""
    session = open_session(session_content(model, _names(model)), optimise=False)
    # Of one session: each new one draws the same random numbers as the last.
    first, second = (session.run_on(x) for _ in range(2))
    for node in model.graph:
        for value in node.outputs:
            if value.name in first and not np.array_equal(first[value.name], second[value.name], equal_nan=True):
                return _called(node)
    return None


def _traced(model: ir.Model, x: Feed) -> Values:
    """Return what each node gives, by name, as ONNX Runtime computes it with all optimisations off."""
    return _run(model, _names(model), x, optimise=False)


def _names(model: ir.Model) -> list[str]:
    return [value.name for node in model.graph for value in node.outputs if value.name]


def _run(model: ir.Model, outputs: Sequence[str], x: Feed, *, optimise: bool) -> Values:
    return open_session(session_content(model, outputs), optimise=optimise).run_on(x)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far apart two values are, as a share of the larger one's largest element."""
    if a.shape != b.shape:
        return np.inf
    if a.dtype.kind not in "fiu" or not a.size:
        return 0.0 if np.array_equal(a, b) else np.inf
    a, b = (np.atleast_1d(part).astype(np.float64) for part in (a, b))
    with np.errstate(all="ignore"):
        off = np.abs(a - b)
        off[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
        scale = max(np.max(np.abs(part), initial=0, where=np.isfinite(part)) for part in (a, b))
    largest = float(np.max(off))
    return np.inf if np.isnan(largest) else largest / scale if scale else float(bool(largest))


def _called(node: ir.Node) -> str:
    name = f" {node.name!r}" if node.name else f" that gives {node.outputs[0].name!r}"
    return f"{node.op_type} node{name}"


def _share(distance: float) -> str:
    return f"off by {distance:.2g} of its largest value" if np.isfinite(distance) else "of another shape or not finite"
