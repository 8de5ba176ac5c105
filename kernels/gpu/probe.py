"""Asks a driver in a child process with a time limit: one that hangs or crashes must not take the program along.

`ask` starts `python -m kernels.gpu.probe BACKEND QUESTION`, which answers with one JSON document. Questions are
`list` (devices, and what was passed over), `open` (build the kernel on one device and compute a label) and `tune`.
Specified in protocol 01-post-tools, section 8, "hang or crash at open".
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernels.devices.types import Device
from kernels.errors import KernelError
from kernels.gpu import driver as drivers
from kernels.gpu import plan as plan_gpu
from kernels.gpu.layout import layout_of

LIST_SECONDS = 30.0
"""For listing devices: the reference's loader alone may wait 10 seconds for a platform."""

OPEN_SECONDS = 120.0
"""For opening one device; a driver's compiler may need most of it the first time."""

KILL_SECONDS = 3.0
"""A child that hangs inside the kernel of the system cannot be ended; after this time it is left alone."""


_running: set[subprocess.Popen[bytes]] = set()
"""Children that were not heard of yet; they end with the program, which does not wait for a driver."""


class DriverFailure(KernelError):
    """A driver hung, crashed or refused in the child process."""


def ask(
    backend: str,
    question: str,
    document: object = None,
    *,
    timeout_s: float,
    command: Sequence[str] | None = None,
) -> Any:
    """The child's answer. Raises `DriverFailure` when it does not answer in time, crashes or reports an error.

    `command` replaces the child in tests.
    """
    words = list(command or [sys.executable, "-m", "kernels.gpu.probe", backend, question])
    package_parent = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    try:
        child = subprocess.Popen(
            words,
            env={**os.environ, "PYTHONPATH": search_path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that whatever the driver started can be ended with it
        )
    except OSError as error:
        raise DriverFailure(f"the {backend} driver could not be asked: {error.strerror or error}") from None
    _running.add(child)
    try:
        answer, noise = child.communicate(json.dumps(document).encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(child)
        raise DriverFailure(
            f"the {backend} driver did not answer within {timeout_s:g} s ({question}); it may hang: look at the "
            "system's log, restart the machine or install the driver anew"
        ) from None
    except BaseException:
        _end(child)  # Ctrl-C goes to this process alone
        raise
    finally:
        _running.discard(child)
    if child.returncode < 0:
        raise DriverFailure(f"the {backend} driver crashed ({_signal_name(-child.returncode)}) at: {question}")
    try:
        found = json.loads(answer)
    except ValueError:
        last = noise.decode(errors="replace").strip().splitlines()[-1:]
        raise DriverFailure(
            f"the {backend} driver ended the program that asked it (exit code {child.returncode}) at: {question}"
            + (f"; its last words: {last[0]}" if last else "")
        ) from None
    if not isinstance(found, dict) or "error" in found:
        raise DriverFailure(str(found["error"]) if isinstance(found, dict) else f"found {found!r}")
    return found.get("answer")


@atexit.register
def _end_all() -> None:
    for child in list(_running):
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(KILL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        pass  # it has ended, or hangs where no signal reaches it
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # what could not be sent to it is of no interest any more


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# -- the child -------------------------------------------------------------------------------------------------------


def _list(backend: drivers.Backend, document: Any) -> object:
    found, passed = backend.devices()
    return {"devices": [asdict(one) for one in found], "passed_over": [asdict(one) for one in passed]}


def _open(backend: drivers.Backend, document: Any) -> object:
    """Label 0 at N, the layout that it was computed with, and those to try if it fails later.

    Asked for is a layout (with a larger gap where `memory_bytes` hold too few labels), "default" or "simple".
    """
    from kernels.gpu import engine

    device, scrypt_n, wanted = device_of(document["device"]), int(document["scrypt_n"]), document["layout"]
    numbers, limit = backend.Driver(device).numbers, document.get("memory_bytes")
    simple, usual = plan_gpu.simplest(numbers), plan_gpu.default_layout(numbers, scrypt_n, limit)
    if isinstance(wanted, str):
        layout = simple if wanted == "simple" else usual
    else:
        layout = plan_gpu.default_layout(numbers, scrypt_n, limit, layout_of(wanted))
    label = engine.first_label(device, scrypt_n, layout, numbers)
    later = [] if wanted == "simple" else [simple] if wanted == "default" else [usual, simple]
    return {"label": label.hex(), "layout": asdict(layout), "later": [asdict(one) for one in later]}


def _tune(backend: drivers.Backend, document: Any) -> object:
    from kernels.gpu import tune

    trials = tune.measure(backend, device_of(document["device"]), document["scrypt_n"], document["seconds"])
    return [asdict(trial) for trial in trials]


def device_of(values: dict[str, Any]) -> Device:
    """A device from its fields, as they come out of JSON."""
    return Device(**{**values, "aliases": tuple(values["aliases"])})


QUESTIONS: dict[str, Callable[[Any, Any], object]] = {"list": _list, "open": _open, "tune": _tune}


def main(words: Sequence[str]) -> None:
    """The child: one document from standard input, one to standard output; what a driver prints goes elsewhere."""
    backend, question = words
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    document = json.load(sys.stdin)
    try:
        found = {"answer": QUESTIONS[question](drivers.backend(backend), document)}
    except Exception as error:  # whatever it is, the parent shows it
        found = {"error": f"{type(error).__name__}: {error}" if not isinstance(error, KernelError) else str(error)}
    with answer_to:
        json.dump(found, answer_to)
    # no orderly end: a driver's clean-up is not ours to wait for
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
