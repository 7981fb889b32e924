"""Stripes of an ONNX model that are small but not zero, set to zero; see `network.relative_norms`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.graph.constants import array_of, register_initializer
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.naming import operator_of
from swp_export.network.relative_norms import beyond_gap, dead_stripes, relative_norms, require_share, with_zeroed

if TYPE_CHECKING:
    from swp_export.network.relative_norms import Norms

_INITIALIZERS_ALONE = 4
"""The first version of the format whose initializers need not be listed as inputs."""
_MOVING = frozenset(["Identity", "Mul", "Reshape", "Squeeze", "Transpose", "Unsqueeze"])


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
    given, normalised = given.clone(), normalised.clone()
    _fold_weights(normalised)
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
    replaced = _replace(given, left)
    if replaced:
        given.ir_version = max(given.ir_version, _INITIALIZERS_ALONE)
    _replace(normalised, {name: left[name] for name in replaced})
    return Silenced(
        given=given,
        normalised=normalised,
        stripes=sum(int((dead[name] & (norms[name] > 0)).sum()) for name in replaced),
        share=share,
        norms=tuple(norms.values()),
        skipped=tuple(_computed(normalised, {*left} - replaced)),
    )


def _fold_weights(model: ir.Model) -> None:
    """Make constants of the weights that `model` only moves, as converters do from the layouts of other frameworks."""
    places = {node: place for place, node in enumerate(model.graph)}
    for node in list(model.graph):
        weight = node.inputs[1] if operator_of(node) == "Conv" else None
        if weight is None or weight.producer() is None or weight.name is None:
            continue
        array = _moved_constant(weight, places, model.opset_imports)
        if array is not None:
            name, weight.name = weight.name, f"{weight.name}_computed"
            weight.replace_all_uses_with(register_initializer(model.graph, name, array))


def _moved_constant(value: ir.Value, places: dict[ir.Node, int], opsets: dict[str, int]) -> np.ndarray | None:
    """Return what `value` is, or None where it depends on more than constants and operators that move them."""
    nodes: set[ir.Node] = set()
    stored: dict[str, ir.Value] = {}
    pending = [value]
    while pending:
        current = pending.pop()
        node = current.producer()
        if node is None:
            if current.const_value is None or current.name is None:
                return None
            stored[current.name] = current
        elif node not in nodes:
            source = node.inputs[0] if node.inputs else None
            widens = source is not None and source.dtype in {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
            if operator_of(node) not in _MOVING and not (operator_of(node) == "Cast" and widens):
                return None
            nodes.add(node)
            pending += [each for each in node.inputs if each is not None]
    graph = onnx.helper.make_graph(
        [ir.serde.serialize_node(node) for node in sorted(nodes, key=lambda node: places[node])],
        "weight",
        [],
        [onnx.ValueInfoProto(name=value.name)],
        [
            onnx.numpy_helper.from_array(each.const_value.numpy(), name)
            for name, each in stored.items()
            if each.const_value
        ],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    small = ir.serde.deserialize_model(onnx.helper.make_model(graph, opset_imports=imports))
    (array,) = Float64Model(small).run({}).values()
    return array if value.dtype is None else array.astype(value.dtype.numpy())


def _replace(model: ir.Model, arrays: dict[str, np.ndarray]) -> set[str]:
    """Give the values of those names, whatever computes them, these constants instead; return the names found."""
    found = set()
    for graph in (model.graph, *model.graph.subgraphs()):
        for name in arrays.keys() & graph.initializers.keys():
            graph.initializers[name].const_value = ir.tensor(arrays[name], name=name)
            found.add(name)
        for value in [value for node in graph for value in node.outputs if value.name in arrays]:
            name, value.name = value.name or "", f"{value.name}_computed"
            value.replace_all_uses_with(register_initializer(graph, name, arrays[name]))
            found.add(name)
    return found


def _computed(model: ir.Model, unreached: set[str]) -> list[str]:
    """Return the names of 2-D convolutions whose weight was not to be found in the file as a constant."""
    names = []
    for node in model.graph:
        weight = node.inputs[1] if operator_of(node) == "Conv" else None
        if weight is not None and (weight.name in unreached or array_of(weight) is None):
            names.append(node.name or node.outputs[0].name or "")
    return names
