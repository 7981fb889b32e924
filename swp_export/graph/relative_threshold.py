"""Stripes of an ONNX model that are small but not zero, set to zero; see `network.relative_norms`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.operators import operator_of
from swp_export.network.relative_norms import beyond_gap, dead_stripes, relative_norms, require_share, with_zeroed

if TYPE_CHECKING:
    from swp_export.network.relative_norms import Norms


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
        return with_zeroed(path, self.stripes, self.share)

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
    dead = {name: dead_stripes(of_layer, share) for name, of_layer in norms.items()}
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
