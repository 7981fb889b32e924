"""Fit what `pad-slice-add` costs, beside what `parts/prices.py` states: `python benchmarks/broken_costs.py`.

Layers of random skeletons in a row, two and six of them, take turns; a layer costs a quarter of the difference. Four
constants are fitted by least squares of relative errors: a product, an element moved, a node and a row. One thread.
"""

from __future__ import annotations

import numpy as np
from lowerings_benchmark import TIMER, he_weight, iid, planned, row_model

from swp_export.benchmark.measure import Schedule
from swp_export.lowerings.parts.prices import MOVE, MOVED_ROW, PADDED, SLOW_NODE, WEIGHT

FEW, MANY = 2, 6
CHANNELS, LIVE, SIZES = (16, 32, 64, 128), (0.05, 0.15, 0.4), (2, 4, 8, 16, 32)
PER_MICROSECOND = 80_000
LARGEST = 500_000
"""Bytes of a layer's rows: more do not stay in the cache, and cost what the machine's other programs leave."""
SCHEDULE = Schedule(min_runs=20, min_seconds=0.1, instances=3)
LOWEST = 10
"""Percentile of a model's times."""


def main() -> None:
    """Measure every layer, fit, and print."""
    rng, terms, times = np.random.default_rng(0), [], []
    for channels in CHANNELS:
        for live in LIVE:
            masks = [iid(channels, live, rng) for _ in range(MANY)]
            weights = [he_weight(mask, seed) * mask[:, None] for seed, mask in enumerate(masks)]
            models = [planned(row_model(weights[:count]), "pad-slice-add") for count in (FEW, MANY)]
            rows = round(live * 9 * channels)
            for size in SIZES:
                if 4 * rows * size**2 > LARGEST:
                    continue
                measured = TIMER.measure(models, (1, channels, size, size), SCHEDULE)
                few, many = (np.percentile(np.concatenate([r for i in each for r in i]), LOWEST) for each in measured)
                times.append(1e6 * (many - few) / (MANY - FEW))
                terms.append(terms_of(channels, rows, size**2, nodes_of(masks)))
    matrix, microseconds = np.array(terms) / PER_MICROSECOND, np.array(times)
    streamed = matrix[:, 4]
    found, *_ = np.linalg.lstsq(matrix[:, :4] / microseconds[:, None], 1 - streamed / microseconds, rcond=None)
    stated = np.array([PADDED, MOVE, SLOW_NODE, MOVED_ROW])
    for name, ours, fitted in zip(("a product", "a move", "a node", "a row"), stated, found, strict=True):
        print(f"{name:10} stated {ours:9.1f}, here {fitted:9.1f} multiply-adds")
    for name, constants in (("stated", stated), ("here", found)):
        ratios = (matrix[:, :4] @ constants + streamed) / microseconds
        print(f"counted by measured, as {name}: {np.percentile(ratios, [10, 50, 90]).round(2)} (10 %, half, 90 %)")


def terms_of(channels: int, rows: int, positions: int, nodes: float) -> tuple[float, ...]:
    """Return how often a layer pays each constant, and what its weights cost."""
    moved = channels + 5 * rows + 3 * channels
    return rows * channels * positions, moved * positions, nodes, rows, rows * channels * WEIGHT


def nodes_of(masks: list[np.ndarray]) -> float:
    """Return the nodes of a layer, the two that change the runtime's layout and the Relu among them."""
    sums = [np.unique(np.maximum(mask.sum(axis=(1, 2)), 1)) for mask in masks]
    return float(np.mean([8 + mask.any(axis=0).sum() + (s > 1).sum() for mask, s in zip(masks, sums, strict=True)]))


if __name__ == "__main__":
    main()
