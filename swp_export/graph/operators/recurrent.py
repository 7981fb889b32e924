"""LSTM, GRU and RNN: one step after the other, in one or both directions."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import set_input
from swp_export.graph.operators.activation import logistic
from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.node_view import Layout, Pins, label_of, shape_of, taken
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Reads, Tensor
from swp_export.graph.operators.rules.weighted import Weighted
from swp_export.graph.operators.weights import Weights, floats_of, has_input, put_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.fixed_maps import FixedMaps
    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known

    State = tuple[np.ndarray, ...]
    Activation = Callable[[np.ndarray], np.ndarray]

_STEPS = "reads them step by step"
_ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": logistic,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.logaddexp(x, 0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Cell:
    """The weights of one direction: `w [G * H, I]`, `r [G * H, H]`, `bias` of both `[2 * G * H]`, peepholes `[3 * H]`.

    `f`, `g` and `h` are its activations, in the order of the attribute.
    """

    call: Call
    w: np.ndarray
    r: np.ndarray
    bias: np.ndarray
    peepholes: np.ndarray
    activations: list[Activation]

    def clipped(self, x: np.ndarray) -> np.ndarray:
        """Return what an activation is given: kept within `clip`, where there is one."""
        limit = self.call.real("clip", 0.0)
        return np.clip(x, -limit, limit) if limit > 0 else x


def lstm(call: Call) -> tuple[np.ndarray, ...]:
    """Return the long short-term memory; gates in the order input, output, forget, cell."""
    return _recurrent(call, _lstm_step, gates=4, states=2, default=["sigmoid", "tanh", "tanh"])


def gru(call: Call) -> tuple[np.ndarray, ...]:
    """Return the gated recurrent unit; gates in the order update, reset, hidden."""
    return _recurrent(call, _gru_step, gates=3, states=1, default=["sigmoid", "tanh"])


def rnn(call: Call) -> tuple[np.ndarray, ...]:
    """Return the plain recurrent network."""
    return _recurrent(call, _rnn_step, gates=1, states=1, default=["tanh"])


def refuse_settings(call: Call) -> None:
    """Refuse what is not implemented.

    Raises:
        UnsupportedError: the layout or an activation is not.

    """
    if call.integer("layout", 0):
        raise UnsupportedError("layout = 1, which ONNX Runtime does not run either; export with the time axis first")
    if "activation_alpha" in call.attributes or "activation_beta" in call.attributes:
        raise UnsupportedError("activation_alpha or activation_beta; use activations without parameters")
    for name in call.attributes.get("activations", ()):
        if str(name).lower() not in _ACTIVATIONS:
            raise UnsupportedError(f"the activation {name!r}, expected one of {', '.join(_ACTIVATIONS)}")


def _lstm_step(cell: _Cell, x: np.ndarray, state: State) -> State:
    hidden, memory = state
    f, g, h = cell.activations
    peep_i, peep_o, peep_f = np.split(cell.peepholes, 3)
    w_bias, r_bias = np.split(cell.bias, 2)
    i, o, forget, c = np.split(x @ cell.w.T + hidden @ cell.r.T + w_bias + r_bias, 4, axis=1)
    i = f(cell.clipped(i + peep_i * memory))
    forget = 1 - i if cell.call.integer("input_forget", 0) else f(cell.clipped(forget + peep_f * memory))
    memory = forget * memory + i * g(cell.clipped(c))
    return f(cell.clipped(o + peep_o * memory)) * h(memory), memory


def _gru_step(cell: _Cell, x: np.ndarray, state: State) -> State:
    (hidden,) = state
    f, g = cell.activations
    w_bias, r_bias = np.split(cell.bias, 2)
    z_x, r_x, h_x = np.split(x @ cell.w.T + w_bias, 3, axis=1)
    r_z, r_r, r_h = np.split(cell.r, 3)
    b_z, b_r, b_h = np.split(r_bias, 3)
    update = f(cell.clipped(z_x + hidden @ r_z.T + b_z))
    reset = f(cell.clipped(r_x + hidden @ r_r.T + b_r))
    if cell.call.integer("linear_before_reset", 0):
        fresh = g(cell.clipped(h_x + reset * (hidden @ r_h.T + b_h)))
    else:
        fresh = g(cell.clipped(h_x + (reset * hidden) @ r_h.T + b_h))
    return ((1 - update) * fresh + update * hidden,)


def _rnn_step(cell: _Cell, x: np.ndarray, state: State) -> State:
    w_bias, r_bias = np.split(cell.bias, 2)
    return (cell.activations[0](cell.clipped(x @ cell.w.T + state[0] @ cell.r.T + w_bias + r_bias)),)


def _recurrent(
    call: Call, step: Callable[[_Cell, np.ndarray, State], State], *, gates: int, states: int, default: list[str]
) -> tuple[np.ndarray, ...]:
    """Run `step` over `x [T, N, I]`; returns Y `[T, D, N, H]` and the last states `[D, N, H]`."""
    x, w = call.input(0), call.input(1)
    directions, size = w.shape[0], w.shape[1] // gates
    lengths = call.numbers(4) or [x.shape[0]] * x.shape[1]
    y = np.zeros((x.shape[0], directions, x.shape[1], size))
    last = np.zeros((states, directions, x.shape[1], size))
    for direction in range(directions):
        cell = _cell(call, direction, gates, size, default)
        initial = [call.optional(5 + number) for number in range(states)]
        state = tuple(np.zeros((x.shape[1], size)) if s is None else s[direction] for s in initial)
        backwards = direction == 1 or call.text("direction", "forward") == "reverse"
        for time in range(max(lengths, default=0)):
            alive = time < np.asarray(lengths)
            places = np.where(backwards, np.asarray(lengths) - 1 - time, time)[alive]
            (rows,) = np.nonzero(alive)
            fresh = step(cell, x[places, rows], tuple(s[rows] for s in state))
            state = tuple(s.copy() for s in state)
            for old, new in zip(state, fresh, strict=True):
                old[rows] = new
            y[places, direction, rows] = fresh[0]
        last[:, direction] = state
    return (y, *last)


def _cell(call: Call, direction: int, gates: int, size: int, default: list[str]) -> _Cell:
    bias, peepholes = call.optional(3), call.optional(7)
    stated = call.attributes.get("activations")
    names = [str(name).lower() for name in stated] if stated else default * (direction + 1)
    names = names[direction * len(default) : (direction + 1) * len(default)]
    return _Cell(
        call=call,
        w=call.input(1)[direction],
        r=call.input(2)[direction],
        bias=np.zeros(2 * gates * size) if bias is None else bias[direction],
        peepholes=np.zeros(3 * size) if peepholes is None else peepholes[direction],
        activations=[_ACTIVATIONS[name] for name in names],
    )


class _Gates(Weighted):
    """The gates read each step's channels as a matrix product does; what they give is all read in the next step."""

    def __init__(self, gates: int) -> None:
        super().__init__(functools.partial(_read_gates, gates), functools.partial(_write_gates, gates))

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Give outputs whose channels all stay, the last axis of each."""
        weights = self._read(node.node)
        if isinstance(weights, Pins):
            return weights
        for index in node.computed()[1:]:
            node.pin(index, _STEPS)
        ids = node.ids_along(0, weights.axis, _STEPS)
        if ids is not None and ids.size != weights.channels:
            return Pins("does not fit their number")
        hidden = node.identities.fresh(_hidden(node.node))
        node.identities.pin(hidden, f"{label_of(node.node)} {_STEPS}")
        return (Layout(3, hidden), *(Layout(2, hidden) for _ in node.node.outputs[1:]))

    def reads(self, node: NodeView) -> Reads | None:
        """Return which channels each row of the gates reads; the rows of one channel of the output lie apart."""
        weights, given, columns = self.weights(node.node), node.output_layout(), node.layout(0)
        if weights is None or given is None or columns is None:
            return None
        rows = np.tile(given.ids, weights.filters // given.ids.size)
        return Reads(rows, columns.ids, weights.weight != 0)

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Return nothing: the first step has another state than the next."""
        return ChannelRule.constants(self, node, known, evaluate)

    def fixed_maps(
        self, node: NodeView, known: Sequence[FixedMaps | None], evaluate: Evaluate
    ) -> tuple[FixedMaps | None, ...]:
        """Return nothing."""
        return ChannelRule.fixed_maps(self, node, known, evaluate)

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Cut the columns."""
        del outputs
        weights, columns = self.weights(node.node), inputs[0]
        if weights is not None and columns is not None:
            self.replace(node.node, taken(weights.weight, columns, axis=1), None)


def _read_gates(gates: int, node: ir.Node) -> Weights | Pins:
    weight, bias, states = floats_of(node, 1), floats_of(node, 3), floats_of(node, 2)
    if weight is None or weight.ndim != 3 or states is None or (bias is None and has_input(node, 3)):
        return Pins("computes its weight or bias")
    if "layout" in node.attributes and node.attributes["layout"].as_int():
        return Pins(_STEPS)
    rows = gates * _hidden(node)
    return Weights(
        weight=weight.reshape(-1, weight.shape[2]),
        bias=None if bias is None else bias[:, :rows].reshape(-1),
        axis=2,
        padded=np.zeros((), bool),
        in_place=True,
    )


def _write_gates(gates: int, node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int) -> None:
    del group
    rows = gates * _hidden(node)
    put_weight(node, weight.reshape(-1, rows, weight.shape[1]))
    if bias is not None:
        old, stored = floats_of(node, 3), floats_of(node, 1)
        assert stored is not None
        of_state = np.zeros((len(stored), rows)) if old is None else old[:, rows:]
        both = np.concatenate([bias.reshape(-1, rows), of_state], axis=1)
        set_input(node, 3, "bias", both.astype(stored.dtype))


def _hidden(node: ir.Node) -> int:
    """Return H, from the weight of the states `[D, G * H, H]`."""
    shape = shape_of(node.inputs[2])
    assert shape is not None
    assert isinstance(shape[2], int)
    return shape[2]


def _row(compute: Callable[[Call], tuple[np.ndarray, ...]], gates: int) -> Operator:
    """Return a row; the channels are the numbers of each step."""
    steps = Tensor(shape=(3, 1, 6), axis=2)
    w, r = (np.sin(np.arange(2 * gates * 4 * n, dtype=np.float32)).reshape(2, gates * 4, n) for n in (6, 4))
    bias = np.cos(np.arange(2 * gates * 8, dtype=np.float32)).reshape(2, gates * 8)
    w[:, :, 3] = 0
    return Operator(
        compute=compute,
        channels=_Gates(gates),
        refuse=refuse_settings,
        examples=[
            Example(inputs=[steps, w[:1], r[:1]], attributes={"hidden_size": 4}),
            Example(inputs=[steps, w, r, bias], attributes={"hidden_size": 4, "direction": "bidirectional"}),
            Example(
                inputs=[steps, w[:1], r[:1], None, None, np.ones((1, 1, 4), np.float32)], attributes={"hidden_size": 4}
            ),
            Example(
                inputs=[steps, w[:1], r[:1], Tensor(shape=(1, gates * 8), axis=None)],
                attributes={"hidden_size": 4},
                pins="computes its weight or bias",
            ),
        ],
    )


OPERATORS: dict[str, Operator] = {"GRU": _row(gru, 3), "LSTM": _row(lstm, 4), "RNN": _row(rnn, 1)}
