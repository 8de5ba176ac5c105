"""Errors of the log as events, for clients that hear of them. Protocol 10-api, sections 2 and 3.1."""

from __future__ import annotations

import logging
import re

from api.edge.node_log import Line, NodeLog
from api.services.node.bus import Bus
from api.services.node.events import NodeErred
from protocol.pb.spacemesh.v1 import node_types_pb2 as pb

FOLDERS = re.compile(r'File "[^"]*/')
"""Of this machine, which are nobody's business: the stream of errors is public."""


def tell_errors(log: NodeLog | None, bus: Bus) -> None:
    """Lets clients of this node hear of every line of level error and above from now on."""

    def hear(line: Line) -> None:
        level = pb.LOG_LEVEL_FATAL if line.level >= logging.CRITICAL else pb.LOG_LEVEL_ERROR
        message = f"{line.message} {line.fields}" if line.fields else line.message
        bus.publish([NodeErred(level, message, FOLDERS.sub('File "', line.trace))])

    if log is not None:
        log.on_error(hear)
