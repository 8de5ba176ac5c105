"""The certifier over real sockets: every answer, the queue, metrics; its certificates at our PoET server."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.clients.poet.certifier import CertifierClient, MemoryCertificates, ProofOfSpace
from api.clients.poet.errors import PoetClientError
from api.clients.poet.messages import CertifierInfo
from api.services.certifier.app import HttpApi, exposition
from api.services.certifier.certify import Certifier, Verifier, shows_too_little
from api.services.certifier.config import Limits
from api.services.poet.config import load
from kernels.errors import MemoryShortage
from kernels.labels import cpu
from protocol.poet.registration import InvalidCertificate, decode_certificate, verify_certificate
from protocol.post.proof import (
    Proof,
    ProofMetadata,
    metadata_to_json,
    pack_indices,
    proof_to_json,
    required_bits,
    scale_pow_difficulty,
    unpack_indices,
)
from prover.poet.server.registration import Code, PowParams, Refused, Registered, Submit
from prover.post.directory import Storage
from prover.post.metadata import PostMetadata
from prover.post.proof import verify
from prover.post.proof.pow import search
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import VerifyParams
from tests.api.services.poet.test_ours import FLAGS, GENESIS_NS
from tests.support.cli import Job, wait_for
from tests.support.served import Reply, Served
from tests.vector_cases.poet_server import PlayedServer
from tests.vector_cases.post_verify import machines

SEED = bytes(range(32))
KEY = crypto_sign_seed_keypair(SEED)[0]
NOW_S = GENESIS_NS // 10**9
CHALLENGE = b"\x05" * 32
PARAMS = VerifyParams(12, 4, b"\x7f" + b"\xff" * 31, 2, 4, 128, 2)
"""Those of fastnet, with a proof of work that not every hash is."""
LIMITS = Limits(2, 100, 1024)
NODE_SEED = b"\x11" * 32
NODE_ID, NODE_SECRET = crypto_sign_seed_keypair(NODE_SEED)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Proof, ProofMetadata]:
    """A valid proof of a node whose key is known here."""
    data = Job(units=2, labels_per_unit=128, node_id=NODE_ID.hex())
    path = data.make(tmp_path_factory.mktemp("data"))
    metadata: PostMetadata = data.metadata()
    difficulty = scale_pow_difficulty(PARAMS.pow_difficulty, 2)

    def find(group: int) -> int:
        return search(machines().memory, group, CHALLENGE, NODE_ID, difficulty)

    proof = Prover(Storage(path), metadata, CHALLENGE, ProveParams(12, 4, 16, 1), find).run()
    return proof, ProofMetadata(NODE_ID, metadata.commitment_atx_id, CHALLENGE, 2)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    one = Verifier(PARAMS, full=False, threads=1)
    one.check()
    one.open()
    yield one
    one.close()


def certifier(expiration_s: int | None = None) -> Certifier:
    return Certifier(SEED, expiration_s, now_s=lambda: NOW_S)


@pytest.fixture
def served(verifier: Verifier) -> Iterator[Served]:
    with serve(verifier) as service:
        yield service


def serve(verifier: Any, limits: Limits = LIMITS, expiration_s: int | None = None, *, opened: bool = True) -> Served:
    def make() -> HttpApi:
        api = HttpApi(certifier(expiration_s), verifier, limits)
        if opened:
            api.open()
        return api

    return Served(make)


def body(proof: Proof, metadata: ProofMetadata) -> bytes:
    return json.dumps({"proof": proof_to_json(proof), "metadata": metadata_to_json(metadata)}).encode()


def post(served: Served, content: bytes, kind: str = "application/json") -> Reply:
    return served.ask("POST", "/certify", content, Content_Type=kind)


# -- the certificate -----------------------------------------------------------------------------------------


def test_the_specifications_certificates() -> None:
    node = bytes.fromhex("0102030405060708090a0b0c0d0e0f10" * 2)
    plain = certifier().certify(node)
    assert plain.certificate.hex() == "80" + node.hex() + "00"
    expiring = Certifier(SEED, 100, now_s=lambda: 1_699_999_900).certify(node)
    assert expiring.certificate.hex() == "80" + node.hex() + "010300f15365"
    assert expiring.pub_key == KEY
    assert verify_certificate(plain.certificate, plain.signature, KEY, node, NOW_S).pubkey == node


# -- answers -------------------------------------------------------------------------------------------------


def test_a_valid_proof_is_certified(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    answer = post(served, body(*proven))
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    fields = json.loads(answer.text)
    assert list(fields) == ["certificate", "signature", "pub_key"]
    data, signature, key = (base64.b64decode(value) for value in fields.values())
    assert key == KEY and verify_certificate(data, signature, KEY, NODE_ID, NOW_S).expiration is None


def test_every_tampered_proof_is_refused(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    proof, metadata = proven
    flipped = bytes([proof.indices[0] ^ 0xFF]) + proof.indices[1:]
    for changed, failure in (
        ((replace(proof, nonce=4096), metadata), "NonceGroupOutOfBounds"),
        ((replace(proof, indices=proof.indices[:-1]), metadata), "InvalidIndicesLen"),
        ((replace(proof, indices=b""), metadata), "InvalidIndicesLen"),
        ((replace(proof, indices=flipped), metadata), "Invalid"),
        ((proof, replace(metadata, num_units=1)), "NumUnitsTooSmall"),
        ((proof, replace(metadata, num_units=0)), "NumUnitsTooSmall"),
        ((proof, replace(metadata, num_units=5)), "NumUnitsTooLarge"),
        ((proof, replace(metadata, node_id=bytes(32))), "Invalid"),
        ((proof, replace(metadata, commitment_atx_id=bytes(32))), "InvalidMsb"),
    ):
        answer = post(served, body(*changed))
        assert answer.status == 403 and answer.text.startswith(f"invalid proof: {failure}"), answer.text
        assert answer.header("content-type") == "text/plain; charset=utf-8"


def repeated(proof: Proof, metadata: ProofMetadata) -> Proof:
    """The same proof of work and nonce, with one good label named K2 times: valid on the network."""
    bits = required_bits(metadata.num_units * PARAMS.labels_per_unit)
    index = unpack_indices(proof.indices, bits, PARAMS.k2)[0]
    return replace(proof, indices=pack_indices([index] * PARAMS.k2, bits))


def test_a_proof_that_names_an_index_twice_is_valid_and_yet_not_certified(
    served: Served, verifier: Verifier, proven: tuple[Proof, ProofMetadata]
) -> None:
    proof, metadata = proven
    poor = repeated(proof, metadata)
    machine = machines()
    labels = cpu.LabelEngine(cpu.devices()[0], PARAMS.scrypt_n)
    verdict = verify.check(verify.Claim(poor, metadata, verify.Mode.all(PARAMS.k2)), PARAMS, labels, machine.hash)
    labels.close()
    assert verdict.failure is None, "the network's verdict is as it was"
    answer = post(served, body(poor, metadata))
    assert answer.status == 403 and f"is named {PARAMS.k2} times" in answer.text
    assert post(served, body(proof, metadata)).status == 200


def test_an_index_beyond_the_data_is_not_certified(proven: tuple[Proof, ProofMetadata]) -> None:
    proof, metadata = proven
    count = metadata.num_units * PARAMS.labels_per_unit
    bits = required_bits(count)
    indices = [*range(PARAMS.k2 - 1), count]
    beyond = replace(proof, indices=pack_indices(indices, bits))
    assert "beyond" in (shows_too_little(beyond, metadata, PARAMS) or "")
    assert shows_too_little(replace(proof, indices=pack_indices(range(PARAMS.k2), bits)), metadata, PARAMS) is None


def test_no_units_where_none_are_asked_for(proven: tuple[Proof, ProofMetadata]) -> None:
    """The reference's process ends there with a division by zero."""
    one = Verifier(replace(PARAMS, min_num_units=0), full=False, threads=1)
    one.open()
    with serve(one) as served:
        answer = post(served, body(proven[0], replace(proven[1], num_units=0)))
    one.close()
    assert answer.status == 403 and "number of units is 0" in answer.text


def without(document: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    return {**document, section: {key: value for key, value in document[section].items() if key != name}}


def test_what_is_no_request(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    good = json.loads(body(*proven))
    for content in (b"", b"{", b"\xff", b"nothing", b"[" * 500, body(*proven) + b"x"):
        answer = post(served, content)
        assert answer.status == 400 and answer.text.startswith("Failed to parse the request body as JSON"), content
    for document in (
        [],
        5,
        {},
        {"proof": good["proof"]},
        without(good, "proof", "pow"),
        without(good, "metadata", "challenge"),
        {**good, "proof": {**good["proof"], "nonce": -1}},
        {**good, "proof": {**good["proof"], "nonce": 1 << 32}},
        {**good, "proof": {**good["proof"], "pow": 1.0}},
        {**good, "proof": {**good["proof"], "indices": "!"}},
        {**good, "metadata": {**good["metadata"], "node_id": "AAAA"}},
        {**good, "metadata": {**good["metadata"], "num_units": True}},
    ):
        answer = post(served, json.dumps(document).encode())
        assert answer.status == 422 and answer.text.startswith("Failed to deserialize the JSON body"), document


def test_unknown_fields_are_let_through(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    document = {**json.loads(body(*proven)), "more": 1}
    assert post(served, json.dumps(document).encode()).status == 200


@pytest.mark.parametrize("size, status", [(1024, 400), (1025, 413), (60_000, 413), (200_000, 413)])
def test_the_limit_of_a_body(served: Served, size: int, status: int) -> None:
    answer = post(served, b"x" * size)
    assert answer.status == status
    if status == 413:
        assert answer.text == "Failed to buffer the request body: length limit exceeded"


@pytest.mark.parametrize("kind, status", [("application/json; charset=utf-8", 200), ("application/x+json", 200)])
@pytest.mark.parametrize("other", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_the_kind_of_content(
    served: Served, proven: tuple[Proof, ProofMetadata], kind: str, status: int, other: str
) -> None:
    assert post(served, body(*proven), kind).status == status
    refused = post(served, body(*proven), other)
    assert (refused.status, refused.text) == (415, "Expected request with `Content-Type: application/json`")


def test_other_paths_and_methods(served: Served) -> None:
    got = served.ask("GET", "/certify")
    assert (got.status, got.header("allow"), got.body) == (405, "POST", b"")
    assert served.ask("POST", "/").status == served.ask("POST", "/certify/").status == 404
    assert served.ask("GET", "/metrics").status == 404


# -- the queue -----------------------------------------------------------------------------------------------


class Slow:
    """A verifier that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.checking = 0
        self.most = 0
        self._lock = threading.Lock()
        self.error: Exception | None = None

    def refusal(self, proof: Proof, metadata: ProofMetadata) -> str | None:
        with self._lock:
            self.checking += 1
            self.most = max(self.most, self.checking)
        assert self.go.wait(30)
        with self._lock:
            self.checking -= 1
        if self.error is not None:
            raise self.error
        return None


def test_a_full_queue(proven: tuple[Proof, ProofMetadata]) -> None:
    slow = Slow()
    content = body(*proven)
    with serve(slow, Limits(2, 3, 1024)) as served, ThreadPoolExecutor(5) as clients:
        waiting = [clients.submit(post, served, content) for _ in range(5)]
        wait_for(lambda: len(served.api._queue) == 3 and slow.checking == 2)
        refused = post(served, content)
        assert (refused.status, refused.body, refused.header("content-type")) == (429, b"", None)
        assert post(served, b"{").status == 429, "what it is does not matter then"
        assert b'certifier_http_requests_pending{endpoint="/certify",method="POST"} 5.0' in served.api.metrics.text()
        slow.go.set()
        assert [one.result().status for one in waiting] == [200] * 5
        assert slow.most == 2
        assert post(served, content).status == 200
        assert b'pending{endpoint="/certify",method="POST"} 0.0' in served.api.metrics.text()


def test_requests_wait_until_the_verifier_is_open(proven: tuple[Proof, ProofMetadata]) -> None:
    slow = Slow()
    slow.go.set()
    with serve(slow, opened=False) as served, ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(post, served, body(*proven))
        wait_for(lambda: len(served.api._queue) == 1)
        served.call(served.api.open)
        assert waiting.result().status == 200


def test_nothing_is_checked_for_a_client_that_has_gone(proven: tuple[Proof, ProofMetadata]) -> None:
    slow = Slow()
    content = body(*proven)
    head = (
        f"POST /certify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with serve(slow, opened=False) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(head.encode() + content)
            wait_for(lambda: len(served.api._queue) == 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
        wait_for(lambda: not served.api.server.clients)
        served.call(served.api.open)
        assert not served.api._queue and slow.checking == 0
        assert b'pending{endpoint="/certify",method="POST"} 0.0' in served.api.metrics.text()


@pytest.mark.parametrize("error", [MemoryShortage(2, 1, "labels"), RuntimeError("a fault")])
def test_what_cannot_be_checked_is_an_error_of_the_server(
    proven: tuple[Proof, ProofMetadata], error: Exception
) -> None:
    slow = Slow()
    slow.go.set()
    slow.error = error
    with serve(slow) as served:
        answer = post(served, body(*proven))
        assert (answer.status, answer.text) == (500, "error verifying proof")
        slow.error = None
        assert post(served, body(*proven)).status == 200


def test_many_at_once_are_judged_right(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    proof, metadata = proven
    wrong = replace(proof, nonce=proof.nonce ^ 1)
    contents = [body(proof if number % 2 else wrong, metadata) for number in range(24)]
    with ThreadPoolExecutor(12) as clients:
        statuses = [answer.status for answer in clients.map(lambda one: post(served, one), contents)]
    assert statuses == [403, 200] * 12


# -- metrics -------------------------------------------------------------------------------------------------


def test_metrics(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    post(served, body(*proven))
    post(served, b"{")
    served.ask("PURGE", "/tea")

    class Exposition:
        def __init__(self) -> None:
            self.server = exposition(served.api.metrics)

        def close(self) -> None:
            pass

    with Served(Exposition) as metrics:
        answer = metrics.ask("GET", "/metrics")
        assert metrics.ask("GET", "/").status == 404 and metrics.ask("POST", "/metrics").status == 405
    lines = answer.text.splitlines()
    assert 'certifier_http_requests_total{endpoint="/certify",method="POST",status="200"} 1.0' in lines
    assert 'certifier_http_requests_total{endpoint="/certify",method="POST",status="400"} 1.0' in lines
    assert 'certifier_http_requests_total{endpoint="",method="other",status="404"} 1.0' in lines
    name = "certifier_http_requests_duration_seconds"
    assert f'{name}_bucket{{endpoint="/certify",le="+Inf",method="POST",status="200"}} 1.0' in lines
    assert f'{name}_count{{endpoint="/certify",method="POST",status="200"}} 1.0' in lines


# -- with the PoET -------------------------------------------------------------------------------------------


def proof_of_space(proven: tuple[Proof, ProofMetadata]) -> ProofOfSpace:
    proof, metadata = proven
    return ProofOfSpace(
        proof.nonce,
        proof.indices,
        proof.pow,
        metadata.node_id,
        metadata.commitment_atx_id,
        metadata.challenge,
        metadata.num_units,
    )


def client(post_of: Callable[[bytes], ProofOfSpace | None]) -> CertifierClient:
    return CertifierClient(MemoryCertificates(), post_of, retry_delay_s=0.01, max_retries=1, now_s=lambda: NOW_S)


@pytest.mark.parametrize("expiration_s", [None, 3600])
def test_our_poet_lets_a_certified_node_in(
    verifier: Verifier, proven: tuple[Proof, ProofMetadata], tmp_path: Path, expiration_s: int | None
) -> None:
    with serve(verifier, expiration_s=expiration_s) as served:
        info = CertifierInfo(served.url, KEY)
        certificate = asyncio.run(client(lambda node_id: proof_of_space(proven)).certificate(NODE_ID, info))
    assert decode_certificate(certificate.data).expiration == (expiration_s and NOW_S + expiration_s)
    key = base64.b64encode(KEY).decode()
    flags = [f"--poetdir={tmp_path}", *FLAGS, f"--certifier-url={served.url}", f"--certifier-pubkey={key}"]
    submit = Submit(
        b"prefix",
        CHALLENGE,
        NODE_ID,
        crypto_sign(b"prefix" + CHALLENGE, NODE_SECRET)[:64],
        0,
        PowParams(b"", 0),
        certificate=(certificate.data, certificate.signature),
    )
    with PlayedServer(load(flags, {}), now_ns=GENESIS_NS) as poet:
        assert isinstance(poet.register(submit), Registered)
        stranger, secret = crypto_sign_seed_keypair(bytes(32))
        signature = crypto_sign(b"prefix" + CHALLENGE, secret)[:64]
        refused = poet.register(replace(submit, pubkey=stranger, signature=signature))
        assert isinstance(refused, Refused) and refused.code == Code.UNAUTHENTICATED
        if expiration_s is not None:
            with pytest.raises(InvalidCertificate, match="expired"):
                verify_certificate(certificate.data, certificate.signature, KEY, NODE_ID, NOW_S + expiration_s + 1)


def test_our_client_is_told_why_it_gets_none(served: Served, proven: tuple[Proof, ProofMetadata]) -> None:
    bad = replace(proof_of_space(proven), num_units=5)
    with pytest.raises(PoetClientError, match=r"code 403 \(message: invalid proof: NumUnitsTooLarge"):
        asyncio.run(client(lambda node_id: bad).certificate(NODE_ID, CertifierInfo(served.url, KEY)))
    with pytest.raises(PoetClientError, match="pubkey is invalid"):
        asyncio.run(
            client(lambda node_id: proof_of_space(proven)).certificate(NODE_ID, CertifierInfo(served.url, bytes(32)))
        )


def test_our_client_comes_again_while_the_queue_is_full(proven: tuple[Proof, ProofMetadata]) -> None:
    slow = Slow()
    with serve(slow, Limits(1, 1, 1024)) as served, ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(post, served, body(*proven)) for _ in range(2)]
        wait_for(lambda: len(served.api._queue) == 1 and slow.checking == 1)
        threading.Timer(0.3, slow.go.set).start()
        patient = CertifierClient(
            MemoryCertificates(), lambda node_id: proof_of_space(proven), retry_delay_s=0.2, now_s=lambda: NOW_S
        )
        began = time.monotonic()
        asyncio.run(patient.certificate(NODE_ID, CertifierInfo(served.url, KEY)))
        assert time.monotonic() - began >= 0.2
        assert [one.result().status for one in waiting] == [200, 200]
