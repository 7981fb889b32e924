"""Where the time goes: FLOPs, the layers of kernels, attribution."""

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx_ir as ir
import pytest

from swp_export.benchmark.kernel_layers import OTHER, layers_of_kernels, layers_of_nodes
from swp_export.benchmark.layer_profile import Kernel, attribute, kernels_of_profile, layer_times
from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.graph.analysis.flops import node_flops
from swp_export.runtime.target import Target

IMAGE = np.ones((1, 3, 8, 8), np.float32)


def graph(body, names, *, layers=()):
    """Return the graph of `body`, nodes named `names`, and layers stated for those that have one."""
    text = f'<ir_version: 8, opset_import: ["": 18, "com": 1]> g (float[1] x, float[1] w) => (float[1] y) {{ {body} }}'
    found = ir.from_proto(onnx.parser.parse_model(text)).graph
    for node, name in zip(found, names, strict=True):
        node.name = name
    for node, layer in zip(found, layers, strict=False):
        if layer:
            node.metadata_props["swp_export.layer"] = layer
    return found


def test_flops_are_two_per_multiply_add_at_the_given_shape(tiny_proto):
    """Convolutions and the classifier are counted for the shape that is measured; everything else is 0."""
    flops = dict(zip((node.name for node in tiny_proto.graph.node), node_flops(tiny_proto, (2, 3, 8, 8)), strict=True))
    assert flops.pop("features.0") == 2 * 2 * 8 * 8 * 8 * 3 * 9
    assert flops.pop("features.3/conv") == 2 * 2 * 8 * 8 * 8 * 8
    assert flops.pop("classifier") == 2 * 2 * 10 * 8
    assert set(flops.values()) == {0}


def test_grouped_convolution_counts_its_own_channels():
    """A depthwise convolution multiplies one channel per filter."""
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[1,4,5,5] x, float[4,1,3,3] w) => (y) '
    model = onnx.parser.parse_model(text + "{ y = Conv <group = 4> (x, w) }")
    assert node_flops(model, (1, 4, 5, 5)) == [2 * 4 * 3 * 3 * 9]


def test_a_shape_that_cannot_be_inferred_is_a_model_error():
    """The message names the node."""
    text = '<ir_version: 8, opset_import: ["": 18, "com": 1]> g (float[1] x, float[4,1,3,3] w) => (y) '
    model = onnx.parser.parse_model(text + "{ h = com.Unknown(x) y = Conv(h, w) }")
    with pytest.raises(ModelError, match="at Conv"):
        node_flops(model, (1,))


def test_layers_come_from_metadata_then_from_names():
    """Metadata wins; a convolution's name is its layer; `<layer>/<operator>` belongs to a layer that exists."""
    found = graph(
        "h = Conv(x, w) r = Relu(h) t = Conv(r, w) u = Relu(t) y = Relu(u)",
        ["features.0", "features.0/relu", "anything", "unknown/relu", "relu"],
        layers=[None, None, "features.3"],
    )
    assert list(layers_of_nodes(found).values()) == ["features.0", "features.0", "features.3", OTHER, OTHER]


def test_a_lowered_model_without_metadata_keeps_its_layers():
    """Names are enough: "features.3/conv" is of layer features.3."""
    found = graph("h = Conv(x, w) y = Relu(h)", ["features.3/conv", "features.3/relu"])
    assert list(layers_of_nodes(found).values()) == ["features.3", "features.3"]


def test_a_fused_convolution_is_found_through_the_activation_it_is_named_after():
    """ONNX Runtime names Conv + Relu after the Relu's output: the time is the convolution's layer's."""
    original = graph("h = Conv(x, w) r = Relu(h) y = Relu(r)", ["features.0", "relu", "last"])
    fused = graph("t = Conv(x, w) r = com.ReorderOutput(t) y = Relu(r)", ["r_nchwc", "ReorderOutput", "last"])
    assert layers_of_kernels(original, fused)["r_nchwc"] == "features.0"


def test_a_float16_convolution_that_runs_in_float32_is_found():
    """ONNX Runtime puts a prefix before the names of nodes that it runs in another precision."""
    original = graph("h = Conv(x, w) r = Relu(h) y = Relu(r)", ["features.0", "relu", "last"])
    fused = graph("t = Conv(x, w) y = Relu(t)", ["InsertedPrecisionFreeCast_r_nchwc", "last"])
    assert layers_of_kernels(original, fused)["InsertedPrecisionFreeCast_r_nchwc"] == "features.0"


def test_an_inserted_node_belongs_to_the_layer_that_needs_it():
    """A change of layout between two layers is paid for by the second; after the last one, by the last."""
    original = graph("h = Conv(x, w) y = Conv(h, w)", ["a", "b"])
    fused = graph(
        "i = com.ReorderInput(x) t = Conv(i, w) h = com.ReorderOutput(t) j = com.ReorderInput(h) u = Conv(j, w) "
        "y = com.ReorderOutput(u)",
        ["in", "h_nchwc", "out", "in_2", "y_nchwc", "out_2"],
    )
    layers = layers_of_kernels(original, fused)
    assert layers == {"in": "a", "h_nchwc": "a", "out": "b", "in_2": "b", "y_nchwc": "b", "out_2": "b"}


def test_a_profile_is_the_median_of_its_runs_without_the_first_ones():
    """Warm-up runs are skipped, an interrupted run does not count more than another, other events are ignored."""
    events = []
    for run, microseconds in enumerate([900, 10, 12, 5000]):
        events += [
            {"cat": "Session", "name": "model_run", "ts": 100 * run, "dur": 1},
            {
                "cat": "Node",
                "name": "c_kernel_time",
                "ts": 100 * run + 1,
                "dur": microseconds,
                "args": {"op_name": "Conv"},
            },
        ]
    assert kernels_of_profile(events, skip_runs=1) == [Kernel(name="c", operator="Conv", microseconds=12)]


def test_attribution_gives_shares():
    """Shares of time and FLOPs sum to 1, in the order of the layers; unknown kernels go to the end."""
    kernels = [
        Kernel(name="?", operator="Flatten", microseconds=10),
        Kernel(name="c", operator="Conv", microseconds=60),
        Kernel(name="p", operator="Pad", microseconds=30),
    ]
    first, second, other = attribute(kernels, {"c": "b", "p": "b"}, {"a": 300, "b": 100})
    assert (first.layer, first.time_share, first.flops_share, first.operators) == ("a", 0, 0.75, {})
    assert (second.layer, second.time_share, second.flops) == ("b", 0.9, 100)
    assert second.operators == pytest.approx({"Conv": 2 / 3, "Pad": 1 / 3})
    assert (other.layer, other.time_share) == (OTHER, 0.1)


def test_the_time_of_a_real_model_goes_to_its_layers(tiny_file):
    """Every convolution, and all the data movement of the lowered layer, is found under its checkpoint name."""
    layers = {layer.layer: layer for layer in layer_times(tiny_file, {"x": IMAGE}, runs=3)}
    assert list(layers) == ["features.0", "features.3", "classifier", OTHER]
    assert sum(layer.time_share for layer in layers.values()) == pytest.approx(1)
    assert sum(layer.flops_share for layer in layers.values()) == pytest.approx(1)
    assert {"Conv", "Pad", "Slice", "Add"} <= set(layers["features.3"].operators)
    assert set(layers[OTHER].operators) <= {"GlobalAveragePool", "Flatten"}


def test_float16_convolutions_are_found(tmp_path):
    """Float16 is computed in float32 on a CPU, under names that say so; time and FLOPs are the layers' all the same."""
    text = (
        '<ir_version: 8, opset_import: ["": 18]> g (float[1,3,8,8] x) => (float[1,4,8,8] y) '
        "<float16[4,3,3,3] w, float16[4,4,3,3] v> { c = Cast <to = 10> (x) h = Conv <pads = [1,1,1,1]> (c, w) "
        "r = Relu (h) k = Conv <pads = [1,1,1,1]> (r, v) s = Relu (k) y = Cast <to = 1> (s) }"
    )
    model = onnx.parser.parse_model(text)
    for name, node in zip(["in", "a", "relu", "b", "relu_1", "out"], model.graph.node, strict=True):
        node.name = name
    for name, channels in (("w", 3), ("v", 4)):
        array = np.random.default_rng(0).normal(size=(4, channels, 3, 3)).astype(np.float16)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "half.onnx")
    layers = {layer.layer: layer for layer in layer_times(tmp_path / "half.onnx", {"x": IMAGE}, runs=3)}
    assert {name: layers[name].flops for name in "ab"} == {"a": 2 * 64 * 4 * 27, "b": 2 * 64 * 4 * 36}
    assert all("Conv" in layers[name].operators for name in "ab")
    assert OTHER not in layers or "Conv" not in layers[OTHER].operators


def test_a_refused_shape_is_an_input_error(tiny_file):
    """The model wants three channels."""
    with pytest.raises(InputError, match="refuses the input"):
        layer_times(tiny_file, {"x": IMAGE[:, :2]})


def test_layers_on_cuda_need_blocking_launches(tiny_file, monkeypatch):
    """Without them the time of the launch would be called the time of the kernel."""
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)
    with pytest.raises(DeviceError, match="CUDA_LAUNCH_BLOCKING=1"):
        layer_times(tiny_file, {"x": IMAGE}, target=Target(device="cuda"))
