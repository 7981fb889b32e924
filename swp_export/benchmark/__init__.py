"""Latency that is worth believing: models measured in turns, compared with confidence intervals."""

from swp_export.benchmark.benchmark import bench
from swp_export.benchmark.layer_profile import LayerTime, layer_times
from swp_export.benchmark.report import BenchReport, Comparison, ModelResult
from swp_export.benchmark.statistics import Latency, Speedup

__all__ = ["BenchReport", "Comparison", "Latency", "LayerTime", "ModelResult", "Speedup", "bench", "layer_times"]
