"""In which order forms are tried."""

from __future__ import annotations

import time

import pytest
from tunable_models import RiggedTimer, compact_network, rigged

from swp_export.lowerings.rewrite import planned_bytes
from swp_export.runtime.target import CPU, Target
from swp_export.tuning.search import Search
from swp_export.tuning.trial_order import trial_order

LAYERS = ("conv0", "conv1", "conv2")
FORMS = ("shift-sum", "sliced-ellpack(640)", "dense")
OWN = dict.fromkeys(LAYERS, "dense")


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    """Return a network in several forms."""
    compact = compact_network()
    return {form: planned_bytes(compact, dict.fromkeys(LAYERS, form), 8) for form in FORMS}


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_the_table_decides_where_trials_are_cheap(device: str, models: dict[str, bytes]) -> None:
    """Nothing is guessed."""
    assert tuple(trial_order(models, Target(device=device))) == FORMS


@pytest.mark.parametrize("options", [{}, {"tf32": True}, {"cuda_graph": True}])
def test_on_cuda_few_nodes_and_no_depthwise_convolution_come_first(
    options: dict[str, bool], models: dict[str, bytes]
) -> None:
    """Dense has the fewest of both."""
    assert trial_order(models, Target(device="cuda", **options))[0] == "dense"  # type: ignore[arg-type]


def test_a_captured_graph_forgives_nodes_but_no_depthwise_convolution() -> None:
    """What a launch costs is less there."""
    conv = "a = Conv <group = 4> (x, w) y = Relu (a)"
    nodes = " ".join(f"{'y' if n == 6 else f'a{n}'} = Abs ({f'a{n - 1}' if n else 'x'})" for n in range(7))
    forms = {"depthwise": _model(conv), "nodes": _model(nodes)}
    assert trial_order(forms, Target(device="cuda"))[0] == "depthwise"
    assert trial_order(forms, Target(device="cuda", cuda_graph=True))[0] == "nodes"


@pytest.mark.parametrize(("target", "tried"), [(CPU, len(FORMS)), (Target(device="cuda"), 2)])
def test_a_comparison_ends_at_the_deadline_on_cuda(target: Target, tried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a trial takes seconds; two are always made, elsewhere all."""
    monkeypatch.setattr(RiggedTimer, "quick_seconds", lambda *_: 1.0)
    timer = rigged(lambda _: 1.0, target=target)
    search = Search(compact_network(), timer, (1, 3, 8, 8), lambda _: None)
    plans = [dict.fromkeys(LAYERS, form) for form in FORMS]
    assert len(search._tried(plans, time.monotonic() - 1)) == tried


def _model(body: str) -> bytes:
    import onnx.parser

    text = f'<ir_version: 8, opset_import: ["": 18]> g (float[N, 4, H, W] x, float[4, 1, 1, 1] w) => (y) {{ {body} }}'
    content: bytes = onnx.parser.parse_model(text).SerializeToString()
    return content
