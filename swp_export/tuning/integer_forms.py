"""Plans with int8 layers made into models, calibrated on the user's images, and what they lose of the float network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import LAYER
from swp_export.lowerings.rewrite import compact_from_portable, planned_bytes
from swp_export.precision.mixed_plan import encode_rounding, float_model, integer_layers, lowerings_of, mixed_bytes
from swp_export.precision.qdq import quantise, values_to_calibrate
from swp_export.precision.ranges import calibrate
from swp_export.runtime.session import open_session
from swp_export.verification.quantised import MEASURED, compare_predictions, snr_db, verify_quantised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from swp_export.precision.images import Images
    from swp_export.precision.ranges import Method, Ranges
    from swp_export.precision.scheme import Scheme
    from swp_export.progress import Progress
    from swp_export.runtime.session import Array
    from swp_export.verification.quantised import QuantisedReport

    Plan = Mapping[str, str]


class IntegerForms:
    """Makes models of plans of one network.

    Args:
        portable: a model of ours.
        multiple: what channels are filled up to a multiple of.
        scheme: which integers.
        images: to calibrate on, and to measure accuracy on.
        method: of calibration.

    """

    def __init__(self, portable: bytes, multiple: int, scheme: Scheme, images: Images, method: Method) -> None:
        self.reference: Callable[[Array], Mapping[str, Array]] = open_session(portable).run_on
        self.scheme = scheme
        self.images = images
        self._compact = compact_from_portable(portable)
        self._multiple = multiple
        self._method = method
        self._ranges: dict[tuple[tuple[str, str], ...], Ranges] = {}

    def content(self, plan: Plan) -> bytes:
        """Return the model of `plan`, calibrated."""
        return mixed_bytes(self._compact, plan, self._multiple, self.scheme, self._ranges_of(plan))

    def float_content(self, plan: Plan) -> bytes:
        """Return what the model of `plan` is rounded from."""
        return planned_bytes(self._compact, lowerings_of(plan), self._multiple)

    def rounding(self, plan: Plan) -> dict[str, object] | None:
        """Return what a plan file says of integers, None where the plan has none."""
        ranges = self._ranges_of(plan)
        return None if ranges is None else encode_rounding(self.scheme, ranges)

    def verified(self, content: bytes, bound: float | None, progress: Progress) -> QuantisedReport:
        """Check the integers of a model that `content` gave, and what it loses of the input model."""
        return verify_quantised(
            content,
            name="the model",
            reference=self.reference,
            reference_name="the input model",
            dense=self._compact,
            images=self.images,
            max_accuracy_drop=bound,
            progress=progress,
        )

    def within(self, bound: float | None, plan: Plan, float_plan: Plan) -> dict[str, str]:
        """Return `plan` with the fewest layers in float32, as `float_plan` writes them, that keep accuracy.

        Args:
            bound: points of accuracy that may be lost; None: any.
            plan: what is wanted.
            float_plan: with all layers in float32.

        """
        if bound is None or self._drop(plan) <= bound:
            return dict(plan)
        alone = {layer: {**float_plan, layer: plan[layer]} for layer in integer_layers(plan)}
        truth = next(iter(self.reference(self.images.images[:MEASURED]).values()))
        clean = {layer: self._snr(truth, only) for layer, only in alone.items()}
        noisiest_first = sorted(clean, key=lambda layer: clean[layer])

        def mixed(count: int) -> dict[str, str]:
            return {**plan, **{layer: float_plan[layer] for layer in noisiest_first[:count]}}

        fewest, enough = 0, len(noisiest_first)
        while enough - fewest > 1:
            middle = (fewest + enough) // 2
            if self._drop(mixed(middle)) <= bound:
                enough = middle
            else:
                fewest = middle
        return mixed(enough)

    def _drop(self, plan: Plan) -> float:
        return compare_predictions(self.reference, open_session(self.content(plan)).run_on, self.images).drop

    def _snr(self, truth: np.ndarray, plan: Plan) -> float:
        outputs = open_session(self.content(plan)).run_on(self.images.images[:MEASURED])
        return snr_db(truth, next(iter(outputs.values())))

    def _ranges_of(self, plan: Plan) -> Ranges | None:
        layers = integer_layers(plan)
        if not layers:
            return None
        key = tuple(plan.items())
        if key not in self._ranges:
            model = float_model(self._compact, plan, self._multiple)
            names = values_to_calibrate(model, layers)
            self._ranges[key] = calibrate(model, self.images.calibration, *names, self._method)
        return self._ranges[key]


def quantised_whole(content: bytes, scheme: Scheme, images: Images, method: Method) -> bytes:
    """Return any float model of ours with all its named convolutions in int8."""
    model = ir.from_proto(onnx.ModelProto.FromString(content))
    layers = {node.metadata_props[LAYER] for node in model.graph if LAYER in node.metadata_props}
    names = values_to_calibrate(model, layers)
    quantise(model, layers, calibrate(model, images.calibration, *names, method), scheme)
    return serialized(model, dict(model.metadata_props))
