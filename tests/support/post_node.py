"""A node for PoST services under test: a real gRPC server that asks what the test tells it to.

It does what the network's node does when a service registers (protocol 10-api, section 3.10): refuses without a
coinbase, asks for the metadata, lets one service in for each identity. With `greets=False` it only passes messages on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from protocol.pb.spacemesh.v1 import post_types_pb2 as pb

WAIT_S = 60.0
POLL_S = 0.02
METADATA = pb.NodeRequest(metadata=pb.MetadataRequest()).SerializeToString()

T = TypeVar("T")


def gen_proof(challenge: bytes) -> bytes:
    """The request for a proof, serialized."""
    return pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=challenge)).SerializeToString()


def wait_for(look: Callable[[], T | None], what: str, seconds: float = WAIT_S) -> T:
    """The first thing that is found; polls."""
    until = time.monotonic() + seconds
    while (found := look()) is None or found is False:
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(POLL_S)
    return found


class Gone(Exception):
    """The stream has ended."""


@dataclass
class Stream:
    """One service that is connected."""

    headers: dict[str, str]
    node_id: bytes = b""
    metadata: bytes = b""
    """The answer to the first request, where the node asked for it."""
    requests: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    responses: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, request: bytes, seconds: float = WAIT_S) -> bytes:
        """Sends one request and waits for its answer. Raises Gone."""
        if self.ended.is_set():
            raise Gone
        self.requests.put(request)
        until = time.monotonic() + seconds
        while True:
            try:
                response = self.responses.get(timeout=POLL_S)
                break
            except queue.Empty:
                if self.ended.is_set() and self.responses.empty():
                    raise Gone from None
                assert time.monotonic() < until, "no answer"
        if response is None:
            raise Gone
        return response

    def prove(self, challenge: bytes, seconds: float = WAIT_S) -> pb.GenProofResponse:
        """Asks until the proof is there or the service says that there is none."""
        until = time.monotonic() + seconds
        while True:
            answer = pb.ServiceResponse.FromString(self.ask(gen_proof(challenge))).gen_proof
            if answer.status != pb.GEN_PROOF_STATUS_OK or answer.HasField("proof"):
                return answer
            assert time.monotonic() < until, "the proof takes too long"
            time.sleep(POLL_S)

    def close(self) -> None:
        """The node ends the stream."""
        self.requests.put(None)


@dataclass(frozen=True)
class ServerTls:
    """What a node needs for mutual TLS: PEM texts."""

    ca_cert: bytes
    cert: bytes
    key: bytes


class Node(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A node. Use as a context manager; `stop` and `start` are a restart on the same port."""

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ServerTls | None = None,
        greets: bool = True,
        coinbase: bool = True,
        options: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self.port, self.tls, self.greets, self.coinbase, self._options = port, tls, greets, coinbase, options
        self.streams: list[Stream] = []
        """All that ever connected."""
        self.refused = 0
        self._lock = threading.Lock()
        self._server: Any = None

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """For --address."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def start(self) -> None:
        """Listens, on the port of the last time where there was one."""
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0), *self._options])
        self._server.add_generic_rpc_handlers((self,))
        where = f"localhost:{self.port}"
        if self.tls is None:
            self.port = self._server.add_insecure_port(where)
        else:
            credentials = grpc.ssl_server_credentials(
                [(self.tls.key, self.tls.cert)], self.tls.ca_cert, require_client_auth=True
            )
            self.port = self._server.add_secure_port(where, credentials)
        self._server.start()

    def stop(self) -> None:
        """Ends all streams and stops listening."""
        for stream in self.streams:
            stream.close()
        self._server.stop(grace=0.2).wait()

    def service(self, details: Any) -> Any:
        """grpc: the handler of a call."""
        if details.method != "/spacemesh.v1.PostService/Register":
            return None
        return grpc.stream_stream_rpc_method_handler(self._register)

    def connected(self, node_id: bytes | None = None, after: Stream | None = None) -> Stream:
        """Waits for a service: the newest open stream, of an identity, other than `after`."""

        def look() -> Stream | None:
            for stream in reversed(self.streams):
                if not stream.ended.is_set() and stream is not after and node_id in (None, stream.node_id):
                    return stream
            return None

        return wait_for(look, "a service connects")

    def _register(self, responses: Iterator[bytes], context: Any) -> Iterator[bytes]:
        stream = Stream(dict(context.invocation_metadata()))
        if not self.coinbase:
            self.refused += 1
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "connection not allowed: node has no coinbase set in config"
            )
        context.add_callback(stream.ended.set)
        if self.greets:
            yield METADATA
            stream.metadata = next(responses)
            stream.node_id = pb.ServiceResponse.FromString(stream.metadata).metadata.meta.node_id
        with self._lock:
            if self.greets and any(one.node_id == stream.node_id for one in self.streams if not one.ended.is_set()):
                self.refused += 1
                context.abort(grpc.StatusCode.UNKNOWN, "post service already registered")
            self.streams.append(stream)
        try:
            while True:
                try:
                    request = stream.requests.get(timeout=POLL_S)
                except queue.Empty:
                    if stream.ended.is_set():
                        return
                    continue
                if request is None:
                    return
                yield request
                stream.responses.put(next(responses, None))
        finally:
            stream.ended.set()
