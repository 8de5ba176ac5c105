"""Whom a node dials and takes, with whom it parts, and how others are found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.p2p.peers.book import AddressBook, BookParameters
from node.p2p.peers.gater import Gater, GaterParameters, networks
from node.p2p.peers.table import Search, Table
from node.p2p.peers.trimming import Trimmer, TrimmingParameters
from node.p2p.wire import kad, multiaddr
from node.sim.chance import Chance
from protocol.numbers.durations import HOUR, MINUTE, SECOND

START = Instant(1_700_000_000 * SECOND)


def name(number: int) -> PeerId:
    return PeerId(number.to_bytes(8, "big"))


def at(number: int) -> multiaddr.Multiaddr:
    return multiaddr.from_text(f"/ip4/1.2.3.4/tcp/{number}")


@pytest.mark.parametrize(
    ("connected", "dials", "takes"), [(80, True, True), (81, True, False), (110, True, False), (111, False, False)]
)
def test_how_many_are_dialled_and_taken(connected: int, dials: bool, takes: bool) -> None:
    gater = Gater(GaterParameters())
    assert gater.may_dial(name(1), connected) is dials
    assert gater.may_accept("1.2.3.4", connected) is takes


def test_blocked_addresses_are_not_dialled_but_names_and_direct_peers_are() -> None:
    gater = Gater(GaterParameters(blocked=networks(["127.0.0.0/8", "fc00::/7"]), direct=frozenset([name(1)])))
    local, other = multiaddr.from_text("/ip4/127.0.0.1/tcp/1"), multiaddr.from_text("/ip6/fc00::1/tcp/1")
    assert not gater.may_dial_at(name(2), local) and not gater.may_dial_at(None, other)
    assert gater.may_dial_at(name(1), local) and gater.may_dial(name(1), 1000)
    assert gater.may_dial_at(None, multiaddr.from_text("/dns4/localhost/tcp/1"))
    assert gater.may_dial_at(None, multiaddr.from_text("/ip4/8.8.8.8/tcp/1"))


def test_one_subnet_does_not_take_all_places() -> None:
    gater = Gater(GaterParameters(of_subnet=2))
    for number in range(2):
        assert gater.may_accept(f"8.8.8.{number}", 0)
        gater.accepted(f"8.8.8.{number}")
    assert not gater.may_accept("8.8.8.9", 0)
    assert gater.may_accept("8.8.9.9", 0) and gater.may_accept("2001:db8::1", 0)
    gater.closed("8.8.8.0")
    assert gater.may_accept("8.8.8.9", 0)
    for _ in range(100):
        gater.accepted("192.168.0.1")
    assert gater.may_accept("192.168.0.1", 0)


def test_those_worth_least_go_first() -> None:
    trimmer = Trimmer(TrimmingParameters(low=3, high=5))
    for number in range(6):
        trimmer.connected(name(number), START, ["bootnode"] if number == 0 else [])
    assert trimmer.too_many(after(START, SECOND)) == []  # all of them are new
    now = after(START, MINUTE)
    for number in (1, 2):
        trimmer.used(name(number), now)
    trimmer.used(name(2), now)
    assert trimmer.too_many(now) == [name(3), name(4), name(5)]
    later = after(now, MINUTE)
    trimmer.used(name(5), later)
    assert trimmer.too_many(later)[:2] == [name(1), name(3)]  # what it was worth has faded
    assert trimmer.tags(name(0)) == ("bootnode",)
    trimmer.disconnected(name(5))
    assert trimmer.too_many(later) == []


def test_who_cannot_be_reached_is_left_alone_longer_and_longer() -> None:
    book, now = AddressBook(BookParameters(), Chance(1)), START
    book.add(name(1), [at(1)])
    waits = []
    for _ in range(12):
        assert book.may_dial(name(1), now)
        book.failed(name(1), now)
        began = now
        while not book.may_dial(name(1), now):
            now = after(now, SECOND)
        waits.append(now - began)
    assert min(waits) >= 10 * SECOND and max(waits) <= HOUR + 11 * SECOND
    assert max(waits) > 100 * SECOND
    book.succeeded(name(1))
    assert book.may_dial(name(1), START)
    assert not book.may_dial(name(2), now)


def test_the_book_keeps_what_was_configured_and_forgets_what_is_old() -> None:
    book = AddressBook(BookParameters(peers=3, addresses=2), Chance(1))
    book.add(name(0), [at(1)], is_kept=True)
    for number in range(1, 6):
        book.add(name(number), [at(1), at(2), at(3)])
    assert len(book) == 3
    assert book.addresses(name(0)) == (at(1),)
    assert book.addresses(name(5)) == (at(3), at(2))
    assert book.addresses(name(1)) == ()
    book.add(name(9), [multiaddr.from_text("/ip4/1.2.3.4/udp/1/quic-v1")])
    assert book.addresses(name(9)) == ()
    assert [peer.id for peer in book.known([name(0), name(1)])] == [name(0)]


@given(st.integers(0, 1 << 32))
def test_the_nearest_are_the_nearest(seed: int) -> None:
    rng = random.Random(seed)
    table = Table(name(0), 4)
    peers = [PeerId(rng.randbytes(8)) for _ in range(60)]
    there = [peer for peer in peers if table.add(peer)]
    kept = [peer for peer in there if peer in table.nearest(peer, 1000)]
    key = rng.randbytes(8)
    expected = sorted(kept, key=lambda peer: kad.place(peer) ^ kad.place(key))
    assert table.nearest(key, 5) == expected[:5]
    assert table.nearest(key, 5, without=expected[:2]) == expected[2:7]
    assert not table.add(name(0))
    table.remove(expected[0])
    assert len(table) == len(kept) - 1


def test_a_full_bucket_keeps_those_that_are_connected() -> None:
    own, size = name(0), 2
    table = Table(own, size)
    first_bit = kad.place(own) >> 255
    far = [name(number) for number in range(1, 100) if kad.place(name(number)) >> 255 != first_bit][:4]
    assert table.add(far[0]) and table.add(far[1])
    assert not table.add(far[2], lambda peer: True)
    assert table.add(far[3], lambda peer: peer == far[0])
    assert set(table.nearest(own)) == {far[0], far[3]}


@given(st.integers(0, 1 << 32))
def test_a_search_finds_the_nearest_of_all(seed: int) -> None:
    """Every peer knows some others, near ones better than far ones; a few say nothing."""
    rng = random.Random(seed)
    peers = [PeerId(rng.randbytes(8)) for _ in range(80)]
    tables = {peer: Table(peer, 8) for peer in peers}
    for table in tables.values():
        for other in peers:
            table.add(other)
    silent = set(rng.sample(peers, 5))
    key = rng.randbytes(8)
    search = Search(key, count=5)
    search.add(rng.sample(peers, 3))
    while not search.is_over:
        for peer in search.next():
            search.answered(peer, None if peer in silent else tables[peer].nearest(key, 8))
    alive = sorted((one for one in peers if one not in silent), key=lambda one: kad.place(one) ^ kad.place(key))
    assert search.nearest[:1] == alive[:1] or not set(search._places) - silent


def test_a_search_asks_no_more_than_its_bound() -> None:
    search = Search(b"key", most=10)
    search.add([name(0)])
    asked = 0
    while not search.is_over:
        for peer in search.next():
            asked += 1
            search.answered(peer, [PeerId(peer + bytes([number])) for number in range(20)])
    assert asked == 10
