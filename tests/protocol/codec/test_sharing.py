"""What nodes of one process share is what each would have worked out, and is forgotten."""

from __future__ import annotations

import pytest

from protocol.codec import sharing
from protocol.codec.declare import CodecError
from protocol.codec.sharing import Recent, once
from protocol.types.hare import HareEligibility, IterRound
from protocol.types.ids import VrfSignature

ROUND = IterRound(1, 2)
SEATS = HareEligibility(VrfSignature(bytes(80)), 3)


def test_a_message_is_decoded_once_and_only_while_it_is_shared() -> None:
    data = HareEligibility.codec.encode(SEATS)
    with sharing.sharing():
        first = HareEligibility.codec.decode(data)
        assert HareEligibility.codec.decode(bytes(bytearray(data))) is first == SEATS
    assert HareEligibility.codec.decode(data) is not first
    with sharing.sharing():
        assert HareEligibility.codec.decode(data) is not first


def test_a_record_is_encoded_once() -> None:
    with sharing.sharing():
        data = HareEligibility.codec.encode(SEATS)
        assert HareEligibility.codec.encode(SEATS) is data
        assert HareEligibility.codec.encode(HareEligibility(SEATS.proof, 4)) != data
    assert HareEligibility.codec.encode(SEATS) == data


def test_kinds_of_records_are_kept_apart() -> None:
    with sharing.sharing():
        data = IterRound.codec.encode(ROUND)
        assert IterRound.codec.decode(data) == ROUND
        with pytest.raises(CodecError):
            HareEligibility.codec.decode(data)
        with pytest.raises(CodecError):  # a refusal stays one
            HareEligibility.codec.decode(data)


def test_levels_of_nesting_are_not_mixed_up() -> None:
    with sharing.sharing():
        assert HareEligibility.codec.decode(HareEligibility.codec.encode(SEATS)) == SEATS
        assert IterRound.codec.decode(b"\x04\x08", nesting=4) == ROUND


def test_what_follows_from_a_record_is_worked_out_once() -> None:
    asked: list[IterRound] = []

    @once
    def absolute(one: IterRound) -> int:
        asked.append(one)
        return one.absolute()

    assert absolute(ROUND) == absolute(ROUND) == 9 and len(asked) == 2
    with sharing.sharing():
        assert absolute(ROUND) == absolute(ROUND) == 9 and len(asked) == 3
        assert absolute(IterRound(1, 3)) == 10


def test_what_was_not_asked_for_is_forgotten() -> None:
    recent = Recent(10)
    for number in range(100):
        recent.put(number, str(number))
        assert recent.get(0) == "0"  # asked for all the time
        assert len(recent) <= 20
    assert recent.get(50) is None and recent.get(99) == "99"
