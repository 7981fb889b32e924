"""A grouped convolution whose groups are unevenly live becomes several, and the function stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import copied, from_bytes, furthest, marked, model_from_text, ops, to_bytes, to_float32, weight_shapes

from swp_export.graph.analysis import group_classes
from swp_export.graph.analysis.counts import stored_floats
from swp_export.graph.constants import array_of
from swp_export.graph.passes import split_uneven_groups
from swp_export.graph.passes.split_uneven_groups import SplitUnevenGroups
from swp_export.graph.pipeline import compact
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import apply_plan_file

if TYPE_CHECKING:
    from collections.abc import Sequence

X = np.random.default_rng(1).normal(size=(2, 3, 7, 6))


def network(
    *,
    groups: int,
    columns: int,
    rows: int,
    dead_columns: Sequence[int] = (),
    dead_rows: Sequence[int] = (),
    bias: float = -1,
    body: str = "y = Conv (s, w2, b2)",
    geometry: str = "pads = [1, 1, 1, 1]",
    kernel: Sequence[int] = (3, 3),
    seed: int = 0,
) -> ir.Model:
    """Return Conv, Relu, a grouped Conv, Relu, and `body`; dead filters of the first hold `bias`, others any."""
    rng = np.random.default_rng(seed)
    w0, w1 = rng.normal(size=(groups * columns, 3, 1, 1)), rng.normal(size=(groups * rows, columns, *kernel))
    b0, b1 = rng.normal(size=groups * columns), rng.normal(size=groups * rows)
    w0[list(dead_columns)], b0[list(dead_columns)] = 0, bias
    w1[list(dead_rows)], b1[list(dead_rows)] = 0, -1
    tensors = {"w0": w0, "b0": b0, "w1": w1, "b1": b1}
    later = {"w2": rng.normal(size=(5, groups * rows, 1, 1)), "b2": rng.normal(size=5)}
    tensors |= {name: array for name, array in later.items() if name in body}
    first = f"h = Conv (x, w0, b0) r = Relu (h) g = Conv <group = {groups}, {geometry}> (r, w1, b1) s = Relu (g) "
    return marked(model_from_text(first + body, x="double[N, 3, 7, 6] x", **tensors))


@pytest.fixture(autouse=True)
def _for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the networks be small: a class costs nothing here, and the least gain is worth it."""
    monkeypatch.setattr(group_classes, "COST_OF_A_CLASS", 0)
    monkeypatch.setattr(split_uneven_groups, "LEAST_GAIN", 0)


UNEVEN = {"groups": 4, "columns": 3, "rows": 2, "dead_columns": (0, 3, 4), "dead_rows": (3, 6)}
"""Live columns 2, 1, 3, 3 and live rows 2, 1, 2, 1."""


def groups_of(model: ir.Model) -> list[int]:
    """Return the group of each convolution."""
    return [
        node.attributes["group"].as_int() if "group" in node.attributes else 1
        for node in model.graph
        if node.op_type.startswith("Conv")
    ]


def test_each_group_keeps_what_is_alive() -> None:
    """Three of twelve columns and two of eight rows go, each from its group alone."""
    before = network(**UNEVEN)
    after = compact(copied(before))
    assert weight_shapes(after) == [
        [9, 3, 1, 1], [1, 1, 3, 3], [2, 2, 3, 3], [1, 3, 3, 3], [2, 3, 3, 3], [5, 6, 1, 1]
    ]  # fmt: skip
    assert furthest(before, after, X) < 1e-9


def test_groups_of_one_size_share_a_convolution() -> None:
    """Groups with as many live rows and columns are one convolution of as many groups; wholly dead ones are none."""
    before = network(groups=5, columns=2, rows=2, dead_columns=(1, 4), dead_rows=(0, 5, 6, 7))
    after = compact(copied(before))
    assert weight_shapes(after)[1:-1] == [[2, 1, 3, 3], [4, 2, 3, 3]]
    assert groups_of(after)[1:-1] == [2, 2]
    assert furthest(before, after, X) < 1e-9


def test_constants_are_read_from_one_channel() -> None:
    """Behind padding all constants of all groups are one channel more of the convolution in front."""
    before = network(**{**UNEVEN, "dead_rows": (), "bias": 0.7})
    after = compact(copied(before))
    assert weight_shapes(after)[0] == [10, 3, 1, 1]
    assert furthest(before, after, X) < 1e-9


def test_without_padding_no_channel_is_kept_for_constants() -> None:
    """Where no tap sees padding the constants of all groups are in the bias."""
    before = network(**{**UNEVEN, "bias": 0.7}, geometry="strides = [2, 1]")
    after = compact(copied(before))
    assert weight_shapes(after)[0] == [9, 3, 1, 1]
    assert furthest(before, after, X) < 1e-9


def test_rows_that_must_keep_their_order_are_put_back() -> None:
    """A network's output has its channels as before, and its name; the columns of the groups still go."""
    before = network(**UNEVEN, body="y = Identity (s)")
    after = compact(copied(before))
    assert weight_shapes(after)[0] == [9, 3, 1, 1]
    assert ops(after).count("Gather") > 1
    assert furthest(before, after, X) < 1e-9


def test_an_output_of_the_convolution_itself_keeps_its_name() -> None:
    """The grouped convolution may be the last node."""
    before = network(**UNEVEN, body="y = Identity (g)")
    assert furthest(before, compact(copied(before)), X) < 1e-9


def test_a_residual_keeps_its_order() -> None:
    """Rows that are added to those of another convolution stay in the order that both have."""
    rng = np.random.default_rng(3)
    model = marked(
        model_from_text(
            "h = Conv (x, w0) r = Relu (h) g = Conv <group = 2, pads = [1, 1, 1, 1]> (r, w1) s = Conv (r, w2) "
            "a = Add (g, s) t = Relu (a) y = Conv (t, w3)",
            x="double[N, 3, 7, 6] x",
            w0=rng.normal(size=(6, 3, 1, 1)),
            w1=_with_zeros(rng.normal(size=(4, 3, 3, 3)), [(0, 0), (1, 0), (0, 1), (1, 1)]),
            w2=_with_zeros(rng.normal(size=(4, 6, 1, 1)), [(slice(None), 0), (slice(None), 1)]),
            w3=rng.normal(size=(3, 4, 1, 1)),
        )
    )
    after = compact(copied(model))
    assert weight_shapes(after)[0] == [4, 3, 1, 1]
    assert furthest(model, after, X) < 1e-9


def _with_zeros(weight: np.ndarray, places: Sequence[tuple[object, object]]) -> np.ndarray:
    for place in places:
        weight[place] = 0  # type: ignore[index]
    return weight


def test_convolutions_in_a_row_are_split_each() -> None:
    """What is dead in the second of two grouped convolutions goes from the first as well."""
    rng = np.random.default_rng(4)
    v = _with_zeros(rng.normal(size=(4, 4, 1, 1)), [(slice(None, 2), 1), (slice(2, None), 0)])
    model = network(**UNEVEN, body="t = Conv <group = 2> (s, w2) y = Relu (t)")
    value = model.graph.initializers["w2"]
    value.const_value, value.shape = ir.tensor(v, name="w2"), ir.Shape(v.shape)
    after = compact(copied(model))
    assert stored_floats(after).total < stored_floats(model).total
    assert furthest(model, after, X) < 1e-9


@settings(max_examples=60)
@given(
    st.data(),
    st.integers(2, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["pads = [1, 1, 1, 1]", "pads = [0, 1, 2, 0]", "strides = [2, 2]", "dilations = [2, 1]"]),
    st.sampled_from([-1.0, 0.6]),
    st.sampled_from(["y = Conv (s, w2, b2)", "y = Identity (s)", "p = GlobalAveragePool (s) y = Conv (p, w2)"]),
)
def test_any_dead_pattern_is_exact(
    data: st.DataObject, groups: int, columns: int, rows: int, geometry: str, bias: float, body: str
) -> None:
    """Whatever is dead, the function stays, and the file does not grow."""
    dead_columns = data.draw(st.sets(st.integers(0, groups * columns - 1)))
    dead_rows = data.draw(st.sets(st.integers(0, groups * rows - 1)))
    before = network(
        groups=groups, columns=columns, rows=rows, dead_columns=sorted(dead_columns), dead_rows=sorted(dead_rows),
        geometry=geometry, bias=bias, body=body,
    )  # fmt: skip
    after = compact(copied(before))
    assert furthest(before, after, X) < 1e-9
    assert stored_floats(after).total <= stored_floats(before).total
    again = copied(after)
    assert not SplitUnevenGroups()(again).modified


@pytest.mark.parametrize(
    ("operator", "x", "shape"),
    [("Conv", "double[N, 8, 9] x", (8, 2, 3)), ("ConvTranspose", "double[N, 8, 5, 4] x", (8, 2, 2, 2))],
)
def test_other_convolutions(operator: str, x: str, shape: tuple[int, ...]) -> None:
    """Convolutions of one axis and transposed ones are split like those of images."""
    rng = np.random.default_rng(0)
    size = (1,) * (len(shape) - 2)
    w, v = rng.normal(size=shape), rng.normal(size=(8, 8, *size))
    dead = [1, 2, 3]
    v[dead] = 0
    body = f"h = Conv (x, v) g = {operator} <group = 4> (h, w) y = Conv (g, u)"
    u = rng.normal(size=(3, 8, *size))
    u[:, [0, 7]] = 0
    y = "double[N, 3, P] y" if len(shape) == 3 else "double[N, 3, P, Q] y"
    model = model_from_text(body, x=x, y=y, w=w, v=v, u=u)
    after = compact(copied(model))
    assert len(groups_of(after)) > 3
    image = rng.normal(size=(2, 8, 9) if len(shape) == 3 else (2, 8, 5, 4))
    assert furthest(model, after, image) < 1e-9


@pytest.mark.parametrize("dead", [(), (0, 1, 2)])
def test_groups_of_one_size_stay_as_they_are(dead: tuple[int, ...]) -> None:
    """A grouped convolution without dead groups, or with whole dead ones that are gone, is left as it is."""
    model = compact(network(groups=4, columns=3, rows=2, dead_columns=dead))
    assert not SplitUnevenGroups()(copied(model)).modified or dead
    if not dead:
        before = to_bytes(model)
        SplitUnevenGroups()(model)
        assert to_bytes(model) == before


def test_little_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One dead row of many does not make two convolutions of one."""
    monkeypatch.undo()
    model = network(groups=16, columns=4, rows=4, dead_rows=(5,))
    assert groups_of(compact(copied(model))) == groups_of(model)


def test_a_split_file_can_be_written_again() -> None:
    """The written model is read, lifted and written by a plan: the same function, and the same bytes again."""
    model = compact(to_float32(network(**UNEVEN)))
    once = apply_plan_file(to_bytes(model), PlanFile(layers={}, multiple=1))
    assert furthest(model, from_bytes(once), X) < 1e-4
    assert apply_plan_file(once, PlanFile(layers={}, multiple=1)) == once


def test_a_row_that_reads_nothing_stays_where_it_must() -> None:
    """A group without live columns whose rows are an output gives its bias."""
    model = network(groups=2, columns=2, rows=2, dead_columns=(0, 1), body="y = Identity (s)")
    after = compact(copied(model))
    assert furthest(model, after, X) < 1e-9
    assert all(array_of(node.inputs[1]) is not None for node in after.graph if node.op_type == "Conv")
