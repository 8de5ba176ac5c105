"""What is asked before something is signed: the transaction in words, read back from its bytes, and what is odd in it.

It is shown beside the output, which is the transaction alone. What no node would take is not signed at all.
"""

from __future__ import annotations

import argparse

from api.cli import prompts
from api.cli.output import Output
from api.cli.wallet.keys import hrp_of
from api.edge.errors import DataError
from api.wallet import explain
from api.wallet.explain import Explanation
from api.wallet.transactions import Partial
from api.wallet.wallet import KeyPair


def signed(
    partial: Partial, key: KeyPair, concerns: list[str], arguments: argparse.Namespace, output: Output
) -> tuple[Partial, Explanation] | None:
    """Shows what would be signed, asks, and only then signs; None where the person declines.

    concerns: what the caller found to ask about, beside what the bytes say. Raises UsageError, DataError.
    """
    assert key.secret is not None
    hrp = hrp_of(arguments)
    reviewed = explained(partial, hrp)
    if reviewed.problem is not None:
        raise DataError(f"This is not signed, since no node would take it: {reviewed.problem}")
    concerns = [*concerns, *explain.concerns(reviewed.facts)]
    _review(reviewed, partial, concerns, arguments, output)
    if not _agreed(concerns, arguments):
        return None
    done = partial.sign(key.secret)
    explanation = explained(done, hrp)
    if explanation.problem is not None:
        raise DataError(f"The signed transaction would not be taken by any node: {explanation.problem}")
    return done, explanation


def _review(
    explanation: Explanation, partial: Partial, concerns: list[str], arguments: argparse.Namespace, output: Output
) -> None:
    """What is about to be signed, read back from its bytes; beside the output, which is the transaction alone."""
    genesis_id = partial.unsigned.genesis_id.hex()
    output.event(
        "review",
        network=arguments.network,
        genesis_id=genesis_id,
        transaction=explanation.facts,
        concerns=concerns,
    )
    rows = [("network", arguments.network), ("genesis id", genesis_id), *explanation.lines]
    if output.json and not arguments.yes:  # a person is asked, who sees the terminal and not the events
        Output(json=False).facts(rows, aside=True)
    output.facts(rows, aside=True)
    for concern in concerns:
        output.note(f"Look again: {concern}")


def _agreed(concerns: list[str], arguments: argparse.Namespace) -> bool:
    """Whether the person agrees to sign, asked once more for what hardly anybody can mean. Raises UsageError."""
    if not prompts.confirmed(f"Sign this for {arguments.network}?", yes=arguments.yes):
        return False
    return all(prompts.confirmed(f"{concern} Is that meant?", yes=arguments.yes) for concern in concerns)


def explained(partial: Partial, hrp: str) -> Explanation:
    """What is about to be signed, from its bytes; signatures that are missing are filled up with zeros.

    `problem` is what is wrong with the transaction itself as long as signatures are missing.
    """
    unsigned = partial.unsigned
    missing = [ref for ref in range(len(unsigned.account.public_keys)) if ref not in partial.signatures]
    filled = {**partial.signatures, **{ref: bytes(64) for ref in missing[: partial.missing]}}
    raw = Partial(unsigned, filled).raw()
    found = explain.explain(raw, hrp, unsigned.genesis_id, unsigned.account)
    if partial.missing:  # the zeros are no signatures
        lines = [(word, value) for word, value in found.lines if word not in ("id", "signatures")]
        of = f"{len(partial.signatures)} of {unsigned.account.required}"
        facts = {name: value for name, value in found.facts.items() if name not in ("id", "signatures_valid")}
        problem = None if found.problem == explain.BAD_SIGNATURES else found.problem
        if problem is None and found.signatures_at != len(unsigned.data):
            problem = "There is something between the transaction and its signatures."
        return Explanation(facts, [*lines, ("signatures", of)], problem)
    return found
