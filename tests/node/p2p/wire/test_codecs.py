"""Numbers, fields, names and addresses of peers: what was written is read, and anything else is an error of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.contract.messages import PeerId
from node.p2p.wire import backup, base58, cookie, envelope, identify, kad, multiaddr, peer_id, protobuf, varint
from node.p2p.wire.errors import LIMIT, MALFORMED, TRUNCATED, WireError
from node.p2p.wire.key_file import PeerKey, from_file

KEY = PeerKey(bytes(range(32)))
ADDRESS = multiaddr.from_text("/ip4/1.2.3.4/tcp/7513")
READERS: dict[str, Callable[[bytes], object]] = {
    "address": multiaddr.from_bytes,
    "peer id": peer_id.check,
    "backup": backup.decode,
    "cookie": cookie.decode,
    "record": envelope.open_record,
    "identify": identify.decode,
    "kad": kad.decode,
    "fields": lambda data: list(protobuf.decode(data, {1: int, 2: bytes})),
}
WHOLE = {
    "address": ADDRESS.to_bytes(),
    "peer id": KEY.id,
    "backup": backup.encode([backup.KnownPeer(KEY.id, (ADDRESS,))]),
    "cookie": cookie.encode(b"network"),
    "record": envelope.seal(KEY, envelope.PeerRecord(KEY.id, 7, (ADDRESS,))),
}


@given(st.integers(0, (1 << 63) - 1))
def test_a_number_is_read_as_it_was_written(number: int) -> None:
    data = varint.encode(number)
    assert varint.take(data + b"rest") == (number, len(data))
    for cut in range(len(data)):
        assert varint.decode(data[:cut]) is None


@pytest.mark.parametrize(("data", "reason"), [(b"\x80\0", MALFORMED), (b"\xff" * 9, LIMIT), (b"\x80", TRUNCATED)])
def test_a_number_that_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as error:
        varint.take(data)
    assert error.value.reason == reason


FIELDS = st.lists(
    st.one_of(st.tuples(st.just(1), st.integers(0, (1 << 64) - 1)), st.tuples(st.just(2), st.binary(max_size=40)))
)


@given(FIELDS)
def test_fields_are_read_in_their_order(fields: list[tuple[int, protobuf.Value]]) -> None:
    assert list(protobuf.decode(protobuf.encode(*fields), {1: int, 2: bytes})) == fields


@given(FIELDS)
def test_fields_that_are_not_named_are_passed_over(fields: list[tuple[int, protobuf.Value]]) -> None:
    fixed = b"\x19" + bytes(8) + b"\x25" + bytes(4)  # fields 3 and 4, of eight and of four bytes
    data = fixed + protobuf.encode(*fields) + fixed
    assert list(protobuf.decode(data, {1: int})) == [one for one in fields if one[0] == 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a\1\0", MALFORMED),  # field 1 as bytes
        (b"\x10\1", MALFORMED),  # field 2 as a number
        (b"\x0d\0\0\0\0", MALFORMED),  # field 1 as four bytes
        (b"\x1b\x1c", MALFORMED),  # a group
        (b"\x12\5abc", TRUNCATED),
        (b"\x19\0", TRUNCATED),
        (b"\0\0", LIMIT),  # field 0
    ],
)
def test_fields_of_another_kind_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as error:
        list(protobuf.decode(data, {1: int, 2: bytes}))
    assert error.value.reason == reason


@given(st.binary(max_size=60))
def test_base_58_keeps_every_byte(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


def test_a_name_that_is_too_long_costs_no_work() -> None:
    with pytest.raises(WireError) as error:
        base58.decode("z" * 100_000)
    assert error.value.reason == LIMIT


@pytest.mark.parametrize("kind", READERS)
@given(data=st.binary(max_size=200))
def test_no_bytes_of_a_peer_are_another_error(kind: str, data: bytes) -> None:
    try:
        READERS[kind](data)
    except WireError as error:
        assert error.reason and str(error).endswith(".")


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_cut_is_refused_at_every_byte(kind: str) -> None:
    whole = WHOLE[kind]
    READERS[kind](whole)
    for cut in range(len(whole)):
        if kind == "address" and cut == 5:
            continue  # an address without its port is one
        with pytest.raises(WireError):
            READERS[kind](whole[:cut])


@pytest.mark.parametrize(
    ("text", "tcp", "has_peer"),
    [
        ("/ip4/1.2.3.4/tcp/7513", ("1.2.3.4", 7513), False),
        (f"/dns4/a.b/tcp/1/p2p/{peer_id.to_text(KEY.id)}", ("a.b", 1), True),
        ("/ip6/::1/tcp/2", ("::1", 2), False),
        ("/ip4/1.2.3.4/udp/5/quic-v1", None, False),
        ("/ip4/1.2.3.4/tcp/5/ws", None, False),
        (f"/p2p/{peer_id.to_text(KEY.id)}", None, True),
        (f"/ip4/1.2.3.4/tcp/5/p2p/{peer_id.to_text(KEY.id)}/p2p-circuit", None, True),
    ],
)
def test_an_address_says_how_it_is_dialled(text: str, tcp: tuple[str, int] | None, has_peer: bool) -> None:
    address = multiaddr.from_text(text)
    assert address.tcp == tcp
    assert address.peer == (KEY.id if has_peer else None)
    assert str(multiaddr.from_bytes(address.to_bytes())) == text


def test_addresses_of_other_programs_do_not_spoil_a_list() -> None:
    other = b"\xc0\x84\x3d"
    assert envelope.known_addresses(other, ADDRESS.to_bytes(), None) == [ADDRESS]


def test_a_description_with_too_many_names_is_refused() -> None:
    named = b"".join(protobuf.encode((3, b"a/1")) for _ in range(identify.MOST_PROTOCOLS + 1))
    with pytest.raises(WireError) as error:
        identify.decode(named)
    assert error.value.reason == LIMIT


def test_what_this_node_says_of_itself_is_understood() -> None:
    said = identify.of(KEY, (ADDRESS,), ("hs/1", "ax/1"), ADDRESS, 1)
    data = said.encode()
    _, at = varint.take(data)
    found = identify.decode(data[at:])
    assert found == said
    assert found.protocols == ("ax/1", "hs/1")
    assert found.record is not None
    assert envelope.open_record(found.record) == envelope.PeerRecord(KEY.id, 1, (ADDRESS,))


def test_a_record_of_another_peer_is_refused() -> None:
    other = PeerKey(bytes(32))
    data = envelope.seal(KEY, envelope.PeerRecord(other.id, 1, ()))
    with pytest.raises(WireError) as error:
        envelope.open_record(data)
    assert error.value.reason == MALFORMED


def test_peers_without_a_name_are_left_out_of_an_answer() -> None:
    near = kad.NearPeer(KEY.id, (ADDRESS,), kad.Connection.CONNECTED)
    data = kad.found((near, kad.NearPeer(PeerId(b""), ()))).encode()
    _, at = varint.take(data)
    assert kad.decode(data[at:]).closer == (near,)


def test_a_key_file_is_read_as_it_was_written() -> None:
    assert from_file(KEY.to_file()).id == KEY.id
