"""Print the figures that README states, each measured here and now: `make bench`.

Sizes and errors are exact; times are one thread's, models taking turns, so compare ratios and not milliseconds.
"""

from __future__ import annotations

import copy
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import torch

import swp_export
from swp_export.lowerings import LOWERINGS
from swp_export.stripes import StripeConv
from swp_export.tuning.layer_case import model_of_layer

if TYPE_CHECKING:
    from torch import nn

    from swp_export.graph.builder import LayerBuilder

ROOT = Path(__file__).resolve().parent.parent
VGG16 = ROOT / "models" / "vgg16-fashion-mnist"
RESNET56 = ROOT / "models" / "resnet56-fashion-mnist"


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as folder:
        portable_vgg16(Path(folder))
        resources(Path(folder))
        help_time()
        expansion(Path(folder))


def portable_vgg16(folder: Path) -> None:
    """Size of the portable VGG16, and its error beside PyTorch's own in float32, on test images that are shipped."""
    from swp_export.checkpoint import read_checkpoint
    from swp_export.lowerings.chained_gemm import UnchainGemm
    from swp_export.network.instantiate import instantiate

    report = swp_export.prune(VGG16 / "pruned.pth.tar", lowering="pad-slice-add", output=folder / "portable.onnx")
    chained = (folder / "portable.onnx").read_bytes()
    model = ir.from_proto(onnx.ModelProto.FromString(chained))
    UnchainGemm()(model)
    plain = ir.to_proto(model).SerializeToString()
    module = instantiate(read_checkpoint(VGG16 / "pruned.pth.tar")).module
    print(f"portable VGG16, every layer broken: {report.bytes / 1e6:.3f} MB (reach: at most 0.8)")
    for samples in (VGG16, ROOT / "models" / "vgg11-fashion-mnist"):  # 16 and 200 images, the latter in the zoo
        images = np.repeat(np.load(samples / "samples.npz")["images"], 3, axis=1)
        errors = {content: error_to_own(module, content, images) for content in (chained, plain)}
        print(f"  {len(images)} images, error by PyTorch's own in float32: {errors[chained]} (reach: at most 2)")
        print(f"    the classifier as one Gemm: {errors[plain]}")


def error_to_own(module: nn.Module, model: bytes, images: np.ndarray) -> str:
    """Return how far `model` is from `module` in float64, as a multiple of how far that is in float32."""
    from swp_export.runtime.session import open_session

    with torch.no_grad():
        single = module(torch.from_numpy(images)).numpy()
        truth = copy.deepcopy(module).double()(torch.from_numpy(images).double()).numpy()
    ours = open_session(model).run({"input": images})["output"]
    errors, owns = np.abs(ours - truth), np.abs(single - truth)
    rms = np.sqrt(np.mean(errors**2) / np.mean(owns**2))
    return f"{errors.max() / owns.max():.2f} times ({errors.max():.2e} by {owns.max():.2e}), rms {rms:.2f} times"


def resources(folder: Path) -> None:
    """Wall time and peak memory of `swp-export prune` on an unbroken VGG16 of 59 MB."""
    from swp_export.checkpoint import read_checkpoint
    from swp_export.network.instantiate import instantiate
    from swp_export.network.unpruned import unpruned
    from swp_export.nn import FilterStripe

    module = unpruned(instantiate(read_checkpoint(VGG16 / "pruned.pth.tar")))
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, FilterStripe):
            live = layer.weight.detach().abs().sum(dim=1) > 0
            residue = 0.005 * torch.rand(live.shape, generator=generator)
            layer.FilterSkeleton.data = torch.where(live, torch.ones(live.shape), residue)
            layer.weight.data += torch.randn(layer.weight.shape, generator=generator) * ~live[:, None] * 0.01
    checkpoint = folder / "best.pth.tar"
    torch.save(module.state_dict(), checkpoint)
    start = time.perf_counter()
    command = [sys.executable, "-m", "swp_export", "prune", str(checkpoint), "--threshold", "0.01"]
    subprocess.run([*command, "--output", str(folder / "best.onnx")], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"prune with verification, unbroken VGG16 of {checkpoint.stat().st_size / 1e6:.0f} MB:")
    print(f"  {seconds:.1f} s (reach: at most 15), {peak:.2f} GB at the peak (reach: at most 1.5)")


def help_time() -> None:
    """Wall time of `swp-export --help`, the median of nine."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "swp_export", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    print(f"--help: {sorted(times)[4]:.2f} s (reach: at most 0.3)")


def expansion(folder: Path) -> None:
    """Compare pad-slice-add with expanding every tap to all channels: C = N = 64, 32x32, 16 % live, one thread."""
    rng = np.random.default_rng(0)
    mask = rng.random((64, 3, 3)) < 0.16
    weight = rng.standard_normal((64, 64, 3, 3), dtype=np.float32) * mask[:, None]
    bias = rng.standard_normal(64, dtype=np.float32)
    conv = StripeConv(name="layer", weight=weight, bias=bias, pads=(1, 1, 1, 1))
    models = []
    for name, emit in (("expand", expand_taps), ("pad-slice-add", LOWERINGS["pad-slice-add"].emit)):
        models.append(folder / f"{name}.onnx")
        ir.save(model_of_layer(conv, emit), models[-1])
    report = swp_export.bench(models, input_shape=(64, 32, 32))
    (ratio,) = report.ratios
    print(f"pad-slice-add against expanding each tap, {100 * mask.mean():.0f} % live:")
    print(f"  {ratio.speedup:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f}; reach: at least 1.4)")


def expand_taps(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write a 3x3, stride 1, padding 1 layer the naive way: per tap a Slice, a Gather to all N channels, an Add."""
    mask = conv.skeleton.mask
    taps = conv.skeleton.live_taps
    rows = np.concatenate([conv.weight[mask[:, i, j], :, i, j] for i, j in taps])
    rows = np.concatenate([rows, np.zeros_like(rows[:1])])[:, :, None, None]  # the last row is what dead stripes gather
    stripes = builder.op("Conv", [x, builder.weights(rows, "weight")], "conv")
    stripes = builder.op("Pad", [stripes, builder.indices([0, 0, 1, 1, 0, 0, 1, 1], "pads")], "pad")
    total, start = None, 0
    for i, j in taps:
        live = mask[:, i, j]
        index = np.full(conv.filters, len(rows) - 1)
        index[live] = np.arange(start, start + live.sum())
        start += int(live.sum())
        ends = [k - 2 if k < 2 else np.iinfo(np.int64).max for k in (i, j)]
        bounds = [builder.indices(v, f"{w}_{i}{j}") for v, w in (([i, j], "starts"), (ends, "ends"), ([2, 3], "axes"))]
        tap = builder.op("Slice", [stripes, *bounds], "slice")
        tap = builder.op("Gather", [tap, builder.indices(index, f"index_{i}{j}")], "expand", {"axis": 1})
        total = tap if total is None else builder.op("Add", [total, tap], "add")
    assert total is not None
    return builder.op("Add", [total, builder.weights(conv.bias[:, None, None], "bias")], "add_bias")


if __name__ == "__main__":
    main()
