"""Rules of activations, and of how own ones are made."""

from __future__ import annotations

from .mutation import Mutation

ACTIVATION = (
    Mutation(
        "activation-two-epochs-early",
        "node/activation/rules.py",
        "if publish > current + 1:",
        "if publish > current + 2:",
        "An activation is taken two epochs early.",
        ("tests/node/activation/test_boundaries.py::test_an_activation_comes_one_epoch_early_at_most",),
    ),
    Mutation(
        "activation-positioning-of-same-epoch",
        "node/activation/rules.py",
        '    if found.publish_epoch >= publish:\n        raise AtxRefused(\n            f"The positioning',
        '    if found.publish_epoch > publish:\n        raise AtxRefused(\n            f"The positioning',
        "Ticks grow by a chain of activations within one epoch.",
        ("tests/node/activation/test_boundaries.py::test_what_it_builds_on_is_of_an_earlier_epoch[5-False]",),
    ),
    Mutation(
        "activation-commitment-of-same-epoch",
        "node/activation/rules.py",
        '    if found.publish_epoch >= publish:\n        raise AtxRefused(\n            f"The commitment',
        '    if found.publish_epoch > publish:\n        raise AtxRefused(\n            f"The commitment',
        "Space is committed to an activation that is not older than its own.",
        ("tests/node/activation/test_boundaries.py::test_what_it_builds_on_is_of_an_earlier_epoch[5-False]",),
    ),
    Mutation(
        "activation-sequence-skips",
        "node/activation/rules_v1.py",
        "if before.sequence + 1 != challenge.sequence:",
        "if before.sequence >= challenge.sequence:",
        "An activation leaves out one of its own.",
        ("tests/node/activation/test_boundaries.py::test_activations_of_an_identity_are_counted[6-sequence_wrong]",),
    ),
    Mutation(
        "activation-declared-units",
        "node/activation/rules_v1.py",
        "        min(post.units, inner.num_units),",
        "        inner.num_units,",
        "Space that was not there for the whole time has weight at once.",
        (
            "tests/node/activation/test_boundaries.py::test_space_that_grew_counts_from_the_next_one_on_and_its_nonce_is_looked_at[11-10-True]",
        ),
    ),
    Mutation(
        "activation-grown-without-nonce",
        "node/activation/rules_v1.py",
        "inner.vrf_nonce is not None or inner.num_units > before.units,",
        "inner.vrf_nonce is not None,",
        "The nonce of a smaller space stands for a larger one.",
        (
            "tests/node/activation/test_boundaries.py::test_space_that_grew_counts_from_the_next_one_on_and_its_nonce_is_looked_at[11-10-True]",
        ),
    ),
    Mutation(
        "activation-previous-of-another",
        "node/activation/rules_v1.py",
        "if before.smesher != atx.smesher_id:",
        "if not before.smesher:",
        "An activation follows one of another smesher, whose space counts for it.",
        ("tests/node/activation/test_boundaries.py::test_nobody_follows_an_activation_of_another_one",),
    ),
    Mutation(
        "activation-ticks-of-the-longest",
        "node/activation/rules_v2.py",
        "sum(effective), min(ticks), weight)",
        "sum(effective), max(ticks), weight)",
        "A merged activation has the height of its longest round.",
        ("tests/node/activation/test_boundaries.py::test_a_merged_one_is_as_high_as_its_shortest_round",),
    ),
    Mutation(
        "activation-one-identity-twice",
        "node/activation/rules_v2.py",
        "if len(set(indices)) != len(indices):",
        "if len(set(indices)) > len(indices):",
        "One space counts twice in a merged activation.",
        ("tests/node/activation/test_boundaries.py::test_one_identity_has_one_proof_in_a_merged_one",),
    ),
    Mutation(
        "activation-signer-left-out",
        "node/activation/rules_v2.py",
        "if all(part.identity != atx.smesher_id for part in parts):",
        "if not parts:",
        "Whoever signs need not have space.",
        ("tests/node/activation/test_boundaries.py::test_whoever_signs_has_a_proof_in_it",),
    ),
    Mutation(
        "activation-second-unnoticed",
        "node/activation/contradictions.py",
        "published(view, atx.smesher_id, atx.publish_epoch) if one != id]",
        "published(view, atx.smesher_id, atx.publish_epoch) if one == id]",
        "Two activations of an epoch convict nobody.",
        ("tests/node/activation/test_boundaries.py::test_two_activations_of_an_epoch_are_a_contradiction",),
    ),
    Mutation(
        "activation-double-merge-unnoticed",
        "node/activation/contradictions.py",
        "merged(view, atx.marriage_atx, atx.publish_epoch) if one != id]",
        "merged(view, atx.marriage_atx, atx.publish_epoch) if one == id]",
        "A marriage merged twice in an epoch is not seen.",
        ("tests/node/activation/test_boundaries.py::test_a_marriage_merged_twice_in_an_epoch_is_a_contradiction",),
    ),
)

SMESHING = (
    Mutation(
        "smeshing-shortest-round",
        "node/activation/smeshing/choosing.py",
        "found.leaf_count > best[0].leaf_count",
        "found.leaf_count < best[0].leaf_count",
        "The PoET proof of the fewest ticks is taken.",
        (
            "tests/node/activation/smeshing/test_poet_servers.py::test_of_two_rounds_the_one_of_more_ticks_is_taken[leaves0]",
            "tests/node/activation/smeshing/test_poet_servers.py::test_of_two_rounds_the_one_of_more_ticks_is_taken[leaves1]",
        ),
    ),
    Mutation(
        "smeshing-own-by-base-height",
        "node/activation/smeshing/positioning.py",
        "own.height >= other.height",
        "own.base_height >= other.base_height",
        "It builds on its own activation though another one is higher.",
        (
            "tests/node/activation/smeshing/test_positioning.py::test_the_own_previous_one_wins_unless_another_is_higher",
        ),
    ),
    Mutation(
        "smeshing-candidates-by-base-height",
        "node/activation/columns.py",
        'heights = self.column("height")[rows]',
        'heights = self.column("base_height")[rows]',
        "The candidate for positioning is not the highest one.",
        ("tests/node/activation/test_boundaries.py::test_candidates_are_the_highest_whose_smesher_is_not_marked",),
    ),
    Mutation(
        "smeshing-candidates-with-malicious",
        "node/activation/columns.py",
        'rows = np.flatnonzero(~self.column("is_malicious"))\n',
        "rows = np.arange(len(self))\n",
        "It builds on an activation of who broke the rules.",
        ("tests/node/activation/test_boundaries.py::test_candidates_are_the_highest_whose_smesher_is_not_marked",),
    ),
    Mutation(
        "smeshing-registers-after-the-start",
        "node/activation/smeshing/times.py",
        "if now >= self.epoch_start(epoch) + self.parameters.phase_shift:",
        "if now > self.epoch_start(epoch) + self.parameters.phase_shift + self.parameters.cycle_gap:",
        "A challenge is made for a round that has started.",
        (
            "tests/node/activation/smeshing/test_times.py::test_the_next_epoch_for_which_one_can_register[11750400000000000-None-11]",
        ),
    ),
    Mutation(
        "smeshing-commitment-of-an-older-epoch",
        "node/activation/smeshing/machine.py",
        "self._searches[None] = self._search(work, newest)",
        "self._searches[None] = self._search(work, newest - 1)",
        "New space is bound to an activation that is not among the newest.",
        (
            "tests/node/activation/smeshing/test_positioning.py::test_new_labels_are_bound_to_the_highest_chain_that_holds",
        ),
    ),
)
