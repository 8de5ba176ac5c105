"""Rules of the ledger and of which transactions a block holds."""

from __future__ import annotations

from .mutation import Mutation

LEDGER = (
    Mutation(
        "ledger-rewards-rounded-up",
        "node/ledger/rewards.py",
        "amount = total * weight // whole",
        "amount = -(-total * weight // whole)",
        "More is paid than there is.",
        ("tests/node/ledger/test_rewards.py::test_known_rewards",),
    ),
    Mutation(
        "ledger-rewards-in-order-of-the-block",
        "node/ledger/rewards.py",
        "return sorted(rewards, key=lambda reward: reward.coinbase)",
        "return list(rewards)",
        "Accounts change in another order: another state hash.",
        ("tests/node/ledger/test_rewards.py::test_coinbases_come_in_their_order",),
    ),
    Mutation(
        "ledger-fees-burnt",
        "node/ledger/rewards.py",
        "total = subsidy + fees & MASK",
        "total = subsidy",
        "Smeshers do not get the fees.",
        ("tests/node/ledger/test_rewards.py::test_fees_are_shared_like_the_subsidy",),
    ),
    Mutation(
        "ledger-subsidy-from-the-checkpoint",
        "node/ledger/layer.py",
        "paid_out = subsidy(layer - parameters.first_effective_genesis)",
        "paid_out = subsidy(layer - parameters.first_layer)",
        "After a checkpoint the first subsidies are paid once more.",
        ("tests/node/ledger/test_layers.py::test_a_layer_before_the_genesis_is_refused",),
    ),
    Mutation(
        "ledger-nonces-without-gaps",
        "node/ledger/layer.py",
        "if principal.next_nonce > parsed.nonce:",
        "if principal.next_nonce != parsed.nonce:",
        "A transaction that leaves out a nonce has no effect.",
        ("tests/node/ledger/test_layers.py::test_gaps_between_nonces_are_taken_and_lower_ones_are_not",),
    ),
    Mutation(
        "ledger-one-key-twice",
        "node/ledger/templates/multisig.py",
        "if not last < ref < len(public_keys):",
        "if not last <= ref < len(public_keys):",
        "One key signs for two.",
        ("tests/node/ledger/test_parse.py::test_a_multisig_signs_with_ascending_keys",),
    ),
    Mutation(
        "ledger-vested-one-early",
        "protocol/numbers/issuance.py",
        "return total * (layer - start) // (end - start)",
        "return total * (layer + 1 - start) // (end - start)",
        "Vaulted coins are free a layer early.",
        ("tests/node/ledger/test_layers.py::test_a_vault_releases_layer_by_layer",),
    ),
    Mutation(
        "ledger-unused-gas-kept",
        "node/ledger/layer.py",
        "                principal.balance += host.gas_left * parsed.gas_price\n",
        "                principal.balance += 0\n",
        "Gas that was not used is not given back.",
        ("tests/node/ledger/test_calls.py::test_what_is_not_used_of_the_limit_is_given_back",),
    ),
)

MEMPOOL = (
    Mutation(
        "mempool-shuffle-moves-all",
        "node/mempool/shuffle.py",
        "other = twister.below(last + 1)",
        "other = twister.below(last)",
        "Another order of transactions: another block.",
        ("tests/node/mempool/test_boundaries.py::test_a_shuffle_leaves_some_in_their_place",),
    ),
    Mutation(
        "mempool-block-cut-where-it-fits",
        "node/mempool/selection.py",
        "        if left < 1:\n            return transactions[:place]",
        "        if left < transaction.max_gas:\n            return transactions[:place]",
        "Blocks are cut where the network's are not.",
        ("tests/node/mempool/test_mempool.py::test_a_block_is_cut_only_where_its_gas_fits_exactly",),
    ),
    Mutation(
        "mempool-balance-spent-twice",
        "node/mempool/account.py",
        "            balance -= candidate.transaction.spending\n",
        "            balance -= 0\n",
        "Later transactions spend what earlier ones have spent.",
        (
            "tests/node/mempool/test_mempool.py::test_a_better_transaction_takes_the_place_and_evicts_what_no_longer_fits",
        ),
    ),
    Mutation(
        "mempool-account-takes-more",
        "node/mempool/account.py",
        "MAX_NONCES = 100\n",
        "MAX_NONCES = 101\n",
        "An account holds a nonce more, and blocks take a transaction more of it.",
        ("tests/node/mempool/test_mempool.py::test_the_101st_nonce_waits_in_the_store",),
    ),
)
