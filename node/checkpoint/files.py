"""Checkpoint files: all accounts at one layer, and the latest ATXs of each smesher, from which a node may begin anew.

Bytes to values and back; who reads and writes the file is elsewhere. Reading is stricter than in the reference, which
looks at the shape of the JSON only. Protocol 03b-config-and-genesis, section 7; 09b-node-storage-libp2p, section 3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from node.errors import NodeError
from protocol.numbers.layers import MAX_LAYER, EpochId, LayerId
from protocol.types.ids import Address, AtxId, EdSignature, NodeId
from protocol.types.transactions import MAX_STATE_SIZE, Account

VERSION = "https://spacemesh.io/checkpoint.schema.json.1.0"
ADMIN_ADDRESS = "0.0.0.0:9093"
"""Where a node's operator interface listens unless it is told otherwise."""
_ID = re.compile(r"snapshot-([0-9]{1,10})")


class CheckpointError(NodeError):
    """A file that is no checkpoint, or damaged, or a layer that cannot be restored.

    reason: json, version, missing, type, range, length, duplicate, layer, not_empty.
    """


@dataclass(frozen=True, slots=True)
class CheckpointAtx:
    """What is left of an ATX: others may build on it, but its proof is gone."""

    id: AtxId
    epoch: EpochId
    commitment_atx: AtxId
    marriage_atx: AtxId | None
    vrf_nonce: int
    base_tick_height: int
    tick_count: int
    smesher_id: NodeId
    sequence: int
    coinbase: Address
    num_units: int
    """Effective units."""
    units: Mapping[NodeId, int]
    """Units of each identity in it."""


@dataclass(frozen=True, slots=True)
class CheckpointMarriage:
    """One identity's place in a marriage."""

    atx: AtxId
    index: int
    married_to: NodeId
    signer: NodeId
    signature: EdSignature


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds."""

    layer: LayerId
    """At which the snapshot was taken."""
    accounts: tuple[Account, ...]
    """Their layer is the one of the snapshot."""
    atxs: tuple[CheckpointAtx, ...]
    marriages: Mapping[int, tuple[CheckpointMarriage, ...]]
    """By the number of the marriage."""


def parse(text: str | bytes) -> Checkpoint:
    """The checkpoint in a file. Raises CheckpointError, which names the place."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The checkpoint is no JSON: {error}.", "json") from None
    root = _Node(document, "checkpoint")
    root.text("command")
    if root.text("version") != VERSION:
        raise CheckpointError(
            f"checkpoint.version is {root.text('version')[:80]!r}, expected {VERSION!r}: a checkpoint of another kind.",
            "version",
        )
    data = root.node("data")
    match = _ID.fullmatch(data.text("id"))
    if match is None or int(match[1]) > MAX_LAYER:
        raise CheckpointError(
            f'checkpoint.data.id is {data.text("id")[:80]!r}, expected "snapshot-" and a layer.', "range"
        )
    layer = LayerId(int(match[1]))
    return Checkpoint(
        layer,
        _accounts(data, layer),
        _atxs(data),
        MappingProxyType(dict(_marriages(data))),
    )


def write(checkpoint: Checkpoint, num_atxs: int) -> bytes:
    """The file of a checkpoint, byte for byte as the reference writes it.

    num_atxs: how many ATXs of each smesher were asked for; it stands in a line that tells people how to get the file.
    """
    fields = {"snapshot_layer": checkpoint.layer, "num_atxs": num_atxs}
    request = json.dumps({name: number for name, number in fields.items() if number}, separators=(",", ":"))
    document = {
        "command": f"grpcurl -plaintext -d '{request}' {ADMIN_ADDRESS} spacemesh.v1.AdminService.CheckpointStream",
        "version": VERSION,
        "data": {
            "id": f"snapshot-{checkpoint.layer}",
            "atxs": [_atx_entry(atx) for atx in checkpoint.atxs],
            "accounts": [_account_entry(account) for account in checkpoint.accounts],
            "marriages": {
                str(number): [_marriage_entry(one) for one in marriage]
                for number, marriage in checkpoint.marriages.items()
            },
        },
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _atx_entry(atx: CheckpointAtx) -> dict[str, Any]:
    return {
        "id": _text(atx.id),
        "epoch": atx.epoch,
        "commitmentAtx": _text(atx.commitment_atx),
        "marriageAtx": None if atx.marriage_atx is None else _text(atx.marriage_atx),
        "vrfNonce": atx.vrf_nonce,
        "baseTickHeight": atx.base_tick_height,
        "tickCount": atx.tick_count,
        "publicKey": _text(atx.smesher_id),
        "sequence": atx.sequence,
        "coinbase": _text(atx.coinbase),
        "numUnits": atx.num_units,
        # the reference's JSON has the keys of a map sorted
        "units": dict(sorted((_text(identity), units) for identity, units in atx.units.items())),
    }


def _account_entry(account: Account) -> dict[str, Any]:
    template = account.template
    return {
        "address": _text(account.address),
        "balance": account.balance,
        "nonce": account.next_nonce,
        "template": None if template is None else _text(template),
        "state": None if template is None else _text(account.state),
    }


def _marriage_entry(one: CheckpointMarriage) -> dict[str, Any]:
    return {
        "atx": _text(one.atx),
        "index": one.index,
        "marriedTo": _text(one.married_to),
        "signer": _text(one.signer),
        "signature": _text(one.signature),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _accounts(data: _Node, layer: LayerId) -> tuple[Account, ...]:
    accounts: dict[Address, Account] = {}
    for place, node in enumerate(data.items("accounts")):
        account = _account(node, layer)
        if accounts.setdefault(account.address, account) is not account:
            raise data.error(f"accounts[{place}]", f"address {account.address.hex()} stands there twice", "duplicate")
    return tuple(accounts.values())


def _atxs(data: _Node) -> tuple[CheckpointAtx, ...]:
    """An ATX that is named in a marriage may stand there once more, without its own marriage ATX."""
    atxs: list[CheckpointAtx] = []
    same: dict[AtxId, list[CheckpointAtx]] = {}
    for place, node in enumerate(data.items("atxs")):
        atx = _atx(node)
        if atx in same.setdefault(atx.id, []):
            raise data.error(f"atxs[{place}]", f"the same entry of ATX {atx.id.hex()} stands there twice", "duplicate")
        same[atx.id].append(atx)
        atxs.append(atx)
    return tuple(atxs)


def _account(node: _Node, layer: LayerId) -> Account:
    template = node.optional_data("template", 24)
    state = node.optional_data("state")
    if (template is None) != (state is None):
        raise node.error("state", "of template and state one is null, and the other is not", "type")
    if state is not None and len(state) > MAX_STATE_SIZE:
        raise node.error("state", f"{len(state)} bytes, at most {MAX_STATE_SIZE} are allowed", "length")
    return Account(
        layer=layer,
        address=Address(node.data("address", 24)),
        next_nonce=node.integer("nonce", 64),
        balance=node.integer("balance", 64),
        template=None if template is None else Address(template),
        state=state or b"",
    )


def _atx(node: _Node) -> CheckpointAtx:
    marriage = node.optional_data("marriageAtx", 32)
    units = node.node("units")
    return CheckpointAtx(
        id=AtxId(node.data("id", 32)),
        epoch=EpochId(node.integer("epoch", 32)),
        commitment_atx=AtxId(node.data("commitmentAtx", 32)),
        marriage_atx=None if marriage is None else AtxId(marriage),
        vrf_nonce=node.integer("vrfNonce", 64),
        base_tick_height=node.integer("baseTickHeight", 64),
        tick_count=node.integer("tickCount", 64),
        smesher_id=NodeId(node.data("publicKey", 32)),
        sequence=node.integer("sequence", 64),
        coinbase=Address(node.data("coinbase", 24)),
        num_units=node.integer("numUnits", 32),
        units=MappingProxyType(
            {NodeId(units.decoded(key, key, 32)): units.integer(key, 32) for key in units.keys()}  # noqa: SIM118
        ),
    )


def _marriages(data: _Node) -> Iterator[tuple[int, tuple[CheckpointMarriage, ...]]]:
    if not data.has("marriages"):
        return
    marriages = data.node("marriages")
    for key in marriages.keys():  # noqa: SIM118
        if not re.fullmatch("[0-9]{1,19}", key):
            raise marriages.error(key, "the number of a marriage is expected as the key", "type")
        yield (
            int(key),
            tuple(
                CheckpointMarriage(
                    atx=AtxId(node.data("atx", 32)),
                    index=node.integer("index", 32),
                    married_to=NodeId(node.data("marriedTo", 32)),
                    signer=NodeId(node.data("signer", 32)),
                    signature=EdSignature(node.data("signature", 64)),
                )
                for node in marriages.items(key)
            ),
        )


class _Node:
    """A JSON object with the path to it."""

    def __init__(self, value: Any, path: str) -> None:
        self._path = path
        if not isinstance(value, dict):
            raise CheckpointError(f"{path} is a {type(value).__name__}, expected an object.", "type")
        self._value = value

    def error(self, name: str, what: str, reason: str) -> CheckpointError:
        """The error of one entry."""
        return CheckpointError(f"{self._path}.{name}: {what}.", reason)

    def has(self, name: str) -> bool:
        """Whether there is such an entry, and not null."""
        return self._value.get(name) is not None

    def keys(self) -> list[str]:
        """The names of all entries."""
        return list(self._value)

    def text(self, name: str) -> str:
        """A text."""
        value: str = self._typed(name, str, "a text")
        return value

    def integer(self, name: str, bits: int) -> int:
        """An unsigned integer of so many bits."""
        value: int = self._typed(name, int, "an integer")
        if isinstance(value, bool) or not 0 <= value < 1 << bits:
            raise self.error(name, f"{value} is not an unsigned integer of {bits} bits", "range")
        return value

    def data(self, name: str, size: int | None = None) -> bytes:
        """Bytes in base64."""
        return self.decoded(name, self.text(name), size)

    def optional_data(self, name: str, size: int | None = None) -> bytes | None:
        """Bytes in base64, or None for null or nothing."""
        return self.data(name, size) if self.has(name) else None

    def decoded(self, name: str, text: str, size: int | None) -> bytes:
        """The bytes of a text in base64, named in errors."""
        try:
            found = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise self.error(name, f"{text[:80]!r} is no base64", "type") from None
        if size is not None and len(found) != size:
            raise self.error(name, f"{len(found)} bytes, expected {size}", "length")
        return found

    def node(self, name: str) -> _Node:
        """An object."""
        return _Node(self._typed(name, dict, "an object"), f"{self._path}.{name}")

    def items(self, name: str) -> Iterator[_Node]:
        """The objects of a list."""
        for place, item in enumerate(self._typed(name, list, "a list")):
            yield _Node(item, f"{self._path}.{name}[{place}]")

    def _typed(self, name: str, kind: type[Any], expected: str) -> Any:
        if name not in self._value:
            raise self.error(name, "the entry is missing", "missing")
        value = self._value[name]
        if not isinstance(value, kind):
            raise self.error(name, f"the entry is a {type(value).__name__}, expected {expected}", "type")
        return value
