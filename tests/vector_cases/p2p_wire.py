"""Vectors of what peers send each other below the messages: p2p/identity, multiaddr, peer_backup, quic_cookie,
multistream, noise, yamux, identify_kad.

The recorded program reads a key whose public half is that of another seed, and a key of another curve; with neither
could this node reach anybody, so that ours refuses both. Which frames of both sides of a session follow each other is a
matter of timing, as is the place of the ping that both begin with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from node.contract.messages import PeerId
from node.p2p.wire import (
    backup,
    cookie,
    envelope,
    identify,
    kad,
    key_file,
    multiaddr,
    multistream,
    noise,
    peer_id,
    protobuf,
    varint,
    yamux,
)
from node.p2p.wire.errors import MALFORMED, WireError
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

OF_QUIC = ("attempts", "dialer_retry_wait_s", "timeout_s")
"""How often and how long a dialler over QUIC tries, which this node does not speak."""
OTHER_CURVE = 2
"""Type of keys that the recorded program reads, and ours does not."""
PING = bytes.fromhex("000200010000000000000000")
"""With which both sides of a session begin, sooner or later."""


def is_accepted(read: Callable[[], object]) -> bool:
    """Whether something is read without an error."""
    try:
        read()
    except WireError:
        return False
    return True


# ---- identity ----


@vectors("p2p/identity.json", variants=False)
def identity_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("keys", "key_files", "peer_id_text"))
    for entry in document["keys"]:
        yield Case(f"keys {entry['name']}", lambda entry=entry: check_key(entry))
    for entry in document["key_files"]:
        yield Case(f"key_files {entry['name']}", lambda entry=entry: check_key_file(entry))
    for position, entry in enumerate(document["peer_id_text"]):
        yield Case(f"peer_id_text[{position}]", lambda entry=entry: check_peer_id_text(entry))


def check_key(entry: Any) -> None:
    key = key_file.PeerKey(bytes.fromhex(entry["seed"]))
    assert key.public.hex() == entry["public"]
    assert peer_id.public_key(key.public).hex() == entry["public_protobuf"]
    assert peer_id.read_public_key(bytes.fromhex(entry["public_protobuf"])) == key.public
    assert key.id.hex() == entry["peer_id_hex"]
    assert peer_id.to_text(key.id) == entry["peer_id"]
    assert peer_id.from_text(entry["peer_id"]) == peer_id.from_text(entry["peer_id_cid"]) == key.id
    assert peer_id.public_key_of(key.id) == key.public
    assert key.to_file() == entry["p2p_key_file"]
    assert key_file.from_file(entry["p2p_key_file"]).id == key.id
    assert key.sign(b"test").hex() == entry["signature_of_test"]
    assert key_file.verify(key.public, bytes.fromhex(entry["signature_of_test"]), b"test")


def is_of_no_use(content: str) -> bool:
    """Whether a file that the recorded program reads holds a key of another curve, or halves of two keys."""
    fields = {name.lower(): value for name, value in json.loads(content).items()}
    kind, key = peer_id.read_key(base64.b64decode(fields["key"]))
    return kind == OTHER_CURVE or key_file.PeerKey(key[:32]).public != key[32:64]


def check_key_file(entry: Any) -> None:
    if entry["ok"] and is_of_no_use(entry["content"]):
        assert not is_accepted(lambda: key_file.from_file(entry["content"]))
        return
    assert is_accepted(lambda: key_file.from_file(entry["content"])) == entry["ok"]
    if entry["ok"]:
        assert peer_id.to_text(key_file.from_file(entry["content"]).id) == entry["peer_id"]


def check_peer_id_text(entry: Any) -> None:
    assert is_accepted(lambda: peer_id.from_text(entry["text"])) == entry["ok"]
    if entry["ok"]:
        found = peer_id.from_text(entry["text"])
        assert (found.hex(), peer_id.to_text(found)) == (entry["hex"], entry["canonical"])


# ---- addresses ----


@vectors("p2p/multiaddr.json", variants=False)
def multiaddr_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("text", "bytes", "addr_info"))
    for position, entry in enumerate(document["text"]):
        yield Case(f"text[{position}] {entry['text']}", lambda entry=entry: check_address_text(entry))
    for position, entry in enumerate(document["bytes"]):
        yield Case(f"bytes[{position}] {entry['hex']}", lambda entry=entry: check_address_bytes(entry))
    for position, entry in enumerate(document["addr_info"]):
        yield Case(f"addr_info[{position}] {entry['text']}", lambda entry=entry: check_addr_info(entry))


def check_address_text(entry: Any) -> None:
    assert multiaddr.is_text(entry["text"]) == entry["ok"]
    if entry["ok"]:
        found = multiaddr.from_text(entry["text"])
        assert (str(found), found.to_bytes().hex()) == (entry["canonical"], entry["hex"])
        assert multiaddr.from_bytes(found.to_bytes()) == found


def check_address_bytes(entry: Any) -> None:
    data = bytes.fromhex(entry["hex"])
    assert is_accepted(lambda: multiaddr.from_bytes(data)) == entry["ok"]
    if entry["ok"]:
        assert str(multiaddr.from_bytes(data)) == entry["text"]
        assert multiaddr.from_bytes(data).to_bytes() == data


def check_addr_info(entry: Any) -> None:
    address = multiaddr.from_text(entry["text"])
    assert is_accepted(lambda: backup.known_peer(address)) == entry["ok"]
    if entry["ok"]:
        assert backup.known_peer(address).to_json() == entry["json"]


@vectors("p2p/peer_backup.json", variants=False)
def backup_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("crc64", "files"))
    for position, entry in enumerate(document["crc64"]):
        yield Case(f"crc64[{position}]", lambda entry=entry: check_crc(entry))
    for entry in document["files"]:
        yield Case(f"files {entry['name']}", lambda entry=entry: check_backup(entry))


def check_crc(entry: Any) -> None:
    assert f"{backup.crc64(bytes.fromhex(entry['hex'])):016x}" == entry["crc64_iso"]


def check_backup(entry: Any) -> None:
    data = bytes.fromhex(entry["hex"])
    assert is_accepted(lambda: backup.decode(data)) == entry["ok"]
    if entry["ok"]:
        peers = backup.decode(data)
        assert [json.loads(peer.to_json()) for peer in peers] == entry["peers"]
        assert backup.encode(peers) == data


@vectors("p2p/quic_cookie.json", variants=False)
def cookie_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("encode", "decode", "max_cookie", *OF_QUIC))
    yield Case("max_cookie", lambda: check_longest_cookie(document["max_cookie"]))
    for position, entry in enumerate(document["encode"]):
        yield Case(f"encode[{position}]", lambda entry=entry: check_cookie_written(entry))
    for position, entry in enumerate(document["decode"]):
        yield Case(f"decode[{position}] {entry['hex'][:20]}", lambda entry=entry: check_cookie_read(entry))


def check_longest_cookie(longest: Any) -> None:
    assert longest == cookie.LONGEST


def check_cookie_written(entry: Any) -> None:
    assert entry["write_ok"]
    written = cookie.encode(bytes.fromhex(entry["cookie"]))
    assert written.hex() == entry["hex"]
    check_cookie_read({**entry, "ok": entry["read_ok"]})


def check_cookie_read(entry: Any) -> None:
    try:
        found = cookie.decode(bytes.fromhex(entry["hex"]))
    except WireError as error:
        assert not entry["ok"]
        assert (error.reason != MALFORMED) == entry["retryable"]
    else:
        assert entry["ok"]
        assert found.hex() == entry["cookie"]


# ---- connections ----


@vectors("p2p/multistream.json", variants=False)
def multistream_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("negotiations",))
    for entry in document["negotiations"]:
        yield Case(f"{entry['name']} as listener", lambda entry=entry: check_listener(entry))
        if not entry["name"].startswith(("raw_", "lazy_")):
            yield Case(f"{entry['name']} as dialler", lambda entry=entry: check_dialler(entry))


def said(entry: Any, who: str) -> bytes:
    return b"".join(bytes.fromhex(part["hex"]) for part in entry["transcript"] if part["from"] == who)


def fed(negotiation: multistream.Negotiation, data: bytes) -> bytes:
    """What it says, fed byte by byte, up to where it gives up."""
    out = [negotiation.take()]
    for at in range(len(data)):
        if not is_accepted(lambda at=at: negotiation.feed(data[at : at + 1])):  # type: ignore[misc]
            break
        out.append(negotiation.take())
    return b"".join(out)


def check_listener(entry: Any) -> None:
    spoken = entry["listener_supports"]
    listener = multistream.Listener(lambda name: name in spoken)
    heard, expected = said(entry, "dialer"), said(entry, "listener")
    assert fed(listener, heard).hex() == expected.hex()
    assert (listener.agreed or "") == entry["listener_selected"]
    if listener.agreed is not None:
        once = multistream.Listener(lambda name: name in spoken)
        once.feed(heard)
        assert (once.take(), once.rest()) == (expected, listener.rest())


def check_dialler(entry: Any) -> None:
    heard, expected = said(entry, "listener"), said(entry, "dialer")
    dialler = multistream.Dialler(lines(expected)[1:])
    assert fed(dialler, heard).hex() == expected.hex()
    assert (dialler.agreed is not None) == entry["dialer_ok"]
    assert (dialler.agreed or "") == entry["listener_selected"]


def lines(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        size, at = varint.take(data, at)
        found.append(data[at : at + size - 1].decode())
        at += size
    return found


@vectors("p2p/noise.json", variants=False)
def noise_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("handshakes", "payload_with_extensions_example"))
    for entry in document["handshakes"]:
        yield Case(entry["name"], lambda entry=entry: check_handshake(entry))
    yield Case("payload_with_extensions_example", lambda: check_extensions(document["payload_with_extensions_example"]))


def side(entry: Any, who: str) -> tuple[noise.Handshake, key_file.PeerKey]:
    shown = entry[who]
    private = {
        name: X25519PrivateKey.from_private_bytes(bytes.fromhex(shown[f"{name}_private"]))
        for name in ("static", "ephemeral")
    }
    prologue = entry["prologue"].encode()
    handshake = noise.Handshake(prologue, is_initiator=who == "initiator", **private)
    assert handshake.static_public.hex() == shown["static_public"]
    return handshake, key_file.PeerKey(bytes.fromhex(shown["identity_seed"]))


def check_handshake(entry: Any) -> None:
    sides = {who: side(entry, who) for who in ("initiator", "responder")}
    for number, shown in enumerate(entry["messages"]):
        names = ("initiator", "responder") if number % 2 == 0 else ("responder", "initiator")
        (writer, key), (reader, _) = (sides[name] for name in names)
        assert writer.writes and not reader.writes
        content = noise.payload(key, writer.static_public) if number else b""
        assert content.hex() == (entry[names[0]]["payload"] if number else "")
        message = writer.write(content)
        assert (len(message).to_bytes(2, "big") + message).hex() == shown
        assert reader.read(message) == content
        if number:
            expected = peer_id.from_text(entry[names[0]]["peer_id"])
            assert noise.read_payload(content, reader.remote_static, expected) == expected
    (first, _), (second, _) = sides["initiator"], sides["responder"]
    assert first.hash.hex() == second.hash.hex() == entry["handshake_hash"]
    ours, theirs = first.records(), second.records()
    for record in entry["records"]:
        plain = bytes.fromhex(record["plain"])
        assert ours.seal(plain).hex() == record["from_initiator"]
        assert theirs.seal(plain).hex() == record["from_responder"]
        assert theirs.feed(bytes.fromhex(record["from_initiator"])) == plain
        assert ours.feed(bytes.fromhex(record["from_responder"])) == plain


def check_extensions(shown: str) -> None:
    found = protobuf.last(bytes.fromhex(shown), {1: bytes, 2: bytes})
    assert found == {1: b"\1", 2: b"\2"}


# ---- streams ----


@vectors("p2p/yamux.json", variants=False)
def yamux_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("sessions", "reactions"))
    for entry in document["sessions"]:
        for who in ("client", "server"):
            yield Case(f"sessions {entry['name']} to {who}", lambda entry=entry, who=who: check_session(entry, who))
    for entry in document["reactions"]:
        yield Case(f"reactions {entry['name']}", lambda entry=entry: check_reaction(entry))


class Heard:
    """A receiver that takes everything at once and notes it."""

    def __init__(self) -> None:
        self.stream: yamux.Stream | None = None
        self.bytes, self.end = 0, ""

    def data(self, data: bytes) -> None:
        self.bytes += len(data)
        assert self.stream is not None
        self.stream.taken(len(data))

    def ended(self) -> None:
        self.end = "ended"

    def reset(self) -> None:
        self.end = "reset"

    def room(self) -> None:
        pass


def session(who: str) -> tuple[yamux.Session, dict[int, Heard]]:
    """The side of a client or a server that hears everything."""
    heard: dict[int, Heard] = {}

    def accept(stream: yamux.Stream) -> Heard:
        heard[stream.id] = found = Heard()
        found.stream = stream
        return found

    return yamux.Session(is_client=who == "client", accept=accept), heard


def frame_bytes(frame: Any) -> bytes:
    return bytes.fromhex(frame["hex"]) if "hex" in frame else bytes.fromhex(frame["header"]) + bytes(frame["length"])


def check_session(entry: Any, who: str) -> None:
    """What the other side of a recorded session sent is understood, whatever pieces it comes in."""
    other = "server" if who == "client" else "client"
    found, heard = session(who)
    own: dict[int, Heard] = {}
    expected: dict[int, tuple[int, str]] = {}
    for frame in entry["frames"]:
        if frame["type"] not in tuple(yamux.Type):
            raise NotUnderstood(f"a frame of the type {frame['type']}")
        if frame["from"] == who:
            if frame["type"] == yamux.Type.WINDOW and frame["flags"] & yamux.Flag.SYN:
                own[frame["stream"]] = mine = Heard()
                mine.stream = found.open(mine)
                assert mine.stream.id == frame["stream"]
            continue
        before = found.take()
        data = frame_bytes(frame)
        found.feed(data[:7])
        found.feed(data[7:])
        if frame["type"] == yamux.Type.PING and frame["flags"] & yamux.Flag.SYN:
            assert found.take() == PING[:2] + b"\0\2" + PING[4:8] + frame["length"].to_bytes(4, "big"), before
        if frame["stream"]:
            size, end = expected.get(frame["stream"], (0, ""))
            size += frame["length"] if frame["type"] == yamux.Type.DATA else 0
            end = "ended" if frame["flags"] & yamux.Flag.FIN else end
            end = "reset" if frame["flags"] & yamux.Flag.RST else end
            expected[frame["stream"]] = size, end
    assert {id: (one.bytes, one.end) for id, one in {**own, **heard}.items() if id in expected} == expected
    assert other in {frame["from"] for frame in entry["frames"]}


def check_reaction(entry: Any) -> None:
    found, _ = session("server")
    sent = bytes.fromhex(entry["sent"]) + bytes(entry.get("sent_zero_fill", 0))
    is_open = is_accepted(lambda: found.feed(sent))
    assert is_open != entry["closed"]
    if is_open:
        assert sorted(frames(found.take() + PING)) == sorted(frames(bytes.fromhex(entry["reply"])))


def frames(data: bytes) -> list[bytes]:
    return [data[at : at + yamux.HEADER_BYTES] for at in range(0, len(data), yamux.HEADER_BYTES)]


# ---- what peers tell ----


@vectors("p2p/identify_kad.json", variants=False)
def identify_cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("identify", "signed_peer_record", "peer_record_sealed", "kad"))
    yield Case("identify", lambda: check_identify(document["identify"]))
    yield Case("signed_peer_record", lambda: check_record(document["signed_peer_record"]))
    yield Case("peer_record_sealed", lambda: check_sealed(document["peer_record_sealed"]))
    for position, entry in enumerate(document["kad"]):
        yield Case(f"kad[{position}]", lambda entry=entry: check_kad(entry))


def unframed(text: str) -> bytes:
    data = bytes.fromhex(text)
    size, at = varint.take(data)
    assert size == len(data) - at
    return data[at:]


def check_identify(entry: Any) -> None:
    found = identify.decode(unframed(entry["hex"]))
    assert found.encode().hex() == entry["hex"]
    assert peer_id.to_text(peer_id.of_public_key(found.public_key)) == entry["peer_id"]
    texts: dict[str, list[str]] = {}
    for field in entry["fields"]:
        texts.setdefault(field["name"], []).append(field["text"])
    assert [str(address) for address in found.addresses] == texts["listen_addr"]
    assert list(found.protocols) == texts["protocol"] == sorted(texts["protocol"])
    assert found.agent == identify.AGENT
    assert found.record is not None
    assert envelope.open_record(found.record).addresses == found.addresses


def check_record(entry: Any) -> None:
    data = bytes.fromhex(entry["envelope"])
    assert is_accepted(lambda: envelope.open_record(data)) == entry["valid"]
    found = envelope.open_record(data)
    assert found.encode().hex() == entry["payload"]
    shown = dict(entry["record_fields"])
    assert (found.peer.hex(), found.sequence) == (shown[1], shown[2])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert not is_accepted(lambda changed=changed: envelope.open_record(changed))  # type: ignore[misc]


def check_sealed(entry: Any) -> None:
    key = key_file.PeerKey(bytes.fromhex(entry["identity_seed"]))
    assert peer_id.to_text(key.id) == entry["peer_id"]
    assert entry["domain"].encode() == envelope.DOMAIN
    record = envelope.PeerRecord(key.id, int(entry["seq"]), (multiaddr.from_text(entry["addr"]),))
    assert record.encode().hex() == entry["payload"]
    assert envelope.seal(key, record).hex() == entry["envelope"]


def check_kad(entry: Any) -> None:
    request, response = kad.decode(unframed(entry["request"])), kad.decode(unframed(entry["response"]))
    if entry.get("kind") == "PING":
        assert request.kind is response.kind is kad.Kind.PING
        assert kad.Message(kad.Kind.PING).encode().hex() == entry["response"]
        return
    assert request == kad.find_node(bytes.fromhex(entry["key"]))
    assert request.encode().hex() == entry["request"]
    near = tuple(
        kad.NearPeer(
            PeerId(peer_id.from_text(peer["peer_id"])),
            tuple(multiaddr.from_text(text) for text in peer["addrs"]),
            peer["connection"],
        )
        for peer in entry["closer_peers"]
    )
    assert response == kad.found(near)
    assert kad.found(near).encode().hex() == entry["response"]
