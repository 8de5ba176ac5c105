"""Rules of messages: ballots, malfeasance, sync and fetch, and own signatures."""

from __future__ import annotations

from .mutation import Mutation

PROPOSALS = (
    Mutation(
        "proposals-slot-twice",
        "node/proposals/eligibility.py",
        "if proof.j <= before:",
        "if proof.j < before:",
        "One slot counts twice.",
        (
            "tests/node/proposals/test_boundaries.py::test_slots_are_each_ones_own_once_and_in_their_layer[slots2-counters_not_increasing]",
        ),
    ),
    Mutation(
        "proposals-one-slot-more",
        "node/proposals/eligibility.py",
        "if proof.j >= by.slots:",
        "if proof.j > by.slots:",
        "A smesher has a slot more than its weight gives.",
        (
            "tests/node/proposals/test_boundaries.py::test_slots_are_each_ones_own_once_and_in_their_layer[slots1-counter_too_large]",
        ),
    ),
    Mutation(
        "proposals-slot-of-earlier-layer",
        "node/proposals/eligibility.py",
        "if layer != ballot.inner.layer:",
        "if layer > ballot.inner.layer:",
        "A slot may be used in a later layer than its own.",
        (
            "tests/node/proposals/test_boundaries.py::test_slots_are_each_ones_own_once_and_in_their_layer[slots4-wrong_layer]",
        ),
    ),
    Mutation(
        "proposals-fewer-slots-claimed",
        "node/proposals/eligibility.py",
        "if data.eligibility_count != slots:",
        "if data.eligibility_count > slots:",
        "Fewer slots are claimed, which makes each weigh more.",
        ("tests/node/proposals/test_boundaries.py::test_as_many_slots_are_claimed_as_the_weight_gives",),
    ),
    Mutation(
        "proposals-reference-of-another-epoch",
        "node/proposals/eligibility.py",
        "if time.epoch_of(first.layer) != epoch:",
        "if time.epoch_of(first.layer) > epoch:",
        "A first ballot of an earlier epoch entitles to slots.",
        (
            "tests/node/proposals/test_boundaries.py::test_a_first_ballot_entitles_in_its_own_epoch[11-ref_ballot_other_epoch]",
        ),
    ),
    Mutation(
        "proposals-hdist-one-less",
        "node/proposals/rules.py",
        "vote.layer + hdist > layer:",
        "vote.layer + hdist > layer + 1:",
        "Two blocks of a layer are voted for on which hare still counts.",
        (
            "tests/node/proposals/test_boundaries.py::test_two_blocks_of_a_layer_are_supported_where_hare_no_longer_counts",
        ),
    ),
    Mutation(
        "proposals-late-atx-is-good",
        "node/proposals/own_sets.py",
        'is_good = (atxs.column("received") < start - 4 * delay)',
        'is_good = (atxs.column("received") < start - 3 * delay)',
        "The own active set names ATXs that others may not have.",
        ("tests/node/proposals/test_boundaries.py::test_an_activation_is_good_that_everybody_has_had_for_long",),
    ),
    Mutation(
        "proposals-votes-against-unchecked",
        "node/proposals/rules.py",
        "        if vote.id in supported:\n",
        "        if vote.id in voted:\n",
        "A ballot votes for and against one block.",
        ("tests/node/proposals/test_boundaries.py::test_nobody_votes_for_and_against_one_block",),
    ),
)

MALFEASANCE = (
    Mutation(
        "malfeasance-identical-messages",
        "node/malfeasance/verdicts.py",
        "if first.inner.msg_hash == second.inner.msg_hash:",
        "if first is second:",
        "Who sent one message twice is convicted.",
        ("tests/node/malfeasance/test_boundaries.py::test_one_message_that_was_sent_twice_does_not",),
    ),
    Mutation(
        "malfeasance-other-occasions",
        "node/malfeasance/verdicts.py",
        "if occasion(first) != occasion(second):",
        "if occasion(first) > occasion(second):",
        "Messages of two layers convict an honest smesher.",
        (
            "tests/node/malfeasance/test_boundaries.py::test_messages_of_two_occasions_do_not[6-7]",
            "tests/node/malfeasance/test_boundaries.py::test_messages_of_two_occasions_do_not[5-8]",
        ),
    ),
    Mutation(
        "malfeasance-other-previous",
        "node/malfeasance/verdicts.py",
        "if first.inner.challenge.prev_atx != second.inner.challenge.prev_atx:",
        "if first.inner.challenge.prev_atx < second.inner.challenge.prev_atx:",
        "Two activations in a row convict an honest smesher.",
        (
            "tests/node/malfeasance/test_boundaries.py::test_two_activations_convict_where_they_follow_the_same_one_and_only_there",
        ),
    ),
    Mutation(
        "malfeasance-mark-without-proof",
        "node/malfeasance/machine.py",
        "            return NOTHING if is_malicious(view, node) else self._mark(node, view, now)",
        "            return NOTHING",
        "Contradicting activations of version 2 leave no mark.",
        (
            "tests/node/malfeasance/test_boundaries.py::test_who_is_convicted_without_a_message_for_it_is_marked_for_good",
        ),
    ),
)

SYNC = (
    Mutation(
        "sync-fork-one-late",
        "node/sync/fork.py",
        "            if same.layer + 1 == differs.layer:\n                return same.layer",
        "            if same.layer + 1 == differs.layer:\n                return differs.layer",
        "The first layer that differs is taken for the last that is the same.",
        ("tests/node/sync/test_fork.py::test_one_difference_in_a_thousand_layers_is_found_in_few_questions[8]",),
    ),
    Mutation(
        "sync-listens-too-short",
        "node/sync/states.py",
        "return self._become(SyncState.GOSSIP, current, last, now)",
        "return self._become(SyncState.SYNCED, current, last, now)",
        "The node votes before it has listened.",
        ("tests/node/sync/test_boundaries.py::test_a_node_listens_before_it_takes_part",),
    ),
    Mutation(
        "sync-behind-one-more",
        "node/sync/states.py",
        "return current - last >= self._parameters.out_of_sync_layers",
        "return current - last > self._parameters.out_of_sync_layers",
        "The node takes part one layer too far behind.",
        ("tests/node/sync/test_boundaries.py::test_a_node_that_falls_behind_is_not_synced",),
    ),
    Mutation(
        "sync-signs-for-what-began-before",
        "node/sync/states.py",
        "return self.synced_since is not None and begin >= self.synced_since",
        "return self.synced_since is not None",
        "It signs for a layer in which it may have signed before the start.",
        ("tests/node/sync/test_boundaries.py::test_nothing_is_signed_for_what_began_before_the_node_took_part",),
    ),
    Mutation(
        "fetch-liar-asked-again",
        "node/fetch/client.py",
        "wanted.liars.add(tag.peer)",
        "wanted.asked.add(tag.peer)",
        "Who sent a bad object is asked for it again.",
        ("tests/node/fetch/test_client.py::test_something_else_of_many_peers_says_nothing_of_the_object",),
    ),
    Mutation(
        "fetch-other-batch-taken",
        "node/fetch/client.py",
        "    if answer.id != batch.id:\n",
        "    if not answer.id:\n",
        "An answer to another question is taken.",
        ("tests/node/fetch/test_client.py::test_a_lying_peer_is_blamed_and_the_next_one_asked[another batch]",),
    ),
    Mutation(
        "fetch-answer-too-long",
        "node/fetch/answers.py",
        "if found and size > self._parameters.max_answer_bytes:",
        "if found and size > 2 * self._parameters.max_answer_bytes:",
        "An answer is longer than peers read.",
        ("tests/node/fetch/test_server.py::test_an_answer_with_objects_is_bounded_and_has_one_at_least",),
    ),
)

OWN = (
    Mutation(
        "own-signature-after-the-state",
        "node/store/stores.py",
        "        self.own.write(rows)\n        self.state.write(rows, sync)",
        "        self.state.write(rows, sync)\n        self.own.write(rows)",
        "After a kill the state has what was signed, and the table of signatures has not: it is signed again.",
        ("tests/node/store/test_own.py::test_what_is_signed_is_written_before_the_state",),
    ),
    Mutation(
        "own-signature-forgotten",
        "node/store/own.py",
        "    if stored is not None:\n        return stored\n    rows.put",
        "    if stored is None:\n        return signed\n    rows.put",
        "A second message is signed for a slot.",
        ("tests/node/engine/test_engine.py::test_what_was_signed_for_a_slot_is_sent_whatever_is_signed_later",),
    ),
)
