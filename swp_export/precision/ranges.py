"""Calibration: from where to where each value of a float model goes on the user's images.

`minmax` takes the smallest and the largest; `percentile` and `entropy` are ONNX Runtime's own (NVIDIA's methods) and
leave out what is rare.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir

from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swp_export.runtime.session import Array

    Method = Literal["minmax", "percentile", "entropy"]

METHODS = ("minmax", "percentile", "entropy")
PERCENTILE = 99.99
BINS, QUANTISED_BINS = 2048, 128
BATCH = 16
"""Images that are run at once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranges:
    """Where values lie.

    Attributes:
        ends: `(lowest, highest)` of each value by name.
        peaks: the largest size of each channel, of the values of which that was asked for.

    """

    ends: Mapping[str, tuple[float, float]]
    peaks: Mapping[str, tuple[float, ...]]


def calibrate(
    model: ir.Model, images: Array, names: Sequence[str], by_channel: Sequence[str], method: Method = "minmax"
) -> Ranges:
    """Run `model` on `images` and return where the values `names` lie, and the peaks of those `by_channel`.

    Numbers are rounded to three digits, upwards: a plan that holds them stays short.
    """
    ends: dict[str, tuple[float, float]] = {}
    peaks: dict[str, np.ndarray] = {}
    collector = None if method == "minmax" else _collector(method)
    for values in runs_of(model, images, [*names, *by_channel]):
        for name in by_channel:
            of_run = np.abs(values[name]).max(axis=(0, 2, 3))
            peaks[name] = np.maximum(peaks.get(name, 0.0), of_run)
        if collector is not None:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
                collector.collect({name: [values[name]] for name in names})
        else:
            for name in names:
                low, high = ends.get(name, (0.0, 0.0))
                ends[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    if collector is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            found = collector.compute_collection_result()
        ends = {name: (min(0.0, float(found[name][0])), max(0.0, float(found[name][1]))) for name in names}
    return Ranges(
        ends={name: (-_short(-low), _short(high)) for name, (low, high) in ends.items()},
        peaks={name: tuple(_short(float(peak)) for peak in of) for name, of in peaks.items()},
    )


def runs_of(model: ir.Model, images: Array, names: Sequence[str]) -> Iterator[dict[str, Array]]:
    """Run `model` on `images`, some at a time, and give its values `names`."""
    wanted = list(dict.fromkeys(names))
    session = open_session(with_outputs(model, wanted))
    given = session.inputs[0].name
    for start in range(0, len(images), BATCH):
        few = images[start : start + BATCH]
        values = session.run_on(few)
        yield {name: few if name == given else values[name] for name in wanted}


def with_outputs(model: ir.Model, names: Sequence[str]) -> bytes:
    """Return `model` with its values `names` among its outputs."""
    copy = ir.from_proto(ir.to_proto(model))
    values = {value.name: value for node in copy.graph for value in node.outputs}
    for name in names:
        if name in values and not values[name].is_graph_output():
            copy.graph.outputs.append(values[name])
            if values[name].type is None:
                values[name].type = ir.TensorType(ir.DataType.FLOAT)
    content: bytes = ir.to_proto(copy).SerializeToString()
    return content


def _collector(method: str):  # type: ignore[no-untyped-def]
    from onnxruntime.quantization.calibrate import HistogramCollector

    return HistogramCollector(
        method,
        symmetric=False,
        num_bins=BINS,
        num_quantized_bins=QUANTISED_BINS,
        percentile=PERCENTILE,
        scenario="same",
    )


def _short(number: float) -> float:
    """Return `number` with three digits, rounded away from 0 where it is positive."""
    if number <= 0:
        return float(f"{number:.3g}")
    short = float(f"{number:.3g}")
    return short if short >= number else float(f"{number * 1.005:.3g}")
