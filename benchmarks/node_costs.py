"""Print the constants of `swp_export/lowerings/parts/prices.py` on this machine: `python benchmarks/node_costs.py`.

A model of a few equal stages and one of many take turns, unprofiled, since a profile costs microseconds a node; what
they differ by is the time of the stages between. On a map of one pixel that is the price of the nodes, and what a
larger map adds is their work. Costs are in multiply-adds of a 1x1 Conv on the same map; one thread. A column is a shift
among 1x1 convolutions, all of one value: what it accumulates onto is a little less warm than that of shifts alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import latency
from swp_export.graph.builder import LayerBuilder
from swp_export.graph.files.writing import serialized
from swp_export.lowerings.parts.prices import ACCUMULATE, CONCAT, NODE, WRITE, shift_cost
from swp_export.runtime.target import CPU
from swp_export.tuning.model_timer import ModelTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    Stage = Callable[["Chain", ir.Value], ir.Value]

SIZES = (56, 28, 14, 8)
CHANNELS, NARROW = 64, 16
SHIFTS = {f"shift {kernel[0]}x{kernel[1]}": kernel for kernel in ((3, 3), (3, 2), (2, 2), (3, 1), (1, 3), (2, 3))}
COLUMNS = 4
FEW, MANY = 2, 10
SCHEDULE = Schedule(min_seconds=0.5)
TIMER = ModelTimer(target=CPU)
USED = {
    "write": WRITE,
    "accumulate a 1x1 Conv": ACCUMULATE,
    "accumulate a shift": ACCUMULATE,
    "accumulate a column": ACCUMULATE,
    "concat": CONCAT,
    **{name: shift_cost(kernel) for name, kernel in SHIFTS.items()},
    "a node": NODE,
    "a microsecond": 80_000,
}


def main() -> None:
    """Print a line for each constant, and in it a column for each size of map."""
    nodes = seconds_of_stages(1)
    columns = [costs(seconds_of_stages(size), nodes, size) for size in SIZES]
    print(f"{'':22} {'used':>8}" + "".join(f" {f'{size}x{size}':>8}" for size in SIZES))
    for name, used in USED.items():
        print(f"{name:22} {used:8.1f}" + "".join(f" {column[name]:8.1f}" for column in columns))


def costs(stages: dict[str, float], nodes: dict[str, float], size: int) -> dict[str, float]:
    """Return what is measured for each of the constants; all but the last two are those of a row at a position."""
    row = {name: (stages[name] - nodes[name]) / (size**2 - 1) / CHANNELS for name in stages}
    multiply_add = (row["added product"] - row["added narrow product"]) / (CHANNELS - NARROW)
    seconds = row | {
        "write": row["product"] - CHANNELS * multiply_add,
        "accumulate a 1x1 Conv": row["added product"] - row["product"],
        "accumulate a shift": row["two shifts added"] - 2 * row["shift 3x3"],
        "accumulate a column": (row["columns added"] - row["columns"]) / (COLUMNS - 1),
        "concat": (row["joined"] - row["joined before"]) / 2,
        "a node": nodes["two nodes"] / 2,
        "a microsecond": 1e-6,
    }
    return {name: value / multiply_add for name, value in seconds.items()}


def seconds_of_stages(size: int) -> dict[str, float]:
    """Return the seconds of each kind of stage on maps of `size` by `size`."""
    models = [chained(stage, count, size) for stage in STAGES.values() for count in (FEW, MANY)]
    measured = TIMER.measure(models, (1, CHANNELS, size, size), SCHEDULE)
    few, many = np.reshape([latency(times).median_ms for times in measured], (-1, 2)).T
    return dict(zip(STAGES, 1e-3 * (many - few) / (MANY - FEW), strict=True))


class Chain:
    """A model that grows by nodes, on inputs of fixed shape: of open ones ONNX Runtime fuses no Add.

    Attributes:
        builder: appends the nodes.
        first: by their channels, the values before all stages.

    """

    def __init__(self, size: int) -> None:
        shape = ir.Shape([1, CHANNELS, size, size])
        self._input = ir.Value(name="input", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
        self._graph = ir.Graph([self._input], [], nodes=[], opset_imports={"": 18}, name="chain")
        self.builder = LayerBuilder(self._graph, "chain")
        self.first = {channels: self.conv(self._input, CHANNELS, channels) for channels in (CHANNELS, NARROW)}

    def conv(self, x: ir.Value, channels: int, filters: int, kernel: tuple[int, int] = (1, 1)) -> ir.Value:
        """Append a Conv that keeps the size and takes means, so that values stay normal; of one channel, depthwise."""
        height, width = kernel
        weight = np.full((filters, channels, *kernel), 1 / (channels * height * width), np.float32)
        pads = [(height - 1) // 2, (width - 1) // 2, height // 2, width // 2]
        group = filters if channels == 1 else 1
        return self.builder.conv(x, weight, "conv", attributes={"pads": pads, "group": group})

    def content(self, y: ir.Value) -> bytes:
        """Return the model that averages `y`."""
        mean = self.builder.op("GlobalAveragePool", [y], "mean")
        mean.shape, mean.type = ir.Shape([1, CHANNELS, 1, 1]), self._input.type
        self._graph.extend(self.builder.nodes)
        self._graph.outputs.append(mean)
        return serialized(ir.Model(self._graph, ir_version=10), {})


def chained(stage: Stage, count: int, size: int) -> bytes:
    """Return a model of `count` stages."""
    chain = Chain(size)
    return chain.content(in_turn(stage, count, chain, chain.first[CHANNELS]))


def in_turn(stage: Stage, count: int, chain: Chain, y: ir.Value) -> ir.Value:
    """Append `count` stages, one after another."""
    for _ in range(count):
        y = stage(chain, y)
    return y


def product(chain: Chain, y: ir.Value) -> ir.Value:
    """Append a 1x1 Conv."""
    return chain.conv(y, CHANNELS, CHANNELS)


def shift(kernel: tuple[int, int], chain: Chain, y: ir.Value) -> ir.Value:
    """Append a depthwise Conv."""
    return chain.conv(y, 1, CHANNELS, kernel)


def column(chain: Chain, y: ir.Value) -> ir.Value:
    """Append a 1x1 Conv and a depthwise one."""
    return shift((3, 3), chain, product(chain, y))


def added_product(channels: int, chain: Chain, y: ir.Value) -> ir.Value:
    """Append a 1x1 Conv of the chain's first value of so many channels, which accumulates onto `y`."""
    return chain.builder.op("Add", [y, chain.conv(chain.first[channels], channels, CHANNELS)], "add")


def added(addend: Stage, addends: int, chain: Chain, y: ir.Value) -> ir.Value:
    """Append equal addends of `y`, each of which accumulates onto those before it."""
    total = addend(chain, y)
    for _ in range(addends - 1):
        total = chain.builder.op("Add", [total, addend(chain, y)], "add")
    return total


def joined(chain: Chain, y: ir.Value) -> ir.Value:
    """Append two 1x1 convolutions, their Concat, and a 1x1 Conv of it."""
    both = chain.builder.op("Concat", [product(chain, y), product(chain, y)], "concat", {"axis": 1})
    return chain.conv(both, 2 * CHANNELS, CHANNELS)


STAGES: dict[str, Stage] = {
    "product": product,
    "added product": partial(added_product, CHANNELS),
    "added narrow product": partial(added_product, NARROW),
    "two shifts added": partial(added, partial(shift, (3, 3)), 2),
    "columns": partial(in_turn, column, COLUMNS),
    "columns added": partial(added, column, COLUMNS),
    "joined": joined,
    "joined before": lambda chain, y: chain.conv(chain.conv(y, CHANNELS, 2 * CHANNELS), 2 * CHANNELS, CHANNELS),
    "two nodes": lambda chain, y: chain.conv(chain.conv(y, CHANNELS, NARROW), NARROW, CHANNELS),
    **{name: partial(shift, kernel) for name, kernel in SHIFTS.items()},
}


if __name__ == "__main__":
    main()
