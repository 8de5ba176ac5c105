"""What is logged as an error reaches clients that hear of errors, and nothing else does."""

from __future__ import annotations

import asyncio
import io
import logging

from api.edge.node_log import NodeLog, fields, output_to
from api.node.errors_told import tell_errors
from api.services.node.bus import Bus
from api.services.node.events import NodeErred
from protocol.pb.spacemesh.v1 import node_types_pb2 as pb


async def heard() -> list[NodeErred]:
    log, found = logging.getLogger("node.sync"), []
    bus = Bus(asyncio.get_running_loop())
    with NodeLog({"sync": "info"}, output_to(io.StringIO())) as the_log, bus.subscribe(NodeErred, size=10) as events:
        tell_errors(the_log, bus)
        log.warning("no")
        log.error("yes", extra=fields(peer="x"))
        try:
            raise KeyError("gone")
        except KeyError:
            log.critical("the end", exc_info=True)
        for _ in range(2):
            found.append(await anext(events))
    return found


def test_errors_come_with_their_level_and_trace() -> None:
    first, second = asyncio.run(heard())
    assert (first.level, first.message, first.trace) == (pb.LOG_LEVEL_ERROR, 'yes {"peer": "x"}', "")
    assert (second.level, second.message) == (pb.LOG_LEVEL_FATAL, "the end") and "KeyError: 'gone'" in second.trace
    assert 'File "test_errors_told.py", line' in second.trace and "/" not in second.trace
