"""The processor: its name, the vector extensions that decide ONNX Runtime's speed, and the cores we may use."""

from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path
from typing import Any

FEATURES = {
    "AVX2": "avx2",
    "AVX-512F": "avx512f",
    "AVX-512 VNNI": "avx512_vnni",
    "AVX-VNNI": "avx_vnni",
}
"""What matters to ONNX Runtime's float32 and int8 kernels, and its flag in /proc/cpuinfo."""

UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cpu:
    """What is known of the processor.

    Attributes:
        model: Its name, or "unknown".
        features: For each of `FEATURES` whether the processor has it; None where that is unknown.
        cores: Logical cores this process may run on.

    """

    model: str
    features: dict[str, bool] | None
    cores: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; unknown features are the string "unknown"."""
        return {
            "model": self.model,
            "features": UNKNOWN if self.features is None else dict(self.features),
            "cores": self.cores,
        }


def read_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Return what `cpuinfo` (Linux) and the standard library say of this machine's processor."""
    try:
        model, features = parse_cpuinfo(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        model, features = None, None
    return Cpu(model=model or platform.processor() or UNKNOWN, features=features, cores=usable_cores())


def parse_cpuinfo(text: str) -> tuple[str | None, dict[str, bool] | None]:
    """Return the model name and the features of the first processor in `text`; None for what it does not say.

    Only x86 lists "flags"; elsewhere these features do not exist by that name, hence None rather than False.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    flags = set(fields["flags"].split()) if "flags" in fields else None
    features = None if flags is None else {name: flag in flags for name, flag in FEATURES.items()}
    return fields.get("model name"), features


def usable_cores() -> int:
    """Return the number of logical cores this process may run on (an affinity mask counts, a CPU quota does not)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
