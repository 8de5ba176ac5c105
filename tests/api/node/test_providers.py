"""Devices as another process finds them: what it says is taken as it is, and what goes wrong there is a sentence."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

import pytest

from api.edge.rpc import Failed, Status
from api.node.providers import devices, providers
from api.services.node.smeshing import Provider, SmeshingRefused

CPU = {"event": "provider", "id": 4294967295, "name": "CPU of a test", "class": "CPU", "platform": "", "x": 1}
CARD = {"event": "provider", "id": 0, "name": "Card", "class": "GPU", "platform": "OpenCL", "labels_per_second": 1234.9}
UNLISTED = {"event": "provider", "id": None, "name": "PoCL", "class": "CPU", "platform": "PoCL"}


def script(lines: Sequence[str], tail: str = "") -> list[str]:
    text = "\n".join(f"print({line!r})" for line in lines)
    return [sys.executable, "-c", f"import sys\n{text}\nprint(sys.argv[1:], file=sys.stderr)\n{tail}"]


def found(lines: Sequence[str], *, tail: str = "") -> Sequence[Provider]:
    return asyncio.run(providers(benchmark=False, words=script(lines, tail)))


def test_devices_by_the_names_of_the_reference() -> None:
    lines = [json.dumps(one) for one in (CARD, UNLISTED, CPU)] + ["no JSON", "[]", '{"event": "note"}']
    assert found(lines) == [Provider(0, "[GPU] OpenCL/Card", 1234), Provider(4294967295, "[CPU] scrypt-jane", 0)]


def test_a_driver_that_ends_its_program_is_told_of() -> None:
    with pytest.raises(SmeshingRefused, match="no device was found: the driver has crashed"):
        found([], tail="print('the driver has crashed', file=sys.stderr); sys.exit(3)")
    with pytest.raises(SmeshingRefused, match="No such file"):
        asyncio.run(providers(benchmark=False, words=["/nowhere/smesher"]))


def test_what_was_found_before_it_crashed_counts() -> None:
    assert found([json.dumps(CPU)], tail="import os; os.abort()") == [Provider(4294967295, "[CPU] scrypt-jane", 0)]


def test_devices_as_the_operator_is_told_of_them() -> None:
    card = {**CARD, "place": "opencl:1:0", "pci": "0000:01:00.0", "memory_bytes": 8 << 30, "aliases": ["a"]}
    one, other = devices(script([json.dumps(card), json.dumps({**UNLISTED, "place": "cpu"})]))
    assert (one.place, one.backend, one.memory_bytes, one.device_class) == ("opencl:1:0", "opencl", 8 << 30, "GPU")
    assert (other.id, other.place) == (None, "cpu")
    with pytest.raises(Failed, match="no device was found") as caught:
        devices(script([]))
    assert caught.value.status is Status.UNAVAILABLE


@pytest.mark.slow
def test_the_devices_of_this_machine_are_measured() -> None:
    cpu = asyncio.run(providers(benchmark=True))[-1]
    assert (cpu.id, cpu.name) == (4294967295, "[CPU] scrypt-jane") and cpu.labels_per_second > 0
