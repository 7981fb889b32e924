"""What `prune` did, layer by layer and in total."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.shown import Shown

if TYPE_CHECKING:
    from swp_export.graph.analysis.kept_channels import Kept
    from swp_export.stripes import FilterShape
    from swp_export.verification.accuracy import Accuracy
    from swp_export.verification.quantised import QuantisedReport
    from swp_export.verification.report import VerificationReport

_WORTH_A_LINE = 1.05
"""A gain of less than so much is not spoken of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrunedLayer:
    """What became of one convolution.

    Attributes:
        name: in the checkpoint.
        filters: filters that it had.
        live_filters: filters that are left and have a live stripe.
        stripes: stripes that it had.
        live_stripes: stripes that are left.
        filter_shapes: shapes of the filters that are left, the most frequent first; those that are gone are none.
        kernel: its sizes, `(K_h, K_w)` of a 2-D one.
        params_before: weights and biases that the unpruned network's file has of it.
        params_after: floats that the written file holds for it, zeros and helpers included.
        flops_before: per image, of the unpruned network.
        flops_after: per image, that the written file executes for it, as `flops_after` of `Totals`.
        paper_flops: of what is left, per image, by the paper's count: live stripes alone.
        lowering: how it is written; `removed` where nothing is left to write. Convolutions that no lowering writes
            (transposed, grouped, with other than two axes) are `dense`.
        reason: why it is written so.

    """

    name: str
    filters: int
    live_filters: int
    stripes: int
    live_stripes: int
    filter_shapes: tuple[FilterShape, ...]
    kernel: tuple[int, ...]
    params_before: int
    params_after: int
    flops_before: int
    flops_after: int
    paper_flops: int
    lowering: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Totals:
    """Parameters and FLOPs per image: of the files, and beside that by the paper's count.

    Attributes:
        params_before: floats of the unpruned network's file: of an ONNX source that file, of a checkpoint what
            `--dense-out` writes, BatchNorm folded.
        params_after: floats of the written file: weights with their zeros, biases and helpers.
        helper_params: of `params_after`, those of matrices of nothing but 0 and 1, which shift stripes and sum them.
        flops_before: 2 per multiply-add of convolutions and fully connected layers of the unpruned network.
        flops_after: the same of the written file: what it executes, products with zeros and helpers included.
        executed_flops: `flops_after` and every addition that the written file executes.
        paper_params_before: parameters of the unpruned network, BatchNorm's included, without its skeletons.
        paper_params_after: weights and biases that are left: live stripes only, BatchNorm folded.
        paper_flops_before: as `flops_before`.
        paper_flops_after: of what is left: live stripes only.

    """

    params_before: int
    params_after: int
    helper_params: int
    flops_before: int
    flops_after: int
    executed_flops: int
    paper_params_before: int
    paper_params_after: int
    paper_flops_before: int
    paper_flops_after: int

    @property
    def params_removed_percent(self) -> float:
        """Share of the floats that are gone from the file, in percent."""
        return _removed(self.params_before, self.params_after)

    @property
    def flops_removed_percent(self) -> float:
        """Share of the multiply-adds that are no longer executed, in percent."""
        return _removed(self.flops_before, self.flops_after)

    @property
    def paper_params_removed_percent(self) -> float:
        """Share of the parameters that are gone by the paper's count, in percent."""
        return _removed(self.paper_params_before, self.paper_params_after)

    @property
    def paper_flops_removed_percent(self) -> float:
        """Share of the FLOPs that are gone by the paper's count, in percent."""
        return _removed(self.paper_flops_before, self.paper_flops_after)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        shares = [name for name in dir(Totals) if name.endswith("_removed_percent")]
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in shares}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PruneReport(Shown):
    """What `prune` wrote.

    Attributes:
        model: path of the written model.
        bytes: its size.
        sha256: of its content.
        source: the file that it was made from.
        architecture: as which it was read; None for an ONNX source.
        threshold: that was applied; None where the source had decided already. Of an ONNX source it is a share of the
            largest stripe norm of each layer.
        threshold_error: how far setting the dead stripes to zero moves the outputs of the network as trained, of an
            ONNX source as given, by their largest magnitude, on one image of noise; None where the source has
            forgotten it.
        layers: every convolution, in the source's order of execution.
        kept: dead filters, and dead rows of fully connected layers, that the file still holds, by layer and reason:
            `layer`, `filters` (how many), `reason` (they stay because ...) and `nodes`, which are where that happens,
            unless the reason names the node.
        totals: before and after.
        counted_gain_of_auto: how many times less the layers would cost written by `--lowering auto`, by count; None
            where they are not written by the static rule.
        verification: None where it was switched off.
        accuracy: of the network as trained, or as given, and of the model; None without data to measure it on, or where
            they give no classes. What has forgotten how it was trained is compared as it computes.
        dense: path of the unpruned model, where one was asked for.
        warnings: one sentence each on what is legal but probably not meant.
        quantised: what is known of its integers, None where it has none; then `verification` is of what they are
            rounded from.

    """

    model: str
    bytes: int
    sha256: str
    source: str
    architecture: str | None
    threshold: float | None
    threshold_error: float | None
    layers: tuple[PrunedLayer, ...]
    kept: tuple[Kept, ...]
    totals: Totals
    counted_gain_of_auto: float | None
    verification: VerificationReport | None
    accuracy: Accuracy | None = None
    dense: str | None
    warnings: tuple[str, ...]
    quantised: QuantisedReport | None = None

    def claim(self) -> str:
        """Return what the model is equivalent to, in words, and how far that is from the network as trained."""
        if self.verification is None:
            return "not verified: --no-verify"
        text = f"equivalent to {self.verification.reference}"
        if self.quantised is not None:
            text = f"before its rounding to int8 {text}; {self.quantised.summary()}"
        if self.threshold_error is None:
            return text
        moved = f"the outputs by {self.threshold_error:.2g} of the largest" if self.threshold_error else "nothing"
        network = "the network as trained" if self.architecture else "the file as given"
        return f"{text}; setting them to zero moves {moved} in {network} (one image of noise)"

    def advice(self) -> str:
        """Return what would make the model faster, in a sentence."""
        measures = f"`swp-export tune {self.model}` measures what is fastest here"
        if self.counted_gain_of_auto is None or self.counted_gain_of_auto < _WORTH_A_LINE:
            return measures
        return f"by count `--lowering auto` is {self.counted_gain_of_auto:.1f} times as fast; {measures}"

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export prune --json` prints."""
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            "command": "prune",
            **document,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "kept": [dataclasses.asdict(each) for each in self.kept],
            "totals": self.totals.to_json(),
            "verification": None if self.verification is None else self.verification.to_json(),
            "quantised": None if self.quantised is None else self.quantised.to_json(),
            "warnings": list(self.warnings),
        }


def _removed(before: int, after: int) -> float:
    return 100 * (1 - after / before)
