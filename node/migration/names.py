"""Which table a record is of."""

from __future__ import annotations

from . import records
from .records import AnyRecord

TABLE_OF: dict[type[AnyRecord], str] = {
    records.Recovery: "recovery",
    records.Marriage: "marriages",
    records.Identity: "identities",
    records.Malfeasance: "malfeasance",
    records.Poet: "poets",
    records.Atx: "atxs",
    records.Post: "posts",
    records.ActiveSet: "activesets",
    records.Beacon: "beacons",
    records.Ballot: "ballots",
    records.Block: "blocks",
    records.Certificate: "certificates",
    records.Transaction: "transactions",
    records.TransactionAddress: "transactions_results_addresses",
    records.BlockTransaction: "block_transactions",
    records.ProposalTransaction: "proposal_transactions",
    records.Account: "accounts",
    records.Reward: "rewards",
    records.Layer: "layers",
    records.Challenge: "challenge",
    records.InitialPost: "post",
    records.Nipost: "nipost",
    records.PoetRegistration: "poet_registration",
    records.PoetCertificate: "poet_certificates",
    records.PreparedActiveSet: "prepared_activeset",
    records.AtxSyncRequest: "atx_sync_requests",
    records.MalfeasanceSync: "malfeasance_sync_state",
}
"""The table of each record; an activation has its bytes in `atx_blobs`."""
