"""What a network, and the owner of a node, say about smeshing. Durations are in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.numbers.durations import SECOND


@dataclass(frozen=True, slots=True)
class SmeshingParameters:
    """Protocol 04-activation-beacon-eligibility, section 1.1, and 02-poet-client, section 1.1."""

    servers: tuple[str, ...]
    """Addresses of the PoET servers at which challenges are registered; of equally good proofs, that of the first."""
    phase_shift: int
    """From the start of an epoch to the start of the PoET round in it."""
    cycle_gap: int
    """Between two rounds: the time in which a proof of space is made."""
    grace_period: int
    """So long before a round starts the challenge for it is made."""
    positioning_timeout: int
    """How long a positioning activation is looked for; 0: until the round starts."""
    poet_retry: int
    """Between two attempts at a PoET server that failed."""
    post_valid_delay: int
    """Activations received earlier than this are taken as valid when a positioning activation is looked for."""
    regossip_interval: int = 0
    """How often the activations of the epoch are sent again; 0: never."""
    is_merging: bool = False
    """Whether married identities of this node publish one activation together, from version 2 on."""
    prover_retry: int = 2 * SECOND
    """Between two attempts at a prover that is not there."""
