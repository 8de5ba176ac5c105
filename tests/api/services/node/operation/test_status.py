"""The node on one page, its peers, devices and log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.edge.rpc import Failed, Status
from api.services.node.backend import NetworkFacts, PeerFacts, Traffic
from api.services.node.operation.history import History
from api.services.node.operation.log_tail import LONGEST, LogTail
from api.services.node.operation.operation import Operation, Reachability
from api.services.node.operation.services import SERVICES, calls
from kernels.devices.types import Device
from node.runtime.facts import Facts
from protocol.numbers.durations import SECOND
from protocol.params.config import networks
from protocol.pb.smesher.v1 import node_pb2 as pb
from protocol.types.ids import LayerId
from tests.support.node_backend import Company, StoresBackend

CARD = Device(0, "A card", "GPU", "cuda", "CUDA", "N", "12", 1 << 34, 100, handle="0")


class Asked:
    """A node and its operator."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.backend = StoresBackend(networks.BY_NAME["testnet"], loop=loop, company=Company())
        self.backend.told = Facts(True, True, LayerId(9), LayerId(7), LayerId(8), LayerId(6))
        self.operation = Operation(list, History(self.backend.bus, self.backend.now))

    def ask(self, method: str, request: Any) -> Any:
        call: Any = calls(self.backend, self.operation)["smesher.v1.NodeService"][method]
        return self._loop.run_until_complete(call(request))


@pytest.fixture
def node() -> Iterator[Asked]:
    loop = asyncio.new_event_loop()
    yield Asked(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_every_method_is_there(node: Asked) -> None:
    made = calls(node.backend, node.operation)
    assert made.keys() == SERVICES.keys()
    for name, service in SERVICES.items():
        assert made[name].keys() == {method.name for method in service.methods}


def test_what_is_not_known_is_absent(node: Asked) -> None:
    found = node.ask("Status", pb.StatusRequest())
    assert not found.HasField("clock_offset") and not found.HasField("reachability")
    assert (found.peers, list(found.databases), found.sync_reason) == (0, [], "")
    assert (found.latest_layer, found.applied_layer, found.processed_layer, found.verified_layer) == (9, 7, 8, 6)
    assert found.now.ToNanoseconds() == node.backend.now() and found.is_synced and found.is_atx_synced


def test_what_is_known(node: Asked, tmp_path: Path) -> None:
    (tmp_path / "000001.log").write_bytes(bytes(1000))
    (tmp_path / "CURRENT").write_bytes(bytes(16))
    node.operation = replace(
        node.operation,
        databases={"state": tmp_path, "own": tmp_path / "nowhere"},
        clock_offset_ns=lambda: -3 * SECOND // 2,
        reachability=lambda: Reachability.PRIVATE,
    )
    node.backend.peering.this = NetworkFacts("12D3", ("/ip4/0.0.0.0/tcp/7513",), ("/ip4/198.51.100.1/tcp/7513",))
    node.backend.at_layer(300)
    found = node.ask("Status", pb.StatusRequest())
    assert found.clock_offset.ToNanoseconds() == -3 * SECOND // 2
    assert found.reachability == pb.REACHABILITY_PRIVATE
    assert [(one.name, one.size_bytes) for one in found.databases] == [("state", 1016), ("own", 0)]
    assert found.databases[0].free_bytes > 0 and not found.databases[1].HasField("free_bytes")
    assert (found.peer_id, list(found.listens_on)) == ("12D3", ["/ip4/0.0.0.0/tcp/7513"])
    epoch = 300 // node.backend.parameters.time.layers_per_epoch
    assert (found.current_layer, found.current_epoch) == (300, epoch)


def test_why_a_node_is_not_synced(node: Asked) -> None:
    def reason(**facts: Any) -> str:
        node.backend.told = replace(node.backend.facts, is_synced=False, **facts)
        found: str = node.ask("Status", pb.StatusRequest()).sync_reason
        return found

    assert reason() == "No peer is connected, so nothing can be got."
    node.backend.peering.others = [PeerFacts("a", (), 1, True)]
    assert reason(is_atx_synced=False) == "Activations of the past are got from peers."
    assert "8 of 0 are processed, 7 are applied" in reason(is_atx_synced=True)


def test_peers(node: Asked) -> None:
    asked = Traffic(received_bytes=10, sent_bytes=1, successes=2, failures=1, latency_ns=5)
    node.backend.peering.others = [
        PeerFacts(
            "a", ("/ip4/127.0.0.1/tcp/1",), 3 * SECOND, True, ("hs/1",), ("bootnode",), asked, Traffic(sent_bytes=4)
        ),
        PeerFacts("b", (), 1, False),
    ]
    first, second = node.ask("Peers", pb.PeersRequest()).peers
    assert (first.id, first.is_outbound, first.connected_for.seconds) == ("a", True, 3)
    assert (list(first.protocols), list(first.tags)) == (["hs/1"], ["bootnode"])
    assert (first.received_bytes, first.sent_bytes, first.answered, first.failed) == (10, 5, 2, 1)
    assert first.latency.nanos == 5 and not second.HasField("latency")


def test_devices(node: Asked) -> None:
    assert not node.ask("Devices", pb.DevicesRequest()).devices
    node.operation = replace(node.operation, devices=lambda: [CARD])
    (found,) = node.ask("Devices", pb.DevicesRequest()).devices
    assert (found.id, found.name, found.kind, found.backend) == ("cuda:0", "A card", "GPU", "cuda")
    assert found.memory_bytes == 1 << 34


# ---- the log ----


@pytest.fixture
def log(node: Asked) -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.tail")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(node.operation.log)
    yield logger
    logger.removeHandler(node.operation.log)


def lines(node: Asked, **request: Any) -> list[str]:
    return [line.message for line in node.ask("Log", pb.LogRequest(**request)).lines]


def test_the_last_lines_that_are_asked_for(node: Asked, log: logging.Logger) -> None:
    log.debug("one")
    log.warning("Two of %d", 3)
    log.error("three")
    assert lines(node) == ["one", "Two of 3", "three"]
    assert lines(node, limit=2) == ["Two of 3", "three"]
    assert lines(node, level="warning") == ["Two of 3", "three"] == lines(node, level="WARNING")
    assert lines(node, contains="tWO") == ["Two of 3"]
    (line,) = node.ask("Log", pb.LogRequest(level="error")).lines
    assert (line.level, line.logger) == ("ERROR", "tests.tail") and line.at.seconds > 0


def test_a_level_that_is_none(node: Asked) -> None:
    with pytest.raises(Failed) as caught:
        node.ask("Log", pb.LogRequest(level="loud"))
    assert caught.value.status == Status.INVALID_ARGUMENT and "'loud'" in caught.value.message


def test_lines_are_bounded_and_can_be_told_whatever_they_hold() -> None:
    tail = LogTail(kept=3)

    def say(message: str, *arguments: object) -> None:
        tail.handle(logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None))

    for number in range(5):
        say(f"{number}")
    assert [line.message for line in tail.tail()] == ["2", "3", "4"]
    say("x" * (2 * LONGEST))
    say("a name that is no text: \udcff")
    newest = [line.message for line in tail.tail(2)]
    assert len(newest[0]) == LONGEST and newest[1] == "a name that is no text: ?"
    pb.LogLine(message=newest[1])


def test_a_line_whose_arguments_do_not_fit_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    tail = LogTail()
    tail.handle(logging.LogRecord("x", logging.INFO, "", 0, "%d of %d", ("one",), None))
    assert not tail.tail()
