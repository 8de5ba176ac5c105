"""The port `Prover`: proofs verified in worker threads, VRF proofs made there, proofs of space asked of PoST services.

RandomX and the scratch memory of labels are made at the first need, in the thread that needs them, shared, and given
back when nothing was verified for a while. Protocol 01-post, section 6.1; 04-activation-beacon-eligibility, 8.2.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from api.edge.errors import sentence
from api.edge.repeats import Repeats
from node.contract.demands import (
    DescribePost,
    Failed,
    PostVerdict,
    ProvePost,
    ProveVrf,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.runtime.workers import Work
from protocol.errors import ProtocolError
from protocol.params.config.node import Config
from protocol.post.proof import Proof, ProofMetadata
from protocol.types.ids import NodeId
from prover.post.proof.randomx_cache import RandomXCache
from prover.post.proof.verify import Claim, Labels, Mode, VerifyParams, at_once, check, check_input

from .calls import Answered
from .keys import NodeKeys
from .share import Pool, Share

if TYPE_CHECKING:
    from kernels import randomx

log = logging.getLogger("post")

IDLE_S = 60.0
"""How long the memory for verification is kept when nobody uses it."""

VALID = PostVerdict(True)


class Spaces(Protocol):
    """The PoST services of the own identities: `api.services.node.post.PostServices`. Safe from any thread."""

    def prove(self, call: int, identity: NodeId, challenge: bytes) -> None:
        """A proof of space. Result: ProvenPost or Failed."""

    def describe(self, call: int, identity: NodeId) -> None:
        """What there is. Result: HeldSpace or Failed."""

    def give_up(self, call: int) -> None:
        """The result is wanted no more."""


class Tools(Protocol):
    """What proofs of space are verified with, until it is closed."""

    full: bool
    labels: Labels

    def hash(self, data: bytes) -> bytes:
        """RandomX under the network's key, from any thread."""

    def close(self) -> None:
        """Gives all memory back."""


class LightTools:
    """Light RandomX, and labels on the processor. Raises KernelError where there is no library, or no memory."""

    full = False

    def __init__(self, scrypt_n: int) -> None:
        from kernels import randomx  # compiled code and its libraries: nothing that a start has to wait for
        from kernels.labels import cpu
        from protocol.post.proof import RANDOMX_KEY

        self.labels: Any = cpu.LabelEngine(cpu.devices()[0], scrypt_n)
        self._machines: randomx.MachinePool = randomx.MachinePool(randomx.Memory(RANDOMX_KEY))

    def hash(self, data: bytes) -> bytes:
        """As Tools says."""
        return self._machines.hash(data)

    def close(self) -> None:
        """As Tools says."""
        self._machines.close()
        self.labels.close()


class Lent:
    """Tools that are kept between proofs, and given back by themselves when they were idle for long enough."""

    def __init__(
        self, make: Callable[[], Tools], idle_s: float = IDLE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s = idle_s
        self.cache: RandomXCache[Tools] = RandomXCache(lambda full: make(), idle_s=idle_s, clock=clock)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_open = True

    def use(self, work: Callable[[Tools], PostVerdict]) -> PostVerdict:
        """What it makes of them. Raises what making them raises."""
        with self.cache.lend(False) as tools:
            try:
                return work(tools)
            finally:
                self._watch()

    def look(self) -> None:
        """Give them back if they are idle, else look again later."""
        with self._lock:
            self._timer = None
        if not self.cache.release_idle() and self.cache.state != "none":
            self._watch()

    def close(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._is_open = False
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.cache.close()

    def _watch(self) -> None:
        with self._lock:
            if self._timer is None and self._is_open:
                self._timer = threading.Timer(self._idle_s, self.look)
                self._timer.daemon = True
                self._timer.start()


class Proofs:
    """The port `Prover` of one node. Everything may be called from any thread."""

    def __init__(
        self,
        config: Config,
        keys: NodeKeys,
        spaces: Spaces,
        pool: Pool,
        answered: Answered,
        *,
        is_proving: Callable[[], bool] = lambda: False,
        make_tools: Callable[[int], Tools] = LightTools,
        idle_s: float = IDLE_S,
    ) -> None:
        """is_proving: whether a proof of an own identity is being made, for which proofs of others leave room;
        make_tools: by scrypt N."""
        self._post, self._scrypt_n = config.post, config.smeshing.opts.scrypt.n
        verifying = config.smeshing.verifying_opts
        self._is_checking = not verifying.disable
        self._keys, self._spaces, self._pool, self._answered = keys, spaces, pool, answered
        least = min(verifying.min_workers, verifying.workers)
        self._posts = Share(pool, lambda: least if is_proving() else verifying.workers, self._busy)
        self.tools = Lent(lambda: make_tools(self._scrypt_n), idle_s)
        self._lock, self._voice = threading.Lock(), Repeats()

    # ---- proofs of space and VRF proofs that are made ----

    def prove_post(self, call: int, work: ProvePost) -> None:
        """As Prover says."""
        self._spaces.prove(call, work.identity, work.challenge)

    def describe_post(self, call: int, work: DescribePost) -> None:
        """As Prover says."""
        self._spaces.describe(call, work.identity)

    def prove_vrf(self, call: int, work: ProveVrf) -> None:
        """As Prover says."""
        self._put(self._pool, call, "prove_vrf", lambda: self._proven(work), is_urgent=True)

    # ---- what is verified ----

    def verify_post(self, call: int, work: VerifyPost) -> None:
        """As Prover says."""
        if not self._is_checking:
            self._answered(call, VALID)
            return
        is_urgent = work.is_urgent or self._keys.key(work.node_id) is not None
        self._put(self._posts, call, "verify_post", lambda: self._verdict(work), is_urgent=is_urgent)

    def verify_vrf_nonce(self, call: int, work: VerifyVrfNonce) -> None:
        """As Prover says."""
        self._put(self._pool, call, "verify_vrf_nonce", lambda: self._is_nonce(work))

    def verify_poet(self, call: int, work: VerifyPoet) -> None:
        """As Prover says."""
        self._put(self._pool, call, "verify_poet", lambda: _holds(work))

    def give_up(self, call: int) -> None:
        """As Prover says."""
        if not self._posts.give_up(call):
            self._pool.give_up(call)
        self._spaces.give_up(call)

    def close(self) -> None:
        """Give the memory back."""
        self.tools.close()

    # ---- in the threads ----

    def _put(self, pool: Pool, call: int, kind: str, work: Callable[[], Result], *, is_urgent: bool = False) -> None:
        if not pool.put(Work(call, kind, lambda: self._do(call, work)), is_urgent=is_urgent):
            self._busy(call)

    def _busy(self, call: int) -> None:
        self._answered(call, Failed("busy", "More waits to be verified than is taken."))

    def _do(self, call: int, work: Callable[[], Result]) -> None:
        from kernels.errors import KernelError

        result: Result = Failed("fault", "A fault of this program; see the log.")
        try:
            result = work()
        except (KernelError, OSError, MemoryError) as error:  # nothing is known of the proof then
            result = Failed("unavailable", sentence(error))
            self._say(f"Proofs cannot be verified, so no activation of others is taken: {result.detail}")
        finally:
            self._answered(call, result)

    def _say(self, text: str) -> None:
        with self._lock:
            said = self._voice.once(text, time.monotonic())
        if said is not None:
            log.error("%s", said)

    def _proven(self, work: ProveVrf) -> Result:
        key = self._keys.key(work.identity)
        if key is None:
            return Failed("refused", f"{work.identity.hex()} is no identity of this node that may sign.")
        return key.prove(work.alpha)

    def _verdict(self, work: VerifyPost) -> PostVerdict:
        rules = self._post
        params = VerifyParams(
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
        chosen = range(rules.k2) if work.positions is None else work.positions
        claim = Claim(proof, about, Mode(tuple(position for position in chosen if 0 <= position < rules.k2)))
        try:
            check_input(proof, about)
            found = at_once(claim, params)  # for these nobody needs RandomX
            if found is not None:
                return PostVerdict(False, found.position, found.diagnosis)
            return self.tools.use(lambda tools: _verified(claim, params, tools))
        except ProtocolError as error:
            return PostVerdict(False, None, str(error))

    def _is_nonce(self, work: VerifyVrfNonce) -> bool:
        from kernels.labels import scalar
        from prover.post.init import vrf_nonce

        try:
            return vrf_nonce.verify(
                work.nonce,
                work.node_id,
                work.commitment_atx,
                work.num_units,
                work.labels_per_unit,
                self._scrypt_n,
                scalar.label32,
            )
        except ProtocolError:
            return False


def _verified(claim: Claim, params: VerifyParams, tools: Tools) -> PostVerdict:
    found = check(claim, params, tools.labels, tools.hash)
    return PostVerdict(found.valid, found.position, found.diagnosis)


def _holds(work: VerifyPoet) -> bool:
    from prover.poet.round.verify import PoetProofInvalid, verify

    try:
        verify(work.proof.proof.merkle_proof, work.proof.statement, work.proof.proof.leaf_count)
    except PoetProofInvalid:
        return False
    return True
