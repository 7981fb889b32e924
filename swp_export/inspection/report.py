"""What `inspect` found in a file, layer by layer and in total."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swp_export.graph.analysis.kept_channels import Kept
    from swp_export.graph.metadata import InputShape
    from swp_export.stripes import FilterShape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Magnitudes:
    """Quantiles of a layer's |FilterSkeleton|, of an ONNX model of its stripes' norms by the largest one."""

    minimum: float
    median: float
    maximum: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectedLayer:
    """One convolution as the file has it. Where a threshold has yet to decide, what depends on it is None.

    Attributes:
        name: its name in the checkpoint; of another ONNX model, its node's.
        shape: of its weight, `(N, C, K_h, K_w)`, in other dimensions `(N, C, *kernel)`; C is that of one group, a
            transposed one has its filters first too. Of a broken layer, of the convolution that it stands for.
        filters: N.
        filters_before: that the layer had: in the stock network where the file is a broken checkpoint, in its own
            source where it is a model that `prune` wrote; None where nothing says so.
        live_filters: filters with a live stripe.
        stripes: `N * K_h * K_w`, of any kernel N times its taps.
        live_stripes: stripes that are live.
        live_share_per_tap: at each tap `[K_h][K_w]`, the share of the filters whose stripe is live, 0 to 1. Kernels
            of another dimension are laid out in two: the last axis is `K_w`.
        stripes_per_filter: at index n, how many filters have n live stripes; `K_h * K_w + 1` counts.
        filter_shapes: shapes that its filters have, the most frequent first.
        magnitudes: of its |FilterSkeleton|, where the file holds values to which a threshold applies; of an ONNX model
            of its relative norms, as `values` of `InspectReport`.
        lowering: how an ONNX model that `prune` or `tune` wrote expresses it.

    """

    name: str
    shape: tuple[int, ...]
    filters: int
    filters_before: int | None
    live_filters: int | None
    stripes: int
    live_stripes: int | None
    live_share_per_tap: tuple[tuple[float, ...], ...] | None
    stripes_per_filter: tuple[int, ...] | None
    filter_shapes: tuple[FilterShape, ...] | None
    magnitudes: Magnitudes | None
    lowering: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThresholdCounts:
    """What would live at a threshold, over all layers; those that no threshold applies to live at any."""

    threshold: float
    live_stripes: int
    live_filters: int
    dead_layers: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """The widest gap between two neighbouring |FilterSkeleton|, and the stripes that live at a threshold in it."""

    low: float
    high: float
    live_stripes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bin:
    """How many |FilterSkeleton| are in `low <= |FS| < high`."""

    low: float
    high: float
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkeletonValues:
    """All values to which a threshold applies: of a checkpoint's Filter Skeletons, or norms as in `InspectReport`.

    Attributes:
        count: of them.
        zeros: how many are exactly zero, and in no bin.
        histogram: of log10 |FS|, two bins a decade; all below the first edge that matters are in one bin from 0.
        gap: None where no gap is wide enough to suggest a threshold.
        thresholds: a few round ones, where the file has not decided on one.

    """

    count: int
    zeros: int
    histogram: tuple[Bin, ...]
    gap: Gap | None
    thresholds: tuple[ThresholdCounts, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of an ONNX model; a dimension is a size, a name, or None where it is left open."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What an ONNX file is apart from its layers; `opsets` by domain, the standard one is ''."""

    opsets: dict[str, int]
    ir_version: int
    producer: str | None
    nodes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTotals:
    """Sums over all layers; what is live is None where a threshold has yet to decide.

    `stripes_before` are those of the stock network that a broken checkpoint comes from, lost layers included.
    """

    filters: int
    live_filters: int | None
    stripes: int
    live_stripes: int | None
    stripes_before: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectReport:
    """What is in a file.

    Attributes:
        file: its path.
        kind: the name of a checkpoint's layout, or `onnx`.
        bytes: its size.
        sha256: of its content.
        architecture: recorded, or what the keys spell; None where that is unknown.
        num_classes: width of the output, where known.
        input_shape: `(C, H, W)`, recorded or the architecture's, of several inputs by name; None where unknown.
        recorded_threshold: that the file says of itself.
        threshold: by which this report decided which stripes are live, given or recorded; None where the file holds
            the masks, or nothing has decided.
        fitting_thresholds: `(low, high)` of a broken-float checkpoint that does not record its threshold: it was
            broken at one with `low <= threshold < high`, and this report decides by that.
        parameters: weights and biases that the file holds, BatchNorm's too; neither skeletons nor running statistics.
        metadata: what else the file records of itself.
        layers: every convolution, in the file's order.
        totals: over the layers.
        kept: of an ONNX model, dead filters that would stay if it was pruned, or stay in one that `prune` wrote, as
            `kept` of `PruneReport`; with a threshold, of those that would be dead. Of a model that is yet to be pruned
            those are not told that zero padding needs, one or a few of each tensor. None where that is not known.
        values: of the Filter Skeletons, where the file holds them. Of an ONNX model each stripe's L2 norm by the
            largest of its layer, where a threshold was given, or a wide gap between those that are not zero suggests
            one.
        graph: of an ONNX model.
        warnings: one sentence each on what is legal but probably not meant, or could not be told.

    """

    file: str
    kind: str
    bytes: int
    sha256: str
    architecture: str | None
    num_classes: int | None
    input_shape: InputShape | None
    recorded_threshold: float | None
    threshold: float | None
    fitting_thresholds: tuple[float, float] | None
    parameters: int
    metadata: dict[str, Any]
    layers: tuple[InspectedLayer, ...]
    totals: LayerTotals
    kept: tuple[Kept, ...] | None
    values: SkeletonValues | None
    graph: GraphFacts | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export inspect --json` prints."""
        return {"command": "inspect"} | dataclasses.asdict(self)
