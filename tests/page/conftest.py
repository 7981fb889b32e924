"""Documents of a network of three layers, made by the reports themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from swp_export.page.page import page_of
from swp_export.pruning.report import PrunedLayer, PruneReport, Totals
from swp_export.stripes import FilterShape

if TYPE_CHECKING:
    from pathlib import Path

EDGE = FilterShape(taps="010010000", filters=5)
CENTRE = FilterShape(taps="000010000", filters=2)


def layer(name: str, **changes: Any) -> PrunedLayer:
    """Return a layer of 8 filters, of which 7 are left, in two shapes."""
    facts: dict[str, Any] = {
        "name": name,
        "filters": 8,
        "live_filters": 7,
        "stripes": 72,
        "live_stripes": 12,
        "filter_shapes": (EDGE, CENTRE),
        "kernel": (3, 3),
        "params_before": 224,
        "params_after": 60,
        "flops_before": 100_000,
        "flops_after": 20_500,
        "paper_flops": 18_000,
        "lowering": "pad-slice-add",
        "reason": "4.9 times less work",
    }
    return PrunedLayer(**(facts | changes))


def pruned_document() -> dict[str, Any]:
    """Return a document of `prune`: a layer that got smaller, one that grew, one that is gone."""
    removed: dict[str, Any] = {"live_filters": 0, "live_stripes": 0, "filter_shapes": (), "lowering": "removed"}
    layers = (
        layer("features.0"),
        layer("features.3", params_after=300, flops_after=120_000),
        layer("features.<7>", params_after=0, flops_after=0, **removed),
    )
    totals = Totals(
        params_before=14_719_818,
        params_after=153_168,
        helper_params=0,
        flops_before=626_400_000,
        flops_after=29_900_000,
        executed_flops=30_000_000,
        paper_params_before=14_719_818,
        paper_params_after=120_000,
        paper_flops_before=626_400_000,
        paper_flops_after=20_000_000,
    )
    report = PruneReport(
        model="model.onnx",
        bytes=702_311,
        sha256="ab" * 32,
        source="ckpt.pth",
        architecture="VGG11",
        threshold=0.01,
        threshold_error=None,
        layers=layers,
        kept=(),
        totals=totals,
        verification=None,
        accuracy=None,
        counted_gain_of_auto=None,
        dense="dense.onnx",
        warnings=("no live stripe in features.<7>",),
    )
    return report.to_json() | {"command_line": "swp-export prune ckpt.pth --threshold 0.01"}


def bench_document() -> dict[str, Any]:
    """Return a document of `bench`: the baseline takes 4 ms, the model 1 ms, each layer its share."""

    def result(model: str, median: float, shares: dict[str, float]) -> dict[str, Any]:
        layers = [
            {"layer": name, "time_share": share, "flops": 1, "flops_share": 0.5, "operators": {}}
            for name, share in shares.items()
        ]
        latency = {"median_ms": median, "p90_ms": 1.2 * median, "p99_ms": 2 * median, "iqr_ms": 0.1, "runs": 900}
        facts = {"model": model, "sha256": "cd" * 32, "batch": 1, "threads": 1, "streams": 1, "shape": [1, 3, 8, 8]}
        return facts | latency | {"images_per_second": 1e3 / median, "layers": layers}

    return {
        "command": "bench",
        "device": "cpu",
        "provider": "CPUExecutionProvider",
        "threads": 1,
        "batch": 1,
        "streams": 1,
        "remarks": ["the machine was busy"],
        "models": [
            result("dense.onnx", 4.0, {"features.0": 0.75, "features.3": 0.05, "features.<7>": 0.2}),
            result("model.onnx", 1.0, {"features.0": 0.6, "features.3": 0.4}),
        ],
        "ratios": [
            {
                "model": "model.onnx",
                "baseline": "dense.onnx",
                "batch": 1,
                "speedup": 4.0,
                "low": 3.9,
                "high": 4.1,
                "rounds": 30,
                "verdict": "faster",
            }
        ],
        "environment": {"platform": "Linux", "versions": {"python": "3.11"}, "cpu": {"flags": ["avx2", "avx512f"]}},
    }


def train_document() -> dict[str, Any]:
    """Return a document of `train`: three epochs."""
    epochs = [
        {
            "epoch": n,
            "lr": 0.1,
            "loss": 2.0 / n,
            "accuracy": 50.0 + n,
            "test_loss": 2.1 / n,
            "test_accuracy": 49.0 + n,
            "live_stripes": {"conv": 100 - n},
            "seconds": 1.0,
        }
        for n in (1, 2, 3)
    ]
    return {
        "command": "train",
        "network": "best.pth",
        "log": {"file": "log.jsonl", "epochs": epochs},
        "architecture": "VGG11",
        "threshold": 0.01,
        "stripes": {"conv": 100},
    }


def sweep_document() -> dict[str, Any]:
    """Return a document of `sweep`: two thresholds, one of them chosen and written."""

    def point(threshold: float | None, stripes: int, right: float, median: float) -> dict[str, Any]:
        form = {"median_ms": median, "p90_ms": median, "p99_ms": median, "iqr_ms": 0.1, "runs": 100}
        return {
            "threshold": threshold,
            "live_stripes": stripes,
            "stripes": 216,
            "dead_layers": 0,
            "params": 10 * stripes,
            "paper_params": 9 * stripes,
            "flops": 1000 * stripes,
            "paper_flops": 900 * stripes,
            "bytes": 50 * stripes,
            "sha256": "ef" * 32,
            "error": 1 - right / 100,
            "accuracy": {"before": 92.5, "after": right, "changed": 3, "samples": 100, "data": "val.npz"},
            "latency": {"default": form},
        }

    chosen = {"threshold": 0.01, "reason": "the cheapest that loses at most 0.5 points"}
    return {
        "command": "sweep",
        "source": "ckpt.pth",
        "sha256": "ab" * 32,
        "architecture": "VGG11",
        "gap": [0.001, 0.02],
        "error_on": "val.npz",
        "recalibrated": None,
        "unpruned": point(None, 216, 92.5, 4.0),
        "points": [point(0.01, 60, 92.25, 1.0), point(0.05, 20, 71.0, 0.5)],
        "fronts": {"flops": [0.05, 0.01, None], "latency": [0.05, 0.01, None]},
        "recommended": chosen,
        "targets": {"accuracy_drop": 0.5},
        "chosen": chosen,
        "problem": None,
        "environment": None,
        "written": pruned_document(),
    }


@pytest.fixture
def swept() -> dict[str, Any]:
    """Return a document of `sweep` that a test may change."""
    return sweep_document()


@pytest.fixture
def pruned() -> dict[str, Any]:
    """Return a document of `prune` that a test may change."""
    return pruned_document()


@pytest.fixture
def measured() -> dict[str, Any]:
    """Return a document of `bench` that a test may change."""
    return bench_document()


@pytest.fixture
def trained() -> dict[str, Any]:
    """Return a document of `train` that a test may change."""
    return train_document()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of all documents."""
    file = tmp_path_factory.mktemp("page") / "r.html"
    file.write_text(
        page_of([pruned_document(), bench_document(), train_document(), sweep_document()]), encoding="utf-8"
    )
    return file
