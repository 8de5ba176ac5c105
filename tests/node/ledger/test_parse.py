"""Transactions: the known answers of the specification, what the parser refuses, what signatures cover."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger import gas
from node.ledger.errors import ParseError
from node.ledger.parse import Parsed
from node.ledger.verify import verifier, verify_all
from protocol.codec.compact import compact
from protocol.types.ids import Address
from protocol.types.templates import METHOD_SPAWN, METHOD_SPEND, WALLET
from protocol.types.transactions import RawTx
from tests.support import vm_world as world

W1, W2 = world.wallet(1), world.wallet(2)
M = world.multisig((1, 2, 3), (0, 1))
V = world.vesting((1, 2, 3), (0, 1))
T = world.vault(V, 10**13, 105_120, 420_480)
EVERYBODY = [owner.spawned(10**17) for owner in (W1, W2, M, V)]
VM = world.machine(EVERYBODY)


def with_refs(owner: world.Owner, *refs: int) -> world.Owner:
    return world.Owner(owner.template, owner.arguments, owner.secret_keys, refs)


KNOWN = [
    (
        "wallet spawns itself",
        W1.spawn(),
        148,
        100_432,
        "e5400f9525c5512bbccfbee09bd476db716b1d7990dbf6d3f32a2afa22418a9c",
    ),
    (
        "spend of 100",
        W1.spend(W2.address, 100, 1),
        118,
        36_090,
        "959e0b4c923c7fb3196773a632f148c31fbd1fee7e94b121f4a9a475bcddde35",
    ),
    (
        "spend with long numbers",
        W1.spend(W2.address, 12_345_678_901_234, 70_000, 300),
        127,
        36_218,
        "22ac19eb5016644915f7efb8112ea711cd9e4cfe34326bd7abda93a5f2ebb80d",
    ),
    (
        "wallet spawns another",
        W1.spawn(W2, 2),
        148,
        104_570,
        "cb5ccea7dc1dd0c3d8929abc1f68ba685aacc4f3f6b8dc7389f6516007fca80d",
    ),
    (
        "multisig spawns itself",
        with_refs(M, 0, 2).spawn(),
        280,
        145_480,
        "a54a38a19a37bb0850b9602f774d0128f991a7459eebd92cb85ba500095c6d02",
    ),
    (
        "multisig spends",
        M.spend(W2.address, 10**9, 1, 2),
        186,
        41_698,
        "a22977b950dc4b14337af7714b34dd06b7c13ad2bd84febf608d28a2f887346f",
    ),
    (
        "vesting spawns itself",
        with_refs(V, 1, 2).spawn(),
        280,
        145_480,
        "ba70378718deddbe612df914ed1d2f00c2b4daa39c3b20f660f3e1b122366966",
    ),
    (
        "vesting drains a vault",
        V.drain(bytes.fromhex("000000006cedf70885d44cec08d87fc3ca5b82b39b540ebd"), W2.address, 5 * 10**9, 2),
        212,
        44_809,
        "0e78436c2dddd1ee5a5e772ffd0ce39d6763091afd7ef5cffb76dc46c2c42a87",
    ),
]


@pytest.mark.parametrize(("name", "raw", "size", "max_gas", "id"), KNOWN, ids=[row[0] for row in KNOWN])
def test_known_transactions(name: str, raw: bytes, size: int, max_gas: int, id: str) -> None:
    assert (len(raw), RawTx.of(raw).id.hex()) == (size, id)
    parsed = VM.parse(raw)
    assert parsed.max_gas == max_gas
    assert VM.verify(parsed)


def test_a_known_vault_and_its_spawn() -> None:
    known = world.Owner(T.template, T.arguments.__class__(V.address, 10**13, 25 * 10**11, 105_120, 420_480), ())
    assert known.address.hex() == "000000006cedf70885d44cec08d87fc3ca5b82b39b540ebd"
    raw = V.spawn(known, 1)
    assert RawTx.of(raw).id.hex() == "8da7c177f9b495d15c9f372447ec63ccf07ff6ce1ce5f0346bf5bdd1645fc9f1"
    assert VM.parse(raw).max_gas == 65_306


def refused(raw: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        VM.parse(raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "reason", "text"),
    [
        (b"", "malformed", "its 0 bytes end too early"),
        (b"\x04" + W1.spawn()[1:], "malformed", "its version is not known (first byte 04)"),
        (bytes(1025), "tx_limit", "1025 bytes, at most 1024"),
        (W1.head(17) + bytes(80), "malformed", "a wallet has no method 17"),
        (W1.head(METHOD_SPAWN) + bytes(24), "malformed", "template 000000"),
        (W1.spend(W2.address, 5, 1)[:40], "malformed", "SpendArguments"),
        (world.wallet(9).spend(W2.address, 5, 1), "not_spawned", "not spawned"),
        (world.wallet(9).spawn(W1), "not_spawned", "cannot spawn another"),
        (W1.spawn(world.multisig((1, 2), ())), "invalid_args", "No signature is required"),
        (W1.spawn(world.multisig((1,), (0, 0))), "invalid_args", "2 signatures"),
        (W1.spawn(world.vault(V, 5, 10, 9)), "invalid_args", "before its start"),
    ],
)
def test_what_is_refused_says_why(raw: bytes, reason: str, text: str) -> None:
    error = refused(raw)
    assert error.reason == reason
    assert text in str(error)


def test_a_stored_state_that_cannot_be_read_is_internal() -> None:
    broken = W1.spawned(1)
    vm = world.machine([broken.__class__(broken.layer, broken.address, 0, 1, WALLET, b"short")])
    with pytest.raises(ParseError) as caught:
        vm.parse(W1.spend(W2.address, 1, 0))
    assert caught.value.reason == "internal"


def test_gas_of_keys() -> None:
    assert [gas.of_keys(1, keys).load for keys in range(1, 11)] == [
        4138, 4866, 5594, 6322, 7050, 7778, 8506, 9234, 9962, 10690,
    ]  # fmt: skip
    assert [gas.of_keys(1, keys).execution[METHOD_SPAWN] for keys in (1, 2, 10)] == [45_000, 65_000, 225_000]
    assert gas.of_keys(3, 4).base[METHOD_SPEND] == 29_000
    assert (gas.EXEC_SPEND, gas.EXEC_DRAIN_VAULT) == (7_032, 9_759)


def test_a_transaction_means_another_thing_once_its_principal_is_spawned() -> None:
    unspawned = world.machine([W1.unspawned(10**9)])
    assert unspawned.parse(W1.spawn()).principal_template is None
    with pytest.raises(ParseError):
        unspawned.parse(W1.spend(W2.address, 1, 0))
    assert VM.parse(W1.spend(W2.address, 1, 0)).max_spend == 1


# ---- signatures ----


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.integers(0, 8 * 64 - 1))
@settings(max_examples=30, deadline=None)
def test_no_bit_of_a_signature_can_change(bit: int) -> None:
    raw = W1.spend(W2.address, 5, 1)
    assert not VM.verify(VM.parse(flipped(raw, 8 * (len(raw) - 64) + bit)))


def test_a_signature_covers_everything_but_the_last_64_bytes() -> None:
    """Bytes after the signature are neither refused nor left out: what is signed ends 64 bytes before the end."""
    raw = W1.spend(W2.address, 5, 1)
    assert VM.verify(VM.parse(raw))
    assert not VM.verify(VM.parse(raw + b"\0"))
    found = VM.parse(raw + b"\0").signatures()
    assert found is not None and found.size == 64


def test_a_multisig_signs_with_ascending_keys() -> None:
    head = M.head(METHOD_SPEND) + compact(1) + compact(1) + W2.address + compact(5)

    def signed(*refs: int) -> Parsed:
        return VM.parse(with_refs(M, *refs).sign(head))

    assert [VM.verify(signed(*refs)) for refs in ((0, 1), (0, 2), (1, 2))] == [True] * 3
    assert [VM.verify(signed(*refs)) for refs in ((1, 0), (1, 1), (0,))] == [False] * 3
    assert not VM.verify(signed(0, 1, 2)), "a third part makes the message end later"


def test_a_reference_beyond_the_keys_is_refused() -> None:
    raw = M.spend(W2.address, 5, 1)
    parts = raw[-130:]
    assert not VM.verify(VM.parse(raw[:-130] + parts[:65] + compact(3) + parts[66:]))


def test_a_vault_cannot_sign() -> None:
    vm = world.machine([T.spawned(10**12)])
    parsed = vm.parse(T.head(METHOD_SPEND) + W2.address + compact(5) + bytes(64))
    assert (parsed.nonce, parsed.gas_price, parsed.max_gas) == (0, 0, 128 * 15)
    assert not vm.verify(parsed)


def test_one_batch_gives_the_same_verdicts_as_one_by_one() -> None:
    raws = [row[1] for row in KNOWN]
    raws += [flipped(raw, 8 * len(raw) - 300) for raw in raws]
    raws.append(T.head(METHOD_SPEND) + W2.address + compact(5))
    vm = world.machine([*EVERYBODY, T.spawned(1)])
    parsed = [vm.parse(raw) for raw in raws]
    judge = verifier(world.GENESIS_ID)
    batch = verify_all(parsed, judge)
    assert batch == [vm.verify(one) for one in parsed]
    assert batch == [True] * len(KNOWN) + [False] * (len(KNOWN) + 1)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    for raw in (data, W1.head(METHOD_SPEND) + data, M.head(METHOD_SPAWN) + M.template + data):
        try:
            parsed = VM.parse(raw)
        except ParseError:
            continue
        VM.verify(parsed)


def test_changed_transactions_raise_nothing_else() -> None:
    """Bytes changed, cut out, doubled, put in: what comes out is a transaction or a ParseError."""
    random = Random(7)
    for _ in range(5_000):
        raw = bytearray(random.choice(KNOWN)[1])
        for _ in range(random.randint(1, 3)):
            at = random.randrange(len(raw))
            match random.randrange(4):
                case 0:
                    raw[at] = random.randrange(256)
                case 1:
                    del raw[at : at + random.randint(1, 40)]
                case 2:
                    raw[at:at] = raw[at : at + random.randint(1, 40)]
                case _:
                    raw[at:at] = random.randbytes(random.randint(1, 9))
            raw = raw or bytearray(1)
        try:
            parsed = VM.parse(bytes(raw))
        except ParseError as error:
            assert error.reason and str(error)
        else:
            parsed.signatures()


def test_any_24_bytes_are_a_destination() -> None:
    parsed = VM.parse(W1.spend(Address(b"\xff" * 24), 5, 1))
    assert parsed.arguments.destination == b"\xff" * 24
