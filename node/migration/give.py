"""Our rows as records of the reference.

| of ours | is left out, because the reference |
|---|---|
| marks of who is malicious without a proof | keeps them in memory alone |
| what hare agreed on and came to, what is owed, what peers were asked | has no rows for it |
| signed messages that are neither an activation nor a ballot | does not keep them: see `signed` |

Specified in protocol 09b-node-storage-libp2p, section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.activation.tables import ATXS, BLOBS, BY_ORDER, COLUMNS, POET_BLOBS, POSTS
from node.beacon.machine import BEACONS
from node.certificates.tables import CERTIFICATES
from node.checkpoint.tables import RESTORED
from node.hare.tables import WEAK_COINS
from node.ledger.tables import ACCOUNTS, EARLIER, LAYERS, RESULTS, REWARDS
from node.malfeasance.tables import PROOFS
from node.mempool.tables import HELD, IN_BLOCK, TRANSACTIONS
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES, PROCESSED, VALIDITY
from node.proposals.tables import ACTIVE_SETS
from node.queries import layers
from node.store.keys import ONLY
from node.store.view import Span, View
from protocol.types.activation import EpochActiveSet
from protocol.types.ballots import Ballot
from protocol.types.blocks import InnerBlock
from protocol.types.certificates import Certificate
from protocol.types.ids import EMPTY_ATX_ID, EMPTY_BLOCK_ID, LayerId
from protocol.types.poet import PoetProofMessage
from protocol.types.transactions import Account, TransactionResult, TxHeader

from . import records


def state_records(view: View, genesis: LayerId) -> Iterator[records.StateRecord]:
    """What `state.sql` has of our rows, in the order of `records.STATE`. genesis: the effective one.

    Raises StoreFault.
    """
    for give in (
        _recovery,
        _marriages,
        _identities,
        _poets,
        _atxs,
        _posts,
        _active_sets,
        _beacons,
        _ballots,
        _blocks,
        _certificates,
        _transactions,
        _addresses,
        _held,
        _accounts,
        _rewards,
    ):
        yield from give(view)
    yield from _layers(view, genesis)


def _recovery(view: View) -> Iterator[records.StateRecord]:
    restored = view.get(RESTORED, ONLY)
    if restored is not None:
        yield records.Recovery(restored)


def _marriages(view: View) -> Iterator[records.StateRecord]:
    for identity, row in view.find_rows(BY_ORDER):
        yield records.Marriage(identity, row.set, row.atx, row.index, row.target, row.signature)


def _identities(view: View) -> Iterator[records.StateRecord]:
    for identity, row in view.scan(PROOFS):
        yield records.Identity(identity, row.proof, row.received)


def _poets(view: View) -> Iterator[records.StateRecord]:
    for ref, data in view.scan(POET_BLOBS):
        message = PoetProofMessage.codec.decode(data)
        yield records.Poet(ref, data, message.service_id, message.round_id)


def _atxs(view: View) -> Iterator[records.StateRecord]:
    for _, id in view.keys(COLUMNS):
        row = view.get(ATXS, id)
        assert row is not None, "the columns are of rows"
        data = view.get(BLOBS, id)
        yield records.Atx(
            id=id,
            epoch=row.publish_epoch,
            effective_num_units=row.units,
            commitment_atx=row.commitment_atx,
            nonce=row.vrf_nonce,
            base_tick_height=row.base_height,
            tick_count=row.ticks,
            sequence=row.sequence,
            pubkey=row.smesher,
            coinbase=row.coinbase,
            received=row.received,
            validity=row.validity,
            marriage_atx=row.marriage_atx,
            weight=None if data is None else row.weight,
            atx=data,
            version=None if data is None else row.version,
        )


def _posts(view: View) -> Iterator[records.StateRecord]:
    for (atx, identity), post in view.scan(POSTS):
        previous = None if post.previous == EMPTY_ATX_ID else post.previous
        yield records.Post(atx, identity, previous, post.previous_index, post.units, post.publish_epoch)


def _active_sets(view: View) -> Iterator[records.StateRecord]:
    for hash, active in view.scan(ACTIVE_SETS):
        yield records.ActiveSet(hash, EpochActiveSet.codec.encode(active), active.epoch)


def _beacons(view: View) -> Iterator[records.StateRecord]:
    for epoch, beacon in view.scan(BEACONS):
        yield records.Beacon(epoch, beacon)


def _ballots(view: View) -> Iterator[records.StateRecord]:
    for id, ballot in view.scan(BALLOTS):
        inner = ballot.inner
        yield records.Ballot(id, inner.atx_id, inner.layer, ballot.smesher_id, Ballot.codec.encode(ballot))


def _blocks(view: View) -> Iterator[records.StateRecord]:
    for id, block in view.scan(BLOCKS):
        is_valid = view.get(VALIDITY, id)
        validity = None if is_valid is None else 1 if is_valid else -1
        yield records.Block(id, block.layer, validity, InnerBlock.codec.encode(block))


def _certificates(view: View) -> Iterator[records.StateRecord]:
    for (layer, block), row in view.scan(CERTIFICATES):
        data = None if row.certificate is None else Certificate.codec.encode(row.certificate)
        yield records.Certificate(layer, block, data, int(row.is_valid))


def _transactions(view: View) -> Iterator[records.StateRecord]:
    for id, row in view.scan(TRANSACTIONS):
        result, header = view.get(RESULTS, id), row.header
        yield records.Transaction(
            id,
            row.raw,
            None if header is None else TxHeader.codec.encode(header),
            None if result is None else TransactionResult.codec.encode(result),
            None if result is None else result.layer,
            None if result is None else result.block,
            None if header is None else header.principal,
            None if header is None else header.nonce,
            row.received,
        )


def _addresses(view: View) -> Iterator[records.StateRecord]:
    for id, result in view.scan(RESULTS):
        for address in result.addresses:
            yield records.TransactionAddress(address, id)


def _held(view: View) -> Iterator[records.StateRecord]:
    for id, what, layer, holder in view.keys(HELD):
        kind = records.BlockTransaction if what == IN_BLOCK else records.ProposalTransaction
        yield kind(id, holder, layer)


def _accounts(view: View) -> Iterator[records.StateRecord]:
    for address, newest in view.scan(ACCOUNTS):
        yield _account(newest)
        for _, earlier in view.scan(EARLIER, Span(within=(address,), reverse=True)):
            yield _account(earlier)


def _account(account: Account) -> records.Account:
    is_spawned = account.template is not None
    return records.Account(
        account.address,
        account.balance,
        account.next_nonce,
        account.layer,
        account.template,
        account.state if is_spawned else None,
    )


def _rewards(view: View) -> Iterator[records.StateRecord]:
    for (layer, smesher), reward in view.scan(REWARDS):
        yield records.Reward(smesher, reward.coinbase, layer, reward.total_reward, reward.layer_reward)


def _layers(view: View, genesis: LayerId) -> Iterator[records.StateRecord]:
    """From the effective genesis, which counts as applied without a block."""
    processed = view.get(PROCESSED, ONLY)
    for number in range(genesis, layers.newest(view, genesis) + 1):
        layer = LayerId(number)
        applied, coin = view.get(LAYERS, layer), view.get(WEAK_COINS, layer)
        yield records.Layer(
            layer,
            None if coin is None else int(coin),
            1 if processed is not None and layer <= processed else None,
            EMPTY_BLOCK_ID if applied is None and layer == genesis else None if applied is None else applied.block,
            None if applied is None else applied.state_hash,
            view.get(MESH_HASHES, layer),
        )
