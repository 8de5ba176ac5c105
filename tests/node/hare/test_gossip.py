"""Graded gossip against a plain model that adds everything up anew, and what the protocol does where it is attacked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.hare.gossip import Gossip, HareInput, Value
from node.hare.parameters import FIRST, grade
from node.hare.protocol import HareProtocol, reference_of
from protocol.types.hare import HareRound, IterRound
from protocol.types.ids import EdSignature, Hash32, NodeId, ProposalId, VrfSignature

IDS = [ProposalId(bytes([number]) * 20) for number in range(4)]
COMMIT = IterRound(0, HareRound.COMMIT)
MOMENTS = [FIRST, *(IterRound(0, round) for round in range(2, 8)), *(IterRound(1, round) for round in range(1, 8))]


def message(
    sender: int,
    at: IterRound,
    *proposals: ProposalId,
    reference: Hash32 | None = None,
    count: int = 1,
    atx_grade: int = 5,
    is_malicious: bool = False,
    body: int = 0,
    proof: int = 1,
) -> HareInput:
    proof_bytes = VrfSignature(proof.to_bytes(80, "little"))
    hash = Hash32(bytes([sender, at.iter, at.round, body]) * 8)
    node = NodeId(bytes([sender]) * 32)
    signature = EdSignature(bytes(64))
    return HareInput(node, at, proposals, reference, hash, proof_bytes, count, atx_grade, is_malicious, signature)


class Plain:
    """The same rules, written as the specification says them."""

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self.kept: dict[tuple[IterRound, NodeId], tuple[HareInput, IterRound, bool]] = {}

    def receive(self, now: IterRound, one: HareInput) -> bool:
        key = (one.at, one.sender)
        if key not in self.kept:
            self.kept[key] = (one, now, one.is_malicious)
            return True
        known, received, is_marked = self.kept[key]
        if is_marked or known.hash == one.hash:
            return False
        better = one.atx_grade > known.atx_grade
        self.kept[key] = (one, now, True) if better else (known, received, True)
        return True

    def tally(self, target: IterRound, least: int) -> list[Value]:
        rows = [row for (at, _), row in self.kept.items() if at == target and grade(row[1], target) >= least]
        lowest = min([5, *(one.atx_grade for one, _, is_marked in rows if not is_marked)])
        total: dict[Value, int] = {}
        valid: dict[Value, int] = {}
        for one, _, is_marked in rows:
            if one.atx_grade < lowest:
                continue
            values: list[Value] = list(one.proposals) if one.reference is None else [one.reference]
            for value in values:
                total[value] = (total.get(value, 0) + one.count) % 2**16
                valid[value] = (valid.get(value, 0) + one.count * (not is_marked)) % 2**16
        return sorted(value for value in total if total[value] >= self.threshold and valid[value] > 0)  # type: ignore[type-var]


messages = st.tuples(
    st.sampled_from(MOMENTS),
    st.builds(
        lambda sender, proposals, count, atx_grade, is_malicious, body, is_commit: message(
            sender,
            COMMIT if is_commit else FIRST,
            *(() if is_commit else proposals),
            reference=reference_of(proposals) if is_commit else None,
            count=count,
            atx_grade=atx_grade,
            is_malicious=is_malicious,
            body=body,
        ),
        st.integers(0, 5),
        st.lists(st.sampled_from(IDS), max_size=5),
        st.sampled_from([0, 1, 3, 7, 40_000, 65_535]),
        st.integers(0, 5),
        st.booleans(),
        st.integers(0, 2),
        st.booleans(),
    ),
)


@settings(max_examples=300)
@given(st.lists(messages, max_size=25))
def test_sums_that_are_kept_in_step_are_those_added_up_anew(steps: list[tuple[IterRound, HareInput]]) -> None:
    ours, plain = Gossip(10), Plain(10)
    for now, one in steps:
        assert ours.receive(now, one)[0] == plain.receive(now, one)
        for least in (1, 3, 5):
            assert list(ours.proposals(FIRST, least)) == plain.tally(FIRST, least)
            assert list(ours.references(COMMIT, least)) == plain.tally(COMMIT, least)


def test_a_third_message_of_an_equivocator_is_not_relayed() -> None:
    protocol = HareProtocol(10)
    outcomes = [protocol.on_input(message(1, FIRST, IDS[0], body=body, atx_grade=g)) for body, g in ((0, 4), (1, 5))]
    third = protocol.on_input(message(1, FIRST, IDS[0], body=2, atx_grade=3))
    assert [relayed for relayed, _ in outcomes] == [True, True]
    assert outcomes[0][1] is None and outcomes[1][1] is not None
    assert third == (False, None)
    assert protocol.messages == 1


def test_equivocation_is_proven_with_the_message_that_was_there_first() -> None:
    protocol = HareProtocol(10)
    for atx_grade in (4, 5):
        first = message(atx_grade, FIRST, IDS[0], body=0, atx_grade=4)
        second = message(atx_grade, FIRST, IDS[1], body=1, atx_grade=atx_grade)
        protocol.on_input(first)
        _, proof = protocol.on_input(second)
        assert proof is not None and (proof.first, proof.second) == (first, second)


def agree(protocol: HareProtocol, *prerounds: HareInput) -> list[tuple[ProposalId, ...] | None]:
    """Run a committee of two honest members, one of whom is this node; the results in their order."""
    results: list[tuple[ProposalId, ...] | None] = []
    for _ in range(24):
        output = protocol.next()
        if output.result is not None:
            results.append(output.result)
        if output.executed == FIRST:
            for one in prerounds:
                protocol.on_input(one)
        elif output.said is not None:
            for sender, proof in ((1, 9), (2, 8)):
                said = output.said
                protocol.on_input(
                    message(sender, said.at, *said.proposals, reference=said.reference, count=6, proof=proof)
                )
        if output.is_terminated:
            return results
    raise AssertionError("hare does not end")


def test_members_who_say_the_same_agree_on_it_and_go_on_for_one_iteration() -> None:
    prerounds = [message(sender, FIRST, *IDS[:2], count=6) for sender in (1, 2)]
    assert agree(HareProtocol(10), *prerounds) == [tuple(IDS[:2])]


def test_what_only_liars_support_is_not_proposed() -> None:
    liar = message(3, FIRST, *IDS[2:], count=11, is_malicious=True)
    honest = [message(sender, FIRST, *IDS[:2], count=6) for sender in (1, 2)]
    assert agree(HareProtocol(10), liar, *honest) == [tuple(IDS[:2])]


def test_an_empty_preround_ends_with_an_empty_result() -> None:
    assert agree(HareProtocol(10), message(1, FIRST, count=11)) == [()]


def test_without_messages_there_is_never_a_result() -> None:
    protocol = HareProtocol(10)
    for _ in range(40):
        output = protocol.next()
        assert output.result is None and not output.is_terminated and output.coin is None
