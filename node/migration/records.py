"""The rows of `state.sql` (version 25) and `local.sql` (version 9), one class a table, fields as the columns are named.

Ids are plain bytes, without the padding that some columns have; numbers are unsigned; optional ones are None where the
column is NULL. Two tables of one key, `atxs` and `atx_blobs`, are one record. Tables stand in the order in which they
are taken: later ones build on earlier ones. Specified in protocol 09b-node-storage-libp2p, sections 5.2 and 5.3.
"""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """Table `identities`: who is convicted by a proof."""

    pubkey: bytes
    proof: bytes
    received: int
    """Nanoseconds."""


class Malfeasance(NamedTuple):
    """Table `malfeasance`: who is malicious by proofs of a kind that is not handed on yet, or by a marriage."""

    pubkey: bytes
    marriage_id: int | None
    received: int
    """Nanoseconds."""
    domain: int | None
    proof: bytes | None


class Poet(NamedTuple):
    """Table `poets`."""

    ref: bytes
    poet: bytes
    """A PoetProofMessage."""
    service_id: bytes
    round_id: bytes


class Atx(NamedTuple):
    """Tables `atxs` and `atx_blobs`."""

    id: bytes
    epoch: int
    """In which it was published."""
    effective_num_units: int
    commitment_atx: bytes | None
    nonce: int | None
    base_tick_height: int
    tick_count: int
    sequence: int
    pubkey: bytes
    coinbase: bytes
    received: int
    """Nanoseconds; 0: restored from a checkpoint."""
    validity: int
    marriage_atx: bytes | None
    weight: int | None
    """None: restored from a checkpoint."""
    atx: bytes | None
    """The bytes; None: restored from a checkpoint."""
    version: int | None
    """None or 0 are 1."""


class Post(NamedTuple):
    """Table `posts`."""

    atxid: bytes
    pubkey: bytes
    prev_atxid: bytes | None
    prev_atx_index: int | None
    units: int
    publish_epoch: int | None


class Marriage(NamedTuple):
    """Table `marriages`, in the order of its rows."""

    pubkey: bytes
    id: int
    """Of the set."""
    marriage_atx: bytes
    marriage_idx: int
    marriage_target: bytes
    marriage_sig: bytes


class ActiveSet(NamedTuple):
    """Table `activesets`."""

    id: bytes
    active_set: bytes
    """An EpochActiveSet."""
    epoch: int


class Beacon(NamedTuple):
    """Table `beacons`."""

    epoch: int
    beacon: bytes


class Ballot(NamedTuple):
    """Table `ballots`."""

    id: bytes
    atx: bytes
    layer: int
    pubkey: bytes
    ballot: bytes


class Block(NamedTuple):
    """Table `blocks`."""

    id: bytes
    layer: int
    validity: int | None
    """1, -1, or nothing decided."""
    block: bytes
    """An InnerBlock."""


class Certificate(NamedTuple):
    """Table `certificates`."""

    layer: int
    block: bytes
    cert: bytes | None
    valid: int


class Transaction(NamedTuple):
    """Table `transactions`."""

    id: bytes
    tx: bytes
    header: bytes | None
    """A TxHeader."""
    result: bytes | None
    """A TransactionResult."""
    layer: int | None
    block: bytes | None
    principal: bytes | None
    nonce: int | None
    timestamp: int
    """Nanoseconds."""


class TransactionAddress(NamedTuple):
    """Table `transactions_results_addresses`, which follows from the results."""

    address: bytes
    tid: bytes


class BlockTransaction(NamedTuple):
    """Table `block_transactions`."""

    tid: bytes
    bid: bytes
    layer: int


class ProposalTransaction(NamedTuple):
    """Table `proposal_transactions`."""

    tid: bytes
    pid: bytes
    layer: int


class Account(NamedTuple):
    """Table `accounts`: one row a change."""

    address: bytes
    balance: int
    next_nonce: int
    layer_updated: int
    template: bytes | None
    state: bytes | None


class Reward(NamedTuple):
    """Table `rewards`."""

    pubkey: bytes
    coinbase: bytes
    layer: int
    total_reward: int
    layer_reward: int


class Layer(NamedTuple):
    """Table `layers`, ids ascending."""

    id: int
    weak_coin: int | None
    processed: int | None
    applied_block: bytes | None
    state_hash: bytes | None
    aggregated_hash: bytes | None


class Recovery(NamedTuple):
    """Table `recovery`."""

    restore: int


StateRecord = (
    Identity
    | Malfeasance
    | Poet
    | Atx
    | Post
    | Marriage
    | ActiveSet
    | Beacon
    | Ballot
    | Block
    | Certificate
    | Transaction
    | TransactionAddress
    | BlockTransaction
    | ProposalTransaction
    | Account
    | Reward
    | Layer
    | Recovery
)
STATE: tuple[type[StateRecord], ...] = (
    Recovery,
    Marriage,
    Identity,
    Malfeasance,
    Poet,
    Atx,
    Post,
    ActiveSet,
    Beacon,
    Ballot,
    Block,
    Certificate,
    Transaction,
    TransactionAddress,
    BlockTransaction,
    ProposalTransaction,
    Account,
    Reward,
    Layer,
)
"""In the order in which they are taken, activations by their epochs."""


class Challenge(NamedTuple):
    """Table `challenge`: an activation in the making."""

    id: bytes
    epoch: int
    """In which it is to be published."""
    sequence: int
    prev_atx: bytes
    pos_atx: bytes
    commit_atx: bytes | None
    post_nonce: int | None
    post_indices: bytes | None
    post_pow: int | None
    poet_proof_ref: bytes | None
    poet_proof_membership: bytes | None
    """A MembershipProof."""


class InitialPost(NamedTuple):
    """Table `post`."""

    id: bytes
    post_nonce: int
    post_indices: bytes
    post_pow: int
    num_units: int
    commit_atx: bytes
    vrf_nonce: int
    challenge: bytes


class Nipost(NamedTuple):
    """Table `nipost`: a proof of space that is not published yet."""

    id: bytes
    post_nonce: int
    post_indices: bytes
    post_pow: int
    num_units: int
    vrf_nonce: int
    poet_proof_membership: bytes
    poet_proof_ref: bytes
    labels_per_unit: int


class PoetRegistration(NamedTuple):
    """Table `poet_registration`."""

    id: bytes
    hash: bytes
    address: str
    round_id: str
    round_end: int
    """Seconds."""


class PoetCertificate(NamedTuple):
    """Table `poet_certificates`."""

    node_id: bytes
    certifier_id: bytes
    certificate: bytes
    signature: bytes


class PreparedActiveSet(NamedTuple):
    """Table `prepared_activeset`."""

    kind: int
    """0: for ballots; 1: for hare."""
    epoch: int
    id: bytes
    weight: int
    data: bytes
    """Ids, with their number before them."""


class AtxSyncRequest(NamedTuple):
    """Table `atx_sync_requests`."""

    epoch: int
    timestamp: int
    """Seconds."""
    total: int | None
    downloaded: int | None


class MalfeasanceSync(NamedTuple):
    """Table `malfeasance_sync_state`."""

    timestamp: int
    """Seconds."""


LocalRecord = (
    Challenge
    | InitialPost
    | Nipost
    | PoetRegistration
    | PoetCertificate
    | PreparedActiveSet
    | AtxSyncRequest
    | MalfeasanceSync
)
LOCAL: tuple[type[LocalRecord], ...] = (
    InitialPost,
    Challenge,
    Nipost,
    PoetRegistration,
    PoetCertificate,
    PreparedActiveSet,
    AtxSyncRequest,
    MalfeasanceSync,
)
"""In the order in which they are taken. `atx_sync_state`, the ids that are still to be asked for, has no counterpart:
peers are asked for the lists again."""

AnyRecord = StateRecord | LocalRecord
