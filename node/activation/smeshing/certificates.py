"""Certificates with which PoET servers let an identity in. Protocol 02-poet-client, section 5."""

from __future__ import annotations

from node.contract.demands import Certified
from node.store.view import Span, View
from protocol.types.ids import NodeId

from .tables import CERTIFICATES, StoredCertificate
from .work import Work


def certificates(view: View, identity: NodeId) -> tuple[Certified, ...]:
    """All that an identity has."""
    found = view.scan(CERTIFICATES, Span(within=(identity,)))
    return tuple(Certified(certifier, row.certificate, row.signature) for (_, certifier), row in found)


def keep_certificate(work: Work, identity: NodeId, found: Certified) -> None:
    """Keep one, in place of another of the same certifier; nothing where it cannot be one."""
    work.put(CERTIFICATES, (identity, found.certifier), StoredCertificate(found.certificate, found.signature))
