"""C++ tools that can crash, hang or eat memory run in a process of their own, bytes of a model in and out.

One process serves a whole run of the program: it starts with the first call and is started again after a crash. It
imports no torch, which onnx-simplifier would otherwise load for things that are not used here.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from swp_export.errors import ModelError
from swp_export.memory import limit_memory

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 120.0
"""A model of 500 MB takes 20."""
_MEMORY = 400 << 20
_MEMORY_PER_BYTE = 20
"""What a tool may allocate: a fixed part, and so much of each byte of its model."""
_ANSWER = 16 << 20
_ANSWER_PER_BYTE = 4
"""How large an answer may be: small constants may be folded, a file may not grow without bounds."""

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from swp_export.isolated import serve; serve()"


def isolated(function: str, content: bytes, *, seconds: float = SECONDS) -> bytes:
    """Return what `function`, a key of `_FUNCTIONS`, makes of a model; both are bytes of a file.

    Raises:
        ModelError: The tool refuses the model, crashes, takes longer than `seconds` or more memory than a model of
            this size can need.

    """
    tool = _TOOLS[function]
    worker = _started()
    late = threading.Event()

    def kill() -> None:
        late.set()
        worker.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        verdict, answer = _ask(worker, function, content)
    except EOFError:
        code = _stop()
        if late.is_set():
            raise ModelError(f"{tool} was stopped after {seconds:g} s on this model; export a simpler one") from None
        raise ModelError(f"{tool} crashed ({_reason(code)}) on this model; export it again") from None
    except BaseException:
        _stop()  # interrupted: it is amid an answer
        raise
    finally:
        timer.cancel()
    if verdict != b"done":
        raise ModelError(f"{tool} cannot process this model: {answer.decode(errors='replace')}")
    return answer


def _ask(worker: subprocess.Popen[bytes], name: str, content: bytes) -> tuple[bytes, bytes]:
    """Return the worker's answer.

    Raises:
        EOFError: It is gone.

    """
    assert worker.stdin is not None
    assert worker.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        _send(worker.stdin, name.encode(), content)
        return _receive(worker.stdout)
    raise EOFError


def _simplify(content: bytes) -> bytes:
    import onnx
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.ModelProto.FromString(content))
    answer: bytes = simplified.SerializeToString()
    return answer


def _inline(content: bytes) -> bytes:
    import onnx
    import onnx.inliner

    inlined: bytes = onnx.inliner.inline_local_functions(onnx.ModelProto.FromString(content)).SerializeToString()
    return inlined


def _infer_shapes(content: bytes) -> bytes:
    import onnx
    import onnx.shape_inference

    inferred = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(content), data_prop=True)
    answer: bytes = inferred.SerializeToString()
    return answer


_FUNCTIONS: dict[str, Callable[[bytes], bytes]] = {
    "infer_shapes": _infer_shapes,
    "inline": _inline,
    "simplify": _simplify,
}
_TOOLS = {"infer_shapes": "ONNX's shape inference", "inline": "ONNX's inliner", "simplify": "onnx-simplifier"}

_worker: subprocess.Popen[bytes] | None = None


def _started() -> subprocess.Popen[bytes]:
    global _worker  # noqa: PLW0603 # one process for the whole program
    if _worker is None or _worker.poll() is not None:
        _stop()
        _worker = subprocess.Popen(  # noqa: S603 # our own interpreter and code
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(_stop)
    return _worker


def _stop() -> int:
    """End the process, if there is one, and return its exit code."""
    global _worker
    worker, _worker = _worker, None
    atexit.unregister(_stop)
    if worker is None:
        return 0
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        return worker.wait(timeout=1)  # it ends with its input
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait()


def _reason(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def serve() -> None:
    """Answer calls on standard input until it ends: what the process runs."""
    sys.modules["torch"] = None  # type: ignore[assignment] # makes an import of it fail
    answers = os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # what C++ prints must not end up among the answers
    _dump_no_core()
    with contextlib.suppress(ImportError):  # whoever calls `simplify` is told; the others go without
        import onnxsim  # noqa: F401 # both now, before memory is counted

    while True:
        try:
            name, content = _receive(sys.stdin.buffer)
        except EOFError:
            return
        with contextlib.suppress(ImportError, OSError, ValueError):
            limit_memory(_MEMORY + _MEMORY_PER_BYTE * len(content))
        try:
            answer = _FUNCTIONS[name.decode()](content)
            if len(answer) > _ANSWER + _ANSWER_PER_BYTE * len(content):
                raise MemoryError(f"it grows from {len(content):,} to {len(answer):,} bytes")  # noqa: TRY301
            verdict = b"done"
        except Exception as error:  # noqa: BLE001 # whatever C++ raises is told to the caller
            lines = str(error).strip().splitlines()
            memory = "it needs far more memory than its file is large"
            text = (
                memory if isinstance(error, MemoryError) and not lines else "".join(lines[:1]) or type(error).__name__
            )
            verdict, answer = b"failed", (memory if "bad_alloc" in text else text).encode(errors="replace")
        _send(answers, verdict, answer)


def _dump_no_core() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _send(pipe: IO[bytes], word: bytes, content: bytes) -> None:
    pipe.write(b"%s %d\n" % (word, len(content)))
    pipe.write(content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """Return a word and the bytes after it.

    Raises:
        EOFError: The other side is gone.

    """
    head = pipe.readline().split()
    if len(head) != 2:
        raise EOFError
    content = pipe.read(int(head[1]))
    if len(content) < int(head[1]):
        raise EOFError
    return head[0], content
