"""`python -m tests.soak faults|networks|hostile --count N --seed S`: the figures of the program's word."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = click.option("--count", type=click.IntRange(1), required=True, help="How many.")
SEED = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first number.")
KEEP = click.option(
    "--keep", type=click.Path(path_type=Path), default=Path("soak-failures"), show_default=True, help="For failures."
)


@click.group()
def soak() -> None:
    """Measure the program's word; exit code 1 where it was broken."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


@soak.command()
@KEEP
@click.pass_context
def everything(context: click.Context, *, keep: Path) -> None:
    """Run the three in full, hours: 1,500 faults, 500 networks, 10,000 hostile inputs."""
    codes = []
    runs: list[tuple[click.Command, dict[str, Any]]] = [
        (faults, {"count": 1500, "zoo": True, "each": 6}), (networks, {"count": 500}), (hostile, {"count": 10_000}),
    ]  # fmt: skip
    for command, options in runs:
        try:
            context.invoke(command, seed=0, keep=keep, **options)
        except SystemExit as end:
            codes.append(end.code)
    sys.exit(1 if any(codes) else 0)


@soak.command()
@COUNT
@SEED
@KEEP
@click.option("--zoo/--no-zoo", default=True, help="Spoil models of the zoo's checkpoints too: seconds for each.")
@click.option("--each", type=click.IntRange(1), default=6, show_default=True, help="Faults in a base.")
def faults(*, count: int, seed: int, keep: Path, zoo: bool, each: int) -> None:
    """Plant COUNT single faults and look for them."""
    outcomes, skipped = [], collections.Counter[str]()
    for base, first, folder in _bases(seed, zoo=zoo):
        planted = 0
        if isinstance(base, str):
            skipped[_short(base)] += 1
            _say({"skipped": base})
            continue
        for number in range(first, first + 5 * each):
            found = _spoil(base, number)
            if found is None:
                continue
            content, outcome = found
            planted += 1
            outcomes.append(outcome)
            bad = outcome.verdict == "crashed" or (outcome.effective and outcome.verdict == "missed")
            if bad or not outcome.settled or _needless(outcome):
                _say(dataclasses.asdict(outcome))
            if bad:
                _keep(keep, f"fault-{len(outcomes)}", folder, content, outcome)
            if planted == each or len(outcomes) == count:
                break
        if len(outcomes) == count:
            break
    effective = [outcome for outcome in outcomes if outcome.effective]
    missed = [outcome for outcome in effective if outcome.verdict == "missed"]
    crashed = [outcome for outcome in outcomes if outcome.verdict == "crashed"]
    _say(
        {
            "planted": len(outcomes),
            "effective": len(effective),
            "missed": len(missed),
            "crashed": len(crashed),
            "refused": sum(outcome.verdict == "refused" for outcome in effective),
            "found without an effect on our inputs": sum(_needless(outcome) for outcome in outcomes),
            "unsettled": sum(not outcome.settled for outcome in outcomes),
            "missed by kind": collections.Counter(outcome.fault.partition(":")[0] for outcome in missed),
            "effective by kind": collections.Counter(outcome.fault.partition(":")[0] for outcome in effective),
            "no base": skipped.most_common(),
        }
    )
    sys.exit(1 if missed or crashed else 0)


@soak.command()
@COUNT
@SEED
@KEEP
def networks(*, count: int, seed: int, keep: Path) -> None:
    """Prune COUNT random networks, half of them checkpoints and half ONNX files; refused ones do not count."""
    from .promised import FAILURES, promise_of

    promises = []
    for number in itertools.count(seed):
        if sum(promise.kind != "refused" for promise in promises) == count:
            break
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            promise = promise_of(number, folder)
            promises.append(promise)
            if promise.kind != "equivalent":
                _say(dataclasses.asdict(promise))
            if promise.kind in FAILURES:
                _keep(keep, f"network-{number}", folder, None, promise)
    ratios = [promise.error_to_budget for promise in promises if promise.kind == "equivalent"]
    kinds = collections.Counter(promise.kind for promise in promises)
    _say(
        {
            "networks": len(promises),
            "kinds": kinds,
            "error to budget": {
                "median": float(np.median(ratios)),
                "99 %": float(np.quantile(ratios, 0.99)),
                "max": max(ratios),
            }
            if ratios
            else None,
            "refused": collections.Counter(_short(p.message) for p in promises if p.kind == "refused").most_common(),
        }
    )
    sys.exit(1 if any(kinds[kind] for kind in FAILURES) else 0)


@soak.command()
@COUNT
@SEED
@KEEP
def hostile(*, count: int, seed: int, keep: Path) -> None:
    """Run COUNT hostile inputs."""
    from .hostile import Attacker, reader_of

    attacks = []
    with tempfile.TemporaryDirectory() as name, _until_interrupted():
        attacker = Attacker(Path(name))
        for number in range(seed, seed + count):
            attack = attacker.attack(number)
            attacks.append(attack)
            if attack.failure is not None:
                _say(dataclasses.asdict(attack))
                folder = attacker.place(reader_of(number), attacker.content).parent
                _keep(keep, f"hostile-{number}", folder, None, attack)
            if len(attacks) % 100 == 0:
                click.echo(f"{len(attacks)} of {count}", err=True)
        attacker.close()
    failed = [attack for attack in attacks if attack.failure is not None]
    _say(
        {
            "hostile inputs": len(attacks),
            "failed": len(failed),
            "failures": collections.Counter(f"{a.reader}: {_short(a.failure or '')}" for a in failed).most_common(),
            "defects": collections.Counter(_defect(attack.output) for attack in failed).most_common(60),
            "exit codes": collections.Counter(attack.code for attack in attacks),
            "slowest": max(attack.seconds for attack in attacks),
            "most megabytes": max(attack.megabytes for attack in attacks),
        }
    )
    sys.exit(1 if failed else 0)


@contextlib.contextmanager
def _until_interrupted() -> Iterator[None]:
    """End at Ctrl+C or SIGINT, and tell what was found until then."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)


def _defect(output: str) -> str:
    """Return what is said of a failure: the exception at the end of a traceback and the place of ours it came by."""
    places = re.findall(r'/(swp_export/[\w/]+\.py)", line (\d+)', output)
    lines = [line for line in output.splitlines() if line and not line.startswith((" ", "swp-export: this is"))]
    return f"{':'.join(places[-1]) if places else ''} {_short(lines[-1]) if lines else ''}"


def _bases(seed: int, *, zoo: bool) -> Iterator[tuple[Any, int, Path]]:
    """Yield sound bases, the number of each one's first fault, and the folder of its files; for ever."""
    from .planted import onnx_bases, random_checkpoint_base, sound, zoo_base
    from .random_models import random_model
    from .random_routes import routed_model

    number = seed
    while True:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found: list[Any] = list(onnx_bases(number, folder, routed_model if number % 2 else random_model))
            if number % 4 == 0:
                found.append(random_checkpoint_base(number // 4, folder))
            if zoo and number % 5 == 0:
                found.append(zoo_base(number // 5, folder))
            for base in found:
                why = None if isinstance(base, str) else sound(base)
                yield base if why is None else f"{base.name}: {why}", 1000 * number, folder
        number += 1


def _spoil(base: Any, number: int) -> Any:
    from .planted import spoil

    try:
        return spoil(base, number)
    except ValueError as error:
        _say({"base": base.name, "fault": number, "problem": str(error)})
        return None


def _needless(outcome: Any) -> bool:
    """Return whether the program raised an alarm at a fault that changes nothing on our inputs; it may on others."""
    return bool(outcome.verdict == "found" and outcome.settled and outcome.times_noise < 1)


def _keep(keep: Path, name: str, folder: Path, content: bytes | None, record: Any) -> None:
    """Keep the files of a failure, and what it is."""
    target = keep / name
    target.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.is_file():
            (target / file.name).write_bytes(file.read_bytes())
    if content is not None:
        (target / "spoiled.onnx").write_bytes(content)
    (target / "record.json").write_text(json.dumps(dataclasses.asdict(record), indent=2), encoding="utf-8")


def _say(record: Any) -> None:
    click.echo(json.dumps(record))


def _short(message: str) -> str:
    """Return what is the same in messages of one kind: without numbers and quoted names."""
    return re.sub(r"\d+", "N", message.strip().splitlines()[-1])[:160]


if __name__ == "__main__":
    soak()
