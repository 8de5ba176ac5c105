"""Two identities whose proofs are made elsewhere: from their keys and a PoST service to verified rows of the node."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from api.node.composition import Composition, Parts
from api.node.identities import Mode
from api.node.serving import Services
from api.node.smeshing import Remote
from api.node.start import prepared
from node.activation.smeshing.tables import INITIAL_POSTS
from node.contract.instants import Instant
from node.p2p.memory import MemoryNetwork
from node.runtime.clock import SetClock
from protocol.crypto.signing import Signer
from protocol.numbers.durations import SECOND
from protocol.params.config.node import Config
from protocol.params.config.services import PoetServer
from protocol.types import address
from protocol.types.ids import NodeId
from prover.post.init.plan import Request
from tests.support.post_served import Service, settings_for
from tests.support.smeshing_world import Shared
from tests.vector_cases.post_support import initialise

from .standalone_node import GENESIS, config_of

KEYS = {"a.key": Signer(b"\x01" * 32), "b.key": Signer(b"\x02" * 32)}
WAIT_S = 120.0


def remote(folder: Path) -> Config:
    config = config_of(folder / "data")
    coinbase = address.to_text(address.generate(bytes(20)), config.main.network_hrp)
    loopback = "127.0.0.1:0"
    return replace(
        config,
        main=replace(config.main, poet_servers=(PoetServer("http://127.0.0.1:1"),)),
        smeshing=replace(config.smeshing, coinbase=coinbase, start=False),
        api=replace(
            config.api,
            grpc_public_listener=loopback,
            grpc_private_listener=loopback,
            grpc_post_listener=loopback,
            grpc_json_listener="",
        ),
    )


def make(folder: Path, config: Config, key: Signer) -> Path:
    """Data of one unit, bound to the golden activation."""
    request = Request(
        key.public_key,
        config.genesis.identity.golden_atx,
        labels_per_unit=config.post.labels_per_unit,
        num_units=config.post.min_numunits,
        max_file_size=1 << 20,
        scrypt_n=config.smeshing.opts.scrypt.n,
        k1=config.post.k1,
    )
    initialise(folder, request)
    return folder


def test_initial_proofs_of_both_identities_are_made_fetched_and_verified(tmp_path: Path) -> None:
    config = remote(tmp_path)
    identities = tmp_path / "data" / "identities"
    identities.mkdir(parents=True, mode=0o700)
    for name, key in KEYS.items():
        (identities / name).write_text(key.identity_text())
        (identities / name).chmod(0o600)
    data = [make(tmp_path / name, config, key) for name, key in KEYS.items()]

    async def main() -> None:
        clock = SetClock(GENESIS.unix_ns - 3600 * SECOND)
        with prepared(config, now_ns=clock.now()) as found:
            assert found.identities.mode is Mode.REMOTE
            node = Composition(
                found, Parts(lambda of, parameters: MemoryNetwork(of).host(), Services, clock, make_tools=Shared)
            )
            await node.start()
            try:
                assert isinstance(node.smeshing, Remote) and not node.smeshing.is_supervised
                await proven(node, clock, config, data)
            finally:
                await node.stop()

    asyncio.run(main())


async def proven(node: Composition, clock: SetClock, config: Config, data: list[Path]) -> None:
    """Until there is a verified initial proof of everybody."""
    post = config.post
    settings = settings_for(
        f"http://{node.addresses['post']}",
        k1=post.k1,
        k2=post.k2,
        pow_difficulty=post.pow_difficulty,
        scrypt_n=config.smeshing.opts.scrypt.n,
        operator_address=None,
    )
    service = Service(settings, *data)
    await asyncio.to_thread(service.__enter__)
    try:
        async with asyncio.timeout(WAIT_S):
            while len(rows := verified(node)) < len(KEYS):
                clock.set(Instant(clock.now() + SECOND))
                node.driver.wake()
                await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(service.stop)
    assert rows == {NodeId(key.public_key) for key in KEYS.values()}


def verified(node: Composition) -> set[NodeId]:
    with node.backend.view() as view:
        return {identity for identity, row in view.scan(INITIAL_POSTS) if row.is_verified}
