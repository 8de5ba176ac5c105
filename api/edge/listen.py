"""A service from its first port to its last breath: addresses, sockets, signals, exit codes.

The exit code after a signal is 128 + its number, as the programs that these services stand in for end. Specified
in protocol 01-post-tools, sections 5 and 6.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from .errors import EnvironmentFault, UsageError
from .loop import run_loop
from .text import is_whole, shown

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address:
    """HOST:PORT, an IPv6 address in brackets. Raises UsageError that names the option or field."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise UsageError(
            f"{option} is {shown(text)}, expected an address and a port such as 127.0.0.1:3000 or [::1]:3000."
        )
    number = parse_port(port)
    if number is None:
        raise UsageError(f"{option} is {shown(text)}: the port is {shown(port)}, expected 0 to 65535.")
    return Address(host[1:-1] if bracketed else host, number)


def parse_port(text: str) -> int | None:
    """The number of a port; None where it is none."""
    return int(text) if is_whole(text) and int(text) < 1 << 16 else None


def bind(address: Address, option: str) -> socket.socket:
    """A socket for a listener. Raises UsageError for an unknown host, EnvironmentFault for a taken port."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"{option} is {shown(str(address))}: no such host is known here.") from None
    family, kind, protocol, _, where = found[0]
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EnvironmentFault(f"{option} {address}: this machine has no such network: {error.strerror}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            f"{option} {address} cannot be listened on: {error.strerror}. Stop what uses it or choose another address."
        ) from None
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """The port that a socket got."""
    port: int = listener.getsockname()[1]
    return port


def stop_signal() -> asyncio.Future[int]:
    """Becomes the number of the first SIGINT or SIGTERM from now on, inside a running loop."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not stopping.done():
            stopping.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return stopping


def serve(main: Callable[[], Coroutine[None, None, int]]) -> int:
    """Runs a service whose `main` returns the signal that ended it; returns the exit code 128 + signal."""
    return 128 + run_loop(main)
