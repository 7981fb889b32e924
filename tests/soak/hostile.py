"""Hostile inputs: damaged and malicious files through every command that reads them.

A failure is a traceback or exit code 70, a crash by a signal, a run of more than 10 seconds, more than 500 MB beyond
the idle program, a control character on the terminal, JUnit that is no XML, or an input that was overwritten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

import swp_export

from . import mutations
from .random_models import random_model

SECONDS = 10.0
"""Of computing: others may use the machine too."""
PATIENCE = 5
"""How many times as long it may take by the clock."""
TUNING = 15.0
"""What `tune` takes for a sound file, where the machine is busy: it measures."""
MEGABYTES = 500.0
CODES = {"0", "1", "2"}
TOO_LONG = f"signal {signal.SIGALRM.value}"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
RUNS = 300
"""After so many a worker is replaced: what it has leaked is no fault of the next input."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """A kind of file, how it is damaged, and the commands that read it.

    Attributes:
        name: of the kind.
        file: the sound file's name, which the damaged one gets too, in a folder of its own.
        mutate: damages it.
        commands: what may be run, `FILE` being the damaged file, `SOUND` the folder of the sound ones, and `OUT` a
            folder for results; the first is the usual one.

    """

    name: str
    file: str
    mutate: mutations.Mutate
    commands: tuple[str, ...]


_CHECKPOINT = (
    "inspect FILE",
    "inspect FILE --threshold 0.05 --json",
    "verify SOUND/pruned.onnx --against FILE --junit OUT/junit.xml",
    "verify SOUND/pruned.onnx --against FILE --threshold 0.05 --arch VGG11x0.05",
    "prune FILE --threshold 0.05 -o OUT/model.onnx",
)
_ONNX = (
    "inspect FILE",
    "inspect FILE --json",
    "verify FILE --against SOUND/small.onnx --junit OUT/junit.xml",
    "verify SOUND/small.onnx --against FILE --input-shape 3,12,12",
    "verify FILE --against FILE --input-shape 3,12,12",
    "prune FILE -o OUT/model.onnx",
    "prune FILE -o OUT/model.onnx --input-shape 3,12,12 --no-verify --lowering shift-sum",
)
_OURS = (
    *_ONNX,
    "tune FILE --seconds 0 -o OUT/model.onnx --plan-out OUT/plan.json",
)
READERS: tuple[Reader, ...] = (
    Reader(name="checkpoint", file="network.pth", mutate=mutations.checkpoint_changed, commands=_CHECKPOINT),
    Reader(name="self-describing", file="described.pth", mutate=mutations.checkpoint_changed, commands=_CHECKPOINT),
    Reader(name="legacy", file="legacy.pth", mutate=mutations.checkpoint_changed, commands=_CHECKPOINT),
    Reader(name="broken", file="broken.pth.tar", mutate=mutations.checkpoint_changed, commands=_CHECKPOINT),
    Reader(name="safetensors", file="network.safetensors", mutate=mutations.safetensors_changed, commands=_CHECKPOINT),
    Reader(name="onnx", file="small.onnx", mutate=mutations.onnx_changed, commands=_ONNX),
    Reader(name="onnx with external data", file="outside.onnx", mutate=mutations.onnx_changed, commands=_ONNX),
    Reader(name="portable", file="pruned.onnx", mutate=mutations.onnx_changed, commands=_OURS),
    Reader(name="planned", file="planned.onnx", mutate=mutations.onnx_changed, commands=_OURS),
    Reader(
        name="plan",
        file="plan.json",
        mutate=mutations.json_changed,
        commands=("prune SOUND/small.onnx --input-shape 3,12,12 --plan FILE -o OUT/model.onnx --no-verify",),
    ),
    Reader(
        name="log",
        file="log.jsonl",
        mutate=mutations.lines_changed,
        commands=("inspect FILE", "inspect FILE --json"),
    ),
    Reader(
        name="samples",
        file="samples.npz",
        mutate=mutations.npz_changed,
        commands=("verify SOUND/small.onnx --against SOUND/small.onnx --input-shape 3,12,12 --data FILE",),
    ),
    Reader(
        name="cache",
        file="swp-export/layers.json",
        mutate=mutations.json_changed,
        commands=("tune SOUND/planned.onnx --seconds 0 -o OUT/model.onnx",),
    ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """What became of one hostile input; `failure` is None where the program kept its word."""

    seed: int
    reader: str
    command: str
    bytes: int
    code: str
    seconds: float
    megabytes: float
    failure: str | None
    output: str


class Attacker:
    """Runs hostile inputs in a worker, in the folder `folder`, which holds the sound files too.

    `content` is the last input: torch's legacy format writes addresses into it, so a seed alone does not make it again
    to the last byte.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._runs = folder, 0
        self._worker: subprocess.Popen[str] | None = None
        self.content = b""
        self.sound = folder / "sound"
        write_sound_files(self.sound)

    def attack(self, seed: int) -> Attack:
        """Make the hostile input `seed` and run a command on it."""
        reader, command, content = hostile_input(seed, self.sound)
        self.content = content
        target = self.place(reader, content)
        before = _digests(self._folder / "hostile")
        arguments = self.arguments(command, target)
        answer = self._ask(arguments)
        failure = _failure(answer, self._folder / "out", SECONDS + TUNING * (arguments[0] == "tune"))
        output = f"{answer['stdout'][-1500:]}{answer['stderr'][-2500:]}"
        after = _digests(self._folder / "hostile")
        if failure is None and any(after.get(file) != digest for file, digest in before.items()):
            failure = "an input was overwritten"
        return Attack(
            seed=seed,
            reader=reader.name,
            command=command,
            bytes=len(content),
            code=str(answer["code"]),
            seconds=float(answer["seconds"]),
            megabytes=float(answer["megabytes"]),
            failure=failure,
            output=output,
        )

    def place(self, reader: Reader, content: bytes) -> Path:
        """Put a hostile input into a fresh folder, beside what belongs to it."""
        for name in ("hostile", "out"):
            (self._folder / name).mkdir(exist_ok=True)
            for file in sorted((self._folder / name).rglob("*"), reverse=True):
                file.unlink() if file.is_file() or file.is_symlink() else file.rmdir()
        target = self._folder / "hostile" / reader.file
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
        if reader.file == "outside.onnx":
            data = (self.sound / "weights.data").read_bytes()
            (target.parent / "weights.data").write_bytes(data)
        return target

    def arguments(self, command: str, target: Path) -> list[str]:
        """Return the command's words with the files' names in them."""
        places = {"FILE": str(target), "SOUND": str(self.sound), "OUT": str(self._folder / "out")}
        return [re.sub("FILE|SOUND|OUT", lambda found: places[found[0]], word) for word in command.split()]

    def close(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None

    def _ask(self, arguments: list[str]) -> dict[str, Any]:
        """Return the worker's answer, or one that says which signal ended it."""
        if self._worker is None or self._runs >= RUNS:
            self.close()
            self._start()
        self._runs += 1
        assert self._worker is not None
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        seconds = PATIENCE * (SECONDS + TUNING if arguments[0] == "tune" else SECONDS)
        request = {"args": arguments, "seconds": seconds}
        self._worker.stdin.write(json.dumps(request) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        if not line:
            number = -self._worker.wait()
            self.close()
            return {"code": f"signal {number}", "seconds": seconds, "megabytes": 0, "stdout": "", "stderr": ""}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> None:
        root = Path(swp_export.__file__).parents[1]
        cache = self._folder / "hostile"
        environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache)}
        self._worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self._folder,
        )
        self._runs = 0
        assert self._worker.stdout is not None
        assert json.loads(self._worker.stdout.readline()) == {"ready": True}


SLOW = {(_CHECKPOINT, _CHECKPOINT[-1]): 0.4, (_OURS, _OURS[-1]): 0.05}
"""How often commands are run that take seconds: one for the usual command's three."""


def hostile_input(seed: int, sound: Path) -> tuple[Reader, str, bytes]:
    """Return the reader, the command and the content of the hostile input `seed`."""
    rng = np.random.default_rng([seed, 4])
    reader = reader_of(seed)
    # The first command is the usual one; exporting a checkpoint takes seconds, tuning ten.
    weights = [3.0, *(SLOW.get((reader.commands, command), 1.0) for command in reader.commands[1:])]
    command = str(rng.choice(reader.commands, p=np.array(weights) / sum(weights)))
    data = (sound / reader.file).read_bytes()
    try:
        content = reader.mutate(data, rng)
    except Exception:  # noqa: BLE001 - torch, onnx and zipfile refuse to write much that is hostile
        content = mutations.bytes_changed(data, rng)
    return reader, command, content


def reader_of(seed: int) -> Reader:
    """Return whose turn it is; the cache is read by `tune`, which takes seconds."""
    *quick, cache = READERS
    return cache if seed % 100 == 99 else quick[seed % len(quick)]


def write_sound_files(folder: Path) -> None:
    """Write a small sound file of each kind."""
    from safetensors.torch import save_file

    from swp_export.checkpoint import write_checkpoint
    from swp_export.nn import FilterStripe

    folder.mkdir(parents=True, exist_ok=True)
    state, module = _trained("VGG11x0.05")
    torch.save(state, folder / "network.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "network.safetensors")
    write_checkpoint(
        folder / "described.pth", state, architecture="VGG11x0.05", threshold=0.05, input_shape=(3, 32, 32),
        normalisation={"mean": [0.5] * 3, "std": [0.2] * 3}, class_names=["cat", "dog"], force=True,
    )  # fmt: skip
    for layer in module.modules():
        if isinstance(layer, FilterStripe):
            layer.break_(0.05)
    torch.save(module.state_dict(), folder / "broken.pth.tar")
    swp_export.prune(folder / "described.pth", output=folder / "pruned.onnx", verify=False, force=True)
    small = random_model(SMALL, opset=17)
    onnx.save(small.proto, folder / "small.onnx")
    onnx.save(
        small.proto, folder / "outside.onnx", save_as_external_data=True, all_tensors_to_one_file=True,
        location="weights.data", size_threshold=64,
    )  # fmt: skip
    swp_export.prune(
        folder / "small.onnx", output=folder / "planned.onnx", input_shape=small.input_shape, lowering="shift-sum",
        verify=False, force=True,
    )  # fmt: skip
    _write_records(folder)


SMALL = 2
"""The random model that stands for any."""


def _trained(architecture: str) -> tuple[dict[str, torch.Tensor], torch.nn.Module]:
    from swp_export.architectures import resolve_architecture

    module = resolve_architecture(architecture).constructor(2)
    generator = torch.Generator().manual_seed(0)
    state = module.state_dict()
    for key, tensor in state.items():
        if key.endswith("FilterSkeleton"):
            state[key] = torch.where(torch.rand(tensor.shape, generator=generator) < 0.3, 0.8, 0.01)
        elif tensor.is_floating_point():
            state[key] = torch.randn(tensor.shape, generator=generator).abs() * 0.3 + 0.01
    module.load_state_dict(state)
    return state, module


def _write_records(folder: Path) -> None:
    """Write the small files that are no networks: a plan, a log, samples, a cache."""
    model = onnx.load(folder / "planned.onnx")
    names = sorted({p.value for node in model.graph.node for p in node.metadata_props if p.key == "swp_export.layer"})
    plan = {
        "format": "swp-export-plan",
        "version": 1,
        "block": 16,
        "layers": dict.fromkeys(names, "shift-sum"),
        "found_on": {"device": "cpu", "threads": 1, "batch": 1, "input_shape": [3, 12, 12], "processor": "any"},
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    epochs = [
        {"epoch": n, "lr": 0.1, "loss": 1.5 / n, "accuracy": 50.0 + n, "test_loss": 1.6, "test_accuracy": 49.0 + n,
         "live_stripes": {"features.0": 90, "features.3": 70}, "seconds": 3.0}
        for n in range(1, 6)
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, epochs)) + "\n", encoding="utf-8")
    images = np.random.default_rng(0).standard_normal((2, 3, 12, 12), dtype=np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, images=images, labels=np.arange(2))
    (folder / "samples.npz").write_bytes(buffer.getvalue())
    cache = folder / "swp-export"
    cache.mkdir(exist_ok=True)
    times = {hashlib.sha256(bytes([n])).hexdigest(): {"dense": 0.5, "shift-sum": 0.25} for n in range(3)}
    (cache / "layers.json").write_text(json.dumps(times), encoding="utf-8")


def _failure(answer: dict[str, Any], out: Path, limit: float) -> str | None:  # noqa: PLR0911 - one for each promise
    """Return how the program broke its word, None where it did not."""
    code, printed = str(answer["code"]), f"{answer['stdout']}{answer['stderr']}"
    if code == TOO_LONG:
        return f"it took more than {answer['seconds']:g} s"
    if code not in CODES or "Traceback (most recent call last)" in printed:
        return f"exit code {code}" if code not in CODES else "a traceback"
    if float(answer["seconds"]) > limit:
        return f"it took {answer['seconds']:.0f} s"
    if float(answer["megabytes"]) > MEGABYTES:
        return f"it took {answer['megabytes']:.0f} MB"
    if float(answer["children_megabytes"]) > float(answer["idle_megabytes"]) + MEGABYTES:
        return f"a process that it started took {answer['children_megabytes']:.0f} MB"
    if CONTROL.search(printed):
        return "a control character on the terminal"
    if code == "2" and not re.search(r"^swp-export: error: .+\n?\Z", printed, re.MULTILINE):
        return "exit code 2 without one line that says why"
    junit = out / "junit.xml"
    if junit.exists():
        with contextlib.suppress(ET.ParseError):
            ET.parse(junit)  # noqa: S314 - the program wrote it
            return None
        return "JUnit that is no XML"
    return None


def _digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file in `folder` but the cache, which is there to be written."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "layers.json"
    }
