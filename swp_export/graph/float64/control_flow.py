"""If, Loop and Scan: operators that run graphs of their own, which see the values around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

MOST_TURNS = 10_000
"""Of a Loop."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onnx_ir as ir

    Arrays = list[np.ndarray | None]
    Values = dict[ir.Value, np.ndarray | None]


class Body(Protocol):
    """A graph inside an operator, ready to run on the values that it reads."""

    inputs: list[ir.Value]
    outputs: list[ir.Value]

    def run(self, values: Values) -> Arrays:
        """Return the graph's outputs."""


def if_(attributes: Mapping[str, Any], arrays: Arrays, values: Values) -> Arrays:
    """Run one of two graphs."""
    (condition,) = arrays
    assert condition is not None
    branch: Body = attributes["then_branch" if condition.any() else "else_branch"]
    return branch.run(dict(values))


def loop(attributes: Mapping[str, Any], arrays: Arrays, values: Values) -> Arrays:
    """Run a graph again and again, up to a number of times and as long as it says so; stack what it gives each time."""
    body: Body = attributes["body"]
    trips, condition, *carried = arrays
    going = True if condition is None else bool(condition.any())
    most = None if trips is None else int(trips.reshape(-1)[0])
    scanned: list[list[np.ndarray]] = [[] for _ in body.outputs[1 + len(carried) :]]
    count = 0
    while going and (most is None or count < most):
        fed = [np.array(count, np.int64), np.array(going), *carried]
        condition, *results = body.run({**values, **dict(zip(body.inputs, fed, strict=True))})
        going = bool(condition is not None and condition.any())
        if count >= MOST_TURNS:
            raise ValueError(f"it goes on after {count:,} turns, expected an end before")
        carried = results[: len(carried)]
        for rows, row in zip(scanned, results[len(carried) :], strict=True):
            rows.append(np.asarray(row))
        count += 1
    return [*carried, *(np.stack(rows) if rows else np.zeros(0) for rows in scanned)]


def scan(attributes: Mapping[str, Any], arrays: Arrays, values: Values) -> Arrays:
    """Run a graph for each slice of some inputs; stack what it gives each time."""
    body: Body = attributes["body"]
    split = len(arrays) - attributes["num_scan_inputs"]
    carried, sequences = arrays[:split], [np.asarray(array) for array in arrays[split:]]
    axes = attributes.get("scan_input_axes", [0] * len(sequences))
    ahead = [np.moveaxis(array, axis, 0) for array, axis in zip(sequences, axes, strict=True)]
    backwards = attributes.get("scan_input_directions", [0] * len(sequences))
    ahead = [array[::-1] if back else array for array, back in zip(ahead, backwards, strict=True)]
    scanned: list[list[np.ndarray]] = [[] for _ in body.outputs[split:]]
    for rows_in in zip(*ahead, strict=True):
        results = body.run({**values, **dict(zip(body.inputs, [*carried, *rows_in], strict=True))})
        carried = results[:split]
        for rows, row in zip(scanned, results[split:], strict=True):
            rows.append(np.asarray(row))
    out_axes = attributes.get("scan_output_axes", [0] * len(scanned))
    out_back = attributes.get("scan_output_directions", [0] * len(scanned))
    stacked: Iterator[np.ndarray] = (
        np.stack(rows[::-1] if back else rows, axis=axis)
        for rows, back, axis in zip(scanned, out_back, out_axes, strict=True)
    )
    return [*carried, *stacked]


CONTROL_FLOW: dict[str, Callable[[Mapping[str, Any], Arrays, Values], Arrays]] = {"If": if_, "Loop": loop, "Scan": scan}
"""Operator -> function of its attributes, its inputs and the values around it; a graph attribute is a Body."""
