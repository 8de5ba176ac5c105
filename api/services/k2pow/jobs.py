"""The jobs of a k2pow service: one search at a time, results remembered. A machine without I/O.

A job is named by all four values of its path, so the same group with another difficulty is another job. There
is no queue: whoever asks for another job while one runs is told to come again. Beyond the reference: a search that
nobody has asked for in ten minutes gives way to another job, and a failure is forgotten after a minute, so that
neither blocks the service until it is restarted; work that no machine finishes is refused; and clients share: who waits
longest comes next, and after five minutes of another's search it rests while his is done. Specified in protocol
01-post-tools, section 5.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from protocol.post.proof import MAX_GROUPS
from protocol.types.ids import ID_SIZE

CHALLENGE_SIZE = 8
"""Bytes of the challenge that the proof of work is over."""
DIFFICULTY_SIZE = 32
ABANDONED_S = 600.0
"""After this time without a question for it a running search gives way to another job."""
FAILURE_KEPT_S = 60.0
"""How long a failure is told before the job may be tried again."""
RESULTS_KEPT = 100_000
"""The oldest result is forgotten above this number."""
SHARE_S = 300.0
"""A search that has run so long rests where another client waits."""
PATIENCE_S = 60.0
"""Who has not asked for so long does not wait any more."""
CLIENTS_KEPT = 1000
MOST_HASHES = 1 << 38
"""Hashes that a job may be expected to need: those of 58 million units at mainnet's difficulty, a year of one
machine."""
LEAST_DIFFICULTY = (1 << 256) // MOST_HASHES


@dataclass(frozen=True, slots=True)
class Job:
    """One search."""

    miner: bytes
    """The node id."""
    group: int
    challenge: bytes
    """The first 8 bytes of it."""
    difficulty: bytes
    """Already scaled by the number of units."""

    def __str__(self) -> str:
        return (
            f"nonce group {self.group}, challenge {self.challenge.hex()}, difficulty {self.difficulty.hex()}, "
            f"miner {self.miner.hex()}"
        )


class BadJob(ValueError):
    """A path does not name a job. The text is the answer's body; it is the reference's."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a search has no result."""

    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Effect: begin this search."""

    job: Job


@dataclass(frozen=True, slots=True)
class Stop:
    """Effect: end this search, nobody waits for it."""

    job: Job


Outcome = int | Failed
Effect = Start | Stop


@dataclass(frozen=True, slots=True)
class Reply:
    """What one question is answered."""

    status: int
    body: str = ""
    effects: tuple[Effect, ...] = ()


class JobManager:
    """Which search runs and what came out of the others. `now` is in seconds of a clock that only goes on."""

    def __init__(self) -> None:
        self.running: Job | None = None
        self._client = ""
        self._began = self._asked_at = 0.0
        self._waiting: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Clients that were told to come again: since when, and when they asked last."""
        self._done: OrderedDict[Job, tuple[Outcome, float]] = OrderedDict()

    def ask(self, job: Job, now: float, client: str = "") -> Reply:
        """200 with the solution, 201 while it is searched, 429 while another is, 500 with the reason."""
        if job == self.running:
            self._asked_at = now
            return Reply(201)
        outcome = self._outcome(job, now)
        if isinstance(outcome, Failed):
            return Reply(500, outcome.reason)
        if outcome is not None:
            return Reply(200, str(outcome))
        if not self._is_turn_of(client, now):
            self._wait(client, now)
            return Reply(429)
        stopped: tuple[Effect, ...] = () if self.running is None else (Stop(self.running),)
        if self.running is not None and self._client != client and now - self._asked_at < ABANDONED_S:
            self._wait(self._client, now)  # its search rests, and it comes next
        self._waiting.pop(client, None)
        self.running, self._client, self._began, self._asked_at = job, client, now, now
        return Reply(201, effects=(*stopped, Start(job)))

    def _is_turn_of(self, client: str, now: float) -> bool:
        """Whether a job of this client may begin now."""
        while self._waiting and now - next(iter(self._waiting.values()))[1] >= PATIENCE_S:
            self._waiting.popitem(last=False)
        away = (client, self._client) if self.running is not None else (client,)
        others = [one for one in self._waiting if one not in away and now - self._waiting[one][1] < PATIENCE_S]
        first = client in self._waiting and all(self._waiting[one][0] >= self._waiting[client][0] for one in others)
        if self.running is None:
            return first or not others
        if now - self._asked_at >= ABANDONED_S:
            return True
        return first and client != self._client and now - self._began >= SHARE_S

    def _wait(self, client: str, now: float) -> None:
        since = self._waiting.get(client, (now, now))[0]
        self._waiting[client] = (since, now)
        if len(self._waiting) > CLIENTS_KEPT:
            self._waiting.popitem(last=False)

    def finished(self, job: Job, outcome: Outcome, now: float) -> None:
        """A search ended by itself. One that was stopped before is not remembered."""
        if job != self.running:
            return
        self.running = None
        self._done[job] = (outcome, now)
        if len(self._done) > RESULTS_KEPT:
            self._done.popitem(last=False)

    def _outcome(self, job: Job, now: float) -> Outcome | None:
        found = self._done.get(job)
        if found is None:
            return None
        outcome, since = found
        if isinstance(outcome, Failed) and now - since >= FAILURE_KEPT_S:
            del self._done[job]
            return None
        return outcome


def parse_job(segments: Sequence[str]) -> Job:
    """The job that four segments of a path name, percent-encoded as they came. Raises BadJob."""
    names = ("miner", "nonce_group", "challenge", "difficulty")
    miner, group, challenge, difficulty = (_text(one, name) for one, name in zip(segments, names, strict=True))
    job = Job(_hex(miner, ID_SIZE), _group(group), _hex(challenge, CHALLENGE_SIZE), _hex(difficulty, DIFFICULTY_SIZE))
    if int.from_bytes(job.difficulty, "big") < LEAST_DIFFICULTY:
        raise BadJob(f"Invalid URL: difficulty {difficulty} asks for more than 2^{MOST_HASHES.bit_length() - 1} hashes")
    return job


def _text(segment: str, name: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise BadJob(f"Invalid URL: Invalid UTF-8 in `{name}`") from None


def _hex(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) % 2:
        raise BadJob("Invalid URL: Odd number of digits")
    for place, byte in enumerate(data):
        if byte not in b"0123456789abcdefABCDEF":
            raise BadJob(f"Invalid URL: Invalid character {chr(byte)!r} at position {place}")
    if len(data) != 2 * size:
        raise BadJob(f"Invalid URL: Can't convert a Byte Vector of length {len(data) // 2} to the output type.")
    return bytes.fromhex(text)


def _group(text: str) -> int:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 100 or int(digits) >= MAX_GROUPS:
        raise BadJob(f"Invalid URL: Cannot parse value at index 1 with value `{text[:100]}` to a `u8`")
    return int(digits)
