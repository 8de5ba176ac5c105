"""api/metrics.json: the families of the network's program that ours has: their names, types and labels.

Ours has fewer of them, and others under `smesher_`; `process_*` are those of every program. A family of the network's
name that the record does not have is a mistake.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.support.node_metrics import measured_node
from tests.vector_cases.harness import Case, Context, vectors

FAMILIES = frozenset(
    (
        "spacemesh_activation_post_verification_waiting_total", "spacemesh_blocks_generate",
        "spacemesh_bootstrap_updates", "spacemesh_clock_peers_offset",
        "spacemesh_hare_session", "spacemesh_p2p_received_messages_count",
        "spacemesh_p2p_rejected", "spacemesh_p2p_total_connections", "spacemesh_p2p_total_peers",
        "spacemesh_syncer_adopted_cert", "spacemesh_syncer_layer", "spacemesh_syncer_sync_state",
        "spacemesh_tortoise_ballots", "spacemesh_tortoise_blocks", "spacemesh_tortoise_epochs",
        "spacemesh_tortoise_malfeasant", "spacemesh_tortoise_mode", "spacemesh_tortoise_state_layers",
        "spacemesh_txs_gossip_txs", "spacemesh_vm_applied_layer", "spacemesh_vm_rewards", "spacemesh_vm_subsidy",
        "spacemesh_vm_txs", "process_cpu_seconds_total", "process_max_fds", "process_open_fds",
        "process_resident_memory_bytes", "process_start_time_seconds", "process_virtual_memory_bytes",
    )
)  # fmt: skip
"""Of the recorded ones, those that a node of ours has."""
TYPE = re.compile(r"^# TYPE (\S+) (\w+)$", re.MULTILINE)
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


@vectors("api/metrics.json", variants=False)
def families(document: Any, context: Context) -> Iterator[Case]:
    @cache
    def text() -> str:
        async def read() -> bytes:
            with measured_node() as node:
                return await node.metrics.text()

        return asyncio.run(read()).decode()

    for name, recorded in document["families"].items():
        if name in FAMILIES:
            yield Case(name, lambda name=name, recorded=recorded: _same(text(), name, recorded))
    yield Case("all families of the network's names", lambda: _known(text(), document["families"]))


def _same(text: str, name: str, recorded: dict[str, Any]) -> None:
    types = dict(TYPE.findall(text))
    assert types.get(name) == recorded["type"], f"{types.get(name)}, expected {recorded['type']}"
    samples = [labels for found, labels in SAMPLE.findall(text) if found == name]
    assert samples, "there is no sample"
    for labels in samples:
        assert sorted(LABEL.findall(labels)) == sorted(recorded.get("labels") or []), labels


def _known(text: str, recorded: dict[str, Any]) -> None:
    names = {name for name, _ in TYPE.findall(text) if name.startswith(("spacemesh_", "process_"))}
    assert names == FAMILIES and names <= set(recorded)
