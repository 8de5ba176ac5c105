"""The PoST service that a node starts for itself: which program, told what, and what it says.

Specified in protocol 10-api, section 3.10; 01-post-tools, section 4.1.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from api.services.node.smeshing import SmeshingRefused
from protocol.params.config.node import Config
from protocol.params.config.services import PostService

from .child import own, said

log = logging.getLogger("postService")

JSON = "--json"
"""With it our own service says what it logs as events, with their levels."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def program(configured: PostService) -> list[str]:
    """The PoST service: the program that is configured, else ours. Raises SmeshingRefused."""
    default = next(one.default for one in fields(PostService) if one.name == "post_service_cmd")
    command = configured.post_service_cmd
    if not command or command == default:
        return own("post-service", JSON)
    if not os.access(command, os.X_OK):
        raise SmeshingRefused(f"POSTService.PostServiceCmd is {command}, which is no program that can be started")
    return [command]


def command(config: Config, data: Path, address: str) -> list[str]:
    """What is started. data: the directory; address: HOST:PORT of the node's listener. Raises SmeshingRefused."""
    post, proving, scrypt = config.post, config.smeshing.proving_opts, config.smeshing.opts.scrypt
    words = [
        *program(config.post_service),
        *("--address", f"http://{address}"),
        *("--min-num-units", post.min_numunits),
        *("--max-num-units", post.max_numunits),
        *("--k1", post.k1),
        *("--k2", post.k2),
        *("--pow-difficulty", post.pow_difficulty.hex()),
        *("--dir", data),
        *("-n", scrypt.n),
        *("-r", scrypt.r),
        *("-p", scrypt.p),
        *("--threads", proving.threads),
        *("--nonces", proving.nonces),
        *("--randomx-mode", proving.randomx_mode),
        *("--watch-pid", os.getpid()),
        *("--max-retries", config.post_service.max_retries),
    ]
    return [str(word) for word in words]


def relay(line: str) -> None:
    """A line of the PoST service, for our log, at its own level."""
    text = said(line)
    words = text.upper().split(maxsplit=4)[:4]
    if "ERROR" in words:
        log.error("%s", text)
    elif "WARN" in words or "WARNING" in words:
        log.warning("%s", text)
    else:
        log.info("%s", text)


def relay_event(line: str) -> None:
    """An event of our own PoST service: what it logs, at its own level."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        relay(line)
        return
    if isinstance(event, dict) and "message" in event:
        level = LEVELS.get(str(event.get("level")), logging.ERROR if event.get("event") == "error" else logging.INFO)
        log.log(level, "%s", said(str(event["message"])))
