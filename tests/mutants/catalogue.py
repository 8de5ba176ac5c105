"""All mutations, by what they are about."""

from __future__ import annotations

from itertools import chain

from . import activations, agreement, ledger, messages, votes
from .mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = tuple(
    chain(
        votes.TORTOISE,
        votes.MESH,
        agreement.HARE,
        agreement.ELIGIBILITY,
        agreement.BEACON,
        agreement.CERTIFICATES,
        agreement.BLOCKS,
        activations.ACTIVATION,
        activations.SMESHING,
        messages.PROPOSALS,
        messages.MALFEASANCE,
        messages.SYNC,
        messages.OWN,
        ledger.LEDGER,
        ledger.MEMPOOL,
    )
)


def by_name(name: str) -> Mutation:
    """One of them. Raises KeyError."""
    return {mutation.name: mutation for mutation in MUTATIONS}[name]
