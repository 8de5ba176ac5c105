"""Remote k2pow: every answer of a service, several services, checks of what they say, stops, and the same proof."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.clients.k2pow import RemotePow, check_url
from api.clients.poet.errors import Unreachable
from api.http.client import Answer
from api.services.k2pow.app import HttpApi
from api.services.k2pow.worker import RandomX, Worker
from kernels.randomx import Memory
from prover.errors import EnvironmentFault, Interrupted, UsageError
from prover.post.proof.pow import search
from prover.post.proof.prove import ProveParams, Prover
from tests.prover.post.proof.test_prove import K1, K2, data_set
from tests.support.served import Served
from tests.vector_cases.post_verify import machines, pow_hash

CHALLENGE, NODE, ANY = bytes(range(32)), b"\x07" * 32, b"\xff" * 32
ONE, TWO = "http://one:3000", "http://two:3000"

Said = Answer | Unreachable


class Services:
    """Services that answer as a table says; the last answer of a job is repeated."""

    def __init__(self, **answers: list[Said]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    def __call__(self, url: str) -> Answer:
        host, _, rest = url.removeprefix("http://").partition(":3000")
        group = rest.split("/")[3]
        with self._lock:
            self.asked.append(url)
            said = self._answers.get(f"{host}{group}", self._answers.get(host, []))
            answer = said.pop(0) if len(said) > 1 else said[0]
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.01)
        with self._lock:
            self.at_once -= 1
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    def hosts(self) -> list[str]:
        """Who was asked, in order."""
        return [url.removeprefix("http://").partition(":")[0] for url in self.asked]


def remote(services: Callable[[str], Answer], *urls: str, **named: Any) -> RemotePow:
    return RemotePow(urls or (ONE,), send=services, **{"backoff_s": 0.0, **named})


def found(power: int) -> Answer:
    return Answer(200, str(power).encode())


RUNS, BUSY, GONE = Answer(201), Answer(429), Unreachable("Connection refused")


def test_all_groups_of_a_pass_and_their_paths() -> None:
    services = Services(one0=[RUNS, RUNS, found(5)], one1=[BUSY, RUNS, found(6)], one2=[found((1 << 64) - 1)])
    arrived: dict[int, int] = {}
    solutions = remote(services).search(CHALLENGE, NODE, ANY, range(3), arrived.__setitem__)
    assert solutions == arrived == {0: 5, 1: 6, 2: (1 << 64) - 1}
    assert f"{ONE}/job/{'07' * 32}/2/0001020304050607/{'ff' * 32}" in services.asked
    assert len(services.asked) == 7


def test_not_more_jobs_at_once_than_asked_for() -> None:
    services = Services(one=[found(1)])
    remote(services, parallelism=2).search(CHALLENGE, NODE, ANY, range(18))
    assert services.most_at_once == 2
    assert len(services.asked) == 18


def test_nothing_to_search() -> None:
    assert remote(Services()).search(CHALLENGE, NODE, ANY, ()) == {}


def test_a_service_out_of_reach_is_tried_again_and_told_of_once() -> None:
    notes: list[str] = []
    services = Services(one=[GONE, GONE, RUNS, GONE, found(3)])
    assert remote(services, note=notes.append).search(CHALLENGE, NODE, ANY, [4]) == {4: 3}
    assert notes == [f"The k2pow service {ONE} cannot be reached: Connection refused. It is tried again."]


@pytest.mark.parametrize(
    "answer, text",
    [
        (Answer(500, b"memory is short"), "answered 500 Internal Server Error (memory is short)"),
        (Answer(400, b"Invalid URL: x"), "answered 400 Bad Request (Invalid URL: x)"),
        (Answer(404), "answered 404 Not Found."),
        (Answer(299), "answered 299 status code 299"),
        (Answer(200, b""), "answered '', expected a whole number"),
        (Answer(200, b"-1"), "answered '-1'"),
        (Answer(200, b"18446744073709551616"), "expected a whole number below 2^64"),
        (Answer(200, b"\xff" * 1000), "expected a whole number"),
    ],
)
def test_every_other_answer_ends_the_search_in_words(answer: Answer, text: str) -> None:
    services = Services(one=[RUNS, answer])
    with pytest.raises(EnvironmentFault) as caught:
        remote(services).search(CHALLENGE, NODE, ANY, range(3))
    assert text in str(caught.value)
    assert f": {ONE} answered " in str(caught.value) and "nonce group" in str(caught.value)


def test_a_busy_service_gives_its_place_to_the_next() -> None:
    services = Services(one=[BUSY], two=[RUNS, found(9)])
    assert remote(services, ONE, TWO).search(CHALLENGE, NODE, ANY, [0]) == {0: 9}
    assert services.hosts() == ["one", "two", "two"]


def test_jobs_begin_at_different_services() -> None:
    services = Services(one=[found(1)], two=[found(2)])
    assert remote(services, ONE, TWO).search(CHALLENGE, NODE, ANY, range(4)) == {0: 1, 1: 2, 2: 1, 3: 2}


def test_a_failing_service_is_left_out_as_long_as_there_is_another() -> None:
    notes: list[str] = []
    services = Services(one=[Answer(500, b"broken")], two=[BUSY, BUSY, RUNS, found(9)])
    assert remote(services, ONE, TWO, note=notes.append).search(CHALLENGE, NODE, ANY, [0]) == {0: 9}
    assert services.hosts() == ["one", "two", "two", "two", "two"]
    assert len(notes) == 1 and "(broken)" in notes[0] and "Another one is asked" in notes[0]
    both = Services(one=[Answer(500, b"broken")], two=[Answer(500, b"too")])
    with pytest.raises(EnvironmentFault, match=r"one:3000 .*\(broken\); .*two:3000 .*\(too\)"):
        remote(both, ONE, TWO).search(CHALLENGE, NODE, ANY, [0])


def test_a_wrong_solution_is_found_at_once() -> None:
    difficulty = b"\x0f" + b"\xff" * 31
    right = search(machines().memory, 0, CHALLENGE, NODE, difficulty)
    services = Services(one=[found(right + 1)], two=[found(right)])
    with pytest.raises(EnvironmentFault, match=f"answered {right + 1}, which is no solution"):
        remote(services, ONE, pow_hash=pow_hash).search(CHALLENGE, NODE, difficulty, [0])
    assert remote(services, ONE, TWO, pow_hash=pow_hash).search(CHALLENGE, NODE, difficulty, [0]) == {0: right}
    assert remote(services, ONE).search(CHALLENGE, NODE, difficulty, [0]) == {0: right + 1}


@pytest.mark.parametrize("backoff_s", [0.01, 60.0])
def test_a_stop_ends_the_wait_at_once(backoff_s: float) -> None:
    client = remote(Services(one=[RUNS]), backoff_s=backoff_s)
    threading.Timer(0.3, client.stop).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        client.search(CHALLENGE, NODE, ANY, range(18))
    assert time.monotonic() - began < 10
    with pytest.raises(Interrupted):
        client.search(CHALLENGE, NODE, ANY, [0])


def test_a_stop_does_not_wait_for_a_service_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = RemotePow([f"http://127.0.0.1:{silent.getsockname()[1]}"])
        threading.Timer(0.3, client.stop).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            client.finder(CHALLENGE, NODE, ANY, 64)(0)
        assert time.monotonic() - began < 10


def test_one_search_can_be_stopped_alone() -> None:
    client = remote(Services(one1=[RUNS], one0=[found(4)]))
    running = client.begin(CHALLENGE, NODE, ANY, [0, 1])
    assert running.find(0) == 4
    running.stop()
    with pytest.raises(Interrupted):
        running.find(1)
    assert client.search(CHALLENGE, NODE, ANY, [0]) == {0: 4}


def test_after_close_randomx_is_not_used_any_more() -> None:
    closed = False

    def hashed(data: bytes) -> bytes:
        time.sleep(0.05)
        assert not closed, "the memory would be gone"
        return bytes(32)

    client = remote(Services(one0=[RUNS], one=[found(1)]), pow_hash=hashed)
    client.begin(CHALLENGE, NODE, ANY, range(100))
    time.sleep(0.12)
    client.close()
    closed = True
    time.sleep(0.2)
    assert client._running == set()


def test_the_finder_asks_for_the_rest_of_the_pass_once() -> None:
    services = Services(one=[found(1)])
    find = remote(services).finder(CHALLENGE, NODE, ANY, 64)
    assert [find(group) for group in (2, 3)] == [1, 1]  # groups 0 and 1 were saved
    assert sorted(url.split("/")[5] for url in services.asked) == ["2", "3"]
    assert [find(group) for group in (4, 5, 6, 7)] == [1] * 4
    assert sorted(url.split("/")[5] for url in services.asked[2:]) == ["4", "5", "6", "7"]
    assert [find(252), find(255)] == [1, 1]


def test_the_finder_begins_anew_after_a_failure() -> None:
    services = Services(one=[Answer(500, b"broken"), found(1)])
    find = remote(services, parallelism=1).finder(CHALLENGE, NODE, ANY, 64)
    with pytest.raises(EnvironmentFault):
        find(0)
    assert find(0) == 1


@pytest.mark.parametrize(
    "url",
    ["", "x", "127.0.0.1:3000", "ftp://x", "http://", "http://x:y", "http://x:99999", "http://x:0", "http://x/?a"],
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError, match="expected http"):
        check_url(url, "The k2pow service")


@pytest.mark.parametrize("named", [{"urls": ()}, {"urls": (ONE,), "parallelism": 0}])
def test_numbers_that_cannot_be(named: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RemotePow(**named)


def test_the_same_proof_for_the_same_pows(tmp_path: Path) -> None:
    """Two services of ours, another one out of reach, against a search on this machine."""
    storage, metadata = data_set(tmp_path, 6000, 1000, 1)
    difficulty = b"\x3f" + b"\xff" * 31
    params = ProveParams(K1, K2, 64, 1)
    memory: Memory = machines().memory

    def here(group: int) -> int:
        return search(memory, group, CHALLENGE, metadata.node_id, difficulty)

    expected = Prover(storage, metadata, CHALLENGE, params, here).run()

    def service() -> HttpApi:
        return HttpApi(lambda emit: Worker(RandomX("light", 1), 1, emit))

    with Served(service) as one, Served(service) as two, socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
        gone.close()
        urls = [one.url, f"{two.url}/", f"http://127.0.0.1:{port}"]
        client = RemotePow(urls, backoff_s=0.05, pow_hash=pow_hash)
        finder = client.finder(CHALLENGE, metadata.node_id, difficulty, params.nonces)
        assert Prover(storage, metadata, CHALLENGE, params, finder).run() == expected
        client.close()
        assert one.api.searcher.memory.state == two.api.searcher.memory.state == "light"  # both had a share
