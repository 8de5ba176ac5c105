"""`smesher wallet`: keys of a coin holder. Made, read and listed here; nothing is sent anywhere.

Secrets are never taken from arguments and never shown to a pipe unless `--show-secrets` says so. Files are written new,
mode 0600, in the form that all wallets of the network read. Protocol 11-user-tools, sections 1 to 3.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from api.cli import common, prompts
from api.cli.new_file import write_new
from api.cli.output import Output
from api.cli.words import Word, add_words
from api.edge.errors import UsageError
from api.edge.text import typed
from api.wallet import accounts, amounts, files, phrase
from api.wallet.accounts import AccountDescription
from api.wallet.derivation import MAX_ACCOUNTS
from api.wallet.secret import Secret
from api.wallet.wallet import KEY_LEDGER, KeyPair, Wallet, create
from protocol.numbers.issuance import VEST_END, VEST_START
from protocol.types import address
from protocol.types.ids import LayerId, NodeId
from protocol.types.templates import MultisigSpawnArguments, VaultSpawnArguments

DEFAULT_NETWORK = "mainnet"
WORDS_ASKED = 3
"""Words of a new phrase that must be typed again, so that somebody has written it down."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs one word. Raises ProofError."""
    return WORDS[arguments.word].run(arguments, output)


def add_network_argument(parser: argparse.ArgumentParser) -> None:
    """The network of addresses and signatures."""
    parser.add_argument(
        "--network",
        choices=sorted(address.NETWORKS),
        default=DEFAULT_NETWORK,
        help=f"the network, whose prefix addresses have (default {DEFAULT_NETWORK})",
    )


def hrp_of(arguments: argparse.Namespace) -> str:
    """The prefix of the chosen network's addresses."""
    return address.NETWORKS[arguments.network]


def open_wallet(path: Path, arguments: argparse.Namespace, output: Output) -> Wallet:
    """A wallet file, opened with its password. Raises ProofError."""
    text = files.read(path)
    files.parse_file(text)  # before anybody types a password for a file that is none
    with prompts.password(arguments, output) as password, output.busy("opening the wallet"):
        return files.unlock(text, password)


# create, import


def _add_new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="Main Wallet", help="the name of the wallet")
    parser.add_argument(
        "--accounts", type=common.whole_number, default=1, metavar="N", help="how many accounts to derive (default 1)"
    )
    parser.add_argument(
        "--out", type=common.path, metavar="PATH", help="the file to write, or a folder (default: the current one)"
    )
    parser.add_argument(
        "--form",
        choices=("gcm", "argon2"),
        default="gcm",
        help="gcm: read by every wallet (default); argon2: the form of the light web wallet",
    )
    add_network_argument(parser)
    prompts.add_password_argument(parser)


def _add_create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--words",
        type=int,
        choices=phrase.WORD_COUNTS,
        default=phrase.DEFAULT_WORDS,
        help=f"words of the recovery phrase (default {phrase.DEFAULT_WORDS})",
    )
    _add_new_arguments(parser)
    parser.add_argument(
        "--show-secrets", action="store_true", help="show the recovery phrase also to a pipe or as JSON"
    )


def _create(arguments: argparse.Namespace, output: Output) -> int:
    if not arguments.show_secrets and (output.json or not prompts.has_terminal() or not sys.stdout.isatty()):
        raise UsageError(
            "The recovery phrase must be written down, and here is no terminal to show it on. Run this at a terminal, "
            "or give --show-secrets to have it printed."
        )
    _check_count(arguments)
    target = _target(arguments, "Main Wallet")
    words = phrase.from_entropy(secrets.token_bytes(arguments.words * 4 // 3))
    with prompts.password(arguments, output, new=True) as password:
        if not arguments.show_secrets:
            _teach(words)
        wallet = _new(words, arguments)
        target = _write(wallet, password, arguments, target)
    shown = {"mnemonic": words.text()} if arguments.show_secrets else {}
    _tell(wallet, target, arguments, output, **shown)
    if shown and not output.json:
        output.say(f"recovery phrase  {words.text()}")
    wallet.wipe()
    return 0


def _teach(words: Secret) -> None:
    """Show a phrase once, and go on only when somebody has it. Raises UsageError."""
    listed = words.text().split()
    print("This recovery phrase is the only way to get your coins back.\nWrite it on paper, in this order:\n")
    for row in range(0, len(listed), 4):
        print("   " + "".join(f"{row + n + 1:>3}. {word:<12}" for n, word in enumerate(listed[row : row + 4])))
    print()
    asked = sorted(secrets.SystemRandom().sample(range(len(listed)), WORDS_ASKED))
    input("Press Enter when it is written down; the screen is cleared then.")
    print("\033[2J\033[3J\033[H", end="")
    for place in asked:
        for _ in range(3):
            if typed(input(f"Word {place + 1}: ")).lower() == listed[place]:
                break
            print("That is another word. Look at your paper.")
        else:
            raise UsageError(
                "The phrase was not written down; no wallet was made. Start again with smesher wallet create."
            )


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mnemonic-file",
        type=common.path,
        metavar="FILE",
        help="read the recovery phrase from FILE, - for standard input; else it is asked for, hidden",
    )
    _add_new_arguments(parser)


def _import(arguments: argparse.Namespace, output: Output) -> int:
    _check_count(arguments)
    target = _target(arguments, arguments.name)
    if arguments.mnemonic_file is not None:
        given = prompts.whole_text(arguments.mnemonic_file, "--mnemonic-file")
    elif prompts.has_terminal():
        given = prompts.hidden("Recovery phrase (not shown): ")
    else:
        raise UsageError("The recovery phrase is needed: give --mnemonic-file FILE, there is no terminal to ask at.")
    with given:
        words = phrase.check(given.text())
    with prompts.password(arguments, output, new=True) as password:
        wallet = _new(words, arguments)
        target = _write(wallet, password, arguments, target)
    _tell(wallet, target, arguments, output)
    wallet.wipe()
    return 0


def _check_count(arguments: argparse.Namespace) -> None:
    """Before anything is asked. Raises UsageError."""
    if not 1 <= arguments.accounts <= MAX_ACCOUNTS:
        raise UsageError(f"--accounts is {arguments.accounts}, expected 1 to {MAX_ACCOUNTS}.")


def _target(arguments: argparse.Namespace, name: str) -> Path | None:
    """The file that was asked for, refused early where it is there already; None for a name of our own."""
    out: Path | None = arguments.out
    if out is None or out.is_dir():
        return None
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists already and is not overwritten; choose another name with --out.")
    return out


def _new(words: Secret, arguments: argparse.Namespace) -> Wallet:
    return create(words, arguments.accounts, files.created_text(datetime.now(UTC)), arguments.name)


def _write(wallet: Wallet, password: Secret, arguments: argparse.Namespace, target: Path | None) -> Path:
    if target is None:
        target = (arguments.out or Path()) / files.file_name(wallet)
    write_new(target, files.lock(wallet, password, arguments.form))
    return target


def _tell(wallet: Wallet, path: Path, arguments: argparse.Namespace, output: Output, **more: object) -> None:
    shown = [_row(key, hrp_of(arguments)) for key in wallet.keys]
    output.event("done", file=str(path), name=wallet.display_name, accounts=shown, **more)
    output.say(f"[bold green]done[/]  {path} ({len(shown)} account{'s' if len(shown) != 1 else ''})")
    for row in shown:
        output.say(f"      {row['address']}  {row['name']}")


# show, add


def _row(key: KeyPair, hrp: str) -> dict[str, object]:
    return {
        "name": key.display_name,
        "address": address.to_text(accounts.wallet_account(key.public_key).address, hrp),
        "public_key": key.public_key.hex(),
        "path": key.path,
        "can_sign": key.can_sign,
    }


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=common.path, metavar="FILE", help="the wallet file")
    parser.add_argument("--show-secrets", action="store_true", help="show the recovery phrase and the secret keys too")
    add_network_argument(parser)
    prompts.add_password_argument(parser)


def _show(arguments: argparse.Namespace, output: Output) -> int:
    wallet = open_wallet(arguments.file, arguments, output)
    rows = [_row(key, hrp_of(arguments)) for key in wallet.keys]
    if arguments.show_secrets:
        for row, key in zip(rows, wallet.keys, strict=True):
            row["secret_key"] = key.secret.reveal().hex() if key.secret else None
    secret = {"mnemonic": wallet.phrase.text()} if arguments.show_secrets else {}
    output.event(
        "done",
        file=str(arguments.file),
        name=wallet.display_name,
        created=wallet.created,
        accounts=rows,
        contacts=[dict(contact) for contact in wallet.contacts],
        **secret,
    )
    if not output.json:
        _show_list(wallet, rows, arguments.file, output)
        if secret:
            output.say(f"\nrecovery phrase  {wallet.phrase.text()}")
    wallet.wipe()
    return 0


def _show_list(wallet: Wallet, rows: Sequence[dict[str, object]], path: Path, output: Output) -> None:
    """A block for each account: an address must be readable whole, which no table of 80 columns leaves room for."""
    output.say(f"{wallet.display_name or path}, created {wallet.created or 'at an unknown time'}")
    for row, key in zip(rows, wallet.keys, strict=True):
        kind = " (hardware key)" if key.key_type == KEY_LEDGER else "" if key.can_sign else " (view only)"
        output.say(f"\n[bold]{row['name']}[/]{kind}")
        output.say(f"  address     {row['address']}")
        output.say(f"  public key  {row['public_key']}")
        output.say(f"  path        {row['path']}")
        if row.get("secret_key"):
            output.say(f"  secret key  {row['secret_key']}")
    for contact in wallet.contacts:
        output.say(f"\ncontact  {contact.get('nickname', '')}  {contact.get('address', '')}")


def _add_add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=common.path, metavar="FILE", help="the wallet file; it stays as it is")
    parser.add_argument(
        "--out", type=common.path, required=True, metavar="FILE", help="the new file, with the new account"
    )
    parser.add_argument("--account-name", metavar="NAME", help="the name of the new account")
    add_network_argument(parser)
    prompts.add_password_argument(parser)
    parser.set_defaults(form="gcm")


def _add(arguments: argparse.Namespace, output: Output) -> int:
    target = _target(arguments, "")
    text = files.read(arguments.file)
    sealed, _ = files.parse_file(text)
    with prompts.password(arguments, output) as password:
        wallet = files.unlock(text, password).with_account(
            files.created_text(datetime.now(UTC)), arguments.account_name
        )
        arguments.form = "argon2" if sealed.form == "argon2" else "gcm"
        target = _write(wallet, password, arguments, target)
    _tell(wallet, target, arguments, output)
    wallet.wipe()
    return 0


# address


def _add_address_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "template",
        choices=tuple(accounts.TEMPLATES),
        help="wallet: one key; multisig: several keys; vesting: several keys that may drain a vault; vault",
    )
    parser.add_argument("--key", action="append", default=[], metavar="HEX", help="a public key, in the agreed order")
    parser.add_argument(
        "--required", type=common.whole_number, metavar="K", help="signatures that a transaction must carry"
    )
    parser.add_argument("--owner", metavar="ADDRESS", help="the vesting account that owns the vault")
    parser.add_argument("--total", metavar="AMOUNT", help="what the vault holds, such as 1000SMH")
    parser.add_argument(
        "--initial-unlock", metavar="AMOUNT", help="what is free at once (default a quarter of --total)"
    )
    parser.add_argument(
        "--vesting-start",
        type=common.whole_number,
        metavar="LAYER",
        help=f"layer after which coins become free (default {VEST_START}, a year after the genesis)",
    )
    parser.add_argument(
        "--vesting-end",
        type=common.whole_number,
        metavar="LAYER",
        help=f"layer at which all are free (default {VEST_END}, four years after it)",
    )
    parser.add_argument(
        "--out", type=common.path, metavar="FILE", help="write a description of the account, for smesher tx"
    )
    add_network_argument(parser)


def _address(arguments: argparse.Namespace, output: Output) -> int:
    import json

    account = _described(arguments)
    account.check()
    hrp = hrp_of(arguments)
    document = account.document(hrp)
    if arguments.out is not None:
        write_new(arguments.out, json.dumps(document, indent=2) + "\n")
    written = None if arguments.out is None else str(arguments.out)
    output.event("done", **document, file=written)
    output.say(str(document["address"]))
    if written:
        output.say(f"[bold green]done[/]  description written to {written}")
    return 0


def _described(arguments: argparse.Namespace) -> AccountDescription:
    keys = tuple(NodeId(accounts.public_key(key, "--key")) for key in arguments.key)
    template = arguments.template
    if template == "vault":
        if arguments.owner is None or arguments.total is None:
            raise UsageError("A vault needs --owner and --total.")
        total = amounts.parse(arguments.total)
        unlock = total // 4 if arguments.initial_unlock is None else amounts.parse(arguments.initial_unlock)
        start = VEST_START if arguments.vesting_start is None else arguments.vesting_start
        end = VEST_END if arguments.vesting_end is None else arguments.vesting_end
        for name, layer in (("--vesting-start", start), ("--vesting-end", end)):
            if not 0 <= layer < 1 << 32:
                raise UsageError(f"{name} is {layer}, expected a layer from 0 to {(1 << 32) - 1}.")
        owner = accounts.parse_address(arguments.owner, hrp_of(arguments))
        return AccountDescription("vault", VaultSpawnArguments(owner, total, unlock, LayerId(start), LayerId(end)))
    if not keys:
        raise UsageError(f"A {template} needs --key, once for each public key.")
    if template == "wallet":
        if len(keys) > 1:
            raise UsageError(f"A wallet has one key, {len(keys)} were given; for several take multisig.")
        return accounts.wallet_account(keys[0])
    if arguments.required is None:
        raise UsageError(f"A {template} needs --required, the number of signatures.")
    if not 0 <= arguments.required <= 255:
        raise UsageError(f"--required is {arguments.required}, expected 1 to {len(keys)}.")
    return AccountDescription(template, MultisigSpawnArguments(arguments.required, keys))


WORDS = {
    "create": Word(_add_create_arguments, _create, "make a wallet with a new recovery phrase"),
    "import": Word(_add_import_arguments, _import, "make a wallet file from a recovery phrase"),
    "show": Word(_add_show_arguments, _show, "list the accounts of a wallet file of any of the network's wallets"),
    "add": Word(_add_add_arguments, _add, "derive one account more, into a new file"),
    "address": Word(_add_address_arguments, _address, "compute the address of an account, before it exists"),
}
