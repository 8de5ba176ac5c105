"""Verdict and certificate: all labels of a proof are checked, and then the node's id is signed.

What is signed are the SCALE bytes of the node id and an optional expiration, by plain Ed25519 without a prefix.
Specified in protocol 01-post-tools, section 6, and 02-poet, section 7.3.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from api.edge.errors import EnvironmentFault
from api.edge.text import why_no_json
from api.http import bounded_json
from kernels import randomx
from kernels.labels import cpu
from kernels.labels.memory import available_memory
from protocol.errors import ProtocolError
from protocol.poet.registration import encode_certificate
from protocol.post.proof import (
    RANDOMX_KEY,
    Proof,
    ProofMetadata,
    metadata_from_json,
    proof_from_json,
    required_bits,
    unpack_indices,
)
from protocol.types.poet import PoetCertificate
from prover.post.proof import verify
from prover.post.proof.verify import Claim, Mode, VerifyParams


@dataclass(frozen=True, slots=True)
class Certified:
    """What a node gets for a valid proof."""

    certificate: bytes
    signature: bytes
    pub_key: bytes
    """The certifier's."""

    def to_json(self) -> bytes:
        """The body of the answer."""
        fields = {"certificate": self.certificate, "signature": self.signature, "pub_key": self.pub_key}
        texts = {name: base64.b64encode(value).decode() for name, value in fields.items()}
        return json.dumps(texts, separators=(",", ":")).encode()


class Certifier:
    """Signs certificates with one key. `now_s` is the time since 1970 in seconds."""

    def __init__(
        self, seed: bytes, expiration_s: int | None, *, now_s: Callable[[], int] = lambda: int(time.time())
    ) -> None:
        self.public_key, self._secret = crypto_sign_seed_keypair(seed)
        self._expiration_s, self._now_s = expiration_s, now_s

    def certify(self, node_id: bytes) -> Certified:
        """The certificate of a node whose proof is valid."""
        expiration = None if self._expiration_s is None else self._now_s() + self._expiration_s
        data = encode_certificate(PoetCertificate(node_id, expiration))
        return Certified(data, crypto_sign(data, self._secret)[:crypto_sign_BYTES], self.public_key)


class Verifier:
    """Checks proofs with the parameters of one network; from any thread, once it is open."""

    def __init__(self, params: VerifyParams, *, full: bool, threads: int) -> None:
        self._params, self._full, self._threads = params, full, threads
        self._stop = threading.Event()
        self._machines: randomx.MachinePool | None = None
        self._labels: cpu.LabelEngine | None = None

    def check(self) -> None:
        """Whether it can be opened at all: raises RandomXUnavailable, and EnvironmentFault where memory is short."""
        randomx.library()
        needed, available = randomx.memory_needed(full=self._full), available_memory()
        if available < needed:
            raise EnvironmentFault(
                f"RandomX needs {needed >> 20} MiB, {available >> 20} MiB are available. Stop other programs"
                + (" or set randomx_mode to Light." if self._full else ".")
            )

    def open(self) -> None:
        """Takes memory for labels and RandomX; takes seconds.

        Raises RandomXUnavailable, MemoryShortage, and Stopped when it is closed meanwhile.
        """
        self._labels = cpu.LabelEngine(cpu.devices()[0], self._params.scrypt_n)
        self._labels.labels32([bytes(32)], [0])  # loads compiled code, which the first request need not wait for
        memory = randomx.Memory(RANDOMX_KEY, full=self._full, threads=self._threads, stop=self._stop)
        self._machines = randomx.MachinePool(memory)

    def refusal(self, proof: Proof, metadata: ProofMetadata) -> str | None:
        """Why the proof is not valid; None when it is. Raises KernelError where it cannot be checked."""
        assert self._labels is not None and self._machines is not None, "open comes first"
        claim = Claim(proof, metadata, Mode.all(self._params.k2))
        try:
            verdict = verify.check(claim, self._params, self._labels, self._machines.hash)
        except ProtocolError as error:
            return str(error)
        if verdict.failure is None:
            return shows_too_little(proof, metadata, self._params)
        return f"{verdict.failure.value}: {verdict.diagnosis}"

    def close(self) -> None:
        """Ends what is being checked (Stopped) and gives the memory back."""
        self._stop.set()
        if self._labels is not None:
            self._labels.close()
        if self._machines is not None:
            self._machines.close()


def shows_too_little(proof: Proof, metadata: ProofMetadata, params: VerifyParams) -> str | None:
    """Why a proof that the network must accept is not certified: an index twice, or one beyond the data. None for
    others.

    One good label counted many times shows little storage. The network's verdict takes no notice of it (01-post,
    section 6); what a certificate vouches for does.
    """
    num_labels = metadata.num_units * params.labels_per_unit
    indices = unpack_indices(proof.indices, required_bits(num_labels), params.k2)
    index, times = Counter(indices).most_common(1)[0]
    if times > 1:
        return f"the index {index} is named {times} times, so the proof shows less storage than it is for"
    if max(indices) >= num_labels:
        return f"the index {max(indices)} is beyond the {num_labels} labels that the proof is for"
    return None


class NotJson(ValueError):
    """A request is not JSON."""


class NotARequest(ValueError):
    """A request is JSON, but not of the certifier's form."""


def read_request(body: bytes) -> tuple[Proof, ProofMetadata]:
    """The proof in a request. Raises NotJson, NotARequest."""
    try:
        bounded_json.check(body)
        document = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise NotJson(why_no_json(error)) from None
    if not isinstance(document, dict):
        raise NotARequest("expected an object with proof and metadata")
    try:
        return proof_from_json(document.get("proof")), metadata_from_json(document.get("metadata"))
    except ProtocolError as error:
        raise NotARequest(str(error)) from None
