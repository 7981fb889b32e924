"""What ran where, decided on profiles that ONNX Runtime's CPU provider recorded, some nodes given to CUDA."""

import json
from types import SimpleNamespace

import numpy as np
import onnx.parser
import pytest

from swp_export.errors import DeviceError
from swp_export.runtime.model_source import source_of
from swp_export.runtime.onnxruntime_cuda import OnnxRuntimeCuda
from swp_export.runtime.onnxruntime_loading import session_arguments
from swp_export.runtime.placement import (
    CPU_PROVIDER,
    PlacementCheck,
    assigned_operators,
    placed_nodes,
)
from swp_export.runtime.runtime import Loading
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target

CUDA = "CUDAExecutionProvider"
DETECTOR = """
<ir_version: 8, opset_import: ["": 18]> detector
(float[N, 3, H, W] x) => (float[N, 4, A, B] y, float[K] z, float[1, K, 4] b)
<float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, int64[1] two = {2}, int64 zero = {0}, int64 one = {1},
 int64[1] first = {0}> {
    c = Conv (x, w)
    h = Sigmoid (c)
    y = Mul (c, h)
    s = Shape (c)
    g = Gather (s, two)
    m = Mul (g, two)
    q = Squeeze (m)
    r = Range (zero, q, one)
    z = Cast <to = 1> (r)
    p = GlobalMaxPool (c)
    f = Flatten <axis = 2> (p)
    t = Transpose <perm = [1, 0]> (f)
    u = Unsqueeze (t, first)
    b = Gather <axis = 0> (u, first)
}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return the events of a detector's profile on the CPU."""
    prefix = tmp_path_factory.mktemp("profile") / "profile"
    session = open_session(onnx.parser.parse_model(DETECTOR), optimise=False, profile_prefix=prefix)
    session.run(np.ones((1, 3, 8, 8), np.float32))
    return json.loads(session.end_profiling().read_text())


def on_cuda(events, *, but=(), of=("float", "int64")):
    """Return `events` as if CUDA had run all operators, `but` some whose first result is `of` a type."""
    moved = json.loads(json.dumps(events))
    for event in moved:
        args = event["args"]
        if event["cat"] == "Node" and not (args["op_name"] in but and {*args["output_type_shape"][0]} <= {*of}):
            args["provider"] = CUDA
    return moved


def check_of(events):
    """Return the check of a model that ran as `events` say."""
    assigned = {}
    for node in placed_nodes(events):
        counts = assigned.setdefault(node.provider, {})
        counts[node.operator] = counts.get(node.operator, 0) + 1
    return PlacementCheck("d.onnx", "cuda:1", assigned, lambda _: events)


def test_a_profile_says_what_ran_where_on_what(recorded):
    """Operator, provider, and the types and shapes of what a node reads and writes."""
    nodes = {node.operator: node for node in placed_nodes(on_cuda(recorded, but=["Range"]))}
    assert nodes["Conv"].tensors == (("float", (1, 3, 8, 8)), ("float", (4, 3, 1, 1)), ("float", (1, 4, 8, 8)))
    assert (nodes["Conv"].provider, nodes["Range"].provider) == (CUDA, CPU_PROVIDER)


def test_shape_arithmetic_may_be_on_the_cpu(recorded):
    """Shape, Range, Cast, Mul of sizes and a Gather of boxes, which ONNX Runtime itself puts there."""
    check_of(on_cuda(recorded, but=["Shape", "Mul", "Squeeze", "Range"], of=["int64"]))({})
    check_of(on_cuda(recorded, but=["Gather", "Cast"]))({})


@pytest.mark.parametrize("operator", ["Conv", "GlobalMaxPool"])
def test_a_heavy_operator_on_the_cpu_is_refused_at_once(recorded, operator):
    """The partition tells, before anything runs."""
    with pytest.raises(DeviceError, match=rf"device cuda:1 has no kernel for {operator}, which .* on the CPU"):
        check_of(on_cuda(recorded, but=[operator]))


def test_an_elementwise_operator_on_maps_is_refused_by_name(recorded):
    """The profile tells it from one of sizes, of whatever operator."""
    events = on_cuda(recorded, but=["Sigmoid", "Mul"])
    with pytest.raises(DeviceError, match=r"no kernel for Sigmoid '[^,]*', Mul '[^,]*', which"):
        check_of(events)({})


def test_a_model_is_profiled_only_where_that_can_tell_something(recorded):
    """Not where CUDA got everything but sizes; otherwise once."""
    profiled = []

    def profile(_):
        profiled.append(1)
        return on_cuda(recorded, but=["Gather"])

    PlacementCheck("d", "cuda", {CUDA: {"Conv": 1}, CPU_PROVIDER: {"Shape": 1, "Range": 1}}, profile)({})
    assert profiled == []
    check = PlacementCheck("d", "cuda", {CPU_PROVIDER: {"Gather": 1}}, profile)
    check({})
    check({})
    assert profiled == [1]


def test_the_partition_is_counted_by_operator():
    """Of each provider, over all of its parts."""
    nodes = [SimpleNamespace(op_type=operator) for operator in ("Conv", "Relu", "Conv")]
    parts = [SimpleNamespace(ep_name=CUDA, get_nodes=lambda: nodes), SimpleNamespace(ep_name="C", get_nodes=list)]
    assert assigned_operators(parts) == {CUDA: {"Conv": 2, "Relu": 1}, "C": {}}


def test_a_session_says_its_partition():
    """What ONNX Runtime answers, here of the CPU, is what is counted."""
    arguments = session_arguments(
        source_of(onnx.parser.parse_model(DETECTOR)), Target(device="cuda"), Loading(), [(CPU_PROVIDER, {})]
    )
    counted = assigned_operators(arguments["inner"].get_provider_graph_assignment_info())
    assert counted[CPU_PROVIDER]["Conv"] == 1
    assert counted[CPU_PROVIDER]["Gather"] == 2


def test_a_provider_that_does_not_start_is_no_cpu_session(monkeypatch, capfd):
    """CUDA's provider fails on this machine whatever we think of it: the session is refused, in one line of ours."""
    runtime = OnnxRuntimeCuda()
    monkeypatch.setattr(runtime, "hardware", lambda _: "a GPU")
    model = onnx.parser.parse_model(DETECTOR)
    with pytest.raises(DeviceError, match=r"CUDAExecutionProvider, ONNX Runtime fell back|device cuda"):
        runtime.open(source_of(model), Target(device="cuda"), Loading())
    assert capfd.readouterr() == ("", "")
