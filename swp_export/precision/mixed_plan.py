"""Plans in which some layers are int8: `int8:` stands before the name of their lowering.

"features.0": "dense"    "features.3": "int8:shift-sum(4)"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.errors import InputError
from swp_export.graph.files.writing import serialized
from swp_export.lowerings.rewrite import compact_from_portable, planned_bytes
from swp_export.precision.qdq import quantise, unit_ranges, values_to_calibrate
from swp_export.precision.ranges import Ranges
from swp_export.precision.scheme import Scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.lowerings.plan_file import PlanFile

INT8 = "int8:"


def integer_layers(plan: Mapping[str, str]) -> list[str]:
    """Return the layers that `plan` writes in int8."""
    return [layer for layer, form in plan.items() if form.startswith(INT8)]


def lowerings_of(plan: Mapping[str, str]) -> dict[str, str]:
    """Return `plan` with every layer in float32."""
    return {layer: form.removeprefix(INT8) for layer, form in plan.items()}


def float_model(compact: ir.Model, plan: Mapping[str, str], multiple: int) -> ir.Model:
    """Return `compact` lowered by `plan`, in float32: what its int8 layers are rounded from."""
    content = planned_bytes(compact, lowerings_of(plan), multiple)
    return ir.serde.deserialize_model(onnx.ModelProto.FromString(content))


def mixed_bytes(
    compact: ir.Model, plan: Mapping[str, str], multiple: int, scheme: Scheme, ranges: Ranges | None = None
) -> bytes:
    """Return `compact`, which is left as it is, written by `plan`.

    Args:
        compact: the compact model.
        plan: lowering by layer, `int8:` before those in int8.
        multiple: what channels are filled up to a multiple of.
        scheme: which integers.
        ranges: where the values lie; without them the model is as fast, but computes nonsense.

    Raises:
        LoweringError: the plan does not fit the model.
        InputError: the ranges do not fit the plan.

    """
    layers = integer_layers(plan)
    if not layers:
        return planned_bytes(compact, plan, multiple)
    model = float_model(compact, plan, multiple)
    if ranges is None:
        ranges = unit_ranges(model, layers)
    missing = set().union(*values_to_calibrate(model, layers)) - {*ranges.ends, *ranges.peaks}
    if missing:
        raise InputError(f"the plan states no range of {min(missing)}: it belongs to another model; tune this one")
    quantise(model, layers, ranges, scheme)
    return serialized(model, dict(model.metadata_props))


def apply_mixed_plan(portable: bytes, plan: PlanFile) -> bytes:
    """Return `portable` rewritten by a plan file that says how values are rounded.

    Raises:
        LoweringError, InputError: the plan does not fit the model, or is damaged.

    """
    scheme, ranges = decode_rounding(plan.rounding)
    return mixed_bytes(compact_from_portable(portable), plan.layers, plan.multiple, scheme, ranges)


def encode_rounding(scheme: Scheme, ranges: Ranges) -> dict[str, object]:
    """Return what a plan file says of integers."""
    return {
        "symmetric": scheme.symmetric,
        "weight_bits": scheme.weight_bits,
        "ranges": {name: list(ends) for name, ends in ranges.ends.items()},
        "peaks": {name: list(peaks) for name, peaks in ranges.peaks.items()},
    }


def decode_rounding(facts: object) -> tuple[Scheme, Ranges]:
    """Return scheme and ranges from what `encode_rounding` wrote.

    Raises:
        InputError: it did not.

    """
    match facts:
        case {"symmetric": bool(symmetric), "weight_bits": (7 | 8) as bits, "ranges": dict(ends), "peaks": dict(peaks)}:
            if all(_are_numbers(of) for of in (*ends.values(), *peaks.values())) and all(
                len(of) == 2 and of[0] <= 0 <= of[1] for of in ends.values()
            ):
                return Scheme(symmetric=symmetric, weight_bits=bits), Ranges(
                    ends={name: (float(low), float(high)) for name, (low, high) in ends.items()},
                    peaks={name: tuple(map(float, of)) for name, of in peaks.items()},
                )
    raise InputError("the plan has int8 layers, but no ranges of their values that can be read; write it with tune")


def _are_numbers(numbers: object) -> bool:
    return isinstance(numbers, list) and all(
        isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e30 for x in numbers
    )
