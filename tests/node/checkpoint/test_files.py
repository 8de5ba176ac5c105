"""Checkpoint files: read whole, written as they were read, and what is wrong with them is named."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.checkpoint import files as checkpoint
from protocol.types.ids import Address, AtxId, EdSignature, EpochId, LayerId, NodeId
from protocol.types.transactions import Account
from tests.support import vm_world as world


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


W1 = world.wallet(1)
ATX = {
    "id": b64(b"\1" * 32),
    "epoch": 3,
    "commitmentAtx": b64(b"\2" * 32),
    "marriageAtx": b64(b"\3" * 32),
    "vrfNonce": (1 << 64) - 1,
    "baseTickHeight": 11,
    "tickCount": 12,
    "publicKey": b64(b"\4" * 32),
    "sequence": 0,
    "coinbase": b64(bytes(4) + b"\5" * 20),
    "numUnits": 7,
    "units": {b64(b"\4" * 32): 3, b64(b"\6" * 32): 4},
}
FILE: dict[str, Any] = {
    "command": "grpcurl",
    "version": checkpoint.VERSION,
    "data": {
        "id": "snapshot-1152",
        "atxs": [ATX, {**ATX, "marriageAtx": None}],
        "accounts": [
            {"address": b64(bytes(24)), "balance": (1 << 64) - 1, "nonce": 5, "template": None, "state": None},
            {
                "address": b64(W1.address),
                "balance": 7,
                "nonce": 1,
                "template": b64(W1.template),
                "state": b64(W1.state),
            },
        ],
        "marriages": {
            "12": [
                {
                    "atx": b64(b"\1" * 32),
                    "index": 1,
                    "marriedTo": b64(b"\4" * 32),
                    "signer": b64(b"\6" * 32),
                    "signature": b64(b"\7" * 64),
                }
            ]
        },
    },
}


def test_a_checkpoint_is_read_whole() -> None:
    found = checkpoint.parse(json.dumps(FILE))
    assert found.layer == 1152
    assert found.accounts[0].balance == (1 << 64) - 1
    assert found.accounts[1] == W1.spawned(7, 1, 1152)
    first, second = found.atxs
    assert (first.marriage_atx, second.marriage_atx) == (b"\3" * 32, None)
    assert first.vrf_nonce == (1 << 64) - 1 and dict(first.units) == {b"\4" * 32: 3, b"\6" * 32: 4}
    ((marriage,),) = found.marriages.values()
    assert list(found.marriages) == [12] and marriage.index == 1 and marriage.signature == b"\7" * 64
    without = copy.deepcopy(FILE)
    del without["data"]["marriages"]
    assert checkpoint.parse(json.dumps(without).encode()).marriages == {}


def test_a_file_is_written_as_the_network_writes_it() -> None:
    written = checkpoint.write(checkpoint.parse(json.dumps(FILE)), 4)
    command = (
        'grpcurl -plaintext -d \'{"snapshot_layer":1152,"num_atxs":4}\' 0.0.0.0:9093 '
        "spacemesh.v1.AdminService.CheckpointStream"
    )
    assert written == json.dumps({**FILE, "command": command}, separators=(",", ":")).encode() + b"\n"


def ids(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


u32, u64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
ATXS = st.builds(
    checkpoint.CheckpointAtx,
    id=ids(32).map(AtxId),
    epoch=u32.map(EpochId),
    commitment_atx=ids(32).map(AtxId),
    marriage_atx=st.none() | ids(32).map(AtxId),
    vrf_nonce=u64,
    base_tick_height=u64,
    tick_count=u64,
    smesher_id=ids(32).map(NodeId),
    sequence=u64,
    coinbase=ids(24).map(Address),
    num_units=u32,
    units=st.dictionaries(ids(32).map(NodeId), u32, max_size=3),
)
MARRIAGES = st.builds(
    checkpoint.CheckpointMarriage,
    atx=ids(32).map(AtxId),
    index=u32,
    married_to=ids(32).map(NodeId),
    signer=ids(32).map(NodeId),
    signature=ids(64).map(EdSignature),
)


@st.composite
def checkpoints(draw: st.DrawFn) -> checkpoint.Checkpoint:
    layer = LayerId(draw(u32))
    accounts = [
        Account(layer, address, nonce, balance, template, state if template is not None else b"")
        for address, nonce, balance, template, state in draw(
            st.lists(
                st.tuples(ids(24).map(Address), u64, u64, st.none() | ids(24).map(Address), st.binary(max_size=100)),
                max_size=4,
                unique_by=lambda one: one[0],
            )
        )
    ]
    return checkpoint.Checkpoint(
        layer,
        tuple(accounts),
        tuple(draw(st.lists(ATXS, max_size=3, unique_by=lambda one: one.id))),
        draw(st.dictionaries(st.integers(0, 10**18), st.lists(MARRIAGES, max_size=2).map(tuple), max_size=2)),
    )


@given(checkpoints())
def test_what_is_written_is_read_again(one: checkpoint.Checkpoint) -> None:
    found = checkpoint.parse(checkpoint.write(one, 4))
    assert (found.layer, found.accounts, found.atxs) == (one.layer, one.accounts, one.atxs)
    assert dict(found.marriages) == dict(one.marriages)


def changed(*path: Any, to: Any) -> str:
    """The file with one entry changed; ... takes it away."""
    document = copy.deepcopy(FILE)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("{", "json", "no JSON"),
        ("[" * 100_000, "json", "no JSON"),
        ("[]", "type", "checkpoint is a list"),
        (changed("version", to="2.0"), "version", "'2.0'"),
        (changed("command", to=...), "missing", "checkpoint.command"),
        (changed("data", to=...), "missing", "checkpoint.data"),
        (changed("data", "accounts", to=...), "missing", "checkpoint.data.accounts"),
        (changed("data", "atxs", to=...), "missing", "checkpoint.data.atxs"),
        (changed("data", "id", to="1152"), "range", "snapshot-"),
        (changed("data", "id", to=f"snapshot-{1 << 32}"), "range", "snapshot-"),
        (changed("data", "id", to="snapshot-" + "9" * 5000), "range", "snapshot-"),
        (
            json.dumps(FILE).replace("1152", "9" * 5000).replace('"sequence": 0', '"sequence": ' + "9" * 5000),
            "json",
            "",
        ),
        (changed("data", "accounts", 1, "balance", to=-1), "range", "accounts[1].balance"),
        (changed("data", "accounts", 1, "balance", to=1 << 64), "range", "64 bits"),
        (changed("data", "accounts", 1, "balance", to=True), "range", "accounts[1].balance"),
        (changed("data", "accounts", 1, "nonce", to=1.5), "type", "accounts[1].nonce"),
        (changed("data", "accounts", 1, "address", to=b64(bytes(20))), "length", "20 bytes, expected 24"),
        (changed("data", "accounts", 1, "address", to="????"), "type", "no base64"),
        (changed("data", "accounts", 1, "address", to=b64(bytes(24))), "duplicate", "accounts[1]"),
        (changed("data", "accounts", 1, "state", to=None), "type", "the other is not"),
        (changed("data", "accounts", 1, "state", to=b64(bytes(10_001))), "length", "10001 bytes"),
        (changed("data", "accounts", 1, to=5), "type", "accounts[1] is a int"),
        (changed("data", "atxs", 0, "vrfNonce", to=...), "missing", "atxs[0].vrfNonce"),
        (changed("data", "atxs", 1, to=ATX), "duplicate", "atxs[1]"),
        (changed("data", "atxs", 0, "units", to={"x": 1}), "type", "units.x"),
        (changed("data", "marriages", to={"x": []}), "type", "marriages.x"),
        (changed("data", "marriages", "12", 0, "signature", to=b64(bytes(63))), "length", "63 bytes"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(text: str, reason: str, said: str) -> None:
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.parse(text)
    assert caught.value.reason == reason
    assert said in str(caught.value)
