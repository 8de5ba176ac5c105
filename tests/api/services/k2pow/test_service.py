"""The k2pow service: which job runs, what is remembered, what the network can send it, and the thread that searches."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.services.k2pow.app import HttpApi
from api.services.k2pow.jobs import (
    ABANDONED_S,
    FAILURE_KEPT_S,
    BadJob,
    Failed,
    Job,
    JobManager,
    Outcome,
    Reply,
    Start,
    Stop,
    parse_job,
)
from api.services.k2pow.worker import RandomX, Worker
from kernels.errors import KernelError, MemoryShortage
from prover.errors import EnvironmentFault
from tests.support.cli import wait_for
from tests.support.served import Served

MINER, CHALLENGE, ANY, NONE = "be" * 32, "aa" * 8, "ff" * 32, "00" * 32


def job(group: int = 0, difficulty: str = ANY) -> Job:
    return Job(bytes.fromhex(MINER), group, bytes.fromhex(CHALLENGE), bytes.fromhex(difficulty))


def path(group: object = 0, *, miner: str = MINER, challenge: str = CHALLENGE, difficulty: str = ANY) -> str:
    return f"/job/{miner}/{group}/{challenge}/{difficulty}"


# -- the machine ---------------------------------------------------------------------------------------------


def test_one_job_runs_and_others_are_told_to_come_again() -> None:
    jobs = JobManager()
    assert jobs.ask(job(0), 1.0) == Reply(201, effects=(Start(job(0)),))
    assert jobs.ask(job(0), 2.0) == Reply(201)
    assert jobs.ask(job(1), 3.0) == Reply(429)
    jobs.finished(job(0), 7, 4.0)
    assert jobs.ask(job(1), 5.0) == Reply(201, effects=(Start(job(1)),))
    assert jobs.ask(job(0), 6.0) == Reply(200, "7")


@pytest.mark.parametrize(
    "other",
    [
        Job(bytes(32), 0, bytes.fromhex(CHALLENGE), bytes.fromhex(ANY)),
        job(1),
        Job(bytes.fromhex(MINER), 0, bytes(8), bytes.fromhex(ANY)),
        job(0, NONE),
    ],
)
def test_all_four_values_name_a_job(other: Job) -> None:
    jobs = JobManager()
    jobs.ask(job(), 0.0)
    assert jobs.ask(other, 0.0).status == 429


def test_a_failure_is_told_for_a_while_and_then_the_job_may_be_tried_again() -> None:
    jobs = JobManager()
    jobs.ask(job(), 0.0)
    jobs.finished(job(), Failed("memory is short"), 1.0)
    assert jobs.ask(job(), FAILURE_KEPT_S) == Reply(500, "memory is short")
    assert jobs.ask(job(), 1.0 + FAILURE_KEPT_S) == Reply(201, effects=(Start(job()),))


def test_a_search_that_nobody_asks_for_gives_way() -> None:
    jobs = JobManager()
    jobs.ask(job(0, NONE), 0.0)
    jobs.ask(job(0, NONE), 100.0)
    assert jobs.ask(job(1), ABANDONED_S + 99) == Reply(429)
    given_up = jobs.ask(job(1), ABANDONED_S + 100)
    assert given_up == Reply(201, effects=(Stop(job(0, NONE)), Start(job(1))))
    jobs.finished(job(0, NONE), 5, ABANDONED_S + 101)  # it came too late to be of use
    assert jobs.running == job(1)
    assert jobs.ask(job(0, NONE), ABANDONED_S + 102) == Reply(429)


def test_only_so_many_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.services.k2pow.jobs.RESULTS_KEPT", 2)
    jobs = JobManager()
    for group in range(3):
        jobs.ask(job(group), 0.0)
        jobs.finished(job(group), group, 0.0)
    assert jobs.ask(job(2), 1.0) == Reply(200, "2")
    assert jobs.ask(job(1), 1.0) == Reply(200, "1")
    assert jobs.ask(job(0), 1.0).status == 201


@pytest.mark.parametrize("group, number", [("0", 0), ("255", 255), ("007", 7), ("+7", 7), ("%37", 7)])
def test_forms_of_a_group(group: str, number: int) -> None:
    assert parse_job(path(group).split("/")[2:]).group == number


@pytest.mark.parametrize(
    "segments, text",
    [
        ({"group": ""}, "Cannot parse value at index 1 with value ``"),
        ({"group": "٣"}, "Cannot parse value at index 1"),
        ({"group": "9" * 5000}, "Cannot parse value at index 1"),
        ({"group": "%FF"}, "Invalid UTF-8 in `nonce_group`"),
        ({"miner": "b" * 63}, "Odd number of digits"),
        ({"miner": "é" + "be" * 31}, "Invalid character 'Ã' at position 0"),
        ({"difficulty": "ff" * 33}, "length 33"),
        ({"challenge": "aa" * 8 + "%20a"}, "Invalid character ' ' at position 16"),
    ],
)
def test_malformed_jobs(segments: dict[str, str], text: str) -> None:
    with pytest.raises(BadJob) as caught:
        parse_job(path(**{"group": 0, **segments}).split("/")[2:])  # type: ignore[arg-type]
    assert str(caught.value).startswith("Invalid URL: ") and text in str(caught.value)


# -- over a port ---------------------------------------------------------------------------------------------


class Played:
    """A searcher that finds what the test says."""

    def __init__(self, emit: Callable[[Job, Outcome], None]) -> None:
        self.emit = emit
        self.started: list[Job] = []
        self.stopped: list[Job] = []

    def start(self, job: Job) -> None:
        self.started.append(job)

    def stop(self, job: Job) -> None:
        self.stopped.append(job)

    def close(self) -> None:
        self.stopped += self.started


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def served(clock: Clock) -> Iterator[Served]:
    with Served(lambda: HttpApi(Played, clock=clock)) as service:
        yield service


def test_a_job_over_http(served: Served) -> None:
    started = served.ask("GET", path())
    assert (started.status, started.body) == (201, b"")
    assert served.ask("GET", path(1)).status == 429
    served.api.searcher.emit(job(), (1 << 56) - 1)
    wait_for(lambda: served.ask("GET", path()).status == 200)
    assert served.ask("GET", path()).text == str((1 << 56) - 1)


def test_a_failure_over_http(served: Served, clock: Clock) -> None:
    served.ask("GET", path())
    served.api.searcher.emit(job(), Failed("memory is short"))
    wait_for(lambda: served.ask("GET", path()).status == 500)
    assert served.ask("GET", path()).text == "memory is short"
    clock.now += FAILURE_KEPT_S
    assert served.ask("GET", path()).status == 201
    assert served.api.searcher.started == [job(), job()]


def test_an_abandoned_search_is_stopped(served: Served, clock: Clock) -> None:
    served.ask("GET", path(difficulty=NONE))
    clock.now += ABANDONED_S
    assert served.ask("GET", path(1)).status == 201
    assert served.api.searcher.stopped == [job(0, NONE)]
    assert served.api.searcher.started == [job(0, NONE), job(1)]


def test_a_head_request_has_the_head_of_a_get(served: Served) -> None:
    answer = served.ask("HEAD", "/")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "19")
    assert [name for name, _ in answer.headers] == ["content-type", "content-length", "connection", "date"]
    nothing = served.ask("GET", "/nothing")
    assert [name for name, _ in nothing.headers] == ["connection", "content-length", "date"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_start_nothing(served: Served, method: str) -> None:
    answer = served.ask(method, path())
    assert (answer.status, answer.header("allow"), answer.body) == (405, "GET,HEAD", b"")
    assert served.ask(method, "/nothing").status == 404
    assert served.api.searcher.started == []


@pytest.mark.parametrize("query", ["?", "?a=b", "?/x"])
def test_a_query_means_nothing(served: Served, query: str) -> None:
    assert served.ask("GET", path() + query).status == 201


def test_whatever_comes_it_goes_on_answering(served: Served) -> None:
    for junk in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET /job/%zz/%/ /x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /job/" + b"a/" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {path('%00')} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.makefile("rb").read()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert served.ask("GET", "/").text == "{ 'message': 'ok' }"


# -- the thread that searches --------------------------------------------------------------------------------


class Emitted:
    """What a worker emits."""

    def __init__(self) -> None:
        self.all: list[tuple[Job, Outcome]] = []
        self._more = threading.Semaphore(0)

    def __call__(self, job: Job, outcome: Outcome) -> None:
        self.all.append((job, outcome))
        self._more.release()

    def next(self) -> tuple[Job, Outcome]:
        assert self._more.acquire(timeout=60), "nothing was emitted"
        return self.all[-1]


@pytest.fixture
def emitted() -> Emitted:
    return Emitted()


@pytest.fixture
def workers(emitted: Emitted) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(source: Any = None, **named: Any) -> Worker:
        made.append(Worker(source or RandomX("light", 1), 1, emitted, **named))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.join()
        assert one.memory.state == "none"


def test_the_memory_is_kept_between_jobs_and_given_back_when_idle(
    workers: Callable[..., Worker], emitted: Emitted
) -> None:
    worker = workers(idle_s=0.3)
    worker.start(job(0))
    assert emitted.next() == (job(0), 0)
    worker.start(job(1))
    assert emitted.next() == (job(1), 0)
    assert worker.memory.state == "light"
    wait_for(lambda: worker.memory.state == "none")
    worker.start(job(2))
    assert emitted.next() == (job(2), 0)


def test_a_stopped_search_emits_nothing_and_the_next_one_runs(workers: Callable[..., Worker], emitted: Emitted) -> None:
    worker = workers()
    worker.start(job(0, NONE))
    wait_for(lambda: worker.memory.state == "light")
    worker.stop(job(0, NONE))
    worker.start(job(1))
    assert emitted.next() == (job(1), 0)
    assert emitted.all == [(job(1), 0)]


def test_closing_ends_an_endless_search(workers: Callable[..., Worker], emitted: Emitted) -> None:
    worker = workers()
    worker.start(job(0, NONE))
    wait_for(lambda: worker.memory.state == "light")
    worker.close()
    worker.join()
    assert emitted.all == []


class Short:
    """RandomX that finds no memory the first time."""

    full = False

    def __init__(self) -> None:
        self.asked = 0

    def open(self, full: bool, stop: threading.Event) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise MemoryShortage(2, 1, "RandomX in light mode")
        return RandomX("light", 1).open(full, stop)


def test_a_failure_does_not_end_the_worker(workers: Callable[..., Worker], emitted: Emitted) -> None:
    worker = workers(Short())
    worker.start(job(0))
    failed_job, outcome = emitted.next()
    assert failed_job == job(0) and isinstance(outcome, Failed) and "too little memory" in outcome.reason
    worker.start(job(0))
    assert emitted.next() == (job(0), 0)


def test_fast_mode_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.services.k2pow.worker.available_memory", lambda: 1 << 30)
    RandomX(None, 1).check()
    RandomX("light", 1).check()
    with pytest.raises(EnvironmentFault, match=r"2336 MiB, 1024 MiB are available.*--randomx-mode light"):
        RandomX("fast", 1).check()


def test_without_a_wish_a_shortage_means_light_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bool] = []

    def memory(key: bytes, *, full: bool, **named: Any) -> Any:
        opened.append(full)
        if full:
            raise MemoryShortage(2, 1, "RandomX in fast mode")
        raise KernelError("far enough")

    monkeypatch.setattr("kernels.randomx.Memory", memory)
    with pytest.raises(KernelError, match="far enough"):
        RandomX(None, 1).open(True, threading.Event())
    assert opened == [True, False]
    with pytest.raises(MemoryShortage):
        RandomX("fast", 1).open(True, threading.Event())
