"""Published documents: which is asked for, what is kept on disk and how, what a server may do to us."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from api.http.answers import Answer, Request
from api.http.client import ClientLimits, HttpClient
from api.http.server import HttpServer
from api.node.ports.bootstrap import Documents
from api.node.ports.calls import Calls
from node.bootstrap.document import VERSION
from node.contract.demands import BootstrapDocument, Failed, Result
from node.contract.instants import Instant
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId
from tests.support.served import Served

EPOCH = EpochId(7)
TIME = NetworkTime(0, SECOND, 10, 19)
WAIT_S = 30.0


def document(epoch: int = EPOCH, beacon: str = "f70cf90b", active_set: list[str] | None = None) -> bytes:
    fields = {"version": VERSION, "data": {"epoch": {"number": epoch, "beacon": beacon, "activeSet": active_set}}}
    return json.dumps(fields).encode()


class Publisher:
    """A server of documents, by the ends of their names."""

    def __init__(self) -> None:
        self.server = HttpServer(self._answer, log=logging.getLogger("publisher"))
        self.documents: dict[str, bytes] = {}
        self.status = 404
        self.asked: list[str] = []

    def close(self) -> None:
        """Nothing is held."""

    async def _answer(self, request: Request) -> Answer:
        self.asked.append(request.route)
        found = self.documents.get(request.route.rpartition("/epoch-7-update-")[2])
        return Answer(self.status, b"not here") if found is None else Answer(200, found)


class Asker:
    """Calls as the engine makes them."""

    def __init__(self, url: str, directory: Path, limits: ClientLimits, now: int) -> None:
        self.now = now
        self.answers: asyncio.Queue[Result] = asyncio.Queue()
        self.calls = Calls(asyncio.get_running_loop(), lambda call, result: self.answers.put_nowait(result))
        self.documents = Documents(
            url, VERSION, directory, self.calls, TIME, lambda: Instant(self.now), client=HttpClient(limits)
        )

    async def ask(self, epoch: EpochId = EPOCH) -> Result:
        self.documents.document(1, BootstrapDocument(epoch))
        return await self.answers.get()


def run(
    test: Callable[[Publisher, Asker], Awaitable[None]],
    directory: Path,
    *,
    publisher: Publisher | None = None,
    path: str = "/bootstrap/",
    limits: ClientLimits | None = None,
    url: str | None = None,
) -> None:
    """A publisher over a real socket, and somebody who asks it in the seventh epoch."""
    with Served(lambda: publisher or Publisher()) as served:

        async def main() -> None:
            asker = Asker(served.url + path if url is None else url, directory, limits or ClientLimits(), 75 * SECOND)
            async with asyncio.timeout(WAIT_S):
                await test(served.api, asker)
                await asker.calls.close()

        asyncio.run(main())


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_a_document_with_everything_is_all_that_is_asked_for(tmp_path: Path) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents = {"bs": document(), "bc": document(beacon="00000000")}
        assert await asker.ask() == document()
        again = await asker.ask()
        assert isinstance(again, Failed) and again.reason == "not_found"
        assert publisher.asked == ["/bootstrap/epoch-7-update-bs"]

    run(test, tmp_path / "bootstrap")


def test_beacon_and_active_set_may_come_one_after_the_other(tmp_path: Path) -> None:
    ids = ["c79ab96a0a2df73af90cdff87e92a64ee6ee8197d37ba0dbc1773eb5bdcdfced"]

    async def test(publisher: Publisher, asker: Asker) -> None:
        missing = await asker.ask()
        assert isinstance(missing, Failed) and missing.reason == "not_found"
        assert [one[-2:] for one in publisher.asked] == ["bs", "bc", "as"]
        publisher.documents["bc"] = document()
        assert await asker.ask() == document()
        publisher.documents["as"] = document(beacon="00000000", active_set=ids)
        assert await asker.ask() == document(beacon="00000000", active_set=ids)
        publisher.asked.clear()
        assert isinstance(await asker.ask(), Failed)
        assert [one[-2:] for one in publisher.asked] == ["bs"], "what was had is not asked for again"

    run(test, tmp_path / "bootstrap")


def test_files_lie_where_the_original_keeps_them_and_are_read_at_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "bootstrap"

    async def first(publisher: Publisher, asker: Asker) -> None:
        publisher.documents["bc"] = document()
        await asker.ask()

    async def second(publisher: Publisher, asker: Asker) -> None:
        assert await asker.ask() == document()
        assert publisher.asked == []

    run(first, directory)
    assert files(directory) == ["7/epoch-7-update-bc"]
    assert stat.S_IMODE((directory / "7").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "7/epoch-7-update-bc").stat().st_mode) == 0o400
    run(second, directory)


@pytest.mark.parametrize("content", [b"", b"no document", document(epoch=8), b"[" * 3000])
def test_a_damaged_file_is_downloaded_again(tmp_path: Path, content: bytes) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents["bs"] = document()
        assert await asker.ask() == document()

    (tmp_path / "7").mkdir()
    (tmp_path / "7/epoch-7-update-bs").write_bytes(content)
    run(test, tmp_path)
    assert (tmp_path / "7/epoch-7-update-bs").read_bytes() == document()


@pytest.mark.parametrize("content", [b"no document", document(epoch=8)])
def test_what_is_no_document_is_given_to_whoever_asked_and_not_kept(tmp_path: Path, content: bytes) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents["bs"] = content
        assert await asker.ask() == content
        publisher.documents["bs"] = document()
        assert await asker.ask() == document(), "it may be mended"

    run(test, tmp_path)
    assert files(tmp_path) == ["7/epoch-7-update-bs"]


def test_an_empty_answer_is_none_and_another_status_is_read_as_a_document(tmp_path: Path) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents = {"bs": b"", "bc": b"", "as": b""}
        empty = await asker.ask()
        assert isinstance(empty, Failed) and empty.reason == "not_found"
        publisher.documents, publisher.status = {}, 500
        assert await asker.ask() == b"not here"

    run(test, tmp_path)
    assert files(tmp_path) == []


def test_files_of_other_epochs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("3", "5", "6", "8", "9", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        (tmp_path / name / "file").chmod(0o400)
    (tmp_path / "readme").write_text("x")

    async def test(publisher: Publisher, asker: Asker) -> None:
        await asker.ask()

    run(test, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["6", "8", "notes", "readme"]


def test_an_answer_without_end_and_a_server_that_is_not_there(tmp_path: Path) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents["bs"] = b"x" * 100_000
        found = await asker.ask()
        assert isinstance(found, Failed) and found.reason == "unreachable" and "above" in found.detail

    run(test, tmp_path, limits=ClientLimits(answer_bytes=50_000))


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "file:///etc", "", "http://", "http://[::1", "http://127.0.0.1:1/"]
)
def test_addresses_that_cannot_be_asked(tmp_path: Path, url: str) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        found = await asker.ask()
        assert isinstance(found, Failed) and found.reason == "unreachable" and found.detail

    run(test, tmp_path, url=url)


def test_a_server_that_is_away_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(publisher: Publisher, asker: Asker) -> None:
        for epoch in (6, 7, 8):
            await asker.ask(EpochId(epoch))

    run(test, tmp_path, url="http://127.0.0.1:1/")
    assert caplog.text.count("cannot be had") == 1


def test_a_disk_that_takes_nothing_costs_a_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "bootstrap"
    place.write_text("no directory")

    async def test(publisher: Publisher, asker: Asker) -> None:
        publisher.documents["bs"] = document()
        assert await asker.ask() == document()

    run(test, place)
    assert "cannot be" in caplog.text
