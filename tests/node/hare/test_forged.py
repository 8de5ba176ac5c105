"""Messages with forged fields, made from the declarations of the records, and damaged bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import pytest

from node.engine.edges import Judge
from node.malfeasance.tables import PROOFS
from protocol.types.hare import Hare3Message
from tests.fuzz.mutate import mutated
from tests.node.hare.words import (
    COMMIT,
    ME,
    NOTIFY,
    PREROUND,
    PROPOSE,
    REFERENCE,
    TOPIC,
    TOPIC_4,
    A,
    B,
    decoded,
    listening,
    short_word,
    signed,
    word,
)


def variants(value: object) -> Iterator[object]:
    """Other values in the place of one, and of everything in it, by its kind."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            for other in variants(getattr(value, field.name)):
                yield replace(value, **{field.name: other})
    elif value is None:
        yield REFERENCE
    elif isinstance(value, bytes):
        yield bytes([value[0] ^ 1, *value[1:]])
        yield bytes([*value[:-1], value[-1] ^ 0x80])
        yield bytes(len(value))
    elif isinstance(value, int):
        yield from (other for other in (value - 1, value + 1, 0, 255) if other not in (value, -1))
    elif isinstance(value, Sequence):
        yield ()
        yield tuple(value) + tuple(value[:1] or (bytes(20),))
        yield tuple(reversed(value))
        for position, inner in enumerate(value):
            for other in variants(inner):
                yield (*value[:position], other, *value[position + 1 :])
    else:
        raise AssertionError(f"{value!r}: how is it forged?")


SAMPLES_3 = {
    "preround": word(ME, PREROUND, 4, A.id, B.id),
    "propose": word(ME, PROPOSE, 4, A.id, B.id),
    "commit": word(ME, COMMIT, 4, reference=REFERENCE),
    "notify": word(ME, NOTIFY, 4, reference=REFERENCE),
}


@pytest.mark.parametrize("name", SAMPLES_3)
def test_a_message_with_a_forged_field_is_never_taken(name: str) -> None:
    one = listening()
    good = decoded(SAMPLES_3[name])
    forged = [other for other in variants(good) if other != good]
    assert len(forged) > 25
    for other in forged:
        assert isinstance(other, Hare3Message)
        verdict = one.hear(TOPIC, Hare3Message.codec.encode(other))
        assert verdict.reason in (
            "bad_signature", "no_session", "missing_reference", "unexpected_reference", "unknown_round",
        ), f"{verdict}: {other}"  # fmt: skip
    assert one.messages == 0 and not list(one.view().scan(PROOFS))
    assert one.hear(TOPIC, SAMPLES_3[name]).is_accepted


@pytest.mark.parametrize("name", SAMPLES_3)
def test_a_smesher_that_signs_what_is_not_its_own_is_not_taken_either(name: str) -> None:
    """Layer, round, seats and proof are bound to each other; only what it votes for is a smesher's to choose."""
    good = decoded(SAMPLES_3[name])
    assert isinstance(good, Hare3Message)
    bodies = [
        *(replace(good.body, layer=other) for other in variants(good.body.layer)),
        *(replace(good.body, iter_round=other) for other in variants(good.body.iter_round)),
        *(replace(good.body, eligibility=other) for other in variants(good.body.eligibility)),
    ]
    assert len(bodies) > 10
    one = listening()
    for body in bodies:
        verdict = one.hear(TOPIC, signed(ME, body))
        assert not verdict.is_accepted, f"{verdict}: {body}"
        assert verdict.reason in (
            "no_session", "not_eligible", "missing_reference", "unexpected_reference", "unknown_round",
        ), f"{verdict}: {body}"  # fmt: skip
    assert one.messages == 0


def test_a_short_message_with_a_forged_field_is_never_taken() -> None:
    """What the signature does not cover is how the short ids are ordered, and a full list beside them."""
    one = listening(number=4)
    one.answers = None
    data = short_word(ME, 4, [A, B])
    good = decoded(data, 4)
    sample = type(good).codec
    for other in variants(good):
        if other == good:
            continue
        message = one.gossip(TOPIC_4, sample.encode(other))
        one.turn(message)
        verdicts = [output.verdict for output in one.of(Judge) if output.message is message]
        value, known = other.body.value, good.body.value
        is_same = (
            replace(other, body=replace(other.body, value=known)) == good
            and sorted(value.compact_proposals) == sorted(known.compact_proposals)
            and value.reference is None
        )
        if is_same:
            assert verdicts[0].is_accepted or verdicts[0].reason == "dropped"
        else:
            assert not verdicts or not verdicts[0].is_accepted, f"{verdicts}: {other}"
    assert one.messages == 1


def test_damaged_bytes_get_a_verdict_and_leave_nothing_behind() -> None:
    dice = Random(3)
    for number, topic, samples in (
        (3, TOPIC, list(SAMPLES_3.values())),
        (4, TOPIC_4, [short_word(ME, 4, [A, B]), short_word(ME, 4, [])]),
    ):
        one = listening(number=number)
        for _ in range(400):
            data = mutated(dice.choice(samples), dice)
            if data not in samples:
                one.turn(one.gossip(topic, data))
        assert (topic, "ignore", "fault") not in one.engine.counts
        assert one.messages <= (0 if number == 3 else 1)
