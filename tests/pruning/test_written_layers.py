"""Every convolution is a row of the table, those that no lowering writes too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_models import model_from_text, to_bytes, to_float32, weights

from swp_export.command_line.prune_table import prune_tables
from swp_export.command_line.terminal import print_data
from swp_export.inspection.inspect import inspect
from swp_export.pruning.prune import prune

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.pruning.report import PruneReport

RNG = np.random.default_rng(0)
WIDE, TALL = "pads = [0, 1, 0, 1]", "pads = [1, 0, 1, 0]"


def striped(*shape: int) -> np.ndarray:
    """Return a weight `[N, C, *kernel]` whose filter 0 lost its first stripe, filter 1 all of them."""
    weight = weights(RNG, *shape, dead=[1])
    weight[(0, slice(None), *[0] * (len(shape) - 2))] = 0
    return weight


def pruned(tmp_path: Path, body: str, x: str, y: str, **tensors: np.ndarray) -> PruneReport:
    """Return the report on the float32 model that `body` spells, written without a comparison."""
    file = tmp_path / "m.onnx"
    file.write_bytes(to_bytes(to_float32(model_from_text(body, x=x, y=y, **tensors))))
    return prune(file, output=tmp_path / "p.onnx")


KINDS = [
    ("Conv <{}, group = 4> (h, v)", (4, 1, 3, 3), "no lowering writes depthwise convolutions"),
    ("Conv <{}, group = 2> (h, v)", (4, 2, 3, 3), "no lowering writes grouped convolutions"),
    ("ConvTranspose <strides = [2, 2]> (h, v)", (4, 6, 2, 2), "no lowering writes transposed convolutions"),
]


@pytest.mark.parametrize(("node", "shape", "reason"), KINDS)
def test_kinds_without_a_lowering(node: str, shape: tuple[int, ...], reason: str, tmp_path: Path) -> None:
    """Depthwise, grouped and transposed convolutions: their stripes are counted, and the reason is named."""
    stored = striped(*shape)
    if "Transpose" in node:  # its filters are the second axis
        stored = striped(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    live = stored.any(axis=0 if "Transpose" in node else 1)
    report = pruned(
        tmp_path,
        f"h = Conv (x, w) r = {node.format('pads = [1, 1, 1, 1]')} y = Conv (r, u)",
        "double[2, 3, 6, 6] x",
        "double[2, 5, P, Q] y",
        w=RNG.normal(size=(4, 3, 1, 1)),
        v=stored,
        u=RNG.normal(size=(5, live.shape[0], 1, 1)),
    )
    row = report.layers[1]
    assert (row.filters, row.stripes) == (live.shape[0], live.size)
    assert (row.lowering, row.reason) == ("dense", reason)
    assert row.live_stripes == live.sum()
    assert row.live_filters == live.shape[0] - 1
    assert row.paper_flops > 0
    assert report.verification is not None


@pytest.mark.parametrize(
    ("x", "y", "kernel", "kind"),
    [
        ("double[2, 3, 12] x", "double[2, 5, P] y", (3,), "1-D"),
        ("double[2, 3, 4, 4, 4] x", "double[2, 5, P, Q, R] y", (3, 1, 2), "3-D"),
    ],
)
def test_other_dimensions(x: str, y: str, kernel: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    """Conv1d and Conv3d: N times their taps are their stripes, and they alone are reason enough to prune."""
    tensors = {"w": striped(4, 3, *kernel), "u": RNG.normal(size=(5, 4, *[1] * len(kernel)))}
    report = pruned(tmp_path, "h = Conv (x, w) y = Conv (h, u)", x, y, **tensors)
    row = report.layers[0]
    taps = int(np.prod(kernel))
    assert (row.filters, row.live_filters) == (4, 3)
    assert (row.stripes, row.live_stripes) == (4 * taps, 3 * taps - 1)
    assert row.reason == f"no lowering writes {kind} convolutions"


def test_long_kernels_are_lowered(tmp_path: Path) -> None:
    """1xK and Kx1 convolutions are layers as any other: the rule chooses their form, and it is exact."""
    weight = np.zeros((64, 64, 1, 3))
    weight[np.arange(64), :, 0, np.arange(64) % 3] = RNG.normal(size=(64, 64))
    report = pruned(
        tmp_path,
        f"h = Conv <{WIDE}> (x, w) g = Conv <{TALL}> (h, v) y = GlobalAveragePool (g)",
        "double[2, 64, 6, 6] x",
        "double[2, 64, P, Q] y",
        w=weight,
        v=weight.swapaxes(2, 3),
    )
    assert [(row.stripes, row.live_stripes) for row in report.layers] == [(192, 64), (192, 64)]
    assert {row.lowering for row in report.layers} <= {"pad-slice-add", "dense"}
    assert all("no lowering" not in row.reason for row in report.layers)
    forced = prune(tmp_path / "m.onnx", output=tmp_path / "f.onnx", lowering="shift-sum")
    assert [row.lowering for row in forced.layers] == ["shift-sum", "shift-sum"]
    assert forced.verification is not None
    assert forced.verification.equivalent


def test_what_stays_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report, its JSON and what is printed say how many dead filters stay, where and why; nothing where all go."""
    tensors = {"w": striped(4, 3, 3, 3), "u": RNG.normal(size=(5, 4, 1, 1))}
    body = 'h = Conv (x, w) n = Einsum <equation = "nchw->nhwc"> (h) y = Neg (n)'
    report = pruned(tmp_path, body, "double[2, 3, 6, 6] x", "double[2, P, Q, 4] y", w=tensors["w"])
    (kept,) = report.to_json()["kept"]
    assert (kept["filters"], kept["nodes"]) == (1, ())
    assert "(Einsum) sums over them" in kept["reason"]
    print_data(prune_tables(report))
    said = " ".join(capsys.readouterr().out.split())
    assert f"1 dead filter stays because {kept['reason']}: 1 of {kept['layer']}" in said
    (tmp_path / "other").mkdir()
    body = "h = Conv (x, w) y = Conv (h, u)"
    report = pruned(tmp_path / "other", body, "double[2, 3, 6, 6] x", "double[2, 5, P, Q] y", **tensors)
    assert report.to_json()["kept"] == []
    print_data(prune_tables(report))
    assert "dead filter" not in capsys.readouterr().out


def test_a_depthwise_layer_of_which_one_channel_is_left(tmp_path: Path) -> None:
    """It has no groups any more, and is written as any other layer."""
    w, u = np.zeros((4, 3, 1, 1)), RNG.normal(size=(5, 4, 1, 1))
    w[2] = 1
    report = pruned(
        tmp_path,
        "h = Conv (x, w) g = Conv <pads = [1, 1, 1, 1], group = 4> (h, v) y = Conv (g, u)",
        "double[2, 3, 6, 6] x",
        "double[2, 5, P, Q] y",
        w=w,
        v=striped(4, 1, 3, 3),
        u=u,
    )
    row = report.layers[1]
    assert (row.filters, row.live_filters) == (4, 1)
    assert "no lowering" not in row.reason
    assert report.verification is not None
    assert report.verification.equivalent


def test_groups_that_are_written_apart(tmp_path: Path) -> None:
    """A grouped layer that pruning writes as several convolutions is still one row, of all their stripes."""
    v = weights(RNG, 32, 8, 3, 3)
    v[:15] = 0
    v[:16, 1:] = 0
    report = pruned(
        tmp_path,
        "h = Conv (x, w) g = Conv <group = 4> (h, v) y = Conv (g, u)",
        "double[2, 3, 6, 6] x",
        "double[2, 5, P, Q] y",
        w=RNG.normal(size=(32, 3, 1, 1)),
        v=v,
        u=RNG.normal(size=(5, 32, 1, 1)),
    )
    assert len(report.layers) == 3
    row = report.layers[1]
    assert (row.filters, row.live_filters, row.live_stripes) == (32, 17, 17 * 9)
    assert row.reason == "no lowering writes grouped convolutions"
    found = inspect(report.model)
    assert sum(layer.stripes for layer in found.layers[1:-1]) == 17 * 9
    assert len(found.layers) == 4
