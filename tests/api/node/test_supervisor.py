"""Smeshing of the node itself: what is started, in which order, and what is told when it ends by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.node.child import NICENESS, Child, Hear
from api.node.ports.keys import NodeKeys
from api.node.post_data import SMALL_FILES, delete
from api.node.post_program import program
from api.node.smeshing import Remote
from api.node.supervisor import Supervised
from api.services.node.smeshing import SetupOptions, SetupState, SmeshingRefused
from node.contract.demands import HeldSpace, ProvenPost
from prover.post.proof import prove
from tests.support.smeshing_world import GOLDEN, ME, Coinbase, PostNode, World, own, serve, small

WAIT_S = 120.0


def run(tmp_path: Path, test: Callable[[World], Awaitable[None]], **named: Any) -> None:
    async def main() -> None:
        world = World(tmp_path, **named)
        async with asyncio.timeout(WAIT_S):
            await test(world)
            await world.supervised.close()

    asyncio.run(main())


def test_labels_are_made_then_proofs_are(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        supervised = world.supervised
        assert supervised.setup().state is SetupState.NOT_STARTED and supervised.identities() == []
        await supervised.start(ME, world.options(provider=4294967295))
        init = await world.next()
        assert world.chosen == [own().node_id] and world.events == ["init_start"]
        words = " ".join(world.commands[0])
        assert f"--node-id {own().node_id.hex()} --commitment-atx-id {GOLDEN.hex()} --num-units 2" in words
        assert "--max-file-size 1024" in words and words.endswith("--cpu") and "-m smesher init --json" in words
        assert supervised.setup().state is SetupState.IN_PROGRESS
        assert world.keys.smeshing.signers() == (), "not before its data is there"
        world.make()
        init.end(0)
        service = await world.next()
        assert world.events == ["init_start", "init_complete", "post_service_started"]
        assert supervised.setup() == replace(
            supervised.setup(),
            state=SetupState.COMPLETE,
            labels_written=128,
            options=world.options(provider=4294967295),
        )
        assert supervised.identities() == [(own().node_id, "local.key")] == world.keys.smeshing.named()
        words = " ".join(world.commands[1])
        assert (
            "-m smesher post-service --json --address http://127.0.0.1:1 --min-num-units 1 --max-num-units 8" in words
        )
        assert f"--watch-pid {os.getpid()} --max-retries 10" in words and "--randomx-mode light" in words
        with pytest.raises(SmeshingRefused, match="post service already started"):
            await supervised.start(ME, world.options())
        await supervised.stop(delete_files=False)
        assert service.stopped and world.events[-1] == "post_service_stopped"
        assert not supervised.is_smeshing and world.keys.smeshing.signers() == () and len(world.keys.signers()) == 1
        assert len(list(world.directory.glob("postdata_*.bin"))) == 2, "the data stays"

    run(tmp_path, test)


def test_complete_data_starts_no_init_and_looks_at_no_device(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.make()
        await world.supervised.start(ME, world.options())
        assert world.keys.smeshing.named() == world.supervised.identities() == [(own().node_id, "local.key")]
        await world.next()
        assert "post-service" in world.commands[0] and world.chosen == []
        assert world.events == ["post_service_started"]

    run(tmp_path, test)


def test_data_that_is_begun_keeps_its_commitment(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.make()
        (world.directory / "postdata_1.bin").unlink()
        await world.supervised.start(ME, world.options(max_file_size=4096))
        await world.next()
        assert world.chosen == [] and GOLDEN.hex() in world.commands[0]
        assert "--max-file-size" not in world.commands[0], "the files keep their size"

    run(tmp_path, test)


def test_a_service_that_ends_by_itself_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        world.make()
        await world.supervised.start(ME, world.options())
        (await world.next()).end(-9)
        second = await world.next()
        assert world.events == ["post_service_started", "post_service_stopped", "post_service_started"]
        world.failing = [FileNotFoundError(2, "No such file or directory", "/x")]
        second.end(1)
        await world.next()
        assert len(world.commands) == 4, "the third one could not be started"

    run(tmp_path, test)
    assert "code -9" in caplog.text and "started again" in caplog.text


def test_what_a_service_says_is_logged_at_its_level(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign = replace(small().post_service, post_service_cmd=sys.executable)

    async def test(world: World) -> None:
        world.make()
        await world.supervised.start(ME, world.options())
        service = await world.next()
        said = getattr(service, "hear_output", None) or service.hear
        for line in (
            json.dumps({"event": "log", "level": "warning", "message": "of ours"}),
            "[2026-11-30T18:00:00Z ERROR post_service] of theirs",
            "[2026-11-30T18:00:00Z INFO post_service] 0 ERRORS so far",
            "bare \x1b[2J words",
        ):
            said(line)

    with caplog.at_level("INFO", "postService"):
        run(tmp_path, test)
        run(tmp_path / "foreign", test, config=replace(small(), post_service=foreign))
    levels = {one.getMessage(): one.levelname for one in caplog.records}
    assert levels["of ours"] == "WARNING"
    assert levels["[2026-11-30T18:00:00Z ERROR post_service] of theirs"] == "ERROR"
    assert levels["[2026-11-30T18:00:00Z INFO post_service] 0 ERRORS so far"] == "INFO"
    assert "\x1b" not in caplog.text


def test_labels_that_are_not_made_are_told_of_and_tried_again(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.supervised.start(ME, world.options())
        first = await world.next()
        assert first.hear_output is not None
        first.hear_output("no JSON")
        first.hear_output(json.dumps({"event": "error", "code": 3, "message": "The disk is full."}))
        first.end(3)
        second = await world.next()
        assert world.events == ["init_start", "init_failed", "init_start"]
        second.end(2)
        while world.supervised._task is not None and not world.supervised._task.done():
            await asyncio.sleep(0)
        assert world.supervised.setup().state is SetupState.ERROR
        assert len(world.commands) == 2, "what was asked for makes no sense: nobody tries that again"
        await world.supervised.start(ME, world.options())
        await world.next()

    run(tmp_path, test)


def test_data_that_is_spoilt_meanwhile_is_told_of_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        await world.supervised.start(ME, world.options())
        init = await world.next()
        world.make()
        (world.directory / "postdata_metadata.json").write_text("{")
        init.end(1)
        while "postdata_metadata.json" not in caplog.text:
            await asyncio.sleep(0)
        world.make_anew()
        await world.next()

    run(tmp_path, test)
    assert "tried again" in caplog.text and "Traceback" not in caplog.text


def test_a_start_waits_for_the_stop_before_it(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.make()
        await world.supervised.start(ME, world.options())
        await world.next()
        stopping = asyncio.ensure_future(world.supervised.stop(delete_files=True))
        await asyncio.sleep(0)
        await world.supervised.start(ME, world.options())
        assert stopping.done(), "what it deletes is the data of before"
        await world.next()
        assert "init" in world.commands[-1]

    run(tmp_path, test)


def test_data_of_somebody_else_is_refused_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.make(own(2))
        with pytest.raises(SmeshingRefused, match="NodeId"):
            await world.supervised.start(ME, world.options())
        assert world.commands == [] and world.supervised.setup().state is SetupState.NOT_STARTED

    run(tmp_path, test)


def test_a_stop_ends_the_making_of_labels_and_it_goes_on_later(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.supervised.start(ME, world.options())
        init = await world.next()
        await world.supervised.stop(delete_files=False)
        assert init.stopped and world.supervised.setup().state is SetupState.PAUSED
        with pytest.raises(SmeshingRefused, match="not started"):
            await world.supervised.stop(delete_files=False)
        await world.supervised.start(ME, world.options())
        await world.next()

    run(tmp_path, test)


def test_only_data_is_deleted(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.make()
        (world.directory / "notes.txt").write_text("mine")
        (world.directory / "identity.key").write_text("secret")
        await world.supervised.start(ME, world.options())
        await world.next()
        await world.supervised.stop(delete_files=True)
        assert {"identity.key", "notes.txt"} <= set(os.listdir(world.directory)) <= {
            "identity.key", "notes.txt", "smesher.lock"
        }  # fmt: skip
        assert world.supervised.setup().state is SetupState.NOT_STARTED
        delete(tmp_path / "nothing")
        assert prove.STATE_NAME in SMALL_FILES

    run(tmp_path, test)


def test_it_begins_by_itself_where_that_is_configured(tmp_path: Path) -> None:
    config = small()
    smeshing = replace(config.smeshing, start=True)
    opts = replace(smeshing.opts, datadir=str(tmp_path / "post"))

    async def test(world: World) -> None:
        await world.supervised.begin()
        await world.next()
        assert world.supervised.setup().options == SetupOptions(str(tmp_path / "post"), 2, 1024, 4294967295)

    run(tmp_path, test, config=replace(config, smeshing=replace(smeshing, opts=opts)))


def test_what_is_wrong_at_the_start_does_not_end_the_node(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = small()
    smeshing = replace(config.smeshing, start=True)
    opts = replace(smeshing.opts, datadir=str(tmp_path / "post"), numunits=99)

    async def test(world: World) -> None:
        await world.supervised.begin()
        assert world.events == ["init_failed"] and world.commands == []

    run(tmp_path, test, config=replace(config, smeshing=replace(smeshing, opts=opts)))
    assert "Smeshing does not begin" in caplog.text and "99" in caplog.text


def test_nothing_begins_by_itself_where_nobody_said_so(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.supervised.begin()
        assert world.commands == [] and world.supervised.is_smeshing

    run(tmp_path, test)


def test_without_a_listener_nobody_could_connect(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.address = ""
        with pytest.raises(SmeshingRefused, match="grpc-post-listener"):
            await world.supervised.start(ME, world.options())

    run(tmp_path, test)


def test_the_program_that_is_configured(tmp_path: Path) -> None:
    service = small().post_service
    assert program(service)[-2:] == ["post-service", "--json"]
    assert program(replace(service, post_service_cmd=sys.executable)) == [sys.executable]
    with pytest.raises(SmeshingRefused, match="PostServiceCmd"):
        program(replace(service, post_service_cmd=str(tmp_path / "missing")))


def test_a_remote_node_smeshes_for_all_as_soon_as_there_is_a_coinbase(tmp_path: Path) -> None:
    async def main() -> None:
        keys = NodeKeys([own(2, "b.key"), own(3, "a.key")], tmp_path)
        names = [(own(3).node_id, "a.key"), (own(2).node_id, "b.key")]
        without = Remote(keys.smeshing, Coinbase())
        assert without.identities() == names and keys.smeshing.signers() == ()
        with pytest.raises(SmeshingRefused, match="not started"):
            await without.stop(delete_files=False)
        with_one = Remote(keys.smeshing, Coinbase(ME))
        assert len(keys.smeshing.signers()) == 2
        keys.add(own(4, "c.key"))
        assert len(keys.smeshing.signers()) == 3
        await with_one.stop(delete_files=False)
        assert keys.smeshing.signers() == () and len(with_one.identities()) == 3
        with pytest.raises(SmeshingRefused):
            await with_one.start(ME, SetupOptions("x", 1, 1))

    asyncio.run(main())


# ---- real programs ----


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_child_is_heard_line_by_line_however_long_they_are() -> None:
    async def main() -> None:
        errors, output = list[str](), list[str]()
        text = "import sys; print('a'); print('x' * 300000); print('b', end=''); print('\\xff', file=sys.stderr)"
        text += "; import os; print(os.nice(0))"
        child = await Child.start(python(text), errors.append, output.append)
        assert await child.wait() == 0
        assert [line[:3] for line in output] == ["a", "xxx", f"b{min(os.nice(0) + NICENESS, 19)}"]
        assert len(output[1]) == 8 << 10
        assert len(errors) == 1
        await child.stop()

    asyncio.run(main())


def test_a_child_that_does_not_want_to_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.node.child.STOP_S", 0.2)

    async def main() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)"
        text += "; time.sleep(600)"
        child = await Child.start(python(text), heard.put_nowait, heard.put_nowait)
        assert await heard.get() == "on"
        await child.stop()
        await child.stop()
        assert await child.wait() == -9

    asyncio.run(main())


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(Child.start(["/nowhere/post-service"], print))


@pytest.mark.slow
def test_from_nothing_to_a_proof_with_our_own_programs(tmp_path: Path) -> None:
    async def main() -> None:
        node = PostNode(poll_s=0.05)
        server, port = await serve(node)
        world = World(tmp_path)
        world.address = f"127.0.0.1:{port}"
        children: list[Child] = []

        async def launch(words: Sequence[str], hear: Hear, hear_output: Hear | None) -> Child:
            children.append(await Child.start(words, hear, hear_output))
            return children[-1]

        supervised = Supervised(world.around, launch=launch, back_off_s=0.01, clock_ns=lambda: 5)
        async with asyncio.timeout(WAIT_S):
            await supervised.start(ME, world.options(provider=4294967295))
            await node.connected()
            assert supervised.setup().state is SetupState.COMPLETE and supervised.setup().labels_written == 128
            node.post.prove(1, own().node_id, bytes(32))
            call, found = await node.result()
            assert call == 1 and isinstance(found, ProvenPost), found
            assert (found.commitment_atx, found.num_units) == (GOLDEN, 2) and found.vrf_nonce is not None
            os.kill(children[-1].pid, signal.SIGKILL)
            while node.post.connected():
                await asyncio.sleep(0.01)
            await node.connected()
            assert len(children) == 3, "it was started again"
            node.post.describe(2, own().node_id)
            assert await node.result() == (2, HeldSpace(GOLDEN, 2))
            await supervised.stop(delete_files=True)
        runs = ["post_service_started", "post_service_stopped"]
        assert world.events == ["init_start", "init_complete", *runs, *runs]
        await server.stop(0)

    asyncio.run(main())
