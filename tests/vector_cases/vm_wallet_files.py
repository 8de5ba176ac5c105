"""Vectors of wallets: files of the reference's command line (vm/wallet_files.json), keys (types/client_keys.json)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from api.edge.errors import Failure
from api.wallet import derivation, files, phrase
from api.wallet.secret import Secret
from api.wallet.wallet import create
from protocol.types import address
from protocol.types.templates import WALLET, WalletSpawnArguments, principal_address
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

_REFERENCE_PATH = re.compile(r"m(?:/[0-9]+'?)*")
HRPS = {"sm": "sm", "stest": "stest", "standalone": "standalone"}


def _wallet_address(public_key: bytes, hrp: str) -> str:
    return address.to_text(principal_address(WALLET, WalletSpawnArguments(public_key)), hrp)


def _check_wallet(case: dict[str, Any]) -> None:
    words = phrase.check(case["mnemonic"])
    if case["entropy"]:
        assert phrase.from_entropy(bytes.fromhex(case["entropy"])) == words, "the words of the entropy differ"
    seed = phrase.seed(words)
    assert seed.reveal().hex() == case["bip39_seed"], seed.reveal().hex()
    wallet = files.unlock(case["file"], Secret(case["password"]))
    assert wallet.phrase == words, "the phrase in the file differs"
    assert len(wallet.keys) == case["accounts"] == len(case["keys"]), len(wallet.keys)
    for number, (key, shown) in enumerate(zip(wallet.keys, case["keys"], strict=True)):
        assert key.path == shown["path"] == derivation.account_path(number), key.path
        assert key.public_key.hex() == shown["public"], key.public_key.hex()
        assert key.secret is not None and key.secret.reveal().hex() == shown["secret"], "the secret differs"
        assert derivation.key_pair(derivation.derive(seed, key.path)) == (key.public_key, key.secret)
        assert _wallet_address(key.public_key, "sm") == shown["address"]
        assert (key.display_name, key.created) == (shown["name"], shown["created"])
    stest = [_wallet_address(key.public_key, "stest") for key in wallet.keys]
    assert stest == (case["stest_addresses"] or []), stest
    assert wallet.master is not None and wallet.master.public_key.hex() == case["master"]["public"]
    # what we write opens again with the same content
    again = files.unlock(files.lock(wallet, Secret(case["password"])), Secret(case["password"]))
    assert (again.phrase, again.keys, again.master) == (wallet.phrase, wallet.keys, wallet.master)
    plaintext = files.parse_file(case["file"])[0].open(Secret(case["password"]))
    assert json.loads(plaintext.reveal()) == json.loads(case["plaintext"])


def _check_read(case: dict[str, Any]) -> None:
    try:
        wallet = files.unlock(case["file"], Secret(case["password"]))
    except Failure as error:
        assert not case["accepted"], f"refused: {error}"
        return
    if not all(_REFERENCE_PATH.fullmatch(key.path) for key in wallet.keys):
        assert not case["accepted"], "a path that the recorded program does not read, and ours only shows"
        return
    assert case["accepted"], "accepted"
    found = [_wallet_address(key.public_key, "sm") for key in wallet.keys]
    assert found == case["addresses"], found


def _check_key(case: dict[str, Any]) -> None:
    if "mnemonic" in case:
        seed = phrase.seed(phrase.check(case["mnemonic"]), case["passphrase"])
        assert seed.reveal().hex() == case["bip39_seed"], seed.reveal().hex()
    try:
        public, secret = derivation.key_pair(derivation.derive(Secret(bytes.fromhex(case["bip39_seed"])), case["path"]))
    except derivation.PathError:
        assert not case.get("ok", True), "refused"
        return
    assert case.get("ok", True), "accepted"
    assert secret.reveal().hex() == case["key"], secret.reveal().hex()
    if "public_key" in case:
        assert public.hex() == case["public_key"], public.hex()
        principal = principal_address(WALLET, WalletSpawnArguments(public))
        assert principal.hex() == case["wallet_principal"], principal.hex()
        for name, hrp in HRPS.items():
            assert _wallet_address(public, hrp) == case[name]


def _check_rejected(case: dict[str, Any], wallets: list[dict[str, Any]]) -> None:
    """The same answers, given to what the commands do behind their prompts."""
    assert case["exit_code"] != 0
    try:
        if case["args"][1] == "read":
            files.unlock(wallets[0]["file"], Secret(case["answers"][0]))
        else:
            phrase_text, _ = case["answers"]
            accounts = case["args"][2] if len(case["args"]) > 2 else "1"
            if not accounts.isdigit():
                return  # argparse refuses it before anything is asked
            if phrase.normalised(phrase_text) != phrase_text.strip():
                return  # the recorded program takes no other blanks and no capitals; ours reads it as people write it
            words = phrase.check(phrase_text)
            create(words, int(accounts), "2026-11-23T03-11-40.287Z")
    except Failure:
        return
    raise AssertionError("accepted")


@vectors("vm/wallet_files.json", variants=False)
def wallet_files(document: Any, context: Context) -> Iterator[Case]:
    if unknown := document.keys() - {"description", "reference", "wallets", "reads", "rejected_commands"}:
        raise NotUnderstood(f"lists named {', '.join(sorted(unknown))}")
    for case in document["wallets"]:
        yield Case(f"wallets/{case['name']}", lambda case=case: _check_wallet(case))
    for case in document["reads"]:
        yield Case(f"reads/{case['name']}", lambda case=case: _check_read(case))
    for case in document["rejected_commands"]:
        yield Case(f"rejected_commands/{case['name']}", lambda case=case: _check_rejected(case, document["wallets"]))


@vectors("types/client_keys.json", variants=False)
def client_keys(document: Any, context: Context) -> Iterator[Case]:
    for kind in ("keys", "unusual"):
        for position, case in enumerate(document[kind]):
            yield Case(f"{kind}[{position}]", lambda case=case: _check_key(case))
