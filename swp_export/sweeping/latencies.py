"""How fast all models of a sweep are: measured in turns with the unpruned network, like everything that is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.benchmark.measure import Schedule, measure
from swp_export.benchmark.statistics import latency, speedup
from swp_export.sweeping.point import FormLatency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from swp_export.progress import Progress
    from swp_export.tuning.model_timer import ModelTimer

    Key = TypeVar("Key")

SCHEDULE = Schedule()
"""As `bench` measures."""


def measure_forms(
    unpruned: bytes,
    models: Mapping[Key, bytes],
    timer: ModelTimer,
    input_shape: Sequence[int],
    progress: Progress,
) -> tuple[FormLatency, dict[Key, FormLatency]]:
    """Return the latency of the unpruned network, and of `models` by their key; those that are alike share theirs.

    Args:
        unpruned: the network that the others are compared with.
        models: contents of ONNX files.
        timer: where and how they run.
        input_shape: `(N, C, H, W)`.
        progress: called with what is being done.

    Raises:
        SwpExportError: one does not load or run there.

    """
    contents = list(dict.fromkeys([unpruned, *models.values()]))
    times = measure(
        [timer.opener(content, input_shape) for content in contents],
        SCHEDULE,
        progress=lambda share: progress(f"measuring latency of {len(contents)} models", share),
    )
    found = {
        content: FormLatency(latency=latency(of_model), speedup=speedup(times[0], of_model))
        for content, of_model in zip(contents, times, strict=True)
    }
    return found[unpruned], {key: found[content] for key, content in models.items()}
