"""VRF proofs of a simulated network: in batches or one by one, each is what its key makes of its input."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kernels.signatures import ecvrf_proving
from node.contract.checks import NetworkChecker, VrfCheck
from node.sim.keys import SharedChecker, SimKey
from node.sim.proving import SharedProver
from protocol.crypto import signing

GENESIS = bytes(20)


@pytest.fixture(scope="module", autouse=True)
def _batches() -> None:
    ecvrf_proving.prepare()
    signing.prepare()


def keys_of(count: int) -> list[SimKey]:
    return [SimKey(1, number, GENESIS) for number in range(count)]


def test_what_a_second_key_proves_all_have_proven() -> None:
    keys, judged = keys_of(5), list[VrfCheck]()
    prover = SharedProver(keys, judged.extend)
    assert prover.prove(keys[0], b"round") == keys[0].prove(b"round") and not judged
    assert prover.prove(keys[3], b"round") == keys[3].prove(b"round")
    assert {check.public_key for check in judged} == {key.identity for key in keys}
    assert all(NetworkChecker(GENESIS).vrf_proofs(judged))
    before = len(judged)
    for key in keys:
        assert prover.prove(key, b"round") == key.prove(b"round")
    assert len(judged) == before


def test_what_is_expected_is_made_together() -> None:
    keys, batches = keys_of(2), list[Sequence[VrfCheck]]()
    prover = SharedProver(keys, batches.append)
    wanted = [(keys[0], b"slot %d" % number) for number in range(20)]
    prover.expect(wanted)
    prover.expect([*wanted, (keys[1], b"slot 3")])
    assert [prover.prove(*one) for one in wanted] == [key.prove(alpha) for key, alpha in wanted]
    assert prover.prove(keys[1], b"slot 3") == keys[1].prove(b"slot 3")
    assert not any(keys[1].identity == check.public_key for check in batches[0])


def test_without_the_code_for_batches_each_key_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecvrf_proving, "is_ready", lambda: False)
    keys, judged = keys_of(3), list[VrfCheck]()
    prover = SharedProver(keys, judged.extend)
    prover.expect([(key, b"round") for key in keys])
    assert [prover.prove(key, b"round") for key in keys] == [key.prove(b"round") for key in keys]
    assert not judged


def test_a_shared_checker_still_looks_at_every_proof_of_a_batch() -> None:
    """That it was made here is no reason to take it."""
    keys = keys_of(2)
    checker = SharedChecker(GENESIS)
    good = [VrfCheck(key.identity, b"round", key.prove(b"round")) for key in keys]
    bad = VrfCheck(keys[0].identity, b"round", good[1].proof)
    assert list(checker.vrf_proofs([*good, bad])) == [True, True, False]
