"""The ports of a node in the world, and how a demand finds its port.

Calls that leave bear a number of their own: that of the engine, and in which life of the node it was asked. What comes
back for an engine that is no more is not taken for an answer to the one that came after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.demands import (
    BootstrapDocument,
    CertifyAtPoet,
    Demand,
    DescribePost,
    Failed,
    PoetProofOf,
    ProvePost,
    ProveVrf,
    RegisterAtPoet,
    Request,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.ports import Bootstrap, Keys, PoetServers, Prover
from node.p2p.port import Host

_LIFE = 1 << 40
"""Calls of one life."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node reaches the world by. Each tells what came of a call to the driver (`Receiver.returned`), from any
    thread, once."""

    host: Host
    prover: Prover
    poets: PoetServers
    bootstrap: Bootstrap
    keys: Keys

    def carry(self, call: int, demand: Demand) -> Failed | None:
        """Hand a demand to its port; Failed where there is none for it."""
        match demand:
            case Request():
                self.host.request(call, demand)
            case ProveVrf():
                self.prover.prove_vrf(call, demand)
            case VerifyPost():
                self.prover.verify_post(call, demand)
            case VerifyPoet():
                self.prover.verify_poet(call, demand)
            case VerifyVrfNonce():
                self.prover.verify_vrf_nonce(call, demand)
            case ProvePost():
                self.prover.prove_post(call, demand)
            case DescribePost():
                self.prover.describe_post(call, demand)
            case CertifyAtPoet():
                self.poets.certify(call, demand)
            case RegisterAtPoet():
                self.poets.register(call, demand)
            case PoetProofOf():
                self.poets.proof(call, demand)
            case BootstrapDocument():
                self.bootstrap.document(call, demand)
            case _:
                return Failed("refused", f"Nothing serves {type(demand).__name__}.")
        return None

    def give_up(self, call: int) -> None:
        """Nobody waits for it any more, whoever has it."""
        self.prover.give_up(call)
        self.poets.give_up(call)


def outward(life: int, call: int) -> int:
    """The number under which a call of the engine leaves."""
    return life * _LIFE + call


def inward(call: int) -> tuple[int, int]:
    """The life in which it was asked, and the number that the engine knows."""
    return divmod(call, _LIFE)
