"""Where two graphs part: the first layer, in execution order, whose output leaves the budget that rounding gives it.

Layers are matched by the name they have in the checkpoint; of a pruned layer, the filters that are left are compared
with the same filters of the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.files.content import session_content
from swp_export.runtime.session import open_session
from swp_export.verification.budget import budgets
from swp_export.verification.comparison import compare
from swp_export.verification.evidence import runs_on
from swp_export.verification.layer_outputs import LayerOutputs
from swp_export.verification.references import OnnxReference
from swp_export.verification.runs import Runs

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.runtime.session import Feed


def first_diverging_layer(model: ir.Model, reference: ir.Model, x: Feed, *, optimise: bool = True) -> str | None:
    """Return the name of the first layer of `model` that leaves `reference` on `x` by more than rounding explains.

    None where no layer does, or where the two have none in common.

    Args:
        model: any model of ours.
        reference: the dense masked graph it was made from, or any graph with the same layer names.
        x: the only input, or all by name, on which the two differ.
        optimise: whether both are run as ONNX Runtime optimises them.

    """
    ours, theirs = LayerOutputs(model), LayerOutputs(reference)
    common = [layer for layer in ours.layers if layer in theirs.layers]
    if not common:
        return None
    found = open_session(session_content(ours.model), optimise=optimise).run_on(x)
    runs = runs_on(OnnxReference(theirs.model, "the reference", optimise=optimise), x)
    for layer in common:
        mine, other = ours.layers[layer], theirs.layers[layer]
        both = np.intersect1d(mine.order[mine.order >= 0], other.order)
        if mine.filters != other.filters or not both.size:
            continue  # one name, two layers
        if not (mine.fits(found[mine.value]) and other.fits(runs[other.value].truth)):
            continue  # its file says something else than it computes
        of_layer = runs[other.value]
        (limits,) = budgets([of_layer])
        places = other.places(both)
        same = Runs(truth=of_layer.truth[:, places], single=of_layer.single[:, places], moved=of_layer.moved[:, places])
        y = found[mine.value][:, mine.places(both)]
        if not compare(same, y, limits[:, places], case="", output=layer).ok:
            return layer
    return None
