"""The devices of this machine that make labels, as a process of its own finds them: a driver that hangs or ends its
program does not end the node.

Specified in protocol 01-post-tools, section 1.1; 10-api, section 3.8.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.services.node.smeshing import Provider, SmeshingRefused
from kernels.devices.types import CPU_ID

from .child import Child, own, said

CPU_NAME = "[CPU] scrypt-jane"
BENCHMARK_SECONDS = 2
"""Of one device."""


async def providers(*, benchmark: bool, words: Sequence[str] | None = None) -> list[Provider]:
    """Those that the reference would name, with labels a second where they are measured.

    words: the command that finds them, in place of our own. Raises SmeshingRefused.
    """
    measure = ["--benchmark", "--seconds", str(BENCHMARK_SECONDS)] if benchmark else []
    lines: list[str] = []
    errors: list[str] = []
    try:
        child = await Child.start(
            [*(words or own("providers", "--json")), *measure], errors.append, lambda line: lines.append(line)
        )
    except OSError as error:
        raise SmeshingRefused(f"{error.strerror or error}") from None
    try:
        code = await child.wait()
    finally:
        await child.stop()
    found = [one for one in map(_provider, lines) if one is not None]
    if not found:
        why = said(errors[-1]) if errors else f"it ended with code {code}"
        raise SmeshingRefused(f"no device was found: {why}")
    return found


def _provider(line: str) -> Provider | None:
    try:
        event: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") != "provider" or not isinstance(event.get("id"), int):
        return None
    id = event["id"]
    name = CPU_NAME if id == CPU_ID else f"[{event.get('class')}] {event.get('platform')}/{event.get('name')}"
    return Provider(id, name, int(event.get("labels_per_second") or 0))
