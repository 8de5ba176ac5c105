"""Ids, roots and inputs of the random function: the known answers of protocol 03-encoding-and-types, section 11."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.codec.declare import CodecError, IdList
from protocol.crypto import hashing, merkle
from protocol.types import eligibility, text
from protocol.types.activation import (
    NIPostChallengeV1,
    PostV1,
    active_set_hash,
    publish_epoch_of,
    version_of,
)
from protocol.types.activation_v2 import (
    ActivationTxV2,
    MarriageCertificate,
    MerkleProofV2,
    NIPostChallengeV2,
    NiPostsV2,
    SubPostV2,
    post_root,
)
from protocol.types.ballots import BallotMetadata, InnerBallot
from protocol.types.beacon import beacon_of, proposals_hash
from protocol.types.fetch import MeshHashRequest, RequestBatch, RequestMessage
from protocol.types.ids import (
    Address,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    RoundId,
    as_hash32,
)
from protocol.types.opinions import EMPTY_MESH_HASH, opinion_hash
from protocol.types.poet import MerkleProof, PoetProof
from protocol.types.rangesync import MESSAGE, Done, EmptyRange, ItemBatch, Recent
from protocol.types.templates import (
    MULTISIG,
    WALLET,
    MultisigSpawnArguments,
    Payload,
    SpendArguments,
    WalletSpawnArguments,
    principal_address,
)

ZERO_POST = PostV1(0, b"", 0)


def id32(*first: int) -> AtxId:
    return AtxId(bytes(first).ljust(32, b"\0"))


def filled(byte: int) -> AtxId:
    return AtxId(bytes((byte,)) * 32)


# ---- hashes ----


def test_hashes() -> None:
    assert hashing.hash32(b"hello").hex() == "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
    assert hashing.hash20(b"he", b"llo") == hashing.hash32(b"hello")[:20]
    assert EMPTY_MESH_HASH.hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    text = b"0123456789abcdef_hello_world_how_are_you"
    assert hashing.right_aligned(text) == b"89abcdef_hello_world_how_are_you"
    assert hashing.right_aligned(text, 20) == b"lo_world_how_are_you"


def test_an_active_set_is_hashed_in_its_order() -> None:
    one = AtxId(hashing.hash32(b"1"))
    expected = "3c462dd7363d6e6fb7d5085679d2ee7de30f2d939722882be0816387983051f6"
    assert active_set_hash((one,)).hex() == active_set_hash(IdList(one, 32)).hex() == expected
    assert active_set_hash((one, filled(1))) != active_set_hash((filled(1), one))


def test_beacon_values() -> None:
    proposals = [bytes((number, 0, 0, 0)) for number in (3, 1, 2)]
    assert proposals_hash(proposals).hex() == "df07f4904a7ccb203dc935dae7baf4a4c1f0ab9279a863a69109be74f26032ef"
    assert beacon_of([bytes((number, 0, 0, 0)) for number in (1, 2, 4, 5)]).hex() == "e69fd154"


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([[(1, 10)]], "9792d675f9"),
        ([[(1, 100)]], "fdae510822"),
        ([[(1, 100), (2, 100)]], "c0d65bb2f6"),
        ([[]], "af1349b9f5"),
        ([None], "2d3adedff1"),
        ([None, None], "58716d2acc"),
        ([[], []], "82878ed8a4"),
        ([[(1, 100)], [(2, 100)]], "88f75279f7"),
        ([[(1, 100)], []], "ae4b107c66"),
    ],
)
def test_opinions(votes: list[list[tuple[int, int]] | None], expected: str) -> None:
    opinion: Hash32 | None = None
    for layer in votes:
        supported = None if layer is None else [(BlockId(id32(block)[:20]), height) for block, height in layer]
        opinion = opinion_hash(opinion, supported)
    assert opinion is not None
    assert opinion[:5].hex() == expected


# ---- ids ----


def test_a_poet_proof_is_named_by_its_encoding() -> None:
    proof = PoetProof(MerkleProof(b"\1\2\3", (), ()), 1234)
    assert proof.codec.encode(proof).hex() == "0c01020300004913"
    assert proof.ref().hex() == "c36f9a9b7d0137eb50f955619018412a5b394481a27f8af193f42e0f9789b344"


def test_a_ballot_is_named_by_its_inner_part() -> None:
    inner = InnerBallot(LayerId(1), id32(1, 2, 3), Hash32(bytes(32)), BallotId(bytes(20)))
    assert inner.hash().hex() == "28294a8cd5842460283b425f0f090fc81339b263b6e5927b94f2f51a528c596a"
    signed = BallotMetadata.codec.encode(BallotMetadata(inner.layer, inner.hash()))
    assert signed == b"\4" + inner.hash()
    assert as_hash32(BallotId(inner.hash()[:20])) == inner.hash()[:20] + bytes(12)


def test_trees_filled_with_zeros() -> None:
    assert merkle.filled_root((), 8).hex() == "2b1fb5b33fc5245575818dca9c875eee98a4b42a34c78dfdec81c1a7a3ae38af"
    assert merkle.filled_root((), 2).hex() == "df2916b4d7fd800be884f76698086d2f65c0f49b87ffd2380c98f1b2b7a9810d"
    nine = [filled(number) for number in range(1, 10)]
    assert merkle.root_of(nine).hex() == "6fa11288a9e30fa8083b0e10ff4904b0aed79b7b23d1d842d174b8cfcd0d0aa5"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 255, 256])
@pytest.mark.parametrize("empty_at", [None, 0, 1, 6])
def test_a_filled_tree_is_the_tree_with_the_padding_written_out(count: int, empty_at: int | None) -> None:
    leaves = [hashing.hash32(bytes((number,)))[: 32 - number % 3] for number in range(count)]
    if empty_at is not None and empty_at < count:
        leaves[empty_at] = b""
    tree = merkle.StreamTree(merkle.member_node)
    for leaf in [*leaves, *[merkle.PADDING] * (256 - count)]:
        tree.add(leaf)
    assert merkle.filled_root(leaves, 8) == tree.root()
    alone = merkle.StreamTree(merkle.member_node)
    for leaf in leaves:
        alone.add(leaf)
    assert merkle.root_of(leaves) == alone.root()


def test_roots_of_proofs_of_space() -> None:
    assert post_root(ZERO_POST).hex() == "0b53e6b73e4db304cddd9712809a113ba8840bfac8f29d0dbeca43e93482b26b"
    assert post_root(PostV1(1, b"\2\3", 4)).hex() == "e9c4825de0702fcd5c1d7eead792c9ffa17a6e37b4cc0613dda014c4856b76be"


def zero_atx() -> ActivationTxV2:
    return ActivationTxV2(
        EpochId(0), id32(), Address(bytes(24)), None, (), (), 0, (), None, NodeId(bytes(32)), EdSignature(bytes(64))
    )


def known_atx() -> ActivationTxV2:
    sub_post = SubPostV2(0, 0, 3, PostV1(1, b"\2\3", 4), 10)
    niposts = NiPostsV2(MerkleProofV2((Hash32(filled(9)),)), Hash32(filled(7)), (sub_post,))
    return replace(
        zero_atx(),
        publish_epoch=EpochId(5),
        positioning_atx=filled(1),
        coinbase=Address(bytes(4) + b"\x08" * 20),
        previous_atxs=(filled(2),),
        niposts=(niposts,),
        vrf_nonce=77,
    )


def test_the_id_of_an_activation_of_version_2_is_a_root() -> None:
    assert zero_atx().id().hex() == "6cc83204feb844fad430c08651e16c5cd71ebe7e4df426fefc8dab087bf14026"
    atx = known_atx()
    (niposts,) = atx.niposts
    (sub_post,) = niposts.posts
    roots = sub_post.root(atx.previous_atxs).hex(), niposts.root(atx.previous_atxs).hex(), atx.id().hex()
    assert roots == (
        "c4f66deb97e2fcac0fe708033d4948f3814c49e019f53cfc7baa576d8178e739",
        "d22a891c9480365bd5998e4315488ccad45776fa0ac8ab8f1936682ad7192a7d",
        "44bd2632d1ca8089189f77729b17505c36fbe44ac1253efb0c96c94951c01900",
    )
    assert atx.signed_bytes() == atx.id()
    assert ActivationTxV2.codec.decode(ActivationTxV2.codec.encode(atx)).id() == atx.id()


def test_the_id_of_version_2_does_not_bind_the_smesher() -> None:
    atx = known_atx()
    assert replace(atx, smesher_id=NodeId(filled(3)), signature=EdSignature(filled(3) * 2)).id() == atx.id()
    assert replace(atx, vrf_nonce=78).id() != atx.id()


def test_marriages_are_in_the_tree_of_the_activation() -> None:
    marriages = tuple(MarriageCertificate(filled(number), EdSignature(filled(number) * 2)) for number in range(3))
    atx = replace(known_atx(), marriages=marriages)
    root = atx.marriages_root()
    assert merkle.validate((7,), (root,), atx.marriages_proof(), atx.id())
    for index, marriage in enumerate(marriages):
        proof = atx.certificate_proof(index)
        assert len(proof) == 8
        assert merkle.validate((index,), (marriage.root(),), proof, root)
        assert not merkle.validate((index + 1,), (marriage.root(),), proof, root)


def test_challenges() -> None:
    zero = id32()
    first = NIPostChallengeV1(EpochId(0), 0, zero, zero)
    assert first.hash().hex() == "e47726bc729960302d4177c8f1abf48ee839db659042fd9db80fc7eefa90208a"
    second = NIPostChallengeV2(EpochId(0), zero, zero)
    assert second.hash().hex() == "2e01eb624869f5e0ad61195a9b488f4708879ae233843ceee8c4d86488dd3344"
    third = NIPostChallengeV2(EpochId(5), filled(1), filled(2))
    assert third.hash().hex() == "b2f17c69397f74dd6e55aebe9ad03e7d9274ab665dc47e604e876eadf26a847d"


def test_the_challenge_of_a_proof_in_an_activation() -> None:
    atx = known_atx()
    post = atx.niposts[0].posts[0]
    assert atx.challenge_of(post) == NIPostChallengeV2(EpochId(5), filled(2), filled(1))
    with pytest.raises(IndexError):
        atx.challenge_of(replace(post, prev_atx_index=1))
    assert replace(post, prev_atx_index=1).root(atx.previous_atxs) == b""


def test_the_version_of_an_activation_follows_from_its_epoch() -> None:
    assert [version_of(epoch, {2: 2}) for epoch in (0, 1, 2, 3)] == [1, 1, 2, 2]
    assert version_of(9, {}) == 1
    assert publish_epoch_of(ActivationTxV2.codec.encode(known_atx())) == 5
    with pytest.raises(CodecError, match="c32: 1 byte is needed"):
        publish_epoch_of(b"")


# ---- inputs of the random function ----


def test_inputs_of_the_random_function() -> None:
    beacon = Beacon(bytes.fromhex("aabbccdd"))
    assert eligibility.voting_input(beacon, EpochId(4), 1000, 5).hex() == "0caabbccdd10a10f14"
    assert eligibility.hare_input(beacon, 0x7FFFFFFF, LayerId(35117)).hex() == "08aabbccdd03ffffff7fb6240200"
    assert eligibility.beacon_proposal_input(1000, EpochId(4)).hex() == "04a10f10"
    assert eligibility.weak_coin_input(1000, EpochId(4), RoundId(2), 1).hex() == "10a10f100804"


# ---- transactions ----


def test_parts_of_transactions() -> None:
    assert Payload.codec.encode(Payload(1543, 256)).hex() == "1d180104"
    assert Payload.codec.encode(Payload(1543, 111222333)).hex() == "1d18f678841a"
    spend = SpendArguments(Address(bytes(21) + b"\3\x33\x33"), 351)
    assert SpendArguments.codec.encode(spend).hex() == "00" * 21 + "0333337d05"


def test_principal_addresses() -> None:
    key = NodeId(bytes.fromhex("683ddb36a04ad05d7348058313c3f633f5bac9e973ca12fd399326c4214212fa"))
    found = principal_address(WALLET, WalletSpawnArguments(key))
    assert found.hex() == "000000002c3dcf45633d678c25c99b93984e6e4419870910"
    first, second = NodeId(bytes(32)), NodeId(filled(1))
    for required, keys, expected in (
        (1, (first,), "0000000000670037aa21bb026c7236ee3506255c8de85793"),
        (1, (first, second), "0000000012d081f2638f6c3c4edf6b85948821a7f5220b3b"),
        (2, (first, second), "000000002137e5ac9f0dc555a7d419d168f9d1c54b698a44"),
    ):
        assert principal_address(MULTISIG, MultisigSpawnArguments(required, keys)).hex() == expected
    with pytest.raises(CodecError, match="public_keys: 11 elements, at most 10"):
        principal_address(MULTISIG, MultisigSpawnArguments(1, (first,) * 11))


# ---- fetch and sync ----


@pytest.mark.parametrize(
    ("start", "end", "step", "count", "valid"),
    [
        (0, 99, 1, 100, True),
        (0, 100, 1, 101, False),
        (5, 5, 1, 1, True),
        (5, 4, 1, 0, False),
        (0, 10, 3, 5, True),
        (0, 9, 3, 4, True),
        (0, 9, 0, None, False),
    ],
)
def test_mesh_hash_requests(start: int, end: int, step: int, count: int | None, valid: bool) -> None:
    request = MeshHashRequest(LayerId(start), LayerId(end), step)
    assert request.is_valid() is valid
    if count:
        assert request.count() == count


@pytest.mark.parametrize("layers", [0, 1, 98, 99, 100, 101, 197, 198, 199, 12345, 2**32 - 1])
def test_a_request_between_two_layers_is_always_valid(layers: int) -> None:
    request = MeshHashRequest.between(LayerId(0), LayerId(layers))
    assert request.is_valid()
    assert request.step == layers // 99 + 1


def test_a_batch_is_named_by_its_requests() -> None:
    one = RequestMessage("ballotDB", Hash32(filled(1)))
    assert RequestBatch.of((one,)).id != RequestBatch.of((one, one)).id
    assert RequestBatch.of(()).id == hashing.hash32(b"\0")


def test_messages_of_range_sync_follow_each_other_in_a_stream() -> None:
    sent = [
        ItemBatch((filled(1), filled(2))),
        EmptyRange(Hash32(id32(1, 2)), None),
        Recent(10**18),
        Done(),
    ]
    stream, at, received = b"".join(MESSAGE.encode(message) for message in sent), 0, []
    while at < len(stream):
        message, at = MESSAGE.read(stream, at)
        received.append(message)
    assert received == sent
    assert MESSAGE.encode(sent[1]).hex() == "0342010200"
    for wrong, reason in (
        ("0a", "unknown_type"),
        ("036100", "invalid_compact_hash"),
        ("038000", "invalid_compact_hash"),
    ):
        with pytest.raises(CodecError) as found:
            MESSAGE.decode(bytes.fromhex(wrong))
        assert found.value.reason == reason
    with pytest.raises(CodecError, match=r"EmptyRange\.y|\.y: 31 bytes, expected 32"):
        MESSAGE.encode(EmptyRange(None, Hash32(bytes(31))))
    with pytest.raises(CodecError, match="an id of 31 bytes in a list of ids of 32 bytes"):
        MESSAGE.encode(ItemBatch((bytes(31),)))


# ---- texts ----


def test_texts_of_ids() -> None:
    data = bytes(range(32))
    assert text.from_base64(text.to_base64(data), 32, "ATX id") == data
    assert text.from_hex(text.to_hex(data), 32, "hash") == data
    assert text.shown(data, is_short=True) == "0001020304"
    for wrong, reason in (
        (text.to_base64(data[:31]), "length"),
        ("AA=", "base64"),
        ("é", "base64"),
        ("A A=", "base64"),
    ):
        with pytest.raises(text.TextError, match="ATX id") as found:
            text.from_base64(wrong, 32, "ATX id")
        assert found.value.reason == reason
    for wrong, reason in ((data.hex(), "hex"), ("0x123", "hex"), ("0x12", "length"), ("0x" + "zz" * 32, "hex")):
        with pytest.raises(text.TextError, match="hash") as found:
            text.from_hex(wrong, 32, "hash")
        assert found.value.reason == reason
