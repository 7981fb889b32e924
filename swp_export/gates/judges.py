"""Each gate's judge: what it finds of a model, held against what was asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from swp_export.errors import DeviceError
from swp_export.figures import readable
from swp_export.gates.report import GateResult
from swp_export.runtime.doctor import check_device
from swp_export.verification.quantised import QuantisedReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.gates.candidate import Candidate
    from swp_export.gates.gates import GateName
    from swp_export.gates.report import Status


def _device(of: Candidate) -> GateResult:
    device = str(of.gates.device)
    check = check_device(device)
    if not check.works:
        raise DeviceError(check.detail)
    return _result("device", holds=True, message=f"{device}: {check.detail}")


def _size(of: Candidate) -> GateResult:
    return _at_most("size", of.gates.max_bytes, of.bytes, "bytes")


def _parameters(of: Candidate) -> GateResult:
    return _at_most("parameters", of.gates.max_params, of.params, "parameters")


def _flops(of: Candidate) -> GateResult:
    return _at_most("FLOPs", of.gates.max_flops, of.flops, "FLOPs")


def _equivalence(of: Candidate) -> GateResult:
    report = of.verification
    if isinstance(report, QuantisedReport):  # integers are right or wrong, there is no budget
        status: Status = "passed" if report.equivalent else "missed"
        return GateResult(gate="equivalence", status=status, message=report.summary())
    return _result(
        "equivalence",
        holds=report.equivalent,
        limit=1.0,
        found=report.worst.error_to_budget,
        unit="of the budget",
        message=report.summary(),
    )


def _accuracy(of: Candidate) -> GateResult:
    found, limit = of.accuracy, of.gates.min_accuracy
    assert found.after is not None
    assert limit is not None
    return _result(
        "accuracy",
        holds=found.after >= limit,
        limit=limit,
        found=found.after,
        unit="%",
        message=f"{found.after:.2f} %, the gate is {limit:g} %, on {found.data}",
    )


def _accuracy_drop(of: Candidate) -> GateResult:
    found, limit = of.accuracy, of.gates.max_accuracy_drop
    assert found.drop is not None
    assert limit is not None
    return _result(
        "accuracy drop",
        holds=found.drop <= limit,
        limit=limit,
        found=found.drop,
        unit="points",
        message=f"{found.drop:.2f} points, the gate is {limit:g}: {found.summary()}",
    )


def _speedup(of: Candidate) -> GateResult:
    limit, ratios = of.gates.min_speedup, of.benchmark.ratios
    assert limit is not None
    if not ratios:  # it is its own baseline, and runs as fast as itself
        return _result("speedup", holds=limit <= 1, limit=limit, found=1.0, unit="x", message="it is the baseline")
    (ratio,) = ratios
    return _result(
        "speedup",
        holds=ratio.low >= limit,
        limit=limit,
        found=ratio.speedup,
        unit="x",
        interval=(ratio.low, ratio.high),
        message=f"{ratio.speedup:.2f} times as fast as {ratio.baseline}, at 95 % confidence {ratio.low:.2f} to "
        f"{ratio.high:.2f}; the gate is {limit:g}",
    )


def _latency(of: Candidate) -> GateResult:
    limit = of.gates.max_latency_ms
    assert limit is not None
    median = of.benchmark.models[-1].latency.median_ms
    message = f"a median of {readable(median, 3)} ms, the gate is {limit:g} ms, on {of.benchmark.provider}"
    return _result("latency", holds=median <= limit, limit=limit, found=median, unit="ms", message=message)


JUDGES: dict[GateName, Callable[[Candidate], GateResult]] = {
    "device": _device,
    "size": _size,
    "parameters": _parameters,
    "FLOPs": _flops,
    "equivalence": _equivalence,
    "accuracy": _accuracy,
    "accuracy drop": _accuracy_drop,
    "speedup": _speedup,
    "latency": _latency,
}


def _at_most(gate: GateName, limit: int | None, found: int, unit: str) -> GateResult:
    assert limit is not None
    message = f"{found:,} {unit}, the gate is {limit:,}"
    return _result(gate, holds=found <= limit, limit=limit, found=found, unit=unit, message=message)


def _result(gate: GateName, *, holds: bool, found: float | None = None, **facts: Any) -> GateResult:
    assert found is None or not math.isnan(found)
    return GateResult(gate=gate, status="passed" if holds else "missed", found=found, **facts)
