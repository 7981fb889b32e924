"""What `prune` did, layer by layer and in total."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swp_export.verification.report import VerificationReport


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrunedLayer:
    """What became of one convolution.

    Attributes:
        name: in the checkpoint.
        filters: filters that it had.
        live_filters: filters that are left and have a live stripe.
        stripes: stripes that it had.
        live_stripes: stripes that are left.
        flops: of what is left, per image, by the paper's count.
        lowering: how it is written; `removed` where nothing is left to write.
        reason: why it is written so.

    """

    name: str
    filters: int
    live_filters: int
    stripes: int
    live_stripes: int
    flops: int
    lowering: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Totals:
    """Parameters and FLOPs per image.

    Attributes:
        params_before: parameters of the unpruned network, without its skeletons.
        params_after: weights and biases that are left: live stripes only, BatchNorm folded.
        flops_before: 2 per multiply-add of convolutions and fully connected layers of the unpruned network.
        flops_after: the same of what is left: live stripes only, the paper's count.
        executed_flops: what the written model executes: zeros that a dense layer multiplies, and additions, included.

    """

    params_before: int
    params_after: int
    flops_before: int
    flops_after: int
    executed_flops: int

    @property
    def params_removed_percent(self) -> float:
        """Share of the parameters that are gone, in percent."""
        return 100 * (1 - self.params_after / self.params_before)

    @property
    def flops_removed_percent(self) -> float:
        """Share of the FLOPs that are gone, in percent."""
        return 100 * (1 - self.flops_after / self.flops_before)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruneReport:
    """What `prune` wrote.

    Attributes:
        model: path of the written model.
        bytes: its size.
        sha256: of its content.
        source: the file that it was made from.
        architecture: as which it was read; None for an ONNX source.
        threshold: that was applied; None where the source had decided already.
        layers: every convolution, in the source's order of execution.
        totals: before and after.
        verification: None where it was switched off.
        dense: path of the unpruned model, where one was asked for.
        warnings: one sentence each on what is legal but probably not meant.

    """

    model: str
    bytes: int
    sha256: str
    source: str
    architecture: str | None
    threshold: float | None
    layers: tuple[PrunedLayer, ...]
    totals: Totals
    verification: VerificationReport | None
    dense: str | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export prune --json` prints."""
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return document | {
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "totals": dataclasses.asdict(self.totals)
            | {
                "params_removed_percent": self.totals.params_removed_percent,
                "flops_removed_percent": self.totals.flops_removed_percent,
            },
            "verification": None if self.verification is None else self.verification.to_json(),
            "warnings": list(self.warnings),
        }
