"""How much a client of a gRPC listener may send, ask and leave unread, as numbers in one place."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_MS = 60_000
NEVER_MS = (1 << 31) - 1
"""What the library takes for no limit."""


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Bounds of one listener."""

    message_bytes: int = 4 << 20
    """Of one message that comes in."""
    answer_bytes: int | None = None
    """Of one message that goes out."""
    reading: int = 24
    """Calls whose message is being read at the same time; times the size of a message it bounds the memory."""
    reading_of_one: int = 6
    """Of them, of one client's address."""
    read_s: float = 10.0
    """For a message to arrive, and to wait for a place."""
    answer_s: float | None = None
    """For a unary call to be answered."""
    write_s: float = 300.0
    """For a client to take a message of a stream."""
    calls: int = 1024
    """In work at the same time, with all streams; more are refused."""
    calls_per_s: float | None = None
    """Calls and streams that one client's address may begin, on average."""
    burst: int = 1
    """And so many at once."""
    streams: int = 256
    """At the same time on one connection."""
    streams_in_all: int = 512
    """Open at the same time."""
    streams_of_one: int = 128
    """Of them, of one client's address."""
    dialogues: int = 32
    """Streams in which the client speaks too: each of them may hold a message that is being read."""
    dialogues_of_one: int = 8
    """Of them, of one client's address."""
    idle_ms: int = 120 * MINUTE_MS
    age_ms: int = 180 * MINUTE_MS
    grace_ms: int = 10 * MINUTE_MS
    ping_ms: int = MINUTE_MS
    """Without traffic, until the client is asked whether it is there."""
    ping_answer_ms: int = 3 * MINUTE_MS
    client_ping_ms: int = 5 * MINUTE_MS
    """A client that asks us more often than this is disconnected."""

    def options(self) -> tuple[tuple[str, int], ...]:
        """As the library takes them."""
        return (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.absolute_max_metadata_size", 32 << 10),
            # windows grow by what is measured of the way to a client: with many of them that is memory
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 64 << 10),
            ("grpc.max_connection_idle_ms", self.idle_ms),
            ("grpc.max_connection_age_ms", self.age_ms),
            ("grpc.max_connection_age_grace_ms", self.grace_ms),
            ("grpc.keepalive_time_ms", self.ping_ms),
            ("grpc.keepalive_timeout_ms", self.ping_answer_ms),
            # the shorter one would not count
            ("grpc.http2.ping_timeout_ms", self.ping_answer_ms),
            ("grpc.http2.max_ping_strikes", 2),
            ("grpc.http2.min_ping_interval_without_data_ms", self.client_ping_ms),
        )
