"""`smesher tx`: transactions made, signed and explained without a node, and what a node knows of an account.

What is signed is shown first, in both units and with the network, and somebody must agree. Accounts of several keys
are signed one after another: each signer writes a partial transaction, and the last step joins them.
Protocol 07-vm-and-transactions, sections 2 and 3.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from api.cli import common, prompts
from api.cli.new_file import write_new
from api.cli.output import Output
from api.cli.wallet import history, review
from api.cli.wallet.keys import add_network_argument, hrp_of, open_wallet
from api.cli.words import Word, add_words
from api.edge.errors import DataError, UsageError
from api.edge.text import shown, typed
from api.wallet import accounts, amounts, explain, files, transactions
from api.wallet.accounts import AccountDescription
from api.wallet.explain import Explanation
from api.wallet.transactions import Partial, Unsigned
from api.wallet.wallet import KEY_LEDGER, KeyPair
from protocol.params.config import networks
from protocol.params.config.services import UNSET_TIME
from protocol.params.genesis import GENESIS_ID_SIZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs one word. Raises ProofError, AddressError."""
    return WORDS[arguments.word].run(arguments, output)


def _add_network_arguments(parser: argparse.ArgumentParser) -> None:
    add_network_argument(parser)
    parser.add_argument(
        "--genesis-id",
        metavar="HEX",
        help="the genesis id, 40 hex digits; needed where the network has no fixed genesis (fastnet, standalone)",
    )


def _genesis_id(arguments: argparse.Namespace) -> bytes:
    fixed = _fixed_genesis_id(arguments.network)
    if arguments.genesis_id is not None:
        given = common.hex_bytes(arguments.genesis_id, "--genesis-id", GENESIS_ID_SIZE)
        if fixed is not None and given != fixed:
            raise UsageError(
                f"--genesis-id is {given.hex()}, but {arguments.network} has {fixed.hex()}. Leave it out, or name the "
                "network that has it."
            )
        return given
    if fixed is None:
        raise UsageError(
            f"--genesis-id is needed on {arguments.network}: its genesis time is chosen when it starts. A node tells "
            "it (spacemesh.v1.MeshService/GenesisID)."
        )
    return fixed


def _fixed_genesis_id(network: str) -> bytes | None:
    """The genesis id of a network that has one for ever; None where its genesis time is chosen when it starts."""
    genesis = networks.BY_NAME[network].genesis
    return genesis.identity.genesis_id if genesis.time != UNSET_TIME else None


def _add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wallet", type=common.path, required=True, metavar="FILE", help="the wallet file that signs")
    parser.add_argument(
        "--account",
        type=common.whole_number,
        default=1,
        metavar="N",
        help="which account of the wallet, from 1 (default 1)",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="agree beforehand, also to what hardly anybody can mean; what is signed is shown all the same",
    )
    parser.add_argument(
        "--out", type=common.path, metavar="FILE", help="write the result to FILE instead of the screen"
    )
    prompts.add_password_argument(parser)


def _add_compose_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--principal",
        type=common.path,
        metavar="FILE",
        help="who acts: a description made by `smesher wallet address` (default: the account of the wallet's key)",
    )
    parser.add_argument(
        "--nonce", type=common.whole_number, required=True, metavar="N", help="the next nonce of the principal"
    )
    parser.add_argument(
        "--gas-price",
        type=common.whole_number,
        default=1,
        metavar="SMIDGE",
        help="smidge for a unit of gas (default 1)",
    )
    _add_network_arguments(parser)
    _add_signing_arguments(parser)


def _add_spawn_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        type=common.path,
        metavar="FILE",
        help="another account to spawn: its description (default: the principal)",
    )
    _add_compose_arguments(parser)


def _add_spend_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, metavar="ADDRESS", help="who receives the coins")
    parser.add_argument("--amount", required=True, metavar="AMOUNT", help="such as 1.5SMH or 1500000000smidge")
    _add_compose_arguments(parser)


def _add_drain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", required=True, metavar="ADDRESS", help="the vault")
    _add_spend_arguments(parser)


def _principal(arguments: argparse.Namespace, key: KeyPair) -> AccountDescription:
    if arguments.principal is None:
        return accounts.wallet_account(key.public_key)
    return _description(arguments.principal, arguments)


def _description(path: Path, arguments: argparse.Namespace) -> AccountDescription:
    return AccountDescription.parse(files.read(path), hrp_of(arguments), str(path))


def _compose(arguments: argparse.Namespace, key: KeyPair) -> Unsigned:
    account = _principal(arguments, key)
    payload = transactions.payload(arguments.nonce, arguments.gas_price)
    genesis_id, hrp = _genesis_id(arguments), hrp_of(arguments)
    if arguments.word == "spawn":
        target = account if arguments.target is None else _description(arguments.target, arguments)
        return transactions.spawn(account, target, payload, genesis_id)
    destination = accounts.parse_address(arguments.to, hrp)
    amount = amounts.parse(arguments.amount)
    if arguments.word == "drain":
        vault = accounts.parse_address(arguments.vault, hrp)
        return transactions.drain(account, vault, destination, amount, payload, genesis_id)
    return transactions.spend(account, destination, amount, payload, genesis_id)


def _check_words(arguments: argparse.Namespace) -> None:
    """What can be judged before a password is asked for."""
    _genesis_id(arguments)
    transactions.payload(arguments.nonce, arguments.gas_price)
    for name in ("principal", "target"):
        if getattr(arguments, name, None) is not None:
            _description(getattr(arguments, name), arguments)
    for name in ("to", "vault"):
        if getattr(arguments, name, None) is not None:
            accounts.parse_address(getattr(arguments, name), hrp_of(arguments))
    if getattr(arguments, "amount", None) is not None:
        amounts.parse(arguments.amount)


def _make(arguments: argparse.Namespace, output: Output) -> int:
    _check_words(arguments)
    wallet = open_wallet(arguments.wallet, arguments, output)
    try:
        key = _key(wallet.keys, arguments)
        return _sign_and_write(Partial(_compose(arguments, key)), key, _unit_concerns(arguments), arguments, output)
    finally:
        wallet.wipe()


def _unit_concerns(arguments: argparse.Namespace) -> list[str]:
    """An amount without its unit is smidge, which few people count in."""
    text = getattr(arguments, "amount", None)
    if text is None or amounts.has_unit(text):
        return []
    return [f"--amount {text} has no unit, so it is {amounts.shown(amounts.parse(text))}."]


def _key(keys: object, arguments: argparse.Namespace) -> KeyPair:
    assert isinstance(keys, tuple)
    if not 1 <= arguments.account <= len(keys):
        raise UsageError(f"--account is {arguments.account}, but the wallet has {len(keys)} accounts.")
    key: KeyPair = keys[arguments.account - 1]
    if key.key_type == KEY_LEDGER:
        raise DataError(
            f"Account {arguments.account} is a hardware key: its secret is in the device, and signing with a device is "
            "not possible here. Use the wallet that made this file."
        )
    if not key.can_sign:
        raise DataError(f"Account {arguments.account} is view only: its secret key is not in this wallet file.")
    return key


def _sign_and_write(
    partial: Partial, key: KeyPair, concerns: list[str], arguments: argparse.Namespace, output: Output
) -> int:
    result = review.signed(partial, key, concerns, arguments, output)
    if result is None:
        output.error(1, "not signed")
        return 1
    return _write(*result, arguments, output)


def _show(explanation: Explanation, network: str, output: Output) -> None:
    output.facts([("network", network), *explanation.lines])


def _write(partial: Partial, explanation: Explanation, arguments: argparse.Namespace, output: Output) -> int:
    hrp = hrp_of(arguments)
    if partial.missing:
        text = json.dumps(partial.document(hrp), indent=2) + "\n"
        result: dict[str, object] = {"partial": partial.document(hrp), "missing": partial.missing}
    else:
        raw = partial.raw()
        text = raw.hex() + "\n"
        result = {"raw": raw.hex(), "id": transactions.transaction_id(raw).hex(), "missing": 0}
    if arguments.out is not None:
        write_new(arguments.out, text)
        result["file"] = str(arguments.out)
    output.event("done", **result, transaction=explanation.facts)
    if output.json:
        return 0
    if arguments.out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    if partial.missing:
        output.note(
            f"{partial.missing} more signature{'s are' if partial.missing > 1 else ' is'} needed. Send the "
            "partial transaction to the next signer: smesher tx sign FILE"
        )
    else:
        output.note(f"Signed. The id is {result['id']}.")
    return 0


# sign, combine, decode


def _add_sign_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("partial", type=common.path, metavar="FILE", help="the partial transaction")
    add_network_argument(parser)
    _add_signing_arguments(parser)


def _sign(arguments: argparse.Namespace, output: Output) -> int:
    partial = _read_partial(arguments.partial, arguments)
    wallet = open_wallet(arguments.wallet, arguments, output)
    try:
        return _sign_and_write(partial, _key(wallet.keys, arguments), [], arguments, output)
    finally:
        wallet.wipe()


def _read_partial(path: Path, arguments: argparse.Namespace) -> Partial:
    partial = Partial.parse(files.read(path), hrp_of(arguments), str(path))
    fixed = _fixed_genesis_id(arguments.network)
    if fixed is not None and partial.unsigned.genesis_id != fixed:
        raise UsageError(
            f"{path} is of the network with the genesis id {partial.unsigned.genesis_id.hex()}, but that of "
            f"{arguments.network} is {fixed.hex()}. Name its network with --network."
        )
    return partial


def _add_combine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "partials", type=common.path, nargs="+", metavar="FILE", help="partial transactions, copies of one"
    )
    parser.add_argument(
        "--out", type=common.path, metavar="FILE", help="write the result to FILE instead of the screen"
    )
    add_network_argument(parser)


def _combine(arguments: argparse.Namespace, output: Output) -> int:
    partial = transactions.combined([_read_partial(path, arguments) for path in arguments.partials])
    return _write(partial, review.explained(partial, hrp_of(arguments)), arguments, output)


def _add_decode_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transaction", metavar="HEX", help="the raw transaction in hex, @FILE to read it from a file")
    parser.add_argument(
        "--principal",
        type=common.path,
        metavar="FILE",
        help="a description of its principal, so that signatures are checked",
    )
    _add_network_arguments(parser)


def _decode(arguments: argparse.Namespace, output: Output) -> int:
    text = arguments.transaction
    if text.startswith("@"):
        text = files.read(common.path(text[1:]))
    digits = re.sub(r"\s", "", typed(text)).removeprefix("0x")
    if not digits or not re.fullmatch("([0-9a-fA-F]{2})*", digits):
        raise UsageError(f"{shown(text)} is no transaction: expected an even number of hex digits.")
    if arguments.genesis_id is None and arguments.network in ("fastnet", "standalone"):
        output.note("Without --genesis-id signatures cannot be judged on this network.")
        genesis_id = b""
    else:
        genesis_id = _genesis_id(arguments)
    principal = None if arguments.principal is None else _description(arguments.principal, arguments)
    explanation = explain.explain(bytes.fromhex(digits), hrp_of(arguments), genesis_id, principal)
    if not genesis_id:
        explanation = _without_verdict(explanation)
    output.event("done", valid=explanation.problem is None, problem=explanation.problem, **explanation.facts)
    if not output.json:
        _show(explanation, arguments.network, output)
        if explanation.problem is not None:
            output.say(f"[bold red]invalid[/]  {explanation.problem}")
    return 0 if explanation.problem is None else 1


def _without_verdict(explanation: Explanation) -> Explanation:
    lines = [(word, value) for word, value in explanation.lines if word != "signatures"]
    known = explanation.problem is None or "signatures" not in explanation.problem
    return Explanation({**explanation.facts, "signatures_valid": None}, lines, explanation.problem if known else None)


WORDS = {
    "spawn": Word(_add_spawn_arguments, _make, "bring an account into being: the principal itself, or another one"),
    "spend": Word(_add_spend_arguments, _make, "send coins"),
    "drain": Word(_add_drain_arguments, _make, "take vested coins out of a vault"),
    "sign": Word(_add_sign_arguments, _sign, "add a signature to a partial transaction"),
    "combine": Word(_add_combine_arguments, _combine, "join the signatures of several copies"),
    "decode": Word(_add_decode_arguments, _decode, "explain a raw transaction in words"),
    "history": Word(history.add_arguments, history.run, "tell what has happened to an account, by a node's API"),
}
