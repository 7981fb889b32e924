"""The one place where a model of others becomes what the passes may assume.

    ai.onnx.Relu              ->  Relu                       one spelling of ONNX's domain
    Block(x), a function      ->  its nodes                  as often as it is called
    Constant -> c             ->  initializer c              so that a weight is one wherever it was written
    Identity(x)               ->  x                          of a weight too
    weight among the inputs   ->  initializer only           a fixed weight, whatever the IR version
    two nodes of one name     ->  two names                  layers are known by theirs
    a computed target         ->  a constant one             see `state_sizes`
    opset 7 to 17             ->  opset 18                   see `opset`
    auto_pad                  ->  pads                       see `explicit_pads`

The function stays the same. What the passes do not understand is left as it is, and they leave it alone.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from swp_export.errors import ModelError
from swp_export.graph.analysis.inferred_shapes import with_inferred_shapes
from swp_export.graph.constants import unique_name
from swp_export.graph.operators.naming import ONNX_DOMAINS
from swp_export.graph.opset import OPSET, bring_to_opset
from swp_export.graph.passes.explicit_pads import ExplicitPads
from swp_export.graph.passes.remove_identity import RemoveIdentity
from swp_export.graph.passes.state_sizes import StateSizes
from swp_export.graph.weights_apart import put_weights, without_weights
from swp_export.isolated import isolated

_MOST_ROUNDS = 8
_INITIALIZERS_ALONE = 4
"""The first version of the format whose initializers need not be listed as inputs."""


def normalised(model: ir.Model, label: str) -> ir.Model:
    """Return a copy of `model` in the form that `simplify` and the passes expect; see the module's docstring.

    Raises:
        ModelError: the model contradicts itself, or cannot be brought to our opset. The message calls it `label`.

    """
    model = model.clone()
    _spell_domain(model)
    model = _inlined(model, label)
    model.opset_imports.setdefault("", OPSET)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)  # in subgraphs too
    RemoveIdentity()(model)
    _fix_weights(model)
    _name_apart(model.graph)
    model = with_inferred_shapes(model, label)
    for _ in range(_MOST_ROUNDS):  # a stated size lets another one be inferred
        if not StateSizes()(model).modified:
            break
        model = with_inferred_shapes(model, label)
    if model.opset_imports[""] < OPSET:
        bring_to_opset(model, label)
        model = with_inferred_shapes(model, label)
    return ExplicitPads()(model).model


def _spell_domain(model: ir.Model) -> None:
    """Write ONNX's domain as the empty string everywhere."""
    for imports in (model.opset_imports, *(function.opset_imports for function in model.functions.values())):
        versions = [imports.pop(domain) for domain in ONNX_DOMAINS if domain in imports]
        if versions:
            imports[""] = max(versions)
    functions = (function.graph for function in model.functions.values())
    for graph in (model.graph, *functions):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            if node.domain in ONNX_DOMAINS and node.op_identifier() not in model.functions:
                node.domain = ""


def _inlined(model: ir.Model, label: str) -> ir.Model:
    if not model.functions:
        return model
    # onnx_ir's own pass needs minutes for ten thousand calls.
    light, weights = without_weights(model)
    content = isolated("inline", ir.to_proto(light).SerializeToString())
    inlined = ir.serde.deserialize_model(onnx.ModelProto.FromString(content))
    put_weights(inlined, weights)
    nodes_left = ir.traversal.RecursiveGraphIterator(inlined.graph)
    called = sorted({node.op_type for node in nodes_left if node.op_identifier() in inlined.functions})
    if called:
        raise ModelError(
            f"{label}: its functions {', '.join(called)} cannot be written out, being of another opset than the model; "
            "export it without functions"
        )
    inlined.functions.clear()
    return inlined


def _fix_weights(model: ir.Model) -> None:
    """Take the weights out of the inputs."""
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    model.graph.inputs.clear()
    model.graph.inputs.extend(inputs)
    model.ir_version = max(model.ir_version, _INITIALIZERS_ALONE)


def _name_apart(graph: ir.Graph) -> None:
    """Give each node that has the name of one before it another; without a name it stays without."""
    taken: set[str] = set()
    for node in graph:
        if node.name:
            node.name = unique_name(node.name, taken)
