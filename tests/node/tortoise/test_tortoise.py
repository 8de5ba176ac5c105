"""What the specification says of the tortoise in words: an honest network, one that is cut, one that lies."""

from __future__ import annotations

import pytest

from node.tortoise.ballots import EpochClaim, TortoiseBallot
from node.tortoise.errors import BallotRefused, CannotVote, VotesRefused
from node.tortoise.parameters import HistoricalWindow, TortoiseParameters
from node.tortoise.recovery import recover
from node.tortoise.state import NO_OPINION, AtxInfo
from node.tortoise.thresholds import crosses, decide, expected_weight_between, global_threshold
from node.tortoise.tortoise import Tortoise
from node.tortoise.trace import AtxTable, median
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block, walk
from protocol.numbers.fixed import FRACTION_BITS
from protocol.types.ballots import Opinion, Vote, Votes
from protocol.types.ids import EMPTY_BALLOT_ID, AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId
from protocol.types.opinions import opinion_hash
from tests.node.tortoise.network import Network, parameters


def block_id(number: int) -> BlockId:
    return BlockId(bytes([number]) + bytes(19))


def test_an_honest_network_verifies_every_layer_but_the_last() -> None:
    network = Network(parameters())
    for _ in range(60):
        network.step()
        network.take()
        assert network.tortoise.verified == network.layer - 1
        assert not network.tortoise.is_full


def test_a_window_that_shrinks_by_more_than_half_leaves_every_layer_its_number() -> None:
    """The reference confuses layers then, and stands still for as many layers as the window has lost."""
    historical = HistoricalWindow(LayerId(0), LayerId(40), 20)
    network = Network(parameters(window=8, historical=[historical]))
    for _ in range(60):
        network.step()
        network.take()
        state = network.tortoise.state
        assert network.tortoise.verified == network.layer - 1
        assert {layer.number for layer in state.layers.values()} == set(range(state.evicted + 1, network.layer + 1))
        assert all(number == layer.number for number, layer in state.layers.items())
    assert state.evicted == network.layer - 1 - 8 - 1


def test_what_is_below_the_window_is_let_go_of() -> None:
    network = Network(parameters(window=10))
    for _ in range(200):
        network.step()
        network.take()
    state = network.tortoise.state
    assert len(state.layers) <= 10 + 4
    assert len(state.ballots) == sum(len(layer.ballots) for layer in state.layers.values())
    for ballot in state.ballots.values():
        assert min(votes.layer for votes in walk(ballot.votes)) >= state.evicted - 64
    assert len(state.epochs) <= 5
    assert all(epoch >= state.evicted // 5 for epoch in network.atxs.epochs)


@pytest.mark.parametrize("outage", [3, 6, 15])
def test_hare_that_does_not_end_is_overcome(outage: int) -> None:
    network = Network(parameters(window=100))
    for _ in range(10):
        network.step()
    for _ in range(outage):
        network.step(hare=None)
    for _ in range(30):
        network.step()
    assert network.tortoise.verified == network.layer - 1


@pytest.mark.parametrize("voters", [0, 1])
def test_without_enough_votes_nothing_is_verified_until_they_are_back(voters: int) -> None:
    network = Network(parameters(window=100))
    for _ in range(10):
        network.step()
    for _ in range(10):
        network.step(voters=voters)
    assert network.tortoise.verified < network.layer - 1
    for _ in range(60):
        network.step()
    assert network.tortoise.verified >= network.layer - 2


def test_floats_never_decide_what_exact_weights_decide_otherwise() -> None:
    """The same run with and without the shortcut for settled layers, with thresholds that come close to the margins."""
    for seed in range(6):
        with_shortcut, without = (Network(parameters(window=30), smeshers=6, seed=seed) for _ in range(2))
        for step in range(80):
            voters = 6 if step % 11 else 3 + seed % 3
            for network in (with_shortcut, without):
                network.step(voters=voters, hare=None if step % 17 == 5 else True)
            state = without.tortoise.state
            without.tortoise.verifying.settled = state.evicted
            assert with_shortcut.tortoise.updates() == without.tortoise.updates()
            assert with_shortcut.tortoise.verified == without.tortoise.verified
            assert with_shortcut.tortoise.is_full == without.tortoise.is_full
            if step % 3 == 0:
                with_shortcut.take()
                without.take()


def test_votes_that_stop_at_settled_layers_are_those_of_the_whole_walk() -> None:
    fast, slow = (Network(parameters(window=40), smeshers=4) for _ in range(2))
    for step in range(70):
        for network in (fast, slow):
            network.step(hare=None if step % 13 == 7 else True, coin=step % 2 == 0)
            network.take()
        before = slow.tortoise.verifying.settled
        slow.tortoise.verifying.settled = slow.tortoise.state.evicted
        assert fast.tortoise.encode_votes() == slow.tortoise.encode_votes()
        slow.tortoise.verifying.settled = before


class Rows:
    """What a node that ran `network` has stored."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def last_ballot_layer(self) -> LayerId:
        return max(self.network.ballots)

    def last_applied(self) -> LayerId:
        return max(self.network.opinions)

    def last_valid(self) -> LayerId | None:
        valid = [vote.layer for votes in self.network.blocks.values() for vote in votes if self._is_valid(vote)]
        return max(valid, default=None)

    def _is_valid(self, vote: Vote) -> bool:
        return self.network.validity.get(vote.id, False)

    def last_atx_epoch(self) -> EpochId:
        return EpochId(max(self.network.atxs.epochs) - 1)

    def opinion(self, layer: LayerId) -> Hash32 | None:
        return self.network.opinions.get(layer)

    def atxs(self, epoch: EpochId) -> list[AtxInfo]:
        return list(self.network.atxs.epochs.get(epoch, {}).values())

    def beacon(self, epoch: EpochId) -> Beacon | None:
        return self.network.beacon(epoch)

    def malicious(self) -> list[NodeId]:
        return []

    def blocks(self, layer: LayerId) -> list[tuple[Vote, bool]]:
        return [(vote, self._is_valid(vote)) for vote in self.network.blocks.get(layer, [])]

    def hare_output(self, layer: LayerId) -> BlockId | None:
        return self.network.hare.get(layer)

    def ballots(self, layer: LayerId) -> list[TortoiseBallot]:
        return self.network.ballots.get(layer, [])

    def coin(self, layer: LayerId) -> bool | None:
        return self.network.coins.get(layer)


@pytest.mark.parametrize("layers", [3, 12, 33, 70, 120])
@pytest.mark.parametrize("window", [20, 1000])
def test_a_tortoise_that_starts_again_goes_on_as_if_it_had_not_stopped(layers: int, window: int) -> None:
    network = Network(parameters(window=window))
    for step in range(layers):
        network.step(hare=None if step % 9 == 4 else True)
        network.take()
    recovered = recover(network.parameters, network.atxs, Rows(network), network.layer)
    before = network.tortoise
    assert recovered.verified == before.verified
    assert [one for one in recovered.updates() if one.is_verified] == []
    assert recovered.encode_votes().hash == before.encode_votes().hash
    network.tortoise = recovered
    for _ in range(30):
        network.step()
        network.take()
    assert recovered.verified == network.layer - 1


def test_nothing_stored_is_a_tortoise_at_genesis() -> None:
    network = Network(parameters())
    network.ballots = {LayerId(0): []}
    network.opinions = {LayerId(0): NO_OPINION}
    network.blocks, network.atxs.epochs = {}, {EpochId(2): network.atxs.epochs[EpochId(2)]}
    recovered = recover(network.parameters, network.atxs, Rows(network), LayerId(0))
    assert recovered.state.processed == network.parameters.effective_genesis


# ---- known answers of the specification ----


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([[(1, 10)]], "9792d675f91bda454356c00761f0ee7e4fad33f075f5c02cfd11730f0199f3ed"),
        ([[(1, 100)]], "fdae510822088f67d47f8229d7971212973688d310c87144a154e8b51d787b4e"),
        ([[(1, 100), (2, 100)]], "c0d65bb2f64a870c3f067bbc6e06ded4437ec95616b7bc61ee52fd02fe9468d2"),
        ([[]], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ([None], "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        ([None, None], "58716d2accccc68182ffb06de20c77010061d694056defb23d2ad881d9367e16"),
        ([[], []], "82878ed8a480ee41775636820e05a934ca5c747223ca64306658ee5982e6c227"),
        ([[(1, 100)], [(2, 100)]], "88f75279f76898e958fba3409c60cee10967e04910bb97730e286531bbe7a757"),
        ([[(1, 100)], []], "ae4b107c6601034d18eb7b7817a330abe6ba8a82e58265ef503928050730cd14"),
    ],
)
def test_hashes_of_opinions(layers: list[list[tuple[int, int]] | None], expected: str) -> None:
    found = None
    for supported in layers:
        named = None if supported is None else [(block_id(number), height) for number, height in supported]
        found = opinion_hash(found, named)
    assert found is not None and found.hex() == expected


def weighted(weights: list[int], *, window: int = 1, historical: list[HistoricalWindow] | None = None) -> Tortoise:
    """Epochs of four layers from the second on, with these weights."""
    chosen = TortoiseParameters(4, LayerId(7), 10, 2, window, 1000, 4, historical or [])
    tortoise = Tortoise(chosen, AtxTable())
    for epoch, weight in enumerate(weights, 2):
        tortoise.on_atx(EpochId(epoch), NodeId(bytes(32)), weight)
    tortoise.state.local_threshold = 0
    return tortoise


def raw(weight: float) -> int:
    return int(weight * (1 << FRACTION_BITS))


@pytest.mark.parametrize(
    ("target", "last", "weights", "expected"),
    [
        (0, 2, [10], 5),
        (0, 4, [10], 10),
        (2, 7, [8, 12], 13),
        (2, 13, [4, 12, 12, 4], 27),
        (0, 8, [8, 12], 20),
    ],
)
def test_expected_weights(target: int, last: int, weights: list[int], expected: int) -> None:
    assert expected_weight_between(weighted(weights).state, 7 + target, 7 + last) == raw(expected)


@pytest.mark.parametrize(
    ("target", "processed", "last", "weights", "window", "historical", "expected"),
    [
        (0, 4, 4, [45], 1000, None, 15),
        (0, 2, 2, [45], 1000, None, 7.5),
        (0, 12, 12, [40, 40, 40], 1000, None, 40),
        (0, 3, 3, [40], 1000, None, 10),
        (1, 6, 6, [60, 60], 1000, None, 25),
        (0, -7, 4, [45], 2, None, 7.5),
        (0, 3, 4, [45], 2, None, 11.25),
        (0, -7, 8, [45, 45], 2, 4, 15),
    ],
)
def test_global_thresholds(
    target: int,
    processed: int,
    last: int,
    weights: list[int],
    window: int,
    historical: int | None,
    expected: float,
) -> None:
    past = [HistoricalWindow(LayerId(0), LayerId(11), historical)] if historical else None
    state = weighted(weights, window=window, historical=past).state
    state.processed, state.last = LayerId(7 + processed), LayerId(7 + last)
    assert global_threshold(state, LayerId(7 + target)) == raw(expected)


@pytest.mark.parametrize(
    ("heights", "expected"), [([], 0), ([10], 10), ([10, 20], 15), ([30, 10, 20], 20), ([30, 20, 10, 40], 25)]
)
def test_medians(heights: list[int], expected: int) -> None:
    assert median(heights) == expected


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([(7, 0)], [SUPPORT]),
        ([(3, 0)], None),
        ([(3, 10), (7, 20)], None),
        ([(7, 20), (3, 30)], [SUPPORT, AGAINST]),
        ([(3, 20), (7, 20)], None),
        ([(-7, 10), (7, 20)], [AGAINST, SUPPORT]),
        ([(7, 10), (3, 11), (7, 20)], [SUPPORT, AGAINST, SUPPORT]),
        ([(-7, 10), (3, 10), (7, 10)], None),
    ],
)
def test_decisions_about_a_layer(blocks: list[tuple[int, int]], expected: list[int] | None) -> None:
    threshold = raw(10) // 3
    made = [Block(block_id(number), LayerId(8), height) for number, (_, height) in enumerate(blocks)]
    for block, (margin, _) in zip(made, blocks, strict=True):
        block.margin = raw(margin)
    is_decided, has_changed = decide(made, lambda block: crosses(block.margin, threshold))
    assert (is_decided, has_changed) == (expected is not None, expected is not None)
    assert [block.validity for block in made] == (expected or [NEUTRAL] * len(blocks))


# ---- what is refused ----


def votes(**lists: object) -> Opinion:
    return Opinion(NO_OPINION, Votes(BallotId(bytes(20)), **lists))  # type: ignore[arg-type]


def test_votes_that_contradict_themselves_are_refused() -> None:
    network = Network(parameters())
    network.step()
    vote = Vote(block_id(1), LayerId(10), 5)
    cases = {
        "conflicting_votes": [
            votes(support=(vote, vote)),
            votes(support=(vote,), against=(vote,)),
            votes(against=(vote, Vote(vote.id, vote.layer, 6))),
        ],
        "conflict_abstain": [
            votes(support=(vote,), abstain=(LayerId(10),)),
            votes(abstain=(LayerId(10), LayerId(10))),
        ],
    }
    for reason, opinions in cases.items():
        for opinion in opinions:
            with pytest.raises(VotesRefused) as refused:
                network.tortoise.decode(network.ballot(network.nodes[0], LayerId(12), opinion))
            assert refused.value.reason == reason
    assert LayerId(12) not in network.tortoise.state.layers or not network.tortoise.state.layers[LayerId(12)].ballots


def test_ballots_that_stand_on_nothing_known_are_refused() -> None:
    network = Network(parameters())
    network.step()
    good = network.ballot(network.nodes[0], LayerId(11), network.tortoise.encode_votes())
    stranger = BallotId(b"?" * 20)

    def refusal(**changes: object) -> str:
        fields = {name: getattr(good, name) for name in TortoiseBallot.__slots__}
        with pytest.raises((BallotRefused, VotesRefused)) as refused:
            network.tortoise.decode(TortoiseBallot(**(fields | changes)))  # type: ignore[arg-type]
        return refused.value.reason

    wire = good.opinion.votes
    base = network.ballots[LayerId(10)][0].id
    assert refusal(opinion=Opinion(NO_OPINION, wire)) == "hash_mismatch"
    assert refusal(opinion=Opinion(NO_OPINION, Votes(stranger))) == "unknown_base"
    assert refusal(layer=LayerId(10), opinion=Opinion(NO_OPINION, Votes(base))) == "base_not_earlier"
    assert refusal(ref=stranger) == "cannot_decode"
    assert refusal(ref=None) == "no_reference"
    claim = EpochClaim(Beacon(bytes(4)), 5)
    assert refusal(ref=None, epoch_data=claim, atx_id=AtxId(bytes(32))) == "unknown_atx"
    assert refusal(ref=None, epoch_data=EpochClaim(Beacon(bytes(4)), 0)) == "no_reference"
    assert refusal(layer=network.tortoise.state.evicted) == "evicted"
    network.tortoise.store(network.tortoise.decode(good))
    with pytest.raises(BallotRefused, match="stored already"):
        network.tortoise.store(network.tortoise.decode(good))


def test_a_ballot_that_begins_at_an_evicted_genesis_is_refused_before_its_votes_are_unfolded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Network(parameters(window=8))
    for _ in range(30):
        network.step()
        network.take()
    tortoise = network.tortoise
    assert tortoise.state.evicted > tortoise.parameters.effective_genesis
    opinion = Opinion(Hash32(b"\1" * 32), Votes(EMPTY_BALLOT_ID))
    claim = EpochClaim(Beacon(bytes(4)), 5)
    layer, node = network.layer, network.nodes[0]
    atx = network.atx_id(EpochId(layer // tortoise.parameters.layers_per_epoch), node)
    ballot = TortoiseBallot(BallotId(b"\2" * 20), node, layer, atx, 1, opinion, claim)
    monkeypatch.setattr("node.tortoise.ballots.decode", lambda *_: pytest.fail("all layers since the genesis"))
    with pytest.raises(BallotRefused) as refused:
        tortoise.decode(ballot)
    assert refused.value.reason == "evicted_blocks"


def test_no_vote_is_cast_while_ballots_wait_for_a_beacon() -> None:
    network = Network(parameters())
    for _ in range(4):
        network.step()
    network.tortoise.state.epochs[EpochId(2)].beacon = None
    network.step()
    with pytest.raises(CannotVote) as refused:
        network.tortoise.encode_votes()
    assert refused.value.reason == "not_drained"
    network.tortoise.on_beacon(EpochId(2), network.beacon(EpochId(2)))
    network.tortoise.tally(network.layer)
    assert network.tortoise.verified == network.layer - 1


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"zdist": 5}, "hdist is 4"), ({"window": 0}, "window size is 0"), ({"layers_per_epoch": 0}, "layers per epoch")],
)
def test_parameters_that_cannot_be(changes: dict[str, int], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        parameters(**changes)  # type: ignore[arg-type]
