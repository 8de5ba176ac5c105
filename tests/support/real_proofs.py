"""What a node has verified, verified for real: proofs of space, VRF nonces, proofs of sequential work."""

from __future__ import annotations

from node.contract.demands import PostVerdict, Result, VerifyPoet, VerifyPost, VerifyVrfNonce
from protocol.errors import ProtocolError
from protocol.params.config.node import Config
from protocol.post.proof import Proof, ProofMetadata
from prover.poet.round import verify as poet
from prover.post.init import vrf_nonce
from prover.post.proof import verify as post
from tests.vector_cases.post_support import engine, label32
from tests.vector_cases.post_verify import pow_hash


class Verifier:
    """Answers what a node has verified, for real; each question once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._answers: dict[object, Result] = {}
        self.counts = {VerifyPost: 0, VerifyVrfNonce: 0, VerifyPoet: 0}
        """Questions that were answered by work."""

    def answer(self, demand: VerifyPost | VerifyVrfNonce | VerifyPoet) -> Result:
        """The verdict."""
        key = demand.ref if isinstance(demand, VerifyPoet) else demand
        if key not in self._answers:
            self.counts[type(demand)] += 1
            match demand:
                case VerifyPost():
                    self._answers[key] = self._post(demand)
                case VerifyVrfNonce():
                    self._answers[key] = self._nonce(demand)
                case VerifyPoet():
                    self._answers[key] = _poet(demand)
        return self._answers[key]

    @property
    def _scrypt_n(self) -> int:
        return self._config.smeshing.opts.scrypt.n

    def _post(self, work: VerifyPost) -> PostVerdict:
        rules = self._config.post
        params = post.VerifyParams(
            k1=rules.k1,
            k2=rules.k2,
            pow_difficulty=rules.pow_difficulty,
            min_num_units=rules.min_numunits,
            max_num_units=rules.max_numunits,
            labels_per_unit=work.metadata.labels_per_unit,
            scrypt_n=self._scrypt_n,
        )
        proof = Proof(work.post.nonce, work.post.indices, work.post.pow)
        about = ProofMetadata(work.node_id, work.commitment_atx, work.metadata.challenge, work.num_units)
        mode = post.Mode.all(rules.k2) if work.positions is None else post.Mode(work.positions)
        found = post.check(post.Claim(proof, about, mode), params, engine(self._scrypt_n), pow_hash)
        return PostVerdict(found.valid, found.position, found.diagnosis)

    def _nonce(self, work: VerifyVrfNonce) -> bool:
        try:
            return vrf_nonce.verify(
                work.nonce,
                work.node_id,
                work.commitment_atx,
                work.num_units,
                work.labels_per_unit,
                self._scrypt_n,
                label32,
            )
        except ProtocolError:
            return False


def _poet(work: VerifyPoet) -> bool:
    try:
        poet.verify(work.proof.proof.merkle_proof, work.proof.statement, work.proof.proof.leaf_count)
    except poet.PoetProofInvalid:
        return False
    return True
