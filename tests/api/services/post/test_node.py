"""The service and a node on real connections: registering, refusals, restarts, half-open connections, mutual TLS."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from api.services.post.link import KeepAlive
from api.services.post.options import Tls
from api.services.post.reconnect import GivingUp
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from tests.support import archives, post_tls
from tests.support.post_node import Gone, Node, ServerTls, wait_for
from tests.support.post_served import Service, settings_for

ARCHIVE = Path(__file__).resolve().parents[3] / "vectors" / "post" / "pos" / "big_n2.tar.gz"
CHALLENGE = b"\x03" * 32
NODE_TLS = ServerTls(post_tls.CA_CERT, post_tls.NODE_CERT, post_tls.NODE_KEY)
SERVICE_TLS = Tls(post_tls.CA_CERT, post_tls.SERVICE_CERT, post_tls.SERVICE_KEY, None)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("data")
    archives.unpack(ARCHIVE, target)
    return target / "big_n2"


@pytest.fixture
def data(unpacked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpacked, tmp_path / "data"))


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as node:
        yield node


def problem(service: Service) -> str:
    """What went wrong with the connection, once something did."""
    found = wait_for(lambda: service.app.links[0].policy.problem, "a problem with the connection")
    return found.text


def test_a_service_registers_and_proves(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data):
        stream = node.connected()
        meta = pb.ServiceResponse.FromString(stream.metadata).metadata.meta
        assert (len(meta.node_id), meta.num_units, meta.labels_per_unit) == (32, 4, 4096)
        answer = stream.prove(CHALLENGE)
        assert answer.status == pb.GEN_PROOF_STATUS_OK and answer.metadata.challenge == CHALLENGE


def test_mutual_tls(data: Path) -> None:
    with Node(tls=NODE_TLS) as node, Service(settings_for(node.address, tls=SERVICE_TLS), data):
        assert node.connected().prove(CHALLENGE).HasField("proof")


def test_the_name_in_the_certificate_may_be_told(data: Path) -> None:
    with Node(tls=NODE_TLS) as node:
        right = Tls(SERVICE_TLS.ca_cert, SERVICE_TLS.cert, SERVICE_TLS.key, "node.test")
        with Service(settings_for(node.address, tls=right), data):
            node.connected()
        wrong = Tls(SERVICE_TLS.ca_cert, SERVICE_TLS.cert, SERVICE_TLS.key, "elsewhere.test")
        with Service(settings_for(node.address, tls=wrong), data) as service:
            assert "--domain" in problem(service)


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (Tls(post_tls.OTHER_CA_CERT, post_tls.SERVICE_CERT, post_tls.SERVICE_KEY, None), "not of the authority"),
        (Tls(post_tls.CA_CERT, post_tls.STRANGER_CERT, post_tls.STRANGER_KEY, None), "refuse this service's cert"),
    ],
    ids=["unknown-node", "unknown-service"],
)
def test_wrong_certificates_are_a_reason_and_are_tried_again(data: Path, tls: Tls, reason: str) -> None:
    with Node(tls=NODE_TLS) as node, Service(settings_for(node.address, tls=tls), data) as service:
        assert reason in problem(service)
        wait_for(lambda: service.app.links[0].policy.failures >= 2 or None, "it is tried again")
        assert not node.streams


def test_https_to_a_node_without_tls_and_the_other_way_round(data: Path, node: Node) -> None:
    secure = node.address.replace("http:", "https:")
    with Service(settings_for(secure, tls=SERVICE_TLS), data) as service:
        assert "does not speak TLS" in problem(service)
    with Node(tls=NODE_TLS) as other, Service(settings_for(other.address.replace("https:", "http:")), data) as service:
        assert "may want https" in problem(service)


def test_a_node_without_a_coinbase_refuses_in_its_own_words(data: Path) -> None:
    with Node(coinbase=False) as node, Service(settings_for(node.address), data) as service:
        assert "no coinbase set in config" in problem(service)
        wait_for(lambda: node.refused >= 2 or None, "it is tried again")
        node.coinbase = True
        node.connected()


def test_a_second_service_for_one_identity_waits_for_the_first_to_go(data: Path, node: Node) -> None:
    first = Service(settings_for(node.address), data)
    with first:
        stream = node.connected()
        with Service(settings_for(node.address), data) as second:
            assert "post service already registered" in problem(second)
            assert stream.prove(CHALLENGE).HasField("proof"), "the first goes on"
            first.stop()
            assert node.connected(after=stream).prove(CHALLENGE).HasField("proof")


def test_it_waits_for_a_node_that_is_away_and_connects_again_after_a_restart(data: Path) -> None:
    node = Node()
    node.start()
    node.stop()
    with Service(settings_for(node.address), data) as service:
        assert "refused" in problem(service).lower()
        node.start()
        first = node.connected()
        node.stop()
        wait_for(lambda: first.ended.is_set() or None, "the stream ends")
        node.start()
        node.connected(after=first)
        assert service.app.links[0].policy.connections >= 2
        service.stop()
        node.stop()


def test_a_proof_goes_on_while_the_node_is_away(data: Path) -> None:
    with Node() as node, Service(settings_for(node.address), data, held=True) as service:
        first = node.connected()
        first.ask(pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=CHALLENGE)).SerializeToString())
        node.stop()
        service.go.set()
        service.wait_status('"DoneProving"')
        node.start()
        answer = pb.ServiceResponse.FromString(
            node.connected(after=first).ask(
                pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=CHALLENGE)).SerializeToString()
            )
        )
        assert answer.gen_proof.HasField("proof"), "it was made meanwhile"
        assert len(service.jobs) == 1


def test_the_node_closes_the_stream(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data) as service:
        first = node.connected()
        first.close()
        with suppress(Gone):
            first.ask(b"")
        node.connected(after=first)
        assert "closed the stream" in problem(service)


def test_a_malformed_message_ends_the_stream_and_not_the_service(data: Path, node: Node) -> None:
    with Service(settings_for(node.address), data) as service:
        first = node.connected()
        with pytest.raises(Gone):
            first.ask(b"\x12\xff\xff")
        assert "not understood" in problem(service)
        node.connected(after=first)


def test_no_connection_in_as_many_attempts_as_allowed(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    service = Service(settings_for(address, max_retries=2), data)
    with service:
        service.join()
        assert isinstance(service.error, GivingUp) and "max retries (2) reached" in str(service.error)
        assert service.app.links[0].policy.attempts == 3


class Wire:
    """Passes bytes on between service and node until it is cut: then it stays open and passes nothing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("localhost", self._target))
                self._sockets += [here, there]
                cut = self.cut
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=(source, target, cut), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not cut.is_set():
                    target.sendall(data)


def test_a_half_open_connection_is_found_by_pings(data: Path) -> None:
    with Node() as node, Wire(node.port) as wire:
        settings = settings_for(f"http://127.0.0.1:{wire.port}")
        with Service(settings, data, keep_alive=KeepAlive(1.0, 0.5)) as service:
            first = node.connected()
            policy = service.app.links[0].policy
            time.sleep(0.2)
            assert policy.problem is None
            wire.cut.set()
            wire.cut = threading.Event()  # for what connects from now on
            wait_for(lambda: policy.problem, "the connection is given up", 30.0)
            first.ended.set()  # the node finds out by its own pings
            node.connected(after=first)
            assert policy.connections == 2


def test_a_node_that_only_accepts_is_not_a_connection(data: Path) -> None:
    """Something listens there, but does not speak HTTP/2."""

    def answer(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Service(settings_for(address), data) as service:
            assert "does not speak gRPC" in problem(service)
            assert service.app.links[0].policy.connections == 0


def test_what_is_no_post_listener(data: Path) -> None:
    class OtherListener(Node):
        def service(self, details: Any) -> Callable[..., Any] | None:
            return None

    with OtherListener() as node, Service(settings_for(node.address), data) as service:
        assert "no node with a PoST service" in problem(service)
