"""The devices of this machine that make labels, as a process of its own finds them: a driver that hangs or ends its
program does not end the node.

Specified in protocol 01-post-tools, section 1.1; 10-api, section 3.8.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from api.edge.rpc import Failed, Status
from api.services.node.smeshing import Provider, SmeshingRefused
from kernels.devices.types import CPU_ID, Device

from .child import Child, own, said

CPU_NAME = "[CPU] scrypt-jane"
BENCHMARK_SECONDS = 2
"""Of one device."""


async def providers(*, benchmark: bool, words: Sequence[str] | None = None) -> list[Provider]:
    """Those that the reference would name, with labels a second where they are measured.

    words: the command that finds them, in place of our own. Raises SmeshingRefused.
    """
    measure = ["--benchmark", "--seconds", str(BENCHMARK_SECONDS)] if benchmark else []
    found = [_provider(event) for event in await _events([*(words or own("providers", "--json")), *measure])]
    return [one for one in found if one is not None]


def devices(words: Sequence[str] | None = None) -> list[Device]:
    """All that compute labels here, for the operator; for a thread without a loop. Raises Failed (UNAVAILABLE)."""
    try:
        events = asyncio.run(_events(list(words or own("providers", "--json"))))
    except SmeshingRefused as error:
        raise Failed(Status.UNAVAILABLE, f"{error}") from None
    return [_device(event) for event in events]


async def _events(words: Sequence[str]) -> list[dict[str, Any]]:
    """What the command says of each device. Raises SmeshingRefused where it finds none."""
    lines: list[str] = []
    errors: list[str] = []
    try:
        child = await Child.start(words, errors.append, lines.append)
    except OSError as error:
        raise SmeshingRefused(f"{error.strerror or error}") from None
    try:
        code = await child.wait()
    finally:
        await child.stop()
    found = [event for event in map(_event, lines) if event is not None]
    if not found:
        why = said(errors[-1]) if errors else f"it ended with code {code}"
        raise SmeshingRefused(f"no device was found: {why}")
    return found


def _event(line: str) -> dict[str, Any] | None:
    try:
        event: Any = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("event") == "provider" else None


def _provider(event: dict[str, Any]) -> Provider | None:
    """None for a device that the reference does not list."""
    id = event.get("id")
    if not isinstance(id, int):
        return None
    name = CPU_NAME if id == CPU_ID else f"[{event.get('class')}] {event.get('platform')}/{event.get('name')}"
    return Provider(id, name, int(event.get("labels_per_second") or 0))


def _device(event: dict[str, Any]) -> Device:
    backend, _, handle = str(event.get("place", "")).partition(":")
    return Device(
        id=event.get("id"),
        name=str(event.get("name", "")),
        device_class=str(event.get("class", "")),
        backend=backend,
        platform=str(event.get("platform", "")),
        vendor=str(event.get("vendor", "")),
        driver=str(event.get("driver", "")),
        memory_bytes=int(event.get("memory_bytes") or 0),
        compute_units=int(event.get("compute_units") or 0),
        pci=event.get("pci"),
        aliases=tuple(event.get("aliases", ())),
        handle=handle,
    )
