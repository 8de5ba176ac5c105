"""What the vectors of messages derive from a record: for each type and name, how it is computed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol.types import activation, activation_v2, fetch, hare
from protocol.types.ids import AtxId, as_hash32

THREE_PREVIOUS = tuple(AtxId(bytes([first]) + bytes(31)) for first in (1, 2, 3))
"""`previous_atxs_01_02_03` of the vectors."""

Derivations = dict[str, Callable[[Any], Any]]

_ID = {"id": lambda record: record.id().hex()}
_ID20: Derivations = {**_ID, "id_bytes32": lambda record: as_hash32(record.id()).hex()}
_SIGNED: Derivations = {"signed_bytes": lambda record: record.signed_bytes().hex()}
_ROOT: Derivations = {"root": lambda record: record.root().hex()}
_ROOT_WITH_PREVIOUS: Derivations = {
    "root_with_previous_atxs_01_02_03": lambda record: record.root(THREE_PREVIOUS).hex(),
}
_CHALLENGE: Derivations = {"challenge_hash": lambda record: record.hash().hex()}
_HARE: Derivations = {
    "body_hash": lambda record: record.body.hash().hex(),
    "metadata_round": lambda record: record.body.iter_round.absolute(),
    "shape_valid": lambda record: record.is_well_formed(),
}
_ABSOLUTE: Derivations = {"absolute": lambda record: record.absolute()}

DERIVED: dict[str, Derivations] = {
    "NIPostChallengeV1": _CHALLENGE,
    "NIPostChallengeV2": _CHALLENGE,
    "PostV1": {"root": lambda record: activation_v2.post_root(record).hex()},
    "ActivationTxV1": {
        **_ID,
        **_SIGNED,
        "challenge_hash": lambda record: record.inner.challenge.hash().hex(),
    },
    "InitialAtxPartsV2": _ROOT,
    "MarriageCertificate": _ROOT,
    "SubPostV2": _ROOT_WITH_PREVIOUS,
    "NiPostsV2": _ROOT_WITH_PREVIOUS,
    "ActivationTxV2": {
        **_ID,
        **_SIGNED,
        "marriages_root": lambda record: record.marriages_root().hex(),
        "total_num_units": lambda record: record.total_num_units(),
    },
    "EpochActiveSet": {"set_hash": lambda record: activation.active_set_hash(record.set).hex()},
    "PoetProof": {"ref": lambda record: record.ref().hex()},
    "PoetProofMessage": {"ref": lambda record: record.ref().hex()},
    "Ballot": {**_ID20, **_SIGNED, "inner_hash": lambda record: record.inner.hash().hex()},
    "Proposal": {
        **_ID20,
        **_SIGNED,
        "inner_proposal_hash": lambda record: record.inner.hash().hex(),
        "ballot_id": lambda record: record.inner.ballot.id().hex(),
        "ballot_signed_bytes": lambda record: record.inner.ballot.signed_bytes().hex(),
    },
    "Block": _ID20,
    "CertifyMessage": _SIGNED,
    "IterRound": _ABSOLUTE,
    "Hare4IterRound": _ABSOLUTE,
    "Hare3Message": {**_HARE, **_SIGNED},
    "Hare4Message": {**_HARE, "signed_bytes_of_this_body": lambda record: hare.signed_bytes(record.body).hex()},
    "AtxProofMsg": _SIGNED,
    "BallotProofMsg": _SIGNED,
    "HareProofMsg": _SIGNED,
    "RequestBatch": {"batch_id_from_requests": lambda record: fetch.batch_id(record.requests).hex()},
}
