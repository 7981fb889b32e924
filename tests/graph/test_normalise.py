"""Models of others in the one form that the passes assume; the function stays."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, ops, to_bytes, weights

from swp_export.errors import ModelError
from swp_export.graph.analysis import inferred_shapes
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.normalise import normalised
from swp_export.graph.opset import OPSET

RNG = np.random.default_rng(0)
W = weights(RNG, 4, 3, 3, 3, dead=[1])
X = RNG.normal(size=(2, 3, 6, 5))
PLAIN = model_from_text("y = Relu (x)")


def parsed(text: str) -> ir.Model:
    """Return the model that `text` spells, header and functions included."""
    return ir.from_proto(onnx.parser.parse_model(text))


def seen(model: ir.Model) -> int:
    """Return how many convolutions the passes see in the normalised model."""
    return len(list(iterate_stripe_convs(normalised(model, "m.onnx").graph)))


def test_the_model_itself_stays_as_it_is() -> None:
    """What is verified against is the file as given."""
    model = model_from_text(f"w2 = Identity (w) y = Conv <{PADS}> (x, w2)", w=W, opset=11)
    before = to_bytes(model)
    normalised(model, "m.onnx")
    assert to_bytes(model) == before


@pytest.mark.parametrize(
    "body",
    [
        "k = Identity (w)",
        "i = Identity (w) k = Identity (i)",
        "k = Constant <value = double[4, 3, 1, 1] {1, 2, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6}> ()",
    ],
)
def test_weights_are_seen_wherever_they_are_written(body: str) -> None:
    """Behind Identity, or in a Constant node."""
    used = {"w": W[:, :, :1, :1]} if "(w)" in body else {}
    model = model_from_text(f"{body} y = Conv (x, k)", **used)
    assert [value.name for value in model.graph.inputs] == ["x"]
    after = normalised(model, "m")
    assert seen(model) == 1
    assert ops(after) == ["Conv"]
    assert furthest(model, after, X) == 0


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_are_no_inputs(ir_version: int) -> None:
    """A weight that is listed as an input is fixed; the format's version allows that."""
    model = model_from_text(f"y = Conv <{PADS}> (x, w)", w=W, ir_version=ir_version, opset=11)
    model.graph.inputs.append(model.graph.initializers["w"])
    after = normalised(model, "m")
    assert [value.name for value in after.graph.inputs] == ["x"]
    assert after.ir_version >= 8
    onnx.checker.check_model(to_bytes(after))


def test_one_spelling_of_the_domain() -> None:
    """`ai.onnx` is the empty string, in imports and nodes."""
    model = model_from_text(f"h = Conv <{PADS}> (x, w) y = Relu (h)", w=W)
    model.opset_imports.pop("")
    model.opset_imports["ai.onnx"] = OPSET
    for node in model.graph:
        node.domain = "ai.onnx"
    after = normalised(model, "m")
    assert dict(after.opset_imports) == {"": OPSET}
    assert {node.domain for node in after.graph} == {""}


FUNCTIONS = """<ir_version: 8, opset_import: ["": 17, "f": 1]>
g (float[N, 3, 6, 5] x) => (float[N, 3, 6, 5] y) {body}
<domain: "f", opset_import: ["": {opset}, "f": 1]> twice (a) => (b) {{ c = f.once (a) b = f.once (c) }}
<domain: "f", opset_import: ["": {opset}, "f": 1]> once (a) => (b) {{ b = {inner} (a) }}"""


def test_functions_are_written_out() -> None:
    """As often as they are called, functions in functions too."""
    text = FUNCTIONS.replace("{{", "{").replace("}}", "}").replace("{opset}", "17").replace("{inner}", "Relu")
    after = normalised(parsed(text.replace("{body}", "{ h = f.twice (x) y = f.once (h) }")), "m")
    assert ops(after) == ["Relu"] * 3
    assert not after.functions


def test_functions_of_another_opset() -> None:
    """Their nodes cannot be mixed with the model's; one sentence says so."""
    text = FUNCTIONS.replace("{{", "{").replace("}}", "}").replace("{opset}", "13").replace("{inner}", "Relu")
    with pytest.raises(ModelError, match="functions once cannot be written out"):
        normalised(parsed(text.replace("{body}", "{ y = f.once (x) }")), "m")


def test_nodes_of_one_name_get_two() -> None:
    """A layer is known by its node's name; those without one stay without."""
    model = model_from_text("a = Relu (x) b = Relu (a) c = Relu (b) y = Relu (c)")
    for node, name in zip(model.graph, ["n", "n", "", ""], strict=True):
        node.name = name
    names = [node.name for node in normalised(model, "m").graph]
    assert names[0] == "n"
    assert len({name for name in names if name}) == 2


def test_statements_of_the_file_are_not_trusted() -> None:
    """A tensor whose stated shape contradicts the graph has the inferred one."""
    model = model_from_text(f"h = Conv <{PADS}> (x, w) y = Relu (h)", w=W)
    model.graph[0].outputs[0].shape = ir.Shape([7, 9])
    model.graph.outputs[0].shape = ir.Shape(["N", 11, "P", "Q"])
    after = normalised(model, "m")
    assert after.graph[0].outputs[0].shape is not None
    assert after.graph[0].outputs[0].shape[1] == 4
    assert after.graph.outputs[0].shape is not None
    assert after.graph.outputs[0].shape[1] == 4


def test_an_output_keeps_the_names_of_its_sizes() -> None:
    """Names that the file gives to open sizes stay, unless they claim to be the input's."""
    model = model_from_text(f"h = Conv <{PADS}> (x, w) y = MaxPool <kernel_shape = [2, 2]> (h)", w=W)
    model.graph.outputs[0].shape = ir.Shape(["N", 4, "rows", "W"])
    shape = normalised(model, "m").graph.outputs[0].shape
    assert shape is not None
    assert [dim if isinstance(dim, int) else dim.value for dim in shape][:3] == ["N", 4, "rows"]
    assert shape[3] != ir.SymbolicDim("W")


def test_types_that_contradict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ONNX's inference gives up, it is one sentence of ours."""

    def fails(*_: object, **__: object) -> None:
        raise ModelError("ONNX's shape inference cannot process this model: types differ")

    monkeypatch.setattr(inferred_shapes, "isolated", fails)
    with pytest.raises(ModelError, match=r"m\.onnx contradicts itself: .* types differ; export it again"):
        normalised(ir.from_proto(ir.to_proto(PLAIN)), "m.onnx")


@pytest.mark.parametrize(
    ("auto_pad", "strides", "x", "pads"),
    [
        ("VALID", [2, 2], "double[N, 3, H, W] x", [0, 0, 0, 0]),
        ("SAME_UPPER", [1, 1], "double[N, 3, H, W] x", [1, 0, 1, 1]),
        ("SAME_LOWER", [1, 1], "double[N, 3, H, W] x", [1, 1, 1, 0]),
        ("SAME_UPPER", [2, 2], "double[N, 3, 6, 5] x", [0, 0, 1, 1]),
        ("SAME_LOWER", [2, 2], "double[N, 3, 6, 5] x", [1, 1, 0, 0]),
        ("SAME_UPPER", [3, 1], "double[N, 3, 7, W] x", [1, 0, 1, 1]),
        ("SAME_UPPER", [2, 2], "double[N, 3, H, 5] x", None),
        ("NOTSET", [2, 2], "double[N, 3, H, 5] x", None),
    ],
)
def test_paddings_by_name(auto_pad: str, strides: list[int], x: str, pads: list[int] | None) -> None:
    """Become numbers where the size is known or does not matter; the function stays."""
    body = f'y = Conv <auto_pad = "{auto_pad}", strides = {strides}> (x, w)'
    model = model_from_text(body, x=x, w=weights(RNG, 4, 3, 3, 2))
    after = normalised(model, "m")
    attributes = after.graph[0].attributes
    found = list(attributes["pads"].as_ints()) if "pads" in attributes else None
    assert found == pads
    assert model.graph.inputs[0].shape is not None
    height, width = model.graph.inputs[0].shape[2:]
    sizes = [height if isinstance(height, int) else 6, width if isinstance(width, int) else 5]
    assert furthest(model, after, RNG.normal(size=(2, 3, *sizes))) < 1e-12


class TestIdentity:
    """An Identity goes wherever its name is not needed."""

    def test_between_nodes_and_at_the_end(self) -> None:
        """The node before an output takes over its name."""
        model = model_from_text("a = Identity (x) b = Relu (a) c = Identity (b) y = Identity (c)")
        after = normalised(model, "m")
        assert ops(after) == ["Relu"]
        assert [value.name for value in after.graph.outputs] == ["y"]

    @pytest.mark.parametrize(
        ("body", "y"),
        [
            ("b = Relu (x) y = Identity (b)", "double b, double y"),
            ("y = Identity (x)", "double y"),
            ("b = Relu (x) y = Identity (b) z = Identity (b)", "double y, double z"),
        ],
    )
    def test_two_names_for_one_tensor(self, body: str, y: str) -> None:
        """Where both names are asked for one Identity stays, and every output keeps its name."""
        model = model_from_text(body, y=y)
        after = normalised(model, "m")
        assert "Identity" in ops(after)
        assert [v.name for v in after.graph.outputs] == [v.name for v in model.graph.outputs]
        assert furthest(model, after, X) == 0

    def test_of_a_weight_that_is_an_output(self) -> None:
        """The output stays."""
        model = model_from_text(f"z = Identity (w) y = Conv <{PADS}> (x, w)", y="double y, double z", w=W)
        after = normalised(model, "m")
        assert furthest(model, after, X) == 0

    def test_in_a_branch(self) -> None:
        """Inside a subgraph an outer tensor is not renamed after the branch's output."""
        model = model_from_text(
            "h = Relu (x) y = If (c) <then_branch = t () => (double[N, 3, H, W] u) { u = Identity (h) }, "
            "else_branch = e () => (double[N, 3, H, W] v) { i = Identity (h) v = Neg (i) }>",
            x="double[N, 3, H, W] x, bool c",
        )
        after = normalised(copied(model), "m")
        onnx.checker.check_model(to_bytes(after), full_check=True)
        inner = [node.op_type for node in ir.traversal.RecursiveGraphIterator(after.graph)]
        assert sorted(inner) == ["Identity", "If", "Neg", "Relu"]


def test_without_an_opset_of_its_own() -> None:
    """A model whose nodes are all of another domain needs no opset of ONNX's; it gets ours."""
    model = model_from_text("y = other.Magic (x)", domains=["other"])
    model.opset_imports.pop("")
    assert normalised(model, "m").opset_imports[""] == OPSET


def test_operators_of_others_stay_theirs() -> None:
    """A node of another domain is none of ONNX's, whatever it is called."""
    model = model_from_text("h = other.Relu (x) y = Relu (h)", domains=["other"])
    assert [node.domain for node in normalised(model, "m").graph] == ["other", ""]


def test_an_input_of_unknown_shape() -> None:
    """A second input of which no rank is stated is no reason to stop."""
    model = model_from_text("y = Relu (x)")
    model.graph.inputs.append(ir.Value(name="z", type=ir.TensorType(ir.DataType.DOUBLE)))
    assert ops(normalised(model, "m")) == ["Relu"]
