"""A recorded chain taken up by a whole node, layer by layer: chain/devnet_*.json. `tests.support.recorded_chain`.

An identity that publishes twice in an epoch is malicious from then on, as the specification says. The recorded program
wrote no proof and weighed its ballots as before: what its tortoise thought of layers after that is not asserted, what
was applied in them is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from node.activation.tables import ATXS, POSTS, StoredAtx
from node.beacon.machine import BEACONS
from node.blocks.metadata import NO_MESH_HASH, AgreedProposal, metadata
from node.certificates.tables import CERTIFICATES
from node.ledger import state
from node.ledger.tables import LAYERS, REWARDS
from node.malfeasance.tables import PROOFS, malicious
from node.mesh.mesh import GENESIS_MESH_HASH
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES, VALIDITY
from protocol.types.ballots import Ballot
from protocol.types.blocks import InnerBlock
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_ATX_ID,
    EMPTY_BLOCK_ID,
    AtxId,
    BallotId,
    BlockId,
    EpochId,
    LayerId,
    NodeId,
    ProposalId,
    as_hash32,
)
from tests.support.recorded_chain import RecordedChain, Replay
from tests.vector_cases.harness import Case, Context, Later, not_understood, unknown_sections, vectors
from tests.vector_cases.vm_support import account, differing

SECTIONS = (
    "meta", "config", "atxs", "posts", "poet_proofs", "ballots", "activesets", "beacons", "blocks", "certificates",
    "layers", "transactions", "rewards", "accounts", "malfeasance", "marriages",
)  # fmt: skip
RELATIONS = ("transaction_addresses", "block_transactions")
RESTARTS = 20


@vectors("chain/devnet_*.json", variants=False)
def taken_up(document: Any, context: Context) -> Iterator[Any]:
    if "ballots" not in document:
        return  # a part of a record: what the ledger needs
    for item in unknown_sections(document, SECTIONS, RELATIONS):
        if not isinstance(item, Later):
            yield item
    if document["marriages"]:
        yield not_understood("marriages", "no record with marriages is known to this check")
    checks = Checks(document)
    yield Case("activations", checks.activations)
    yield Case("ballots and active sets", checks.ballots)
    yield Case("beacons that ballots report", checks.beacons)
    yield Case("certificates", checks.certificates)
    yield Case("blocks follow from ballots", checks.blocks)
    yield Case("layers: blocks, state roots, mesh hashes", checks.layers)
    yield Case("balances and rewards", checks.balances)
    yield Case(f"started again {RESTARTS} times", checks.started_again)
    yield Case("after the clean part", checks.beyond)


class Checks:
    """What is asserted of one chain. The replays are made when they are first needed."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.chain = RecordedChain(document)
        self.clean: Callable[[], Replay] = cache(lambda: self._replay(self.chain.clean))
        self.whole: Callable[[], Replay] = cache(lambda: self._replay(self.chain.last))

    def _replay(self, until: LayerId) -> Replay:
        replay = Replay(self.chain)
        replay.run(until)
        return replay

    def _rows(self, section: str, until: LayerId, layer: str = "layer") -> Iterator[Any]:
        found = [row for row in self.document[section] if row[layer] <= until]
        assert found, f"no {section} up to layer {until}"
        yield from found

    def activations(self) -> None:
        """All are taken, with what the recorded node has stored of them."""
        replay = self.whole()
        view = replay.view()
        for row in self.document["atxs"]:
            id = AtxId(bytes.fromhex(row["id"]))
            assert replay.verdicts[Hint.ATX, id].is_accepted, f"ATX {row['id']}: {replay.verdicts[Hint.ATX, id]}"
            stored = view.get(ATXS, id)
            assert stored is not None
            differing(_said(stored), {name: row[name] for name in _said(stored)}, f"ATX {row['id']}")
        for row in self.document["posts"]:
            post = view.get(POSTS, (AtxId(bytes.fromhex(row["atxid"])), NodeId(bytes.fromhex(row["smesher"]))))
            assert post is not None
            previous = None if post.previous == EMPTY_ATX_ID else post.previous.hex()
            found = (previous, post.previous_index, post.units, post.publish_epoch)
            expected = (row["prev_atxid"], row["prev_atx_index"], row["units"], row["publish_epoch"])
            differing(found, expected, f"post of {row['atxid']}")
        differing(_judged(replay, Hint.POET), {"accept": len(self.document["poet_proofs"])}, "PoET proofs")

    def ballots(self) -> None:
        """All are taken, and so are the active sets that they name."""
        replay = self.whole()
        view = replay.view()
        for row in self.document["ballots"]:
            id = BallotId(bytes.fromhex(row["id"]))
            verdict = replay.verdicts[Hint.BALLOT, as_hash32(id)]
            assert verdict.is_accepted, f"ballot {row['id']}: {verdict}"
            stored = view.get(BALLOTS, id)
            assert stored is not None and Ballot.codec.encode(stored).hex() == row["encoded"]
        differing(_judged(replay, Hint.ACTIVE_SET), {"accept": len(self.document["activesets"])}, "active sets")

    def beacons(self) -> None:
        """The first one was published; all others are found in ballots."""
        view, last = self.whole().view(), self.chain.parameters.time.epoch_of(self.chain.last)
        for row in self.document["beacons"]:
            if row["epoch"] <= last:
                differing((view.get(BEACONS, EpochId(row["epoch"])) or b"").hex(), row["beacon"], f"{row['epoch']}")

    def certificates(self) -> None:
        """All are taken: the seats of every certifier are drawn anew from the active set."""
        view = self.whole().view()
        for row in self.document["certificates"]:
            if row["encoded"]:
                stored = view.get(CERTIFICATES, (LayerId(row["layer"]), BlockId(bytes.fromhex(row["block"]))))
                assert stored is not None and stored.certificate is not None, f"layer {row['layer']}"
                assert stored.is_valid is bool(row["valid"]), f"layer {row['layer']}"

    def blocks(self) -> None:
        """Rewards and tick height are those of the layer's ballots."""
        replay = self.whole()
        view, parameters = replay.view(), self.chain.parameters
        by_atx = {(row["layer"], row["atx"]): row for row in self.document["ballots"]}
        for row in self.document["blocks"]:
            block = InnerBlock.codec.decode(bytes.fromhex(row["encoded"]))
            agreed = []
            for reward in block.rewards:
                ballot = Ballot.codec.decode(bytes.fromhex(by_atx[block.layer, reward.atx_id.hex()]["encoded"]))
                agreed.append(
                    AgreedProposal(
                        ProposalId(ballot.id()),
                        ballot.inner.atx_id,
                        ballot.inner.ref_ballot,
                        ballot.inner.epoch_data,
                        len(ballot.eligibility_proofs),
                        NO_MESH_HASH,
                        (),
                    )
                )
            made = metadata(view, parameters.blocks, replay.node.rooms.atxs, block.layer, agreed)
            differing(made.rewards, tuple(block.rewards), f"rewards of layer {block.layer}")
            differing(made.tick_height, block.tick_height, f"tick height of layer {block.layer}")

    def layers(self) -> None:
        """What was applied, and what the tortoise thought of it."""
        view, genesis = self.clean().view(), self.chain.parameters.time.effective_genesis
        # the opinion of the last layers depends on what came after them
        settled = LayerId(min(self.chain.clean, self.chain.applied - self.chain.parameters.tortoise.hdist))
        for row in self._rows("layers", self.chain.clean):
            layer = LayerId(row["layer"])
            hash = view.get(MESH_HASHES, layer)
            if layer <= settled:
                differing(None if hash is None else hash.hex(), row["aggregated_hash"], f"mesh hash of layer {layer}")
            if layer > genesis:
                self._applied(view.get(LAYERS, layer), row)
        assert view.get(MESH_HASHES, genesis) == GENESIS_MESH_HASH
        validity = self.whole().view()
        for row in self._rows("blocks", settled):
            decided = {1: True, -1: False, None: None}[row["validity"]]
            assert validity.get(VALIDITY, BlockId(bytes.fromhex(row["id"]))) is decided, f"block {row['id']}"

    def _applied(self, applied: Any, row: Any) -> None:
        found = (applied.block.hex(), applied.state_hash.hex()) if applied is not None else None
        expected = (row["applied_block"] or EMPTY_BLOCK_ID.hex(), row["state_hash"])
        differing(found, expected, f"block and state root of layer {row['layer']}")

    def balances(self) -> None:
        """Every version of every account, and every reward."""
        view = self.whole().view()
        for row in self.document["accounts"]:
            one = account({**row, "layer": row["layer_updated"]})
            differing(state.account(view, one.address, one.layer), one, f"account at layer {one.layer}")
        for row in self.document["rewards"]:
            reward = view.get(REWARDS, (LayerId(row["layer"]), NodeId(bytes.fromhex(row["smesher"]))))
            assert reward is not None
            found = (reward.coinbase.hex(), str(reward.total_reward), str(reward.layer_reward))
            differing(found, (row["coinbase"], row["total_reward"], row["layer_reward"]), f"reward {row['layer']}")

    def started_again(self) -> None:
        """Killed at any turn and begun again on its stores, the node comes to the same rows."""
        straight, cut = self.clean(), Replay(self.chain)
        cut.restart_every = straight.turns // (RESTARTS + 5)
        cut.run(self.chain.clean)
        assert cut.restarts >= RESTARTS, f"{cut.restarts} restarts"
        ours, theirs = straight.everything(), cut.everything()
        differing(sorted(key.hex() for key in ours.keys() ^ theirs.keys()), [], "rows of one only")
        differing([key.hex() for key in ours if ours[key] != theirs[key]], [], "rows that differ")

    def beyond(self) -> None:
        """Who broke the rules is marked, and weighs nothing in ballots from then on; the state goes on."""
        replay = self.whole()
        view, tortoise = replay.view(), replay.node.rooms.tortoise.inner
        proven = {NodeId(bytes.fromhex(row["smesher"])) for row in self.document["malfeasance"]}
        differing(set(malicious(view)), set(self.chain.malicious), "malicious identities")
        differing(set(view.keys(PROOFS)), proven, "identities with a proof")
        assert replay.sent == 0, "who only looks on says nothing"
        for row in self.document["ballots"]:
            ballot = tortoise.state.ballots[BallotId(bytes.fromhex(row["id"]))]
            since = self.chain.malicious.get(NodeId(bytes.fromhex(row["smesher"])))
            is_marked = since is not None and row["layer"] > since
            assert (ballot.weight == 0) is is_marked, f"ballot {row['id']} of layer {row['layer']}"
        for row in self.document["layers"]:
            if row["state_hash"] is not None:
                self._applied(view.get(LAYERS, LayerId(row["layer"])), row)
        for row in self.document["blocks"]:
            assert view.has(BLOCKS, BlockId(bytes.fromhex(row["id"]))), f"block {row['id']}"


def _judged(replay: Replay, kind: Hint) -> dict[str, int]:
    """How many objects of a kind had which verdict."""
    found: Counter[str] = Counter()
    for (channel, judgement, _), count in replay.node.engine.counts.items():
        if channel == kind:
            found[judgement] += count
    return dict(found)


def _said(stored: StoredAtx) -> dict[str, object]:
    """As the record has it."""
    return {
        "publish_epoch": stored.publish_epoch,
        "version": stored.version,
        "smesher": stored.smesher.hex(),
        "coinbase": stored.coinbase.hex(),
        "effective_num_units": stored.units,
        "commitment_atx": None if stored.commitment_atx is None else stored.commitment_atx.hex(),
        "vrf_nonce": str(stored.vrf_nonce),
        "base_tick_height": str(stored.base_height),
        "tick_count": str(stored.ticks),
        "weight": str(stored.weight),
        "sequence": stored.sequence,
        "received_ns": str(stored.received),
        "validity": stored.validity,
        "marriage_atx": None if stored.marriage_atx is None else stored.marriage_atx.hex(),
    }
