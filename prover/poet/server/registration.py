"""The registration service of a PoET server as a state machine: who is let into the open round, and when it closes.

Inputs carry `now_ns` (Unix nanoseconds); what has to be done is returned, never done. A registration is queued,
the caller writes whole batches, and only `written` says that those who wait may be answered. Nothing here opens
a database: stored registrations are looked up through a function. Specified in protocol 02-poet, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from protocol.crypto.ripemd256 import ripemd256_many
from protocol.poet.registration import (
    CHALLENGE_SIZE,
    HINT_SIZE,
    NODE_ID_SIZE,
    InvalidCertificate,
    InvalidPow,
    PowParams,
    TrustedKeys,
    check_pow,
    pow_input,
    verify_submit,
)
from prover.poet.server.rounds import Schedule


class Code(IntEnum):
    """The status codes of gRPC that this service answers with."""

    OK = 0
    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


NO_PARAMS = PowParams(b"", 0)


@dataclass(frozen=True, slots=True)
class Submit:
    """What a client sends."""

    prefix: bytes = b""
    challenge: bytes = b""
    pubkey: bytes = b""
    signature: bytes = b""
    nonce: int = 0
    pow_params: PowParams = NO_PARAMS
    """Absent parameters are the same as empty ones."""
    deadline_ns: int | None = None
    certificate: tuple[bytes, bytes] | None = None
    """Data and signature."""
    hint: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is no, with the reference's code and text."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The registration is on stable storage."""

    round_id: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Queued:
    """The registration is taken, and true once batch `batch` is written."""

    round_id: int
    end_ns: int
    batch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Registrations to be written in one go, durably."""

    number: int
    round_id: int
    entries: dict[bytes, bytes]
    """Public key to challenge."""


@dataclass(frozen=True, slots=True)
class Close:
    """Round `round_id` takes no more: write what is queued for it, then compute its root and start its work."""

    round_id: int
    opened: int
    """The round that is open now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is let in and how many."""

    max_members: int = 1 << 32
    certifier: bool = False
    """Whether certificates are looked at at all; without, one that is sent is ignored."""


@dataclass(slots=True)
class Pow:
    """The parameter sets of the proof of work that are in force."""

    difficulty: int
    current: bytes
    previous: bytes | None = None

    def params(self) -> PowParams:
        """What is told to clients."""
        return PowParams(self.current, self.difficulty)

    def allowed(self) -> tuple[PowParams, ...]:
        """What a submit may name."""
        if self.previous is None:
            return (self.params(),)
        return (self.params(), PowParams(self.previous, self.difficulty))

    def rotate(self, root: bytes) -> None:
        """A new proof's root becomes the challenge; the former one stays valid beside it."""
        self.previous, self.current = self.current, root


@dataclass(slots=True)
class Counts:
    """What the metrics count."""

    cert: dict[str, int] = field(default_factory=lambda: {"valid": 0, "invalid": 0, "expired": 0})
    pow: dict[str, int] = field(default_factory=lambda: {"valid": 0, "invalid": 0})


INVALID_PUBKEY = Refused(Code.INVALID_ARGUMENT, "invalid public key")
INVALID_SIGNATURE = Refused(Code.INVALID_ARGUMENT, "invalid signature")
INVALID_HINT = Refused(Code.INVALID_ARGUMENT, "invalid certificate public key hint")
INVALID_CHALLENGE = Refused(Code.INVALID_ARGUMENT, f"invalid challenge: expected {CHALLENGE_SIZE} bytes")
TOO_LATE = Refused(Code.FAILED_PRECONDITION, "too late to register for the desired round")
FULL = Refused(Code.RESOURCE_EXHAUSTED, "maximum number of round members reached")
CONFLICT = Refused(Code.ALREADY_EXISTS, "conflicting registration")
NOT_WRITTEN = Refused(Code.INTERNAL, "unknown error submitting challenge")
"""What those who wait are told when a batch could not be written."""

Lookup = Callable[[int, bytes], bytes | None]
"""(round, public key) -> the challenge on stable storage."""


class Registration:
    """The open round and the registrations that are on their way into it."""

    def __init__(
        self,
        schedule: Schedule,
        policy: Policy,
        trusted: TrustedKeys,
        pow: Pow,
        lookup: Lookup,
        *,
        open_round: int,
        members: int = 0,
    ) -> None:
        self.schedule = schedule
        self.policy = policy
        self.trusted = trusted
        """Replaced as a whole when the trusted keys are loaded anew."""
        self.pow = pow
        self.open_round = open_round
        self.members = members
        """Registrations of the open round on stable storage."""
        self.counts = Counts()
        self._lookup = lookup
        self._next_number = 1
        self._queue: dict[bytes, bytes] = {}
        self._closing: list[Batch] = []
        """What was queued for rounds that have closed since; goes first."""
        self._writing: Batch | None = None

    def pow_digests(self, requests: Sequence[Submit]) -> list[bytes | None]:
        """The hashes of these requests' proofs of work, where there is one to check: together they cost far less.

        None for a request of another form: whether it is refused before its proof matters is for `submit` to see.
        """
        digests: list[bytes | None] = [None] * len(requests)
        allowed = self.pow.allowed()
        by_length: dict[int, list[tuple[int, bytes]]] = {}
        for position, request in enumerate(requests):
            certified = self.policy.certifier and request.certificate is not None
            well_formed = len(request.pubkey) == NODE_ID_SIZE and len(request.challenge) == CHALLENGE_SIZE
            if self.pow.difficulty and well_formed and not certified and request.pow_params in allowed:
                hashed = pow_input(request.pow_params.challenge, request.pubkey, request.challenge, request.nonce)
                by_length.setdefault(len(hashed), []).append((position, hashed))
        for group in by_length.values():
            found = ripemd256_many([hashed for _, hashed in group])
            for (position, _), digest in zip(group, found, strict=True):
                digests[position] = digest
        return digests

    def submit(self, request: Submit, now_ns: int, pow_digest: bytes | None = None) -> Refused | Registered | Queued:
        """Judges one registration; call `advance` with the same moment before. Order and texts are the reference's.

        pow_digest: what `pow_digests` found for it, if it was asked.
        """
        refused = self._check_form(request) or self.authorise(request, now_ns // 1_000_000_000, pow_digest)
        if refused is not None:
            return refused
        end_ns = self.schedule.end(self.open_round)
        if request.deadline_ns is not None and end_ns > request.deadline_ns:
            return TOO_LATE
        known = self._known(request.pubkey)
        if known is None:
            if self.members + self.pending >= self.policy.max_members:
                return FULL
            self._queue[request.pubkey] = request.challenge
            return Queued(self.open_round, end_ns, self._next_number)
        challenge, batch = known
        if challenge != request.challenge:
            return CONFLICT
        if batch is None:
            return Registered(self.open_round, end_ns)
        return Queued(self.open_round, end_ns, batch)

    def _check_form(self, request: Submit) -> Refused | None:
        if len(request.pubkey) != NODE_ID_SIZE:
            return INVALID_PUBKEY
        if not verify_submit(request.pubkey, request.prefix, request.challenge, request.signature):
            return INVALID_SIGNATURE
        if request.hint and len(request.hint) != HINT_SIZE:
            return INVALID_HINT
        if len(request.challenge) != CHALLENGE_SIZE:
            return INVALID_CHALLENGE  # one odd member would spoil the round for everybody in it
        return None

    def authorise(self, request: Submit, now_s: int, pow_digest: bytes | None = None) -> Refused | None:
        """Whether a certificate or a proof of work lets the request in; a certificate leaves no second chance."""
        if self.policy.certifier and request.certificate is not None:
            return self._check_certificate(request, request.certificate, now_s)
        try:
            check_pow(
                request.pow_params, self.pow.allowed(), request.pubkey, request.challenge, request.nonce, pow_digest
            )
        except InvalidPow as error:
            self.counts.pow["invalid"] += 1
            return Refused(Code.INVALID_ARGUMENT, str(error))
        self.counts.pow["valid"] += 1
        return None

    def _check_certificate(self, request: Submit, certificate: tuple[bytes, bytes], now_s: int) -> Refused | None:
        try:
            self.trusted.verify(*certificate, request.hint, request.pubkey, now_s)
        except InvalidCertificate as error:
            self.counts.cert["expired" if error.reason == "expired" else "invalid"] += 1
            return Refused(Code.UNAUTHENTICATED, str(error))
        self.counts.cert["valid"] += 1
        return None

    def _known(self, pubkey: bytes) -> tuple[bytes, int | None] | None:
        """The challenge that a key has in the open round and the batch it waits for, None once stored."""
        if pubkey in self._queue:
            return self._queue[pubkey], self._next_number
        writing = self._writing
        if writing is not None and writing.round_id == self.open_round and pubkey in writing.entries:
            return writing.entries[pubkey], writing.number
        stored = self._lookup(self.open_round, pubkey)
        return None if stored is None else (stored, None)

    @property
    def pending(self) -> int:
        """Registrations of the open round that are not on stable storage yet."""
        writing = self._writing
        in_write = len(writing.entries) if writing and writing.round_id == self.open_round else 0
        return len(self._queue) + in_write

    @property
    def has_queued(self) -> bool:
        """Whether there is something to write after the batch that is being written."""
        return bool(self._queue or self._closing)

    @property
    def has_closing(self) -> bool:
        """Whether registrations of a round that has closed wait to be written."""
        return bool(self._closing)

    def take_batch(self) -> Batch | None:
        """The next batch to write; None while one is being written, or if nothing waits."""
        if self._writing is not None:
            return None
        if self._closing:
            self._writing = self._closing.pop(0)
        elif self._queue:
            self._writing = self._cut()
        return self._writing

    def _cut(self) -> Batch:
        batch = Batch(self._next_number, self.open_round, self._queue)
        self._next_number += 1
        self._queue = {}
        return batch

    def written(self, batch: Batch, failed: bool = False) -> None:
        """The batch is on stable storage, or could not be written: then it is as if it had never been sent."""
        assert batch is self._writing, "batches are written one after another, in the order they were taken"
        self._writing = None
        if not failed and batch.round_id == self.open_round:
            self.members += len(batch.entries)

    def advance(self, now_ns: int) -> Close | None:
        """Closes the open round when its time has come. Call at `next_deadline` and before every submit."""
        if now_ns < self.schedule.start(self.open_round):
            return None
        closed = self.open_round
        if self._queue:
            self._closing.append(self._cut())
        self.open_round = self.schedule.next_open(closed, now_ns)
        self.members = 0
        return Close(closed, self.open_round)

    def is_flushed(self, round_id: int) -> bool:
        """Whether nothing for a closed round is waiting or being written any more."""
        writing = self._writing
        return (writing is None or writing.round_id != round_id) and all(
            batch.round_id != round_id for batch in self._closing
        )

    def next_deadline(self) -> int:
        """When `advance` has something to do."""
        return self.schedule.start(self.open_round)

    def proof_stored(self, root: bytes) -> None:
        """A proof was stored: its root is the next challenge of the proof of work."""
        if root:
            self.pow.rotate(root)  # an empty proof (no worker) would let everybody in
