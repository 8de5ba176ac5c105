"""Proofs of work from k2pow services: all groups of a pass at once, from one service or several.

A service that works on the job (201) is asked again after a while; one that is busy (429) or cannot be reached gives
its place to the next one, and after a round of all of them there is a pause. Neither ends the search; a failure (500
and every other status) does, once every service has failed. Beyond the reference a solution can be checked when it
arrives: a wrong one would cost a pass over all data. Specified in protocol 01-post-tools, section 5.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from api.clients.poet.errors import Unreachable
from api.edge.repeats import Repeats
from api.edge.text import escaped, shown
from protocol.post.proof import MAX_GROUPS, NONCES_PER_GROUP, pow_input
from prover.errors import EnvironmentFault, Interrupted, UsageError
from prover.post.proof.verify import PowHash

if TYPE_CHECKING:
    from api.http.client import Answer

PARALLELISM = 5
BACKOFF_S = 5.0
LEAST_PAUSE_S = 0.02
"""Also where no pause is asked for: nobody is asked in a tight loop."""
TIMEOUT_S = 30.0
"""For one question; a service answers at once, whatever it computes."""
WAKE_S = 0.1
"""How often those who wait look whether they were told to stop."""
MAX_ANSWER = 64 * 1024
MAX_POW = (1 << 64) - 1

Send = Callable[[str], "Answer"]
"""url -> the answer to a GET; raises Unreachable."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched for a proof; every nonce group of it is one job."""

    challenge: bytes
    node_id: bytes
    difficulty: bytes
    """32 bytes, already scaled by the number of units."""

    def path(self, group: int) -> str:
        """The job of one group."""
        return f"/job/{self.node_id.hex()}/{group}/{self.challenge[:8].hex()}/{self.difficulty.hex()}"


class RemotePow:
    """A client of one or several services.

    `stop` may be called from any thread or a signal's handler and ends every search at once; `close` when done.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        parallelism: int = PARALLELISM,
        backoff_s: float = BACKOFF_S,
        pow_hash: PowHash | None = None,
        note: Callable[[str], None] = lambda message: None,
        token: str = "",
        send: Send | None = None,
    ) -> None:
        """`pow_hash`: RandomX of this machine, with which each solution is checked; `note` takes sentences for people;
        `token`: what the services ask for, where they do.

        Raises UsageError for URLs and numbers that cannot be.
        """
        if not urls:
            raise UsageError("There is no k2pow service, expected at least one URL.")
        if parallelism < 1:
            raise UsageError(f"The number of k2pow jobs at once is {parallelism}, expected at least 1.")
        self.urls = tuple(check_url(url, "The k2pow service") for url in urls)
        self.parallelism, self.backoff_s = parallelism, backoff_s
        self.pow_hash, self.send = pow_hash, send or getter(token)
        self._note = note
        self._lock = threading.Lock()
        self._running: set[RemoteSearch] = set()
        self.stopped = False
        self._noted = Repeats()

    def search(
        self,
        challenge: bytes,
        node_id: bytes,
        difficulty: bytes,
        groups: Iterable[int],
        found: Callable[[int, int], None] = lambda group, power: None,
    ) -> dict[int, int]:
        """The solution of every group for the (already scaled) difficulty; `found` is called as they arrive. Blocks.

        Raises Interrupted after `stop`; EnvironmentFault when no service can do it.
        """
        return self.begin(challenge, node_id, difficulty, groups, found).wait()

    def finder(self, challenge: bytes, node_id: bytes, difficulty: bytes, nonces: int) -> Callable[[int], int]:
        """What `prover.post.proof.prove.Prover` takes: group -> solution.

        The first question in a pass of so many nonces asks the services for all groups from there to its end.
        """
        return _Finder(
            lambda groups: self.begin(challenge, node_id, difficulty, groups), max(1, nonces // NONCES_PER_GROUP)
        )

    def stop(self) -> None:
        """Makes running and later searches raise Interrupted, whatever the network does."""
        self.stopped = True  # no lock: the thread that holds it may be the one that handles the signal

    def close(self) -> None:
        """Ends what runs; afterwards `pow_hash` is not called any more."""
        self.stop()
        with self._lock:
            running = list(self._running)
        for search in running:
            search.close()

    def begin(
        self,
        challenge: bytes,
        node_id: bytes,
        difficulty: bytes,
        groups: Iterable[int],
        found: Callable[[int, int], None] = lambda group, power: None,
    ) -> RemoteSearch:
        """Starts a search as `search` does and does not wait for it."""
        search = RemoteSearch(self, Task(challenge, node_id, difficulty), tuple(dict.fromkeys(groups)), found)
        with self._lock:
            self._running.add(search)
        search.start()
        return search

    def ended(self, search: RemoteSearch) -> None:
        """A search is over."""
        with self._lock:
            self._running.discard(search)

    def tell(self, about: str, message: str) -> None:
        """Notes trouble with a service, not more often than once a minute."""
        with self._lock:
            turn = self._noted.turn(about, time.monotonic())
        if turn is not None:
            self._note(message)


class _Refused(Exception):
    """A service gave an answer that ends the job there. The text says which."""


class _Ended(Exception):
    """The search is over; the thread has nothing more to do."""


class RemoteSearch:
    """One search of a `RemotePow`. Its threads are daemons: a connection that hangs keeps nobody waiting."""

    def __init__(self, remote: RemotePow, task: Task, groups: Sequence[int], found: Callable[[int, int], None]) -> None:
        self._remote, self._task, self._found = remote, task, found
        self._wanted = len(groups)
        self._waiting = deque(enumerate(groups))
        self._solutions: dict[int, int] = {}
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._stopped = False
        self._hashing = threading.Lock()

    def start(self) -> None:
        """Starts a thread for each job that may run at once."""
        if not self._waiting:
            self._end(None)
        for _ in range(min(self._remote.parallelism, self._wanted)):
            threading.Thread(target=self._work, name="remote-k2pow", daemon=True).start()

    def wait(self) -> dict[int, int]:
        """All solutions. Raises Interrupted, EnvironmentFault."""
        try:
            while not self._over.wait(WAKE_S):
                self._look_for_stop()
        finally:
            self.close()
        if self._error is not None:
            raise self._error
        return self._solutions

    def find(self, group: int) -> int:
        """One solution, as soon as it is there. Raises as `wait`."""
        while not self._over.is_set():
            with self._changed:
                if self._changed.wait_for(lambda: group in self._solutions or self._over.is_set(), WAKE_S):
                    break
            self._look_for_stop()
        if group in self._solutions:
            return self._solutions[group]
        self.wait()
        raise AssertionError("a search without an error has all solutions")

    def stop(self) -> None:
        """Makes those who wait raise Interrupted at once; from any thread, or a signal's handler."""
        self._stopped = True

    def close(self) -> None:
        """Ends the search, if it still runs; from here on nobody uses the caller's RandomX."""
        self._end(Interrupted("The search for a proof of work was stopped."))
        with self._hashing:
            return

    def _look_for_stop(self) -> None:
        if self._stopped or self._remote.stopped:
            self._end(Interrupted("The search for a proof of work was stopped."))

    def _end(self, error: Exception | None) -> None:
        with self._changed:
            if not self._over.is_set():
                self._error = error
                self._over.set()
                self._remote.ended(self)
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._waiting:
                        return
                    number, group = self._waiting.popleft()
                self._store(group, self._solve(number, group))
        except _Ended:
            return
        except Exception as error:  # of any kind: the thread that waits is told
            self._end(error)

    def _store(self, group: int, power: int) -> None:
        self._found(group, power)
        with self._changed:
            self._solutions[group] = power
            self._changed.notify_all()
            complete = len(self._solutions) == self._wanted
        if complete:
            self._end(None)

    def _solve(self, number: int, group: int) -> int:
        """One group, first at the service whose turn it is."""
        urls = self._remote.urls
        services = [urls[(number + place) % len(urls)] for place in range(len(urls))]
        refusals: list[str] = []
        while True:
            for url in list(services):
                try:
                    power = self._at(url, group)
                except _Refused as refused:
                    refusals.append(f"{url} {refused}")
                    services.remove(url)
                    if services:
                        self._remote.tell(url, f"The k2pow service {url} {refused}. Another one is asked instead.")
                    continue
                if power is not None:
                    return power
            if not services:
                raise EnvironmentFault(
                    f"No proof of work for nonce group {group}: {'; '.join(refusals)}. See the log of the service."
                )
            self._pause()

    def _at(self, url: str, group: int) -> int | None:
        """The solution from one service; None where it is busy or out of reach. Raises _Refused."""
        while True:
            try:
                answer = self._remote.send(url + self._task.path(group))
            except Unreachable as error:
                self._remote.tell(url, f"The k2pow service {url} cannot be reached: {error}. It is tried again.")
                return None
            finally:
                self._check()
            if answer.status == 429:
                return None
            if answer.status == 200:
                return self._solution(answer, group)
            if answer.status != 201:
                text = escaped(answer.body.strip(), 300)
                raise _Refused(f"answered {answer.reason}" + (f" ({text})" if text else ""))
            self._pause()

    def _solution(self, answer: Answer, group: int) -> int:
        text = answer.body.decode(errors="replace")
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > MAX_POW:
            raise _Refused(f"answered {escaped(text, 100)!r}, expected a whole number below 2^64")
        power = int(text)
        if self._remote.pow_hash is not None:
            data = pow_input(power, group, self._task.challenge, self._task.node_id)
            with self._hashing:
                self._check()
                hashed = self._remote.pow_hash(data)
            if hashed >= self._task.difficulty:
                raise _Refused(f"answered {power}, which is no solution: its hash is not below the difficulty")
        return power

    def _pause(self) -> None:
        self._over.wait(max(self._remote.backoff_s, LEAST_PAUSE_S))
        self._check()

    def _check(self) -> None:
        self._look_for_stop()
        if self._over.is_set():
            raise _Ended


class _Finder:
    """Group -> solution; the others of the pass are searched meanwhile."""

    def __init__(self, begin: Callable[[range], RemoteSearch], groups_in_pass: int) -> None:
        self._begin, self._groups_in_pass = begin, groups_in_pass
        self._groups = range(0)
        self._search: RemoteSearch | None = None

    def __call__(self, group: int) -> int:
        """The solution. Raises what `RemotePow.search` raises; the next question then begins anew."""
        search = self._search
        if search is None or group not in self._groups:
            start = group - group % self._groups_in_pass
            self._groups = range(group, min(MAX_GROUPS, start + self._groups_in_pass))
            search = self._search = self._begin(self._groups)
        try:
            power = search.find(group)
            if group == self._groups[-1]:
                search.wait()
            return power
        except BaseException:
            self._search = None
            search.close()
            raise


def check_url(url: str, what: str) -> str:
    """The base URL without a slash at its end. Raises UsageError that begins with `what`."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise UsageError(f"{what} is {shown(url)}, expected http://HOST:PORT or https://HOST:PORT.")
    return url.rstrip("/")


def getter(token: str = "") -> Send:
    """GETs, through the proxy that the environment names, redirects followed; `token` is what the services ask for."""

    def get(url: str) -> Answer:
        from api.http import client  # half a second of imports, not needed where no service is asked

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = client.ClientLimits(TIMEOUT_S, TIMEOUT_S, TIMEOUT_S, MAX_ANSWER)
        try:
            return client.fetch("GET", url, limits=limits, headers=headers)
        except client.Unreachable as error:
            raise Unreachable(str(error).removeprefix(f"{url}: ")) from None

    return get
