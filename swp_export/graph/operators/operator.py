"""What a row of the table is: one operator, and all that the program knows of it."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.graph.operators.fixed_maps import CONSTANT, FixedMaps, Space, common_space
from swp_export.graph.operators.node_view import Layout, NodeView, Pins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swp_export.graph.operators.call import Call, Result
    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import Places

    Known = np.ndarray
    """float64, one number for each channel: the constant that it holds, NaN where it is not known to hold one."""
    Evaluate = Callable[[Sequence[np.ndarray | None]], np.ndarray | None]
    """Runs the node in float64 on other inputs; None where it refuses them."""


class Rounding(enum.Enum):
    """How far what a float32 runtime gives may be from the exact value of what it was given."""

    EXACT = "it rounds nothing: what it gives is what it was given, or an integer"
    ROUNDED = "it rounds its result"
    TWICE = "it rounds on the way too, and is off by some units of its result, however small that is"
    APPROXIMATED = "a runtime approximates it: near zero it may be off by more than its result rounds"


class Acts(enum.Enum):
    """How an operator makes the map of a channel."""

    MOVES = "it is that of another channel"
    BY_PLACE = "each element follows from those at its place in the inputs, or broadcast to it"
    LINEAR = "it is a linear function of the channel's map, the same for all channels"
    OTHERWISE = "in another way"


@dataclasses.dataclass(frozen=True, eq=False)
class Reads:
    """Which channels each row of a weighted operator depends on: `weight [rows, columns]` is True where it reads.

    There are no columns where the channels of its input are not known.
    """

    rows: Ids
    columns: Ids
    weight: np.ndarray


class ChannelRule:
    """How an operator treats channels; this one keeps all that it touches.

    The rules of `rules/` override what differs. All of them are without state: what they need stands in the node.
    """

    def __init__(self, reason: str = "reads them") -> None:
        self._reason = reason

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Return which channels each output has, or why all of them must stay.

        It unites channels that must go together, and may pin those of single inputs. None: an output without any.
        """
        del node
        return Pins(self._reason)

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Return the constants that the outputs hold where the inputs hold `known`; None for nothing known.

        Only asked where `flow` returned layouts.
        """
        del known, evaluate
        return (None,) * len(node.node.outputs)

    def acts(self, node: NodeView) -> Acts:
        """Return how it makes maps. Only asked where `flow` returned layouts."""
        del node
        return Acts.OTHERWISE

    def fixed_maps(
        self, node: NodeView, known: Sequence[FixedMaps | None], evaluate: Evaluate
    ) -> tuple[FixedMaps | None, ...]:
        """Return the fixed maps among the outputs' where those among the inputs' are `known`.

        They follow from what becomes of constants, and from how it `acts`.
        """
        constants = [None if maps is None else maps.constants() for maps in known]
        results = [None if c is None else FixedMaps.of(c) for c in self.constants(node, constants, evaluate)]
        acts, space = self.acts(node), common_space([*known])
        if acts is Acts.LINEAR and known[0] is not None:
            keeps = self._keeps_ones(node, known[0].values.shape[0], evaluate)
            results[0] = _linear(known[0], results[0], keeps_ones=keeps)
        elif space not in {None, CONSTANT} and (acts is Acts.MOVES or (acts is Acts.BY_PLACE and space.kinds)):
            results = self._by_kind(node, known, space, evaluate)
        return tuple(results)

    def _by_kind(
        self, node: NodeView, known: Sequence[FixedMaps | None], space: Space, evaluate: Evaluate
    ) -> list[FixedMaps | None]:
        """Return what each map of `space` becomes by itself."""
        told = [None if maps is None else maps.within(space) for maps in known]
        columns = [
            self.constants(node, [None if values is None else values[:, kind] for values in told], evaluate)
            for kind in range(space.size)
        ]
        return [
            None if any(column is None for column in of_output) else FixedMaps(space, np.stack(of_output, axis=1))
            for of_output in zip(*columns, strict=True)
        ]

    def _keeps_ones(self, node: NodeView, channels: int, evaluate: Evaluate) -> bool:
        constants = self.constants(node, [np.ones(channels), *[None] * (len(node.node.inputs) - 1)], evaluate)[0]
        return constants is not None and bool((constants == 1).all())

    def reads(self, node: NodeView) -> Reads | None:
        """Return which channels are read where an output does not simply have those of its inputs."""
        del node
        return None

    def stays_finite(self, node: NodeView, evaluate: Evaluate) -> bool:
        """Tell whether channels of any finite values, beside the constants of a new one, give finite values."""
        del node, evaluate
        return True

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Change the node's constants as the channels that it reads and gives change.

        Args:
            node: as before the change.
            inputs: for each input with a layout, where its channels were before.
            outputs: the same of each output.

        """


def _linear(maps: FixedMaps, constants: FixedMaps | None, *, keeps_ones: bool) -> FixedMaps:
    """Return the maps that a linear function makes of `maps`, of which `constants` are known to be constants."""
    ones = maps.space.ones if keeps_ones else np.append(np.zeros(maps.space.size), 1)
    space = Space(ones, kinds=False)
    values = maps.values if keeps_ones else np.pad(maps.values, ((0, 0), (0, 1)))
    if constants is not None:
        values = np.where(constants.fixed()[:, None], constants.within(space), values)
    return FixedMaps(space, values)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """An input of an example that is computed: its shape, and the axis that counts its channels, None for none."""

    shape: tuple[int, ...]
    axis: int | None = 1
    low: float = -2.0
    high: float = 2.0
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A node that the test of the table runs.

    Attributes:
        inputs: a Tensor, a constant, or None for one that is left out.
        attributes: the node's.
        outputs: how many it names.
        pins: where it keeps all channels: part of the reason.
        since, until: the opsets that it fits, for the comparison with the runtime.

    """

    inputs: Sequence[Tensor | np.ndarray | np.generic | None]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: int = 1
    pins: str | None = None
    since: int = 7
    until: int = 26


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """One of ONNX's operators.

    Attributes:
        compute: what it computes, in float64, at every opset that may be read.
        examples: at least one; of each kind of setting that the rule tells apart, and of each that pins.
        channels: how it treats channels.
        rounding: how far a float32 runtime is from `compute`.
        refuse: raises UnsupportedError for settings that can be refused before anything runs; called with those
            inputs that are constant.
        flops: returns the multiply-adds times two that one run executes, from the shapes of the weight (the second
            input), of the first input and of the output.

    """

    compute: Callable[[Call], Result]
    examples: Sequence[Example]
    channels: ChannelRule = dataclasses.field(default_factory=ChannelRule)
    rounding: Rounding = Rounding.ROUNDED
    refuse: Callable[[Call], None] | None = None
    flops: Callable[[Sequence[int], Sequence[int], Sequence[int]], int] | None = None
