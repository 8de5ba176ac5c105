"""Rules of tortoise and mesh: which votes count, and what is applied."""

from __future__ import annotations

from .mutation import Mutation

TORTOISE = (
    Mutation(
        "tortoise-margin-reached",
        "node/tortoise/thresholds.py",
        "return SUPPORT if margin > threshold else NEUTRAL",
        "return SUPPORT if margin >= threshold else NEUTRAL",
        "A margin that only reaches the threshold decides, where the others wait.",
        ("tests/node/tortoise/test_boundaries.py::test_a_margin_decides_beyond_the_threshold_and_not_at_it",),
    ),
    Mutation(
        "tortoise-threshold-without-local",
        "node/tortoise/thresholds.py",
        "divided(expected_weight(state, target), ADVERSARIAL_FRACTION) + state.local_threshold",
        "divided(expected_weight(state, target), ADVERSARIAL_FRACTION)",
        "Layers are verified with less weight than the others demand.",
        ("tests/node/tortoise/test_boundaries.py::test_what_one_layer_weighs_is_a_part_of_the_global_threshold",),
    ),
    Mutation(
        "tortoise-missing-weight-halved",
        "node/tortoise/verifying.py",
        "            margin -= missing\n",
        "            margin -= missing // 2\n",
        "Weight that was not seen may all be against us; half of it is taken for ours.",
        ("tests/node/tortoise/test_boundaries.py::test_weight_that_was_not_seen_counts_against_us",),
    ),
    Mutation(
        "tortoise-hdist-one-more",
        "node/tortoise/state.py",
        "return layer + self.parameters.hdist > (self.last if",
        "return layer + self.parameters.hdist >= (self.last if",
        "One layer longer the vote follows hare, not what was verified.",
        ("tests/node/tortoise/test_boundaries.py::test_hare_is_followed_for_hdist_layers",),
    ),
    Mutation(
        "tortoise-zdist-one-more",
        "node/tortoise/counting.py",
        "late = LayerId(number - parameters.zdist)",
        "late = LayerId(number - parameters.zdist - 1)",
        "A layer without an output of hare is taken for empty one layer late.",
        ("tests/node/tortoise/test_boundaries.py::test_a_layer_without_an_output_of_hare_is_empty_after_zdist",),
    ),
    Mutation(
        "tortoise-other-beacon-counts",
        "node/tortoise/verifying.py",
        "                and not ballot.has_bad_beacon\n",
        "",
        "Ballots with another beacon count in verifying mode.",
        ("tests/node/tortoise/test_boundaries.py::test_a_ballot_with_another_beacon_is_not_good",),
    ),
    Mutation(
        "tortoise-other-beacon-early",
        "node/tortoise/full.py",
        "ballot.layer + state.parameters.bad_beacon_delay",
        "ballot.layer + state.parameters.bad_beacon_delay - 1",
        "Ballots with another beacon count one layer before their time in full mode.",
        (
            "tests/node/tortoise/test_boundaries.py::test_a_ballot_with_another_beacon_counts_in_full_mode_when_its_delay_is_over",
        ),
    ),
    Mutation(
        "tortoise-height-excludes-equal",
        "node/tortoise/full.py",
        "if block.height > height:",
        "if block.height >= height:",
        "A ballot has no vote on a block that is as high as its ATX.",
        (
            "tests/node/tortoise/test_boundaries.py::test_a_ballot_votes_on_blocks_as_high_as_its_activation_and_no_higher",
        ),
    ),
    Mutation(
        "tortoise-malicious-weight",
        "node/tortoise/ballots.py",
        "weight = 0 if is_malicious else reference.unit_weight * ballot.eligibilities",
        "weight = reference.unit_weight * ballot.eligibilities",
        "The ballots of who broke the rules count.",
        ("tests/node/tortoise/test_boundaries.py::test_who_broke_the_rules_has_no_weight",),
    ),
    Mutation(
        "tortoise-coin-turned",
        "node/tortoise/encode.py",
        "        )\n    return coin\n",
        "        )\n    return -coin\n",
        "Where nothing else decides, the vote is against the weak coin.",
        ("tests/node/tortoise/test_boundaries.py::test_the_weak_coin_decides_what_nothing_else_does",),
    ),
    Mutation(
        "tortoise-upper-median",
        "node/activation/columns.py",
        "return (int(pair[middle - 1]) + int(pair[middle])) // 2",
        "return int(pair[middle])",
        "Of an even number of ATXs the higher of the middle two is the reference height.",
        (
            "tests/node/activation/test_boundaries.py::test_the_median_is_of_those_who_are_not_marked_and_the_mean_of_two",
        ),
    ),
    Mutation(
        "tortoise-median-with-malicious",
        "node/activation/columns.py",
        'heights = columns.column("height")[~columns.column("is_malicious")]',
        'heights = columns.column("height")',
        "ATXs of who broke the rules move the reference height.",
        (
            "tests/node/activation/test_boundaries.py::test_the_median_is_of_those_who_are_not_marked_and_the_mean_of_two",
        ),
    ),
)

MESH = (
    Mutation(
        "mesh-second-ballot-ignored",
        "node/mesh/mesh.py",
        "                if other != id:\n",
        "                if other == id:\n",
        "Two ballots of one smesher in one layer convict nobody.",
        (
            "tests/node/mesh/test_boundaries.py::test_a_second_ballot_of_a_smesher_in_a_layer_convicts_it_and_the_same_one_again_does_not",
        ),
    ),
    Mutation(
        "mesh-invalid-hare-output-applied",
        "node/mesh/plan.py",
        "if block.is_hare_output and not block.is_invalid:",
        "if block.is_hare_output:",
        "What hare came to is applied though tortoise has decided against it.",
        ("tests/node/mesh/test_boundaries.py::test_a_layer_has_its_first_valid_block_else_what_hare_came_to",),
    ),
    Mutation(
        "mesh-last-valid-block",
        "node/mesh/plan.py",
        "    for block in result.blocks:\n        if block.is_valid:",
        "    for block in reversed(result.blocks):\n        if block.is_valid:",
        "Of several valid blocks the last is applied, not the first.",
        ("tests/node/mesh/test_boundaries.py::test_a_layer_has_its_first_valid_block_else_what_hare_came_to",),
    ),
    Mutation(
        "mesh-revert-one-less",
        "node/mesh/mesh.py",
        "self._revert(rows, LayerId(changed - 1))",
        "self._revert(rows, changed)",
        "The layer that changed stays in the state.",
        ("tests/node/mesh/test_mesh.py::test_what_was_applied_otherwise_is_reverted_and_the_layers_above_follow",),
    ),
    Mutation(
        "mesh-certified-elsewhere-is-told",
        "node/mesh/mesh.py",
        "if len(known) <= 1:",
        "if len(known) <= 2:",
        "Tortoise is told an output of hare of a layer with two certified blocks.",
        ("tests/node/mesh/test_boundaries.py::test_what_hare_came_to_is_told_unless_two_blocks_are_certified",),
    ),
)
