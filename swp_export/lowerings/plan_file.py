"""Plan files: which lowering each layer gets, and where that was found to be the fastest."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from swp_export.errors import InputError
from swp_export.input_file import read_bytes
from swp_export.lowerings import current_name

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "swp-export-plan"
VERSION = 1
LARGEST_MULTIPLE = 64
"""No runtime has larger blocks of channels: a file that states it was not written by us."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanFile:
    """A plan and its circumstances.

    Attributes:
        layers: layer -> name of a lowering, with `int8:` before it where the layer is in int8.
        multiple: channels and rows are filled up to a multiple of it; in the file it is called `block`.
        rounding: how the values of int8 layers are rounded; `precision.mixed_plan` reads and writes it.
        found_on: device, threads, batch, input shape, processor, runtime: for the reader, nothing depends on it.

    """

    layers: dict[str, str]
    multiple: int
    rounding: dict[str, Any] | None = None
    found_on: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_text(self) -> str:
        """Return the content of the file; the same plan gives the same bytes."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "block": self.multiple,
            "layers": self.layers,
            **({} if self.rounding is None else {"rounding": self.rounding}),
            "found_on": self.found_on,
        }
        return json.dumps(document, indent=2) + "\n"


def read_plan(path: str | Path) -> PlanFile:
    """Read a plan file.

    Raises:
        InputError: it cannot be read, or is no plan.

    """
    try:
        document = json.loads(read_bytes(path).decode())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; expected a plan that tune wrote") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file ({error}); expected a plan that tune wrote") from error
    match document:
        case {"format": "swp-export-plan", "version": 1, "block": int(multiple), "layers": dict(layers)}:
            # JSON's true is an int to Python.
            usable = 0 < multiple <= LARGEST_MULTIPLE and not isinstance(multiple, bool)
            if usable and all(isinstance(name, str) for name in layers.values()):
                layers = {layer: current_name(name) for layer, name in layers.items()}
                found_on, rounding = document.get("found_on"), document.get("rounding")
                return PlanFile(
                    layers=layers,
                    multiple=multiple,
                    rounding=rounding if isinstance(rounding, dict) else None,
                    found_on=found_on if isinstance(found_on, dict) else {},
                )
        case {"format": "swp-export-plan", "version": version} if version != VERSION:
            raise InputError(f"{path} is a plan of version {version!r}, this program reads version {VERSION}")
    raise InputError(
        f"{path} is no plan: expected the format {FORMAT!r} with a block of 1 to {LARGEST_MULTIPLE} and "
        "layers; write it with tune"
    )
