"""Where and how a model runs: one value that travels from the command line into sessions, measurements and reports."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal, cast

from swp_export.errors import InputError

Kind = Literal["cpu", "cuda", "openvino"]
Precision = Literal["float32", "float16", "int8"]
KINDS: tuple[Kind, ...] = ("cpu", "cuda", "openvino")
"""Kinds of device: ONNX Runtime on the CPU and on CUDA, OpenVINO on the CPU. Each has one file here."""

_DEVICE = re.compile(r"cpu|openvino|cuda(?::\d{1,3})?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What a model is run on, and how: everything beside the model that decides how fast it is.

    Attributes:
        device: "cpu", "cuda", "cuda:1" or "openvino"; it is used, or the session fails.
        precision: That the model is written in.
        threads: Threads within an operator; operators run one after the other.
        batch: Samples per run.
        tf32: CUDA only: let float32 convolutions and products round their inputs to 10 bits of mantissa. ONNX Runtime's
            own default is True; ours is False, because equivalence is checked in float32.
        cuda_graph: CUDA only: capture the run in a CUDA graph. Needs static shapes and all nodes on the device.

    Raises:
        InputError: There is no such device, or an option does nothing on it.
        ValueError: `threads` or `batch` is not positive.

    """

    device: str = "cpu"
    precision: Precision = "float32"
    threads: int = 1
    batch: int = 1
    tf32: bool = False
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise InputError(f"there is no device {self.device!r}; expected cpu, cuda, cuda:1 or openvino")
        if self.threads < 1 or self.batch < 1:
            raise ValueError(f"threads and batch are at least 1, got {self.threads} and {self.batch}")
        idle = [option for option, on in (("--tf32", self.tf32), ("--cuda-graph", self.cuda_graph)) if on]
        if idle and self.kind != "cuda":
            raise InputError(f"{' and '.join(idle)} would do nothing on device {self.device}; pass --device cuda too")

    @property
    def kind(self) -> Kind:
        """The device without its number."""
        return cast("Kind", self.device.partition(":")[0])

    @property
    def ordinal(self) -> int:
        """The device's number among those of its kind; 0 where none is given."""
        return int(self.device.partition(":")[2] or 0)

    @property
    def verified_on(self) -> Target:
        """Where what is tuned for this target is verified, in float32: CUDA's forms are so on the CPU."""
        return Target(device=self.device) if self.kind == "openvino" else CPU

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; what only CUDA has, only on CUDA."""
        document = dataclasses.asdict(self)
        if self.kind != "cuda":
            del document["tf32"], document["cuda_graph"]
        return document


CPU = Target()
"""One thread of ONNX Runtime on the CPU: what models are verified on unless told otherwise."""
