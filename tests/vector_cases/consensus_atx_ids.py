"""Vectors of activations' ids: consensus/atx_ids.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from api.config.errors import ConfigError
from api.config.load import load
from protocol.crypto.merkle import PADDING
from protocol.types.activation import ActivationTxV1, publish_epoch_of, version_of
from protocol.types.activation_v2 import ActivationTxV2, NIPostChallengeV2
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors

UNHEX = bytes.fromhex


@vectors("consensus/atx_ids.json", variants=False)
def atx_ids(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("challenges_v2", "v1", "v2", "versions"))
    for section, check in (("challenges_v2", _challenge), ("v1", _v1), ("v2", _v2), ("versions", _version)):
        for position, entry in enumerate(document[section]):
            yield Case(f"{section} {position}", partial(check, entry))


def _same(found: object, expected: object, what: str) -> None:
    assert found == expected, f"{what} {found}, expected {expected}"


def _known(entry: Any, names: set[str]) -> None:
    assert set(entry) <= names, f"unknown: {set(entry) - names}"


def _challenge(entry: Any) -> None:
    _known(entry, {"encoded", "hash"})
    data = UNHEX(entry["encoded"])
    challenge = NIPostChallengeV2.codec.decode(data)
    _same(NIPostChallengeV2.codec.encode(challenge), data, "encoding")
    _same(challenge.hash().hex(), entry["hash"], "hash")


def _v1(entry: Any) -> None:
    _known(entry, {"bytes", "id", "nipost_challenge", "nipost_challenge_hash", "signed_bytes"})
    data = UNHEX(entry["bytes"])
    atx = ActivationTxV1.codec.decode(data)
    challenge = atx.inner.challenge
    _same(ActivationTxV1.codec.encode(atx), data, "encoding")
    _same(publish_epoch_of(data), atx.publish_epoch, "publish epoch")
    _same(atx.id().hex(), entry["id"], "id")
    _same(atx.signed_bytes().hex(), entry["signed_bytes"], "signed bytes")
    _same(challenge.codec.encode(challenge).hex(), entry["nipost_challenge"], "challenge")
    _same(challenge.hash().hex(), entry["nipost_challenge_hash"], "challenge hash")


def _v2(entry: Any) -> None:
    _known(entry, {"bytes", "id", "initial_root", "marriages_root", "nipost_roots", "signed_bytes", "total_num_units"})
    data = UNHEX(entry["bytes"])
    atx = ActivationTxV2.codec.decode(data)
    initial = PADDING if atx.initial is None else atx.initial.root()
    roots = [nipost.root(atx.previous_atxs).hex() for nipost in atx.niposts]
    _same(ActivationTxV2.codec.encode(atx), data, "encoding")
    _same(publish_epoch_of(data), atx.publish_epoch, "publish epoch")
    _same(atx.id().hex(), entry["id"], "id")
    _same(atx.signed_bytes().hex(), entry["signed_bytes"], "signed bytes")
    _same(initial.hex(), entry.get("initial_root", PADDING.hex()), "root of the initial parts")
    _same(atx.marriages_root().hex(), entry["marriages_root"], "root of the marriages")
    _same(roots, entry["nipost_roots"] or [], "roots of the NIPosts")
    _same(atx.total_num_units(), entry["total_num_units"], "units")


def _version(entry: Any) -> None:
    _known(entry, {"config", "selected", "valid"})
    try:
        config = load(json.dumps({"main": {"atx-versions": entry["config"]}}))
    except ConfigError:
        assert not entry["valid"], "refused"
        return
    assert entry["valid"], "taken"
    for epoch, version in entry["selected"].items():
        _same(version_of(int(epoch), config.main.atx_versions), version, f"version of epoch {epoch}")
