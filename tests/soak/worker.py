"""A process that runs the program's commands, one after the other, as the command line would.

Each line of standard input is a request, `{"args": [...], "seconds": 10}`; each line of standard output the answer:
exit code, what was printed, seconds of computing, those of its own processes too, and the most memory beyond what it
held before. A request that takes more than `seconds` by the clock kills the process, as does a crash: no answer.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

ADDRESS_SPACE = 16 << 30
"""What a bomb may claim before the machine suffers."""
KEPT = 4000
IMPORTED = (
    "onnxruntime",
    "onnxsim",
    "torch.onnx",
    "swp_export.inspection.checkpoint_file",
    "swp_export.inspection.onnx_file",
    "swp_export.pruning.prune",
    "swp_export.tuning.tune",
)


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    cli = _program()
    gc.freeze()  # what all commands share need not be gone through before each
    print_line(answers, {"ready": True})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for line in sys.stdin:
            print_line(answers, _run(cli, json.loads(line), out.fileno(), err.fileno()))


def print_line(stream: object, document: object) -> None:
    """Write `document` as one line."""
    stream.write(json.dumps(document) + "\n")  # type: ignore[attr-defined]
    stream.flush()  # type: ignore[attr-defined]


def _program() -> object:
    """Return the program, everything that its commands import loaded."""
    import torch

    import swp_export.cli

    for module in IMPORTED:
        importlib.import_module(module)
    torch.set_num_threads(1)
    return swp_export.cli.cli


def _run(cli: object, request: dict[str, object], out: int, err: int) -> dict[str, object]:
    for file, stream in ((out, 1), (err, 2)):
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.dup2(file, stream)
    gc.collect()
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts here
    seconds, code = float(str(request["seconds"])), "no exit code"
    signal.setitimer(signal.ITIMER_REAL, seconds)  # its default is to kill
    start = sum(os.times()[:4])
    try:
        cli.main(args=request["args"], prog_name="swp-export")  # type: ignore[attr-defined]
    except SystemExit as error:
        code = str(error.code)
    except BaseException:  # noqa: BLE001 - what escapes the program is a failure of it
        traceback.print_exc()
        code = "escaped"
    took = sum(os.times()[:4]) - start
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    return {
        "code": code,
        "stdout": _text(out),
        "stderr": _text(err),
        "seconds": took,
        "megabytes": max(0, _memory("VmHWM") - before) / 1024,
        "children_megabytes": max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, *_children()) / 1024,
        "idle_megabytes": before / 1024,
    }


def _memory(key: str, process: str = "self") -> int:
    """Return an entry of a process's status in kB."""
    found = re.search(rf"{key}:\s+(\d+)", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    return 0 if found is None else int(found[1])


def _children() -> list[int]:
    """Return the most memory of each process that was started and still runs, in kB; 0 for this one."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    running = listed.read_text(encoding="ascii").split() if listed.exists() else []
    return [0, *(_memory("VmHWM", process) for process in running)]


def _text(file: int) -> str:
    size = os.lseek(file, 0, os.SEEK_END)
    data = os.pread(file, KEPT, 0) if size <= 2 * KEPT else os.pread(file, KEPT, 0) + os.pread(file, KEPT, size - KEPT)
    return data.decode("utf-8", "replace")


if __name__ == "__main__":
    main()
