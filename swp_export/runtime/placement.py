"""What ran where on CUDA, and whether it may.

ONNX Runtime itself puts shape arithmetic on the CPU (the Shape, Gather, Range and Cast of a detector), because its
results are needed there. That is no fallback. One is where an operator that computes on images is there because CUDA
has no kernel for it: images then travel to the CPU and back, and the figure is no longer that of the device.

The partitioned graph says at once which kinds of operators the CPU got, and for most models that decides. It names no
tensors: whether an elementwise operator computes sizes or maps is seen in the profile of one run.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from swp_export.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from swp_export.runtime.runtime import Array

    Assigned = Mapping[str, Mapping[str, int]]
    """By execution provider, how many nodes of each kind of operator it got."""
    Events = Iterable[Mapping[str, Any]]

CPU_PROVIDER = "CPUExecutionProvider"
_KERNEL = "_kernel_time"
_HEAVY = re.compile(r"Conv|Gemm|MatMul|Pool|Einsum|Attention|LSTM|GRU|RNN|Normalization")
"""Convolutions, products, poolings, and what is made of them, fused and quantised ones included."""
_OF_SIZES = frozenset({"Shape", "Size", "Range", "ConstantOfShape", "Constant"})
"""Their results are sizes, or made of sizes alone."""
_SELECTING = frozenset(
    {"NonMaxSuppression", "TopK", "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "NonZero"}
)
"""They pick boxes `[N, boxes, 4]` and scores behind a detector."""
_INDICES = frozenset({"int64", "int32", "bool", "string"})
"""What sizes, indices and masks are made of, as a profile spells it; all else is values of images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placed:
    """A node of a run: `tensors` are the type and shape of what it reads and writes, constants included."""

    name: str
    operator: str
    provider: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def computes_on_images(self) -> bool:
        """Whether the node is a convolution, product or pooling, or works on maps."""
        if _HEAVY.search(self.operator):
            return True
        if self.operator in _OF_SIZES:
            return False
        axes = 4 if self.operator in _SELECTING else 3
        return any(dtype not in _INDICES and len(shape) >= axes for dtype, shape in self.tensors)


class PlacementCheck:
    """Refuses a model of which the CPU got what computes on images; looks no further than it has to, and once.

    Args:
        label: The model's name in messages.
        device: That was asked for.
        assigned: What the partitioned graph says.
        profile: Runs the model on feeds and returns the events of ONNX Runtime's profile.

    """

    def __init__(
        self, label: str, device: str, assigned: Assigned, profile: Callable[[Mapping[str, Array]], Events]
    ) -> None:
        self._label = label
        self._device = device
        self._on_cpu = set(assigned.get(CPU_PROVIDER, ()))
        self._profile = profile
        heavy = sorted(filter(_HEAVY.search, self._on_cpu))
        if heavy:
            raise self._refusal(", ".join(heavy))

    def __call__(self, feeds: Mapping[str, Array]) -> None:
        """Check the model, which is about to run on `feeds`.

        Raises:
            DeviceError: An operator that computes on images fell back; it is named.

        """
        if self._on_cpu <= _OF_SIZES:
            return
        fallen = [
            node
            for node in placed_nodes(self._profile(feeds))
            if node.provider == CPU_PROVIDER and node.computes_on_images
        ]
        if fallen:
            raise self._refusal(_listed(fallen))
        self._on_cpu.clear()

    def _refusal(self, nodes: str) -> DeviceError:
        return DeviceError(
            f"{self._label}: device {self._device} has no kernel for {nodes}, which ONNX Runtime would run on the CPU; "
            "pass --device cpu, or export the model without"
        )


def placed_nodes(events: Events) -> list[Placed]:
    """Return the nodes in `events`, the profile of a run by ONNX Runtime, each once."""
    found = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            args = event["args"]
            sides = (*args.get("input_type_shape", ()), *args.get("output_type_shape", ()))
            node = Placed(
                name=event["name"].removesuffix(_KERNEL),
                operator=args["op_name"],
                provider=args["provider"],
                tensors=tuple((dtype, tuple(shape)) for side in sides for dtype, shape in side.items()),
            )
            found[node.name, node.operator] = node
    return list(found.values())


def assigned_operators(subgraphs: Iterable[Any]) -> dict[str, dict[str, int]]:
    """Return which provider got how many nodes of each operator, from what `InferenceSession` says of its partition."""
    counts: dict[str, Counter[str]] = {}
    for subgraph in subgraphs:
        counts.setdefault(subgraph.ep_name, Counter()).update(node.op_type for node in subgraph.get_nodes())
    return {provider: dict(sorted(of_one.items())) for provider, of_one in counts.items()}


def _listed(nodes: list[Placed]) -> str:
    first = ", ".join(f"{node.operator} {node.name!r}" for node in nodes[:3])
    return first if len(nodes) <= 3 else f"{first} and {len(nodes) - 3} more nodes"
