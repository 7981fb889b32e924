"""Stripes of an ONNX model that are small but not zero, and the model with those set to zero.

    a stripe is dead    <=>    |stripe| <= F * max over its layer of |stripe|,    |.| the L2 norm over input channels

An ONNX file has no Filter Skeletons: its layers are as large as their training left them, so a stripe is measured by
the largest one of its own layer. BatchNormalization may scale filters behind that; the weights of the file count.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.errors import ThresholdError
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.operators.naming import operator_of
from swp_export.network.widest_gap import widest_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Norms = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Silenced:
    """A model whose small stripes were set to zero.

    Attributes:
        given: a copy of the file's model, its small stripes zero; otherwise as it was given.
        normalised: the same of its normalised form.
        stripes: how many were set to zero that were not before.
        share: F.
        norms: of the stripes of each layer, relative, before any was set to zero.
        skipped: names of the convolutions whose weights are computed, which keep every stripe.

    """

    given: ir.Model
    normalised: ir.Model
    stripes: int
    share: float
    norms: tuple[Norms, ...]
    skipped: tuple[str, ...]

    def described(self, path: object) -> str:
        """Say what `given` is."""
        return (
            f"{path} with {self.stripes:,} stripes set to zero, those of at most {self.share:g} times the largest norm "
            "of their layer"
        )

    def warnings(self, path: object) -> tuple[str, ...]:
        """Return one sentence each on a threshold beyond the widest gap, and on what it could not be applied to."""
        found = [*beyond_gap(self.norms, self.share, path)]
        if self.skipped:
            names = ", ".join(self.skipped[:3]) + (
                f" and {len(self.skipped) - 3} more" if len(self.skipped) > 3 else ""
            )
            found.append(
                f"the threshold was not applied to {names}, whose weights are computed in the model; export it with "
                "constants folded"
            )
        return tuple(found)


def require_share(share: float) -> None:
    """Check F.

    Raises:
        ThresholdError: it is no share of a norm.

    """
    if not 0 <= share < 1:
        raise ThresholdError(
            f"the threshold is {share:g}, expected at least 0 and below 1: of an ONNX model it is a share of the "
            "largest stripe norm of each layer"
        )


def relative_norms(weight: np.ndarray) -> Norms:
    """Return the norm of each stripe of `weight` `[N, C, K_h, K_w]` by the largest one, `[N, K_h, K_w]`; 0 of zeros."""
    norms = np.sqrt(np.square(weight.astype(np.float64)).sum(axis=1))
    largest = norms.max(initial=0.0)
    # A stripe that is not zero must not become one by rounding.
    relative = norms / largest if largest else norms
    result: Norms = np.maximum(relative, np.where(norms > 0, np.finfo(np.float32).tiny, 0)).astype(np.float32)
    return result


def widest_gap_of(norms: Sequence[Norms]) -> tuple[float, float] | None:
    """Return the widest gap between the relative norms of all layers together, if one is wide."""
    return widest_gap(np.sort(np.concatenate([of_layer.ravel() for of_layer in norms]))) if norms else None


def beyond_gap(norms: Sequence[Norms], share: float, path: object) -> tuple[str, ...]:
    """Return one sentence where `share` lies beyond the widest gap of the relative `norms` of the model `path`."""
    gap = widest_gap_of(norms)
    if gap is None or share < gap[1]:
        return ()
    lost = sum(int(((of_layer > gap[0]) & (of_layer <= np.float32(share))).sum()) for of_layer in norms)
    text = (
        f"the network was probably destroyed: the threshold {share:g} lies beyond the widest gap of the stripes' "
        f"relative norms, {gap[0]:.3g} to {gap[1]:.3g}, and cuts {lost} stripes above it; `swp-export inspect {path}` "
        "shows how they lie: take one inside that gap"
    )
    return (text,)


def silence(given: ir.Model, normalised: ir.Model, share: float) -> Silenced:
    """Set the stripes of `given` to zero that are dead at `share`; neither model is changed.

    Args:
        given: a model as it was read.
        normalised: its normalised form, in which its weights are found by their names.
        share: F, as `require_share` has it.

    Raises:
        ThresholdError: as `require_share`.

    """
    require_share(share)
    weights: dict[str, np.ndarray] = {}
    norms: dict[str, Norms] = {}
    for node, conv in iterate_stripe_convs(normalised.graph):
        value = node.inputs[1]
        assert value is not None
        assert value.name is not None
        if value.name not in norms:  # shared by several convolutions
            norms[value.name], weights[value.name] = relative_norms(conv.weight), conv.weight
    dead = {name: of_layer <= np.float32(share) for name, of_layer in norms.items()}
    left = {
        name: np.where(dead[name][:, None], np.zeros((), weight.dtype), weight)
        for name, weight in weights.items()
        if (dead[name] & (norms[name] > 0)).any()
    }
    given, normalised = given.clone(), normalised.clone()
    replaced = _replace(given, left)
    _replace(normalised, {name: left[name] for name in replaced})
    return Silenced(
        given=given,
        normalised=normalised,
        stripes=sum(int((dead[name] & (norms[name] > 0)).sum()) for name in replaced),
        share=share,
        norms=tuple(norms.values()),
        skipped=tuple(_computed(normalised, {*left} - replaced)),
    )


def _replace(model: ir.Model, arrays: dict[str, np.ndarray]) -> set[str]:
    """Give the constants of those names, initializers or Constant nodes, new values; return the names found."""
    found = set()
    for graph in (model.graph, *model.graph.subgraphs()):
        for name in arrays.keys() & graph.initializers.keys():
            graph.initializers[name].const_value = ir.tensor(arrays[name], name=name)
            found.add(name)
        for node in graph:
            given = node.outputs[0].name if operator_of(node) == "Constant" else None
            if given is not None and given in arrays:
                node.attributes.clear()
                node.attributes["value"] = ir.AttrTensor("value", ir.tensor(arrays[given]))
                found.add(given)
    return found


def _computed(model: ir.Model, unreached: set[str]) -> list[str]:
    """Return the names of 2-D convolutions whose weight was not to be found in the file as a constant."""
    names = []
    for node in model.graph:
        weight = node.inputs[1] if operator_of(node) == "Conv" else None
        if weight is not None and (weight.name in unreached or array_of(weight) is None):
            names.append(node.name or node.outputs[0].name or "")
    return names
