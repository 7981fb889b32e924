"""Generated graphs with dead filters: whatever stands between convolutions, what is computed stays."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import copied, furthest, model_from_text

from swp_export.graph.normalise import normalised
from swp_export.graph.pipeline import compact

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

SIZES = ((8, 6), (4, 3))
"""Height and width, before and behind a pool."""
DEAD = 0.4


@dataclasses.dataclass(frozen=True)
class Maps:
    """A tensor `[N, channels, *SIZES[level]]`."""

    name: str
    channels: int
    level: int = 0


class Graph:
    """A graph under construction: its text, its constants, and the tensors that may be read.

    What it is made of is drawn by hypothesis; numbers are random.
    """

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.lines: list[str] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.maps = [Maps("x", 3)]

    def constant(self, array: np.ndarray) -> str:
        """Add a constant and return its name."""
        name = f"c{len(self.tensors)}"
        self.tensors[name] = np.asarray(array)
        return name

    def weight(self, filters: int, *shape: int, axis: int = 0) -> str:
        """Add a weight with dead filters along `axis`; some have no live one."""
        array = self.rng.normal(size=(filters, *shape)) / np.sqrt(np.prod(shape))
        array[self.rng.random(filters) < self.draw(st.sampled_from([0, DEAD, DEAD, DEAD, 1]))] = 0
        return self.constant(np.moveaxis(array, 0, axis).copy())

    def vector(self, *shape: int) -> str:
        """Add a constant of small numbers; some are exactly zero."""
        array = self.rng.normal(size=shape)
        return self.constant(np.where(self.rng.random(shape) < 0.2, 0, array))

    def node(self, text: str, *inputs: str) -> str:
        """Add `Operator <attributes>` on `inputs` and return its output."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {text} ({', '.join(inputs)})")
        return name

    def add(self, name: str, channels: int, level: int) -> Maps:
        """Let later steps read a tensor."""
        self.maps.append(Maps(name, channels, level))
        return self.maps[-1]

    def pick(self) -> Maps:
        """Draw what a step reads: mostly the newest."""
        last = len(self.maps) - 1
        return self.maps[max(0, last - self.draw(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 5])))]

    def model(self, outputs: list[str]) -> ir.Model:
        """Return what was built."""
        y = ", ".join(f"double {name}" for name in outputs)
        return model_from_text(
            " ".join(self.lines), x=f"double[N, 3, {SIZES[0][0]}, {SIZES[0][1]}] x", y=y, **self.tensors
        )


def convolution(graph: Graph) -> None:
    """Add a Conv of any kernel, padded so that the size stays, perhaps dilated."""
    maps, filters = graph.pick(), graph.draw(st.integers(1, 9))
    height, width = graph.draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (3, 3), (1, 3), (3, 1), (5, 5)]))
    dilation = graph.draw(st.sampled_from([1, 1, 2]))
    pads = [dilation * (height // 2), dilation * (width // 2)] * 2
    weight = graph.weight(filters, maps.channels, height, width)
    bias = [graph.vector(filters)] if graph.draw(st.booleans()) else []
    graph.add(
        graph.node(f"Conv <pads = {pads}, dilations = [{dilation}, {dilation}]>", maps.name, weight, *bias),
        filters,
        maps.level,
    )


def grouped_convolution(graph: Graph) -> None:
    """Add a Conv that is depthwise, has a multiplier, or a few groups."""
    maps = graph.pick()
    groups = graph.draw(st.sampled_from([g for g in range(1, maps.channels + 1) if maps.channels % g == 0][::-1]))
    filters = groups * graph.draw(st.integers(1, 3))
    size = graph.draw(st.sampled_from([1, 3]))
    weight = graph.weight(filters, maps.channels // groups, size, size)
    node = graph.node(f"Conv <group = {groups}, pads = {[size // 2] * 4}>", maps.name, weight, graph.vector(filters))
    graph.add(node, filters, maps.level)


def transposed_convolution(graph: Graph) -> None:
    """Add a ConvTranspose: to twice the size where a pool halved it."""
    maps, per_group = graph.pick(), graph.draw(st.integers(1, 4))
    groups = graph.draw(st.sampled_from([1, 1, 1, maps.channels]))
    size = 2 if maps.level else 3
    attributes = "strides = [2, 2]" if maps.level else "pads = [1, 1, 1, 1]"
    weight = graph.weight(per_group, maps.channels, size, size, axis=1)
    node = graph.node(
        f"ConvTranspose <group = {groups}, {attributes}>", maps.name, weight, graph.vector(per_group * groups)
    )
    graph.add(node, per_group * groups, 0)


def activation(graph: Graph) -> None:
    """Add an operator on each element."""
    maps = graph.pick()
    operator = graph.draw(
        st.sampled_from(
            ["Relu", "Relu", "Relu", "Sigmoid", "HardSwish", "LeakyRelu <alpha = 0.3>", "Softplus", "Tanh", "Abs"]
        )
    )
    graph.add(graph.node(operator, maps.name), maps.channels, maps.level)


def with_constants(graph: Graph) -> None:
    """Add an operator with a constant per channel, or one for all."""
    maps = graph.pick()
    shape = graph.draw(st.sampled_from([(maps.channels, 1, 1), (1, maps.channels, 1, 1), (1,), ()]))
    operator = graph.draw(st.sampled_from(["PRelu", "Add", "Mul", "Sub", "Max"]))
    graph.add(graph.node(operator, maps.name, graph.vector(*shape)), maps.channels, maps.level)


def normalisation(graph: Graph) -> None:
    """Add a BatchNormalization or an InstanceNormalization."""
    maps = graph.pick()
    vectors = [graph.vector(maps.channels) for _ in range(2)]
    if graph.draw(st.sampled_from([True, True, False])):
        vectors += [graph.vector(maps.channels), graph.constant(0.5 + graph.rng.random(maps.channels))]
        name = graph.node("BatchNormalization", maps.name, *vectors)
    else:
        name = graph.node("InstanceNormalization", maps.name, *vectors)
    graph.add(name, maps.channels, maps.level)


def joined(graph: Graph) -> None:
    """Add the sum, product or maximum of two maps; a convolution makes the second fit."""
    first, second = graph.pick(), graph.pick()
    if second.level != first.level:
        second = first
    name = second.name
    if second.channels != first.channels:
        name = graph.node("Conv", name, graph.weight(first.channels, second.channels, 1, 1))
    operator = graph.draw(st.sampled_from(["Add", "Add", "Add", "Mul", "Sub", "Max"]))
    graph.add(graph.node(operator, first.name, name), first.channels, first.level)


def concatenated(graph: Graph) -> None:
    """Concatenate one to three maps, one perhaps twice."""
    first = graph.pick()
    parts = [first, *(m for m in (graph.pick(), graph.pick()) if m.level == first.level)]
    if sum(maps.channels for maps in parts) < 30:
        name = graph.node("Concat <axis = 1>", *(maps.name for maps in parts))
        graph.add(name, sum(maps.channels for maps in parts), first.level)


def split(graph: Graph) -> None:
    """Split a map into two, or slice some channels."""
    maps = graph.pick()
    if maps.channels < 2:
        return
    size = graph.draw(st.integers(1, maps.channels - 1))
    if graph.draw(st.booleans()):
        names = [f"t{len(graph.lines)}{half}" for half in "ab"]
        sizes = graph.constant(np.array([size, maps.channels - size]))
        graph.lines.append(f"{names[0]}, {names[1]} = Split <axis = 1> ({maps.name}, {sizes})")
        graph.add(names[1], maps.channels - size, maps.level)
        graph.add(names[0], size, maps.level)
    else:
        start = graph.draw(st.integers(0, maps.channels - size))
        bounds = [graph.constant(np.array([value])) for value in (start, start + size, 1)]
        graph.add(graph.node("Slice", maps.name, *bounds), size, maps.level)


def shuffled(graph: Graph) -> None:
    """Shuffle channels as ShuffleNet does, by Reshape, Transpose, Reshape; or by a Gather."""
    maps = graph.pick()
    height, width = SIZES[maps.level]
    groups = graph.draw(st.sampled_from([g for g in range(1, maps.channels + 1) if maps.channels % g == 0]))
    if graph.draw(st.booleans()):
        shapes = [[0, groups, maps.channels // groups, height, width], [0, maps.channels, height, width]]
        name = graph.node("Reshape", maps.name, graph.constant(np.array(shapes[0])))
        name = graph.node("Transpose <perm = [0, 2, 1, 3, 4]>", name)
        name = graph.node("Reshape", name, graph.constant(np.array(shapes[1])))
    else:
        indices = graph.constant(graph.rng.permutation(maps.channels))
        name = graph.node("Gather <axis = 1>", maps.name, indices)
    graph.add(name, maps.channels, maps.level)


def gated(graph: Graph) -> None:
    """Squeeze and excite, by convolutions or by Gemm."""
    maps, inner = graph.pick(), graph.draw(st.integers(1, 4))
    name = graph.node("GlobalAveragePool", maps.name)
    if graph.draw(st.booleans()):
        name = graph.node(
            "Relu", graph.node("Conv", name, graph.weight(inner, maps.channels, 1, 1), graph.vector(inner))
        )
        name = graph.node("Conv", name, graph.weight(maps.channels, inner, 1, 1), graph.vector(maps.channels))
    else:
        name = graph.node("Flatten", name)
        name = graph.node("Gemm <transB = 1>", name, graph.weight(inner, maps.channels), graph.vector(inner))
        name = graph.node(
            "Gemm <transB = 1>",
            graph.node("Relu", name),
            graph.weight(maps.channels, inner),
            graph.vector(maps.channels),
        )
        name = graph.node("Reshape", name, graph.constant(np.array([0, maps.channels, 1, 1])))
    name = graph.node("Mul", maps.name, graph.node("Sigmoid", name))
    graph.add(name, maps.channels, maps.level)


def pooled(graph: Graph) -> None:
    """Pool to half the size, or to the same with padding that counts or does not."""
    maps = graph.pick()
    kind = graph.draw(st.sampled_from(["MaxPool", "AveragePool", "AveragePool <count_include_pad = 1>"]))
    operator, _, attributes = kind.partition(" <")
    attributes = attributes.removesuffix(">")
    if maps.level == 0 and graph.draw(st.booleans()):
        window, level = "kernel_shape = [2, 2], strides = [2, 2]", 1
    else:
        window, level = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]", maps.level
    graph.add(
        graph.node(f"{operator} <{', '.join(filter(None, [window, attributes]))}>", maps.name), maps.channels, level
    )


def resized(graph: Graph) -> None:
    """Resize to twice the size where a pool halved it; elsewhere pad and cut off again."""
    maps = graph.pick()
    if maps.level:
        scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
        mode = graph.draw(st.sampled_from(["nearest", "linear"]))
        name = graph.node(f'Resize <mode = "{mode}">', maps.name, "", scales)
    else:
        mode = graph.draw(st.sampled_from(["constant", "reflect", "edge"]))
        pads = [graph.constant(np.array([0, 0, *edges, 0, 0, *edges])) for edges in ((1, 1), (-1, -1))]
        name = graph.node("Pad", graph.node(f'Pad <mode = "{mode}">', maps.name, pads[0]), pads[1])
    graph.add(name, maps.channels, 0)


STEPS: tuple[Callable[[Graph], None], ...] = (
    convolution, convolution, convolution, grouped_convolution, transposed_convolution, activation, activation,
    with_constants, normalisation, joined, joined, concatenated, split, shuffled, gated, pooled, resized,
)  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> ir.Model:
    """Draw a graph: a convolution, some steps, and one or two outputs."""
    graph = Graph(draw)
    convolution(graph)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=9)):
        step(graph)
    maps = graph.maps[-1]
    kind = draw(st.sampled_from(["map", "classes", "two", "as it is"]))
    if kind == "as it is":
        return graph.model([maps.name])
    head = graph.node("Conv", maps.name, graph.weight(3, maps.channels, 1, 1), graph.vector(3))
    if kind == "classes":
        flat = graph.node("Flatten", graph.node("GlobalAveragePool", maps.name))
        head = graph.node("Gemm <transB = 1>", flat, graph.weight(3, maps.channels), graph.vector(3))
    other = graph.pick().name
    return graph.model([head, other] if kind == "two" and other != "x" else [head])


def matrices(model: ir.Model) -> int:
    """Return how many numbers the constants of two axes or more have."""
    arrays = [value.const_value for value in model.graph.initializers.values()]
    return sum(array.size for array in arrays if array is not None and len(array.shape) > 1)


@settings(max_examples=60)
@given(model=graphs(), seed=st.integers(0, 100))
def test_the_function_stays_and_nothing_grows(model: ir.Model, seed: int) -> None:
    """Pruning a graph of any of these operators changes no output, and adds nothing but biases."""
    before = normalised(model, "model")
    after = compact(copied(before))
    x = np.random.default_rng(seed).normal(size=(2, 3, *SIZES[0]))
    for images in (x, 0 * x):
        assert furthest(before, after, images) < 1e-9
    assert matrices(after) <= matrices(before)
