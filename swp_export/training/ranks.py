"""One process, or several of `torchrun`: who this one is, and what they add up."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import datetime as dt
import gc
import os
from typing import TYPE_CHECKING

import torch
from torch import distributed

from swp_export.errors import DeviceError, InputError, SwpExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LEAVING = dt.timedelta(seconds=10)
"""How long a process waits at its end for the others to come to theirs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes of a run.

    Attributes:
        rank: Number of this one; 0 is the only one that writes.
        size: How many there are.
        device: What this one computes on.

    """

    rank: int
    size: int
    device: torch.device

    def total(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.size == 1:
            return list(values)
        totals = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(totals)
        return [float(total) for total in totals]

    def copy_from_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give the tensors of all processes the values that they have in the first."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    def first_alone(self, action: Callable[[], object]) -> None:
        """Let the first process do `action` while the others wait; what it raises is raised in all of them.

        Raises:
            SwpExportError: Of `action`.

        """
        failure: list[SwpExportError | None] = [None]
        if self.rank == 0:
            try:
                action()
            except SwpExportError as error:
                failure = [error]
        if self.size > 1:
            distributed.broadcast_object_list(failure, 0)
        if failure[0] is not None:
            raise failure[0]


def join_ranks(device: str) -> Ranks:
    """Join the processes that `torchrun` started, or be the only one; with nccl on CUDA and gloo on the CPU.

    They stay together until they end, for the next training: torchrun's processes can meet only once.

    Raises:
        DeviceError: CUDA is asked for and not there.
        InputError: The environment is not one that torchrun makes.

    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch finds no CUDA device; see `swp-export doctor`, or train with --device cpu")
    if "WORLD_SIZE" not in os.environ:
        return Ranks(rank=0, size=1, device=torch.device(device))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and local >= torch.cuda.device_count():
        raise DeviceError(f"process {local} of this machine has no CUDA device, there are {torch.cuda.device_count()}")
    here = torch.device(device, local) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(here)
    if not distributed.is_initialized():
        try:
            distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        except ValueError as error:
            raise InputError(f"WORLD_SIZE is set, but the rest of torchrun's environment is not: {error}") from error
        atexit.register(_leave)
    return Ranks(rank=distributed.get_rank(), size=distributed.get_world_size(), device=here)


def _leave() -> None:
    """Leave while the interpreter still runs: a thread of the group's that needs it afterwards aborts the process."""
    if not distributed.is_initialized():
        return
    gc.collect()  # what still holds the group keeps its threads: DistributedDataParallel sits in cycles
    # Together: nobody's connection is closed under its hands. A process that failed does not wait for those it left.
    with contextlib.suppress(RuntimeError, ValueError):  # the latter where there is nccl beside gloo
        distributed.monitored_barrier(timeout=LEAVING)
    distributed.destroy_process_group()
    gc.collect()
