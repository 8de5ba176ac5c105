"""Whole nodes on loopback, over their hosts: they meet, and what a client gives one of them the other has too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from api.edge.errors import EnvironmentFault, UsageError
from api.node import peers
from api.node.composition import Composition, Parts
from api.node.start import prepared
from node.assembly.parameters import parameters_of
from node.mempool import transactions
from node.p2p.host.parameters import Framing
from node.p2p.host.thread import HostThread
from node.p2p.wire import backup, multiaddr, peer_id
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.key_file import PeerKey
from node.runtime.clock import SetClock
from protocol.params.config.network import P2P
from protocol.params.config.networks import MAINNET, STANDALONE
from protocol.params.config.node import Config
from protocol.types.transactions import RawTx

from .standalone_node import GENESIS, NoListeners, config_of, wallet_of

LOOPBACK = P2P(listen=("/ip4/127.0.0.1/tcp/0",), private_network=True, min_peers=1)
PARAMETERS = parameters_of(config_of(Path("unused")))


def with_peers(settings: P2P) -> Config:
    return replace(STANDALONE, p2p=settings)


async def until(condition: Callable[[], object]) -> None:
    """Waits until something holds; the test's own limit ends it."""
    while not condition():
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, settings: P2P) -> AsyncIterator[Composition]:
    """A node with a host."""
    with prepared(config_of(folder), now_ns=GENESIS.unix_ns) as found:

        def host(clock: object, parameters: object) -> HostThread:
            return peers.host_of("node", with_peers(settings), PARAMETERS, found.peer, found.data.peer)

        node = Composition(found, Parts(host, NoListeners, SetClock(GENESIS.unix_ns)))  # type: ignore[arg-type]
        await node.start()
        try:
            await node.backend.ask(lambda rooms, view: None)
            yield node
        finally:
            await node.stop()


def address_of(node: Composition) -> str:
    assert isinstance(node.host, HostThread)
    (where,) = node.host.host.listening
    return f"{where}/p2p/{node.host.id}"


def test_a_transaction_comes_to_the_other_node_and_peers_are_known_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(running(tmp_path / "one", LOOPBACK))
            settings = replace(LOOPBACK, bootnodes=(address_of(one),))
            async with running(tmp_path / "other", settings) as other:
                await until(lambda: one.host.peers() and other.host.peers())
                (contact,) = one.host.contacts()
                assert contact.text == other.host.id
                assert isinstance(one.host, HostThread)
                await until(lambda: one.host.host.gossiping.router.mesh("tx1"))  # type: ignore[attr-defined]
                raw = wallet_of(one.prepared.config).spawn()
                assert (await one.backend.submit(raw)).is_accepted

                def is_there() -> bool:
                    with other.backend.view() as view:
                        return transactions.has(view, RawTx.of(raw).id, with_header=True)

                await until(is_there)
            await until(lambda: not one.host.peers())
            kept = peers.read_backup(tmp_path / "other" / "p2p" / peers.BACKUP)
            assert [peer_id.to_text(peer.id) for peer in kept] == [one.host.id]
            async with running(tmp_path / "other", LOOPBACK) as again:  # without a bootnode
                await until(lambda: again.host.peers())

    asyncio.run(main())


def test_the_settings_of_the_main_network_are_those_of_a_host() -> None:
    found = peers.host_parameters(MAINNET, parameters_of(MAINNET))
    assert found.prologue == b"9eebff023abb17ccb775c602daade8ed708f0a50-8063"
    assert len(found.bootnodes) == len(MAINNET.p2p.bootnodes) == 10
    assert found.topics == ("ax1", "pp1", "tx1", "bc1", "mp1", "/h/3.0")
    assert found.protocols["hs/1"] is Framing.ENVELOPE
    assert [str(one) for one in found.listen] == ["/ip4/0.0.0.0/tcp/7513"]
    assert len(found.gater.blocked) == 9
    assert found.clocks is not None and found.clocks.answers == 3
    standalone = peers.host_parameters(STANDALONE, PARAMETERS)
    assert set(standalone.topics) >= {"bp1", "bf1", "bo1", "bw1"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (P2P(listen=("nonsense",)), "p2p.listen: .*'nonsense'"),
        (P2P(bootnodes=("/ip4/1.2.3.4/tcp/5",)), "p2p.bootnodes: .*names no peer"),
        (P2P(low_peers=50, high_peers=40), "p2p.high-peers is 40"),
        (P2P(ip4_blocklist=("10.0.0.0/99",)), "p2p.ip4-blocklist"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings: P2P, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        peers.host_parameters(with_peers(settings), PARAMETERS)


def test_a_port_that_is_taken_is_an_error_of_the_environment(tmp_path: Path) -> None:
    key = PeerKey(bytes(32))
    first = peers.host_of("node", with_peers(LOOPBACK), PARAMETERS, key, tmp_path)
    try:
        taken = replace(LOOPBACK, listen=tuple(str(one) for one in first.host.listening))
        with pytest.raises(EnvironmentFault, match="Another program uses the port"):
            peers.host_of("node", with_peers(taken), PARAMETERS, key, tmp_path)
    finally:
        first.close()
        first.close()


def test_a_backup_that_is_damaged_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / peers.BACKUP
    assert peers.read_backup(path) == []
    known = [KnownPeer(PeerKey(bytes(32)).id, (multiaddr.from_text("/ip4/1.2.3.4/tcp/5"),))]
    peers.keep(path, known)
    assert peers.read_backup(path) == known
    path.write_bytes(backup.encode(known)[:-1])
    with caplog.at_level(logging.WARNING, "p2p"):
        assert peers.read_backup(path) == []
        assert "found by the bootnodes" in caplog.text
        peers.keep(tmp_path / "not" / "there", known)
        assert "cannot be written" in caplog.text
