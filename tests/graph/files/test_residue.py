"""What a written file does not say: stale shapes and traces of the machine that exported it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.shape_inference
import pytest
from small_models import PADS, from_bytes, model_from_text, weights

from swp_export.errors import ModelError
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import LAYER

RNG = np.random.default_rng(0)
TRACE = 'File "/home/somebody/site-packages/torch/nn/modules/conv.py", line 1'
KEY = "pkg.torch.onnx.stack_trace"


def soiled() -> onnx.ModelProto:
    """Return a model with a branch inside and a function, each part of which says where it was exported."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18, "own": 1]> g (float[N, 3, 8, 8] x, bool b) => (float[N, 4, 8, 8] y) '
        f"<float[4, 3, 3, 3] w> {{ h = Conv <{PADS}> (x, w) r = own.F (h) "
        "y = If (b) <then_branch = t () => (float[N, 4, 8, 8] u) { u = Relu (r) }, "
        "else_branch = e () => (float[N, 4, 8, 8] v) { v = Neg (r) }> }"
        '<domain: "own", opset_import: ["": 18]> F (p) => (q) { q = Relu (p) }'
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights(RNG, 4, 3, 3, 3).astype(np.float32), "w"))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("h", 1, ["N", 4, 8, 8]))
    branch = model.graph.node[2].attribute[0]
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
        branch.g,
        branch.g.node[0],
        branch.g.output[0],
        model.functions[0],
        model.functions[0].node[0],
    ):
        part.metadata_props.add(key=KEY, value=TRACE)
    for part in (*model.graph.node, *model.graph.initializer, branch, branch.g, branch.g.node[0], model.functions[0]):
        part.doc_string = TRACE
    model.graph.node[0].metadata_props.add(key=LAYER, value="stem")
    model.doc_string, model.graph.doc_string, model.graph.input[0].doc_string = "what it is", "the net", "an image"
    return model


def test_nothing_says_where_it_was_exported() -> None:
    """No metadata, doc_string or function body tells a path; layer names and what the author wrote stay."""
    content = serialized(from_bytes(soiled().SerializeToString()), {"author": "me", KEY: TRACE})
    assert b"site-packages" not in content
    assert b"pkg.torch" not in content
    model = onnx.ModelProto.FromString(content)
    assert {entry.key: entry.value for entry in model.graph.node[0].metadata_props} == {LAYER: "stem"}
    assert {entry.key: entry.value for entry in model.metadata_props}["author"] == "me"
    written = (model.doc_string, model.graph.doc_string, model.graph.input[0].doc_string)
    assert written == ("what it is", "the net", "an image")


def test_shapes_inside_are_those_of_the_nodes() -> None:
    """What a file states between input and output follows from its nodes, not from what it said before."""
    proto = soiled()
    proto.graph.value_info[0].CopyFrom(onnx.helper.make_tensor_value_info("h", 1, ["N", 9, 9]))
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("w", 1, [4, 3, 3, 3]))
    model = onnx.ModelProto.FromString(serialized(from_bytes(proto.SerializeToString()), {}))
    assert {value.name: sizes(value) for value in model.graph.value_info} == {key: ["N", 4, 8, 8] for key in "hr"}


def test_an_open_size_inside_gets_no_name() -> None:
    """A size that is neither a number nor an input's is open; a reader would take a name for one that others share."""
    body = f"h = Relu (x) p = Conv <{PADS}> (h, w) y = Relu (p)"
    model = model_from_text(
        body, x="float[N, 3, H, W] x", y="float[N, 4, P, Q] y", w=weights(RNG, 4, 3, 3, 3).astype(np.float32)
    )
    written = onnx.ModelProto.FromString(serialized(model, {}))
    told = {value.name: sizes(value) for value in written.graph.value_info}
    assert told == {"h": ["N", 3, "H", "W"], "p": ["N", 4, 0, 0]}


def sizes(value: onnx.ValueInfoProto) -> list[str | int]:
    """Return the name or number of each dimension; 0 is open."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("wrong", ["float[7, 4, 8, 8] y", "float[N, 5, 8, 8] y", "float[N, 4] y"])
def test_a_wrong_output_shape_is_set_right(wrong: str) -> None:
    """An output whose stated shape contradicts the nodes gets the one that follows from them."""
    proto = soiled()
    proto.graph.ClearField("output")
    proto.graph.output.append(onnx.helper.make_tensor_value_info("h", 1, list(shape_in(wrong))))
    del proto.graph.node[1:]
    content = serialized(from_bytes(proto.SerializeToString()), {})
    onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(content), strict_mode=True, data_prop=True)
    [output] = onnx.ModelProto.FromString(content).graph.output
    assert sizes(output) == ["N", 4, 8, 8]


def shape_in(text: str) -> list[str | int]:
    """Return the dimensions that `text` spells."""
    return [int(d) if d.isdecimal() else d for d in text[text.index("[") + 1 : text.index("]")].split(", ")]


def test_a_right_output_shape_keeps_its_names() -> None:
    """Names of open dimensions are the author's."""
    model = model_from_text("y = Relu (x)", x="float[batch, 3, H, W] x", y="float[batch, 3, high, wide] y")
    [output] = onnx.ModelProto.FromString(serialized(model, {})).graph.output
    assert sizes(output) == ["batch", 3, "high", "wide"]


def test_nodes_that_contradict_one_another() -> None:
    """What no reader could run is refused in one line, not by a traceback."""
    model = model_from_text("y = MatMul (x, w)", x="float[2, 3] x", y="float[2, 5] y", w=np.ones((3, 5), np.float32))
    proto = onnx.ModelProto.FromString(serialized(model, {}))
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 5), np.float32), "w"))
    with pytest.raises(ModelError, match="shapes contradict") as caught:
        serialized(from_bytes(proto.SerializeToString()), {})
    assert "\n" not in str(caught.value)
