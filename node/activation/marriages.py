"""Identities that are joined: certificates, sets, their order. Protocol 04-activation-beacon-eligibility, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.contract.checks import SignatureCheck
from node.malfeasance.tables import MARKS
from node.store.view import BACKWARDS, Rows, Span, View
from protocol.crypto.signing import Domain
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EdSignature, NodeId

from .errors import AtxRefused
from .tables import ATXS, BY_ORDER, BY_SET, MARRIAGES, StoredMarriage

MERGED_EPOCHS_AFTER = 2
"""So many epochs after a marriage its identities may be merged."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A certificate, and whose it is."""

    identity: NodeId
    signature: EdSignature


def consents(atx: ActivationTxV2, view: View) -> list[Consent]:
    """The certificates in their order, up to the first whose reference is not stored."""
    found = []
    for certificate in atx.marriages:
        identity = atx.smesher_id
        if certificate.reference_atx != EMPTY_ATX_ID:
            reference = view.get(ATXS, certificate.reference_atx)
            if reference is None:
                break
            identity = reference.smesher
        found.append(Consent(identity, certificate.signature))
    return found


def signature_checks(atx: ActivationTxV2, found: Sequence[Consent]) -> tuple[SignatureCheck, ...]:
    """Each identity has signed who publishes."""
    return tuple(SignatureCheck(Domain.MARRIAGE, one.identity, atx.smesher_id, one.signature) for one in found)


def check(atx: ActivationTxV2, found: Sequence[Consent], are_signed: Sequence[bool]) -> None:
    """The certificates, with the verdicts on their signatures. Raises AtxRefused."""
    seen: set[NodeId] = set()
    for index, (consent, is_signed) in enumerate(zip(found, are_signed, strict=True)):
        if not is_signed:
            raise AtxRefused(f"{consent.identity.hex()} did not sign certificate {index}.", "marriage_bad_signature")
        if consent.identity in seen:
            raise AtxRefused(f"{consent.identity.hex()} has two certificates.", "marriage_id_twice")
        seen.add(consent.identity)
    if len(found) < len(atx.marriages):
        reference = atx.marriages[len(found)].reference_atx
        raise AtxRefused(
            f"The ATX {reference.hex()} of certificate {len(found)} is not known.",
            "marriage_reference_unknown",
        )


def equivocation_set(atx: ActivationTxV2, view: View) -> list[NodeId]:
    """Whose proofs an activation may hold, in the order that their indices mean. Raises AtxRefused."""
    if atx.marriage_atx is None:
        return [atx.smesher_id]
    row = view.get(MARRIAGES, atx.smesher_id)
    if row is None:
        raise AtxRefused(f"{atx.smesher_id.hex()} is not married.", "not_married")
    if row.atx != atx.marriage_atx:
        raise AtxRefused(
            f"The marriage ATX is {atx.marriage_atx.hex()}, expected {row.atx.hex()}.", "marriage_atx_mismatch"
        )
    marriage = view.get(ATXS, row.atx)
    if marriage is None:
        raise AtxRefused(f"The marriage ATX {row.atx.hex()} is not known.", "marriage_atx_unknown")
    if marriage.publish_epoch + MERGED_EPOCHS_AFTER > atx.publish_epoch:
        raise AtxRefused(
            f"The marriage is of epoch {marriage.publish_epoch}, expected one {MERGED_EPOCHS_AFTER} before "
            f"{atx.publish_epoch}.",
            "marriage_atx_too_recent",
        )
    return members(view, row.set)


def members(view: View, set: int) -> list[NodeId]:
    """The identities of a set, the first to come first."""
    return [identity for _, identity in view.find(BY_SET, Span(within=(set,)))]


def store(rows: Rows, id: AtxId, target: NodeId, found: Sequence[Consent]) -> list[NodeId]:
    """Join identities: whom that makes malicious.

    Who is married already keeps that marriage, and all sets become the one with the smallest number. Where one that is
    newly married is malicious, all are.
    """
    if not found:
        return []
    new_set = _next_set(rows)
    order = next_order(rows)
    sets = {new_set}
    is_malicious = False
    for index, consent in enumerate(found):
        known = rows.get(MARRIAGES, consent.identity)
        if known is not None:
            sets.add(known.set)
            continue
        rows.put(MARRIAGES, consent.identity, StoredMarriage(new_set, order, id, index, target, consent.signature))
        order += 1
        is_malicious = is_malicious or rows.has(MARKS, consent.identity)
    smallest = min(sets)
    for other in sorted(sets - {smallest}):
        for identity in members(rows, other):
            row = rows.get(MARRIAGES, identity)
            assert row is not None, "the index leads to a row"
            rows.put(MARRIAGES, identity, replace(row, set=smallest))
    return [consent.identity for consent in found] if is_malicious else []


def _next_set(view: View) -> int:
    entry = next(iter(view.find(BY_SET, BACKWARDS)), None)
    return 1 if entry is None else entry[0][0] + 1


def next_order(view: View) -> int:
    """The order of the next row."""
    entry = next(iter(view.find(BY_ORDER, BACKWARDS)), None)
    return 1 if entry is None else entry[0] + 1
