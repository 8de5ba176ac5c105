"""One PoET as a node uses it for all its identities: caches, authorisation, and each proof downloaded once.

A certificate is preferred; where none can be had, and where the server refuses it, a proof of work is searched.
A proof is verified before anybody gets it. Specified in protocol 02-poet-client, section 4.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.clients.poet.certifier import CertifierClient
from api.clients.poet.client import PoetClient
from api.clients.poet.errors import GivingUp, InvalidProof, PhaseShiftMismatch, PoetClientError, Unauthorized
from api.clients.poet.messages import Authorisation, Info, Registration, RoundProof
from protocol.crypto.merkle import membership_nodes
from protocol.poet.registration import search_pow
from protocol.types.ids import Hash32
from protocol.types.poet import MembershipProof
from prover.errors import DataError

log = logging.getLogger("poet.client")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Times in seconds; 0 switches a cache or a limit off."""

    phase_shift_ns: int
    request_timeout_s: float = 0.0
    info_ttl_s: float = 300.0
    pow_params_ttl_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration that the node keeps."""

    address: str
    round_id: str
    round_end_ns: int
    """By the node's own clock, Unix nanoseconds."""


class _Cached(Generic[T]):
    """A value with an expiry; callers wait for each other, only successes are kept."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], ttl_s: float, limit_s: float) -> None:
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._limit_s = limit_s or None
        self._lock = asyncio.Lock()
        self._value: tuple[float, T] | None = None

    async def get(self) -> T:
        """The value. The limit begins before the wait for others: a silent server costs all of them together one."""
        try:
            async with asyncio.timeout(self._limit_s), self._lock:
                if self._value is not None and time.monotonic() < self._value[0]:
                    return self._value[1]
                value = await self._fetch()
                self._value = (time.monotonic() + self._ttl_s, value)
                return value
        except TimeoutError:
            raise GivingUp(f"no answer in {self._limit_s} s") from None


class RemotePoet:
    """A PoET behind its client."""

    def __init__(
        self,
        client: PoetClient,
        config: ServiceConfig,
        certifier: CertifierClient | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._config = config
        self._certifier = certifier
        self._clock = clock
        self._info = _Cached(client.info, config.info_ttl_s, config.request_timeout_s)
        self._pow_params = _Cached(client.pow_params, config.pow_params_ttl_s, config.request_timeout_s)
        self._proof_lock = asyncio.Lock()
        self._last_proof: tuple[str, RoundProof] | None = None

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._client.address

    async def info(self) -> Info:
        """What the server says of itself, from the cache if fresh. Raises PoetClientError."""
        return await self._info.get()

    async def check_phase_shift(self) -> None:
        """Raises PhaseShiftMismatch where the server keeps other times than this node; PoetClientError."""
        found = (await self.info()).phase_shift_ns
        if found != self._config.phase_shift_ns:
            raise PhaseShiftMismatch(
                f"{self.address} has a phase shift of {found / 1e9:g} s, this node is configured for "
                f"{self._config.phase_shift_ns / 1e9:g} s; correct the configuration or remove this server."
            )

    async def submit(
        self,
        prefix: bytes,
        challenge: bytes,
        signature: bytes,
        node_id: bytes,
        deadline_ns: int,
    ) -> Registered:
        """Registers, trying until cancelled. Raises PoetClientError."""
        await self.check_phase_shift()
        authorisation = await self._authorise(challenge, node_id)
        try:
            answer = await self._client.submit(prefix, challenge, signature, node_id, deadline_ns, authorisation)
        except Unauthorized as error:
            log.warning("%s refused the authorisation, getting a new one: %s", self.address, error)
            await self._forget_certificate(node_id)
            authorisation = await self._authorise(challenge, node_id)
            answer = await self._client.submit(prefix, challenge, signature, node_id, deadline_ns, authorisation)
        return self._registered(answer)

    def _registered(self, answer: Registration) -> Registered:
        return Registered(self.address, answer.round_id, self._clock() + answer.round_end_ns)

    async def _authorise(self, challenge: bytes, node_id: bytes) -> Authorisation:
        try:
            certifier = (await self.info()).certifier
            if certifier is None or self._certifier is None:
                log.debug("%s has no certifier", self.address)
            else:
                return Authorisation(await self._certifier.certificate(node_id, certifier))
        except PoetClientError as error:
            log.warning("no certificate for %s, searching a proof of work: %s", self.address, error)
        params = await self._pow_params.get()
        stopped = False
        search = asyncio.to_thread(search_pow, params, node_id, challenge, lambda: stopped)
        try:
            nonce = await search
        finally:
            stopped = True  # a caller that was cancelled does not leave the search running
        return Authorisation(pow_params=params, nonce=nonce)

    async def _forget_certificate(self, node_id: bytes) -> None:
        try:
            certifier = (await self.info()).certifier
        except PoetClientError:
            return
        if certifier is not None and self._certifier is not None:
            self._certifier.forget(node_id, certifier)

    async def proof(self, round_id: str) -> RoundProof:
        """The verified proof of a round and its members. Raises PoetClientError, InvalidProof, TimeoutError.

        The time limit begins before the wait for other callers: a server that does not answer costs all
        identities together one limit, not one each.
        """
        async with asyncio.timeout(self._config.request_timeout_s or None), self._proof_lock:
            if self._last_proof is not None and self._last_proof[0] == round_id:
                return self._last_proof[1]
            found = await self._client.proof(round_id)
            await asyncio.to_thread(verify_round, found)
            self._last_proof = (round_id, found)
            return found


def verify_round(found: RoundProof) -> None:
    """Judges a proof against its own members. Raises InvalidProof."""
    from prover.poet.round.verify import verify  # brings the compiled verifier

    message = found.message
    try:
        verify(message.proof.merkle_proof, message.statement, message.proof.leaf_count)
    except DataError as error:
        round_id = message.round_id.decode(errors="replace")
        raise InvalidProof(f"the proof of round {round_id} does not hold: {error}") from None


def membership(found: RoundProof, challenge: bytes) -> MembershipProof | None:
    """The proof that a challenge is among the members (its first place), None if it is not."""
    if challenge not in found.members:
        return None
    index = found.members.index(challenge)
    return MembershipProof(tuple(map(Hash32, membership_nodes(found.members, index))), index)
