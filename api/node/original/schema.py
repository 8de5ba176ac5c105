"""What the original's databases are made of: `state.sql` of version 25 and `local.sql` of version 9.

The original compares the texts by which its databases were made with those that it knows, white space aside, and
refuses others: ours are the same, down to how words are written. Specified in protocol 09b-node-storage-libp2p,
section 5.
"""

from __future__ import annotations

from .shape import Index, Schema, Table, Trigger

_HASH = "CHAR(32)"
_LONG = "UNSIGNED LONG INT"
_NO_MARRIAGE = "NOT EXISTS (SELECT 1 FROM marriages WHERE id = NEW.marriage_id)"
_NO_MARRIAGE_SAID = "marriage_id does not exist in marriages table"

STATE = Schema(
    "state.sql",
    25,
    (
        Table(
            "accounts",
            (
                "address CHAR(24)",
                f"balance {_LONG}",
                f"next_nonce {_LONG}",
                f"layer_updated {_LONG}",
                "template CHAR(24)",
                "state BLOB",
            ),
            "PRIMARY KEY (address, layer_updated DESC)",
            indexes=(Index("accounts_by_layer_updated", "layer_updated"),),
        ),
        Table(
            "activesets",
            (f"id {_HASH} PRIMARY KEY", "active_set BLOB", "epoch INT DEFAULT 0 NOT NULL"),
            has_rowid=False,
            indexes=(Index("activesets_by_epoch", "epoch asc"),),
        ),
        Table(
            "atx_blobs",
            (f"id {_HASH}", "atx BLOB", "version INTEGER"),
            indexes=(Index("atx_blobs_id", "id", is_unique=True),),
        ),
        Table(
            "atxs",
            (
                f"id {_HASH}",
                "epoch INT NOT NULL",
                "effective_num_units INT NOT NULL",
                f"commitment_atx {_HASH}",
                f"nonce {_LONG}",
                f"base_tick_height {_LONG}",
                f"tick_count {_LONG}",
                f"sequence {_LONG}",
                f"pubkey {_HASH}",
                "coinbase CHAR(24)",
                "received INT NOT NULL",
                "validity INTEGER DEFAULT false",
                f"marriage_atx {_HASH}",
                "weight INTEGER",
            ),
            indexes=(
                Index("atxs_by_coinbase", "coinbase"),
                Index("atxs_by_epoch_by_pubkey", "epoch, pubkey"),
                Index("atxs_by_epoch_by_pubkey_nonce", "pubkey, epoch desc, nonce", where="nonce IS NOT NULL"),
                Index("atxs_by_epoch_id", "epoch, id", on="on"),
                Index("atxs_by_pubkey_by_epoch_desc", "pubkey, epoch desc"),
                Index("atxs_id", "id", is_unique=True),
            ),
        ),
        Table(
            "ballots",
            ("id CHAR(20) PRIMARY KEY", f"atx {_HASH} NOT NULL", "layer INT NOT NULL", "pubkey VARCHAR", "ballot BLOB"),
            indexes=(
                Index("ballots_by_atx_by_layer", "atx, layer asc"),
                Index("ballots_by_layer_by_pubkey", "layer asc, pubkey"),
            ),
        ),
        Table("beacons", ("epoch INT NOT NULL PRIMARY KEY", "beacon CHAR(4)"), has_rowid=False),
        Table(
            "block_transactions",
            (f"tid {_HASH}", "bid CHAR(20)", "layer INT NOT NULL"),
            "PRIMARY KEY (tid, bid)",
            has_rowid=False,
        ),
        Table(
            "blocks",
            ("id CHAR(20) PRIMARY KEY", "layer INT NOT NULL", "validity SMALL INT", "block BLOB"),
            indexes=(Index("blocks_by_layer", "layer, id asc"),),
        ),
        Table(
            "certificates",
            ("layer INT NOT NULL", "block VARCHAR NOT NULL", "cert BLOB", "valid bool NOT NULL"),
            "PRIMARY KEY (layer, block)",
        ),
        Table("identities", (f"pubkey {_HASH} PRIMARY KEY", "proof BLOB NOT NULL", "received INT NOT NULL")),
        Table(
            "layers",
            (
                "id INT PRIMARY KEY DESC",
                "weak_coin SMALL INT",
                "processed SMALL INT",
                "applied_block VARCHAR",
                f"state_hash {_HASH}",
                f"aggregated_hash {_HASH}",
            ),
            has_rowid=False,
            indexes=(Index("layers_by_processed", "processed"),),
        ),
        Table(
            "malfeasance",
            (f"pubkey {_HASH} PRIMARY KEY", "marriage_id INT", "received INT NOT NULL", "domain INT", "proof BLOB"),
        ),
        Table(
            "marriages",
            (
                f"pubkey {_HASH} PRIMARY KEY",
                "id INT NOT NULL",
                f"marriage_atx {_HASH} NOT NULL",
                "marriage_idx INT NOT NULL",
                f"marriage_target {_HASH} NOT NULL",
                "marriage_sig BLOB NOT NULL",
            ),
            "UNIQUE (marriage_atx, marriage_idx)",
            indexes=(Index("marriages_by_id", "id"),),
        ),
        Table(
            "poets",
            ("ref VARCHAR PRIMARY KEY", "poet BLOB", "service_id VARCHAR", "round_id VARCHAR"),
            indexes=(Index("poets_by_service_id_by_round_id", "service_id, round_id"),),
        ),
        Table(
            "posts",
            (
                f"atxid {_HASH} NOT NULL",
                f"pubkey {_HASH} NOT NULL",
                f"prev_atxid {_HASH}",
                "prev_atx_index INT",
                "units INT NOT NULL",
                "publish_epoch UNSIGNED INT",
            ),
            indexes=(
                Index("posts_by_atxid_by_pubkey", "atxid, pubkey", is_unique=True),
                Index("posts_by_atxid_by_pubkey_epoch", "pubkey, publish_epoch"),
                Index("posts_by_atxid_by_pubkey_prev_atxid", "atxid, pubkey, prev_atxid"),
            ),
        ),
        Table(
            "proposal_transactions",
            (f"tid {_HASH}", "pid CHAR(20)", "layer INT NOT NULL"),
            "PRIMARY KEY (tid, pid)",
            has_rowid=False,
        ),
        Table("recovery", ("id INTEGER PRIMARY KEY CHECK (id = 1)", "restore INT NOT NULL")),
        Table(
            "rewards",
            (
                f"pubkey {_HASH}",
                "coinbase CHAR(24) NOT NULL",
                "layer INT NOT NULL",
                f"total_reward {_LONG}",
                f"layer_reward {_LONG}",
            ),
            "PRIMARY KEY (pubkey, layer)",
            indexes=(Index("rewards_by_coinbase", "coinbase, layer"), Index("rewards_by_layer", "layer asc")),
        ),
        Table(
            "transactions",
            (
                f"id {_HASH} PRIMARY KEY",
                "tx BLOB",
                "header BLOB",
                "result BLOB",
                "layer INT",
                "block CHAR(20)",
                "principal CHAR(24)",
                "nonce BLOB",
                "timestamp INT NOT NULL",
            ),
            has_rowid=False,
            indexes=(
                Index("transaction_by_layer_principal", "layer asc, principal"),
                Index("transaction_by_principal_nonce", "principal, nonce"),
            ),
        ),
        Table(
            "transactions_results_addresses",
            ("address CHAR(24)", f"tid {_HASH}"),
            "PRIMARY KEY (tid, address)",
            has_rowid=False,
            indexes=(Index("transactions_results_addresses_by_address", "address", gap=""),),
        ),
    ),
    (
        Trigger(
            "malfeasance_check_marriage_id_exists",
            "malfeasance",
            "INSERT",
            "NEW.marriage_id IS NOT NULL",
            _NO_MARRIAGE,
            _NO_MARRIAGE_SAID,
        ),
        Trigger(
            "malfeasance_check_marriage_id_update_exists",
            "malfeasance",
            "UPDATE",
            "NEW.marriage_id IS NOT NULL",
            _NO_MARRIAGE,
            _NO_MARRIAGE_SAID,
        ),
        Trigger(
            "malfeasance_check_proof_exists",
            "malfeasance",
            "INSERT",
            "NEW.marriage_id IS NULL",
            "NEW.proof IS NULL OR NEW.domain IS NULL",
            "proof must be provided for malfeasance entry without marriage_id",
        ),
    ),
)

_POST = ("post_nonce UNSIGNED INT NOT NULL", "post_indices VARCHAR NOT NULL", f"post_pow {_LONG} NOT NULL")

LOCAL = Schema(
    "local.sql",
    9,
    (
        Table(
            "atx_sync_requests",
            ("epoch INT NOT NULL", "timestamp INT NOT NULL", "total INTEGER", "downloaded INTEGER"),
            "PRIMARY KEY (epoch)",
            has_rowid=False,
        ),
        Table(
            "atx_sync_state",
            ("epoch INT NOT NULL", f"id {_HASH} NOT NULL", "requests INT NOT NULL DEFAULT 0"),
            "PRIMARY KEY (epoch, id)",
            has_rowid=False,
        ),
        Table(
            "challenge",
            (
                f"id {_HASH} PRIMARY KEY",
                "epoch UNSIGNED INT NOT NULL",
                "sequence UNSIGNED INT NOT NULL",
                f"prev_atx {_HASH} NOT NULL",
                f"pos_atx {_HASH} NOT NULL",
                f"commit_atx {_HASH}",
                "post_nonce UNSIGNED INT",
                "post_indices VARCHAR",
                f"post_pow {_LONG}",
                f"poet_proof_ref {_HASH}",
                "poet_proof_membership VARCHAR",
            ),
            has_rowid=False,
            is_quoted=True,
        ),
        Table("malfeasance_sync_state", ("id INT NOT NULL PRIMARY KEY", "timestamp INT NOT NULL")),
        Table(
            "nipost",
            (
                f"id {_HASH} PRIMARY KEY",
                *_POST,
                "num_units UNSIGNED INT NOT NULL",
                f"vrf_nonce {_LONG} NOT NULL",
                "poet_proof_membership VARCHAR NOT NULL",
                f"poet_proof_ref {_HASH} NOT NULL",
                "labels_per_unit UNSIGNED INT NOT NULL",
            ),
            has_rowid=False,
        ),
        Table(
            "poet_certificates",
            (
                "node_id BLOB NOT NULL",
                "certifier_id BLOB NOT NULL",
                "certificate BLOB NOT NULL",
                "signature BLOB NOT NULL",
            ),
            indexes=(Index("idx_poet_certificates", "node_id, certifier_id", is_unique=True),),
        ),
        Table(
            "poet_registration",
            (
                f"id {_HASH} NOT NULL",
                f"hash {_HASH} NOT NULL",
                "address VARCHAR NOT NULL",
                "round_id VARCHAR NOT NULL",
                "round_end INT NOT NULL",
            ),
            "PRIMARY KEY (id, address)",
            has_rowid=False,
        ),
        Table(
            "post",
            (
                f"id {_HASH} PRIMARY KEY",
                *_POST,
                "num_units UNSIGNED INT NOT NULL",
                f"commit_atx {_HASH} NOT NULL",
                f"vrf_nonce {_LONG} NOT NULL",
                f"challenge BLOB NOT NULL DEFAULT x'{bytes(32).hex()}'",
            ),
            is_quoted=True,
        ),
        Table(
            "prepared_activeset",
            (
                "kind UNSIGNED INT NOT NULL",
                "epoch UNSIGNED INT NOT NULL",
                f"id {_HASH} NOT NULL",
                "weight UNSIGNED INT NOT NULL",
                "data BLOB NOT NULL",
            ),
            "PRIMARY KEY (kind, epoch)",
            has_rowid=False,
        ),
    ),
)
