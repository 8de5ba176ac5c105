"""The port `PoetServers`: each server by itself, over HTTP, with certificates where it wants them.

| a server | the answer |
|---|---|
| took the challenge | `Registered`, with the certificate if it is a new one |
| has another challenge of the identity in this round | `conflict`: asking again changes nothing |
| refuses certificate and proof of work | `unauthorized` |
| refuses the request, or the round has started | `refused`, `too_late` |
| is configured for other times than this node | `phase_shift` |
| gives no answer until the deadline | `timeout`, with what was the matter last |

Protocol 02-poet-client, sections 3 to 6.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from api.clients.poet.certifier import CertifierClient, ProofOfSpace
from api.clients.poet.client import PoetClient
from api.clients.poet.errors import (
    BadBody,
    Conflict,
    GivingUp,
    InvalidProof,
    InvalidRequest,
    PhaseShiftMismatch,
    PoetClientError,
    Unauthorized,
    Unreachable,
    UnrecognizedStatus,
)
from api.clients.poet.messages import Certificate
from api.clients.poet.service import RemotePoet, ServiceConfig
from api.clients.poet.transport import Send, send_http
from api.edge.repeats import Repeats
from api.edge.text import escaped
from api.http.client import Answer
from node.contract.demands import (
    Certified,
    CertifyAtPoet,
    Failed,
    PoetProofOf,
    RegisterAtPoet,
    Registered,
    Result,
    RoundProof,
    SpaceProof,
)
from node.contract.instants import Instant
from protocol.crypto.signing import Domain
from protocol.errors import ProtocolError
from protocol.numbers.durations import SECOND
from protocol.params.config.node import Config
from protocol.types.ids import NodeId

from .calls import Calls

log = logging.getLogger("poets")

WORDS: Sequence[tuple[type[Exception], str]] = (
    (Conflict, "conflict"),
    (Unauthorized, "unauthorized"),
    (InvalidRequest, "refused"),
    (UnrecognizedStatus, "refused"),
    (PhaseShiftMismatch, "phase_shift"),
    (InvalidProof, "invalid"),
    (BadBody, "bad_answer"),
    (GivingUp, "unreachable"),
    (Unreachable, "unreachable"),
)
"""The word for each error; the first that fits."""
ANSWERED = (UnrecognizedStatus, InvalidRequest, Unauthorized, GivingUp, Unreachable)
"""What was said already when the answer came, or did not."""


class Poets:
    """All PoET servers of a node. Everything may be called from any thread; the work is done in the loop of `calls`."""

    def __init__(self, config: Config, calls: Calls, clock: Callable[[], Instant], *, send: Send = send_http) -> None:
        self._config, self._calls, self._clock, self._send = config, calls, clock, send
        self._prefix = config.genesis.identity.genesis_id + bytes((Domain.POET,))
        self._servers: dict[str, _Server] = {}
        self._certificates = _Certificates()
        client = config.certifier.client
        self._certifier = CertifierClient(
            self._certificates,
            self._certificates.space_of,
            retry_delay_s=client.retry_delay_ns / SECOND,
            max_retry_delay_s=client.max_retry_delay_ns / SECOND,
            max_retries=client.max_retries,
            send=send,
            now_s=lambda: clock() // SECOND,
        )

    # ---- the port ----

    def certify(self, call: int, work: CertifyAtPoet) -> None:
        """As PoetServers says."""
        self._calls.begin(call, self._certify(work))

    def register(self, call: int, work: RegisterAtPoet) -> None:
        """As PoetServers says."""
        self._calls.begin(call, self._register(work))

    def proof(self, call: int, work: PoetProofOf) -> None:
        """As PoetServers says."""
        self._calls.begin(call, self._proof(work))

    def give_up(self, call: int) -> None:
        """As PoetServers says."""
        self._calls.give_up(call)

    # ---- in the loop ----

    async def _certify(self, work: CertifyAtPoet) -> Result:
        server = self._server(work.server)
        self._certificates.learn(work.identity, work.certificates, work.space)

        async def ask() -> Result:
            certifier = (await server.poet.info()).certifier
            if certifier is None:
                return Failed("no_certifier", f"{work.server} names no certifier.")
            found = await self._certifier.certificate(work.identity, certifier)
            return Certified(certifier.pubkey, found.data, found.signature)

        return await server.told(ask())

    async def _register(self, work: RegisterAtPoet) -> Result:
        server = self._server(work.server)
        self._certificates.learn(work.identity, work.certificates, work.space)
        left = work.deadline - self._clock()
        if left <= 0:
            return Failed("too_late", f"The round at {work.server} has started.")

        async def submit() -> Result:
            found = await server.poet.submit(
                self._prefix, work.challenge, work.signature, work.identity, work.proof_deadline
            )
            certificate = await self._used(server, work)
            return Registered(found.round_id, Instant(found.round_end_ns), certificate)

        try:
            async with asyncio.timeout(left / SECOND):
                return await server.told(submit())
        except TimeoutError:
            return Failed("timeout", f"{work.server} took nothing until its round started: {server.problem}.")

    async def _proof(self, work: PoetProofOf) -> Result:
        server = self._server(work.server)

        async def ask() -> Result:
            found = await server.poet.proof(work.round_id)
            return RoundProof(found.message, found.members)

        try:
            return await server.told(ask())
        except TimeoutError:
            return Failed("timeout", f"{work.server} gave no proof of round {work.round_id}: {server.problem}.")

    async def _used(self, server: _Server, work: RegisterAtPoet) -> Certified | None:
        """The certificate that was used, where the identity did not have it before."""
        try:
            certifier = (await server.poet.info()).certifier
        except PoetClientError:
            return None
        if certifier is None:
            return None
        stored = self._certificates.get((work.identity, certifier.pubkey))
        if stored is None:
            return None
        used = Certified(certifier.pubkey, stored.data, stored.signature)
        return None if used in work.certificates else used

    def _server(self, address: str) -> _Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = _Server(address, self._config, self._certifier, self._clock, self._send)
        return server


class _Server:
    """One server, and what was the matter with it last."""

    def __init__(
        self, address: str, config: Config, certifier: CertifierClient, clock: Callable[[], Instant], send: Send
    ) -> None:
        poet = config.poet
        self._send, self._voice = send, Repeats()
        self.problem = "it gave no answer"
        """Why the last request was not answered as it should be; no full stop."""
        client = PoetClient(
            address, retry_delay_s=poet.retry_delay_ns / SECOND, retry_max=poet.retry_max, send=self._sent
        )
        self.address = client.address
        self.poet = RemotePoet(
            client,
            ServiceConfig(
                phase_shift_ns=poet.phase_shift_ns,
                request_timeout_s=poet.request_timeout_ns / SECOND,
                info_ttl_s=poet.info_cache_ttl_ns / SECOND,
                pow_params_ttl_s=poet.pow_params_cache_ttl_ns / SECOND,
            ),
            certifier,
            clock=clock,
        )

    async def told(self, work: Awaitable[Result]) -> Result:
        """What comes of it; an error as a word and a sentence. Raises TimeoutError."""
        try:
            return await work
        except (PoetClientError, ProtocolError) as error:
            word = next((word for kind, word in WORDS if isinstance(error, kind)), "failed")
            said = f"{self.address}: {error}"
            if not isinstance(error, ANSWERED):
                self._say(said)
            return Failed(word, said)

    async def _sent(self, method: str, url: str, body: bytes) -> Answer:
        """As `send`; what went wrong is remembered, since a submit is tried again without end and without a word."""
        try:
            answer = await self._send(method, url, body)
        except Unreachable as error:
            self._failed(str(error))
            raise
        if answer.status == 404:  # a proof that is not there yet is polled for
            self.problem = f"{url} answered {answer.reason}"
        elif answer.status != 200:
            self._failed(f"{url} answered {answer.reason}: {escaped(answer.body)}")
        return answer

    def _failed(self, problem: str) -> None:
        self.problem = problem
        self._say(problem)

    def _say(self, text: str) -> None:
        said = self._voice.once(text, time.monotonic())
        if said is not None:
            log.warning("%s", said)


class _Certificates:
    """Certificates by (identity, certifier's key): those of the rows, and those that are new. A `CertificateStore`."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Certificate] = {}
        self._refused: dict[tuple[bytes, bytes], Certificate] = {}
        """The last one that a server refused, which rows may still hold."""
        self._spaces: dict[bytes, ProofOfSpace] = {}

    def learn(self, identity: NodeId, certificates: Sequence[Certified], space: SpaceProof | None) -> None:
        """What a demand brings along."""
        for one in certificates:
            key, found = (identity, one.certifier), Certificate(one.certificate, one.signature)
            if key not in self._known and self._refused.get(key) != found:
                self._known[key] = found
        if space is not None:
            self._spaces[identity] = ProofOfSpace(
                nonce=space.post.nonce,
                indices=space.post.indices,
                pow=space.post.pow,
                node_id=identity,
                commitment_atx_id=space.commitment_atx,
                challenge=space.challenge,
                num_units=space.num_units,
            )

    def space_of(self, node_id: bytes) -> ProofOfSpace | None:
        """What the identity has shown last."""
        return self._spaces.get(node_id)

    def get(self, key: tuple[bytes, bytes]) -> Certificate | None:
        """As CertificateStore says."""
        return self._known.get(key)

    def put(self, key: tuple[bytes, bytes], certificate: Certificate) -> None:
        """As CertificateStore says."""
        self._known[key] = certificate

    def delete(self, key: tuple[bytes, bytes]) -> None:
        """As CertificateStore says."""
        refused = self._known.pop(key, None)
        if refused is not None:
            self._refused[key] = refused
