"""The k2pow service: which job runs, what is remembered, what the network can send it, and the thread that searches."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.clients.k2pow import RemotePow
from api.services.k2pow.app import HttpApi
from api.services.k2pow.jobs import (
    ABANDONED_S,
    CLIENTS_KEPT,
    FAILURE_KEPT_S,
    LEAST_DIFFICULTY,
    PATIENCE_S,
    SHARE_S,
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
from tests.support.proving import has_memory
from tests.support.served import Served

MINER, CHALLENGE, ANY, NONE = "be" * 32, "aa" * 8, "ff" * 32, "00" * 32
HARD = f"{LEAST_DIFFICULTY:064x}"
"""The hardest work that is taken: nothing in a test finds it."""


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


# -- a fair share --------------------------------------------------------------------------------------------


def test_who_waits_longest_comes_next() -> None:
    jobs = JobManager()
    assert jobs.ask(job(0), 0.0, "a").status == 201
    assert jobs.ask(job(1), 1.0, "b").status == 429
    assert jobs.ask(job(2), 2.0, "c").status == 429
    jobs.finished(job(0), 7, 3.0)
    assert jobs.ask(job(3), 3.0, "a").status == 429, "others wait"
    assert jobs.ask(job(2), 3.0, "c").status == 429, "and one of them longer"
    assert jobs.ask(job(1), 4.0, "b").status == 201
    jobs.finished(job(1), 7, 5.0)
    assert jobs.ask(job(2), 5.0, "c").status == 201


def test_a_long_search_rests_while_another_clients_is_done() -> None:
    jobs = JobManager()
    jobs.ask(job(0), 0.0, "a")
    for now in range(10, int(SHARE_S), 10):
        assert jobs.ask(job(0), now, "a") == Reply(201)
        assert jobs.ask(job(1), now, "b") == Reply(429)
        assert jobs.ask(job(2), now, "a") == Reply(429)
    assert jobs.ask(job(1), SHARE_S, "b") == Reply(201, effects=(Stop(job(0)), Start(job(1))))
    assert jobs.ask(job(0), SHARE_S + 1, "a").status == 429
    jobs.finished(job(1), 7, SHARE_S + 2)
    assert jobs.ask(job(3), SHARE_S + 3, "b").status == 429, "the first client has waited longer"
    assert jobs.ask(job(0), SHARE_S + 4, "a") == Reply(201, effects=(Start(job(0)),))


def test_who_has_gone_keeps_no_place() -> None:
    jobs = JobManager()
    jobs.ask(job(0), 0.0, "a")
    jobs.ask(job(1), 0.0, "b")
    jobs.finished(job(0), 7, 1.0)
    assert jobs.ask(job(2), PATIENCE_S - 1, "c").status == 429
    assert jobs.ask(job(2), PATIENCE_S, "c").status == 201


def test_one_client_alone_is_never_interrupted() -> None:
    jobs = JobManager()
    jobs.ask(job(0), 0.0, "a")
    for now in range(1, 5000, 10):
        assert jobs.ask(job(0), now, "a") == Reply(201)
        assert jobs.ask(job(1), now, "a") == Reply(429)


def test_only_so_many_clients_are_remembered() -> None:
    jobs = JobManager()
    jobs.ask(job(0), 0.0, "a")
    for number in range(3 * CLIENTS_KEPT):
        jobs.ask(job(1), 1.0, f"client {number}")
    assert len(jobs._waiting) == CLIENTS_KEPT


@pytest.mark.parametrize("difficulty", [NONE, f"{LEAST_DIFFICULTY - 1:064x}"])
def test_work_that_nobody_finishes_is_refused(difficulty: str) -> None:
    with pytest.raises(BadJob, match=r"Invalid URL: difficulty .* asks for more than 2\^38 hashes"):
        parse_job(path(difficulty=difficulty).split("/")[2:])
    assert parse_job(path(difficulty=HARD).split("/")[2:]).difficulty == bytes.fromhex(HARD)


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
    served.ask("GET", path(difficulty=HARD))
    clock.now += ABANDONED_S
    assert served.ask("GET", path(1)).status == 201
    assert served.api.searcher.stopped == [job(0, HARD)]
    assert served.api.searcher.started == [job(0, HARD), job(1)]


def test_a_head_request_has_the_head_of_a_get(served: Served) -> None:
    answer = served.ask("HEAD", "/")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "19")
    assert sorted(name.lower() for name, _ in answer.headers) == [
        "connection",
        "content-length",
        "content-type",
        "date",
    ]
    nothing = served.ask("GET", "/nothing")
    assert sorted(name.lower() for name, _ in nothing.headers) == ["connection", "content-length", "date"]


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
            assert answer == b"" or answer.split(b" ")[1].startswith(b"4"), answer[:100]
    assert served.ask("GET", "/").text == "{ 'message': 'ok' }"


@pytest.mark.parametrize(
    "header", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_web_pages_start_nothing(served: Served, header: dict[str, str]) -> None:
    answer = served.ask("GET", path(), **header)
    assert (answer.status, served.api.searcher.started) == (403, [])
    assert served.ask("GET", "/", **header).status == 200, "that it lives is no secret"


def test_without_the_token_nothing_is_searched(clock: Clock) -> None:
    token = "a-token-of-some-length"
    with Served(lambda: HttpApi(Played, clock=clock, token=token)) as service:
        for given in ({}, {"Authorization": "Bearer x"}, {"Authorization": token}, {"Authorization": "Basic " + token}):
            assert service.ask("GET", path(), **given).status == 401
        assert service.api.searcher.started == []
        assert service.ask("GET", path(), Authorization=f"Bearer {token}").status == 201
        assert service.ask("GET", "/").status == 200
        answers = []
        remote = RemotePow([service.url], token=token, note=answers.append)
        assert remote.send(service.url + path()).status == 201
        assert RemotePow([service.url]).send(service.url + path()).status == 401


def test_numbers_of_any_length_are_no_groups(served: Served) -> None:
    for group in ("9" * 101, "9" * 5000, "+" + "0" * 200, "%D9%A1", "-1"):
        assert served.ask("GET", path(group)).status == 400


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


def test_a_search_goes_on_where_it_rested(workers: Callable[..., Worker], emitted: Emitted) -> None:
    worker = workers()
    hard = job(0, HARD)
    worker.start(hard)
    wait_for(lambda: worker._search is not None and worker._search.hashes > 40)
    worker.stop(hard)
    worker.start(job(1))
    assert emitted.next() == (job(1), 0)
    rested = worker._reached[hard]
    assert rested > 0
    worker.start(hard)
    wait_for(lambda: worker._search is not None and worker._search.reached >= rested)
    assert worker._reached == {}


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
    has_memory(monkeypatch, 1 << 30)
    RandomX(None, 1).check()
    RandomX("light", 1).check()
    with pytest.raises(EnvironmentFault, match=r"2336 MiB, 1024 MiB are available.*--randomx-mode light"):
        RandomX("fast", 1).check()
    # what the machine's owner has set aside in large pages is no memory for others, and enough for the data set
    monkeypatch.setattr("kernels.randomx.free_large_pages", lambda: 3 << 30)
    RandomX("fast", 1, large_pages=True).check()


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
