"""Wallets: phrases, amounts and files in every form, and what people read when something does not fit."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from api.cli.new_file import write_new
from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.wallet import amounts, derivation, files, phrase, sealing
from api.wallet.secret import Secret
from api.wallet.wallet import NO_PHRASE, Wallet, WalletDamaged, create, parse

WORDS = "film theme cheese broken kingdom destroy inch ready wear inspire shove pudding"
CREATED = "2026-11-23T03-11-40.287Z"


@pytest.fixture(scope="module")
def wallet() -> Wallet:
    return create(phrase.check(WORDS), 2, CREATED)


# Phrases


@pytest.mark.parametrize(
    "text",
    [WORDS, WORDS.upper(), WORDS.replace(" ", "  \t\n"), " ".join(f"{n}. {w}" for n, w in enumerate(WORDS.split(), 1))],
)
def test_a_phrase_is_normalised_before_it_is_checked(text: str) -> None:
    assert phrase.check(text) == Secret(WORDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WORDS.replace("cheese", "cheesy"), ("Word 3", "'cheesy'", "'cheese'")),
        (WORDS.rsplit(" ", 1)[0], ("11 words", "12, 15, 18, 21 or 24")),
        (WORDS.replace("pudding", "erode"), ("checksum",)),
        ("", ("0 words",)),
    ],
)
def test_a_phrase_that_does_not_fit_is_explained(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(phrase.PhraseError) as caught:
        phrase.check(text)
    for word in words:
        assert word in str(caught.value)


def test_a_message_about_a_phrase_shows_no_word_of_the_list() -> None:
    with pytest.raises(phrase.PhraseError) as caught:
        phrase.check(WORDS.replace("pudding", "erode"))
    assert not set(WORDS.split()) & set(str(caught.value).replace(",", " ").split()) - {"one"}


@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_entropy_makes_a_phrase_that_checks(entropy: bytes) -> None:
    words = phrase.from_entropy(entropy)
    assert phrase.check(words.text()) == words


def test_the_known_key_signs_the_known_text(wallet: Wallet) -> None:
    from nacl.signing import SigningKey

    secret = wallet.keys[0].secret
    assert secret is not None
    signature = SigningKey(secret.reveal()[:32]).sign(b"hello world").signature
    assert signature.hex().startswith("2b43bd34d335ad79c8d2268d330111aa0d511b67ba0189fbf94944002fc5ec71")


@pytest.mark.parametrize("path", ["", "44'/540'", "m/44", "m/44'/", "m/x'", "m/2147483648'", "m/-1'"])
def test_paths_without_a_key_are_refused(path: str) -> None:
    with pytest.raises(derivation.PathError):
        derivation.derive(Secret(bytes(64)), path)


# Secrets


def test_a_secret_has_no_readable_form_and_can_be_wiped(wallet: Wallet) -> None:
    key = create(phrase.check(WORDS), 1, CREATED).keys[0]
    assert key.secret is not None
    assert key.secret.reveal().hex()[:16] not in repr(key) + repr(wallet) + str(key.secret)
    assert WORDS not in repr(wallet)
    key.secret.wipe()
    assert not key.secret
    with Secret("word") as secret:
        assert secret.text() == "word"
    assert secret.reveal() == b""


# Amounts


@pytest.mark.parametrize(
    ("text", "smidge"),
    [
        ("1.5SMH", 1_500_000_000),
        ("1.5 smh", 1_500_000_000),
        ("1500000000smidge", 1_500_000_000),
        ("1500000000", 1_500_000_000),
        ("0.000000001SMH", 1),
        ("1.SMH", 10**9),
        ("1_000", 1000),
        ("0", 0),
        ("2400000000SMH", 2_400_000_000 * 10**9),
    ],
)
def test_amounts_are_whole_smidge(text: str, smidge: int) -> None:
    assert amounts.parse(text) == smidge


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.5", "smidge are whole"),
        ("1.5smidge", "smidge are whole"),
        ("-1SMH", "negative"),
        ("0.0000000001SMH", "at most 9"),
        ("2400000001SMH", "above the supply"),
        ("9" * 400, "above the supply"),
        ("", "no amount"),
        ("1e3", "no amount"),
        ("one", "no amount"),
        ("1ETH", "no amount"),
    ],
)
def test_what_is_no_amount_is_explained(text: str, words: str) -> None:
    with pytest.raises(amounts.AmountError, match=words):
        amounts.parse(text)


@given(st.integers(0, 2_400_000_000 * 10**9))
def test_an_amount_survives_its_text(smidge: int) -> None:
    assert amounts.parse(amounts.smh(smidge)) == smidge


# Files


@pytest.mark.parametrize("form", ["gcm", "argon2"])
@pytest.mark.parametrize("password", ["", "correct horse", "pässwörd 🔑", "x" * 300])
def test_a_wallet_survives_its_file(wallet: Wallet, form: sealing.Form, password: str) -> None:
    text = files.lock(wallet, Secret(password), form)
    again = files.unlock(text, Secret(password))
    assert again == replace(wallet, meta=again.meta)
    with pytest.raises(sealing.WrongPassword, match="password"):
        files.unlock(text, Secret(password + "!"))


def test_every_write_has_a_fresh_salt_and_iv(wallet: Wallet) -> None:
    first, second = (json.loads(files.lock(wallet, Secret("x")))["crypto"] for _ in range(2))
    assert first["kdfparams"]["salt"] != second["kdfparams"]["salt"]
    assert first["cipherParams"]["iv"] != second["cipherParams"]["iv"]
    assert first["cipherText"] != second["cipherText"]


def _legacy(content: dict[str, Any], password: str) -> str:
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), b"Spacemesh blockmesh", 1_000_000, 32)
    cipher = Cipher(algorithms.AES(key), modes.CTR((5).to_bytes(16, "big"))).encryptor()
    crypto = {"cipher": "AES-128-CTR", "cipherText": cipher.update(json.dumps(content).encode()).hex()}
    return json.dumps({"meta": {"displayName": "old", "netId": 5, "meta": {"salt": "x"}}, "crypto": crypto})


def test_the_oldest_form_is_read_and_written_anew(wallet: Wallet) -> None:
    content = {
        "mnemonic": WORDS,
        "accounts": [wallet.keys[0].document() | {"displayName": "a", "path": "0/0/0"}],
        "contacts": [{"address": "sm1…", "nickname": "b"}],
        "later": 1,
    }
    old = files.unlock(_legacy(content, "1"), Secret("1"))
    assert (old.display_name, old.keys[0].path, old.keys[0].can_sign) == ("old", "0/0/0", True)
    with pytest.raises(sealing.WrongPassword):
        files.unlock(_legacy(content, "1"), Secret("2"))
    again = files.unlock(files.lock(old, Secret("2")), Secret("2"))
    assert (again.keys, again.contacts, again.extra) == (old.keys, old.contacts, {"later": 1})


def test_the_light_wallets_known_answer() -> None:
    sealed = sealing.Sealed.parse(
        {
            "cipherText": "d0e97cd11c2bb1b1f7102b",
            "cipherParams": {"iv": "811e60e5e564774b16806a0bdf671e2b"},
            "kdf": "ARGON2",
            "kdfparams": {
                "salt": "4ae49fea810d755484e6d5fbddc8b6df",
                "iterations": 64,
                "memorySize": 65536,
                "parallelism": 1,
            },
            "mac": "d0fcd7eaf6ee6404c02be79f97fc5898fe1cf7fd167d95a20b01c5a950c62778",
        }
    )
    assert sealed.open(Secret("pass@123")).text() == "hello world"


def test_accounts_of_templates_are_kept(wallet: Wallet) -> None:
    account = {"displayName": "m", "templateAddress": "00" * 23 + "02", "spawnArguments": {"Required": 1}}
    light = replace(wallet, accounts=(account,))
    again = files.unlock(files.lock(light, Secret("x"), "argon2"), Secret("x"))
    assert again.accounts == (account,)
    assert again.keys == wallet.keys


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda crypto: crypto["kdfparams"].update(iterations=10**12), "iterations"),
        (lambda crypto: crypto["kdfparams"].update(iterations=True), "iterations"),
        (lambda crypto: crypto["kdfparams"].update(salt="00" * 15), "salt of the wallet file has 15 bytes"),
        (lambda crypto: crypto["cipherParams"].update(iv="00" * 11), "iv of the wallet file has 11 bytes"),
        (lambda crypto: crypto.update(cipherText="0x00"), "hex digits"),
        (lambda crypto: crypto.update(cipherText=5), "hex digits"),
        (lambda crypto: crypto.pop("cipherParams"), "no object cipherParams"),
        (lambda crypto: crypto.update(cipherText=crypto["cipherText"][:-2]), "password"),
    ],
)
def test_a_damaged_file_is_explained(wallet: Wallet, change: Any, words: str) -> None:
    file = json.loads(files.lock(wallet, Secret("x")))
    change(file["crypto"])
    with pytest.raises(DataError, match=words):
        files.unlock(json.dumps(file), Secret("x"))


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"crypto": 5}', "[" * 100_000, "\udcff"])
def test_what_is_no_wallet_file_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        files.unlock(text, Secret("x"))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"mnemonic": 5},
        {"mnemonic": WORDS, "accounts": 5},
        {"mnemonic": WORDS, "accounts": [5]},
        {"mnemonic": WORDS, "accounts": [{"publicKey": "00"}]},
        {"mnemonic": WORDS, "accounts": [{"publicKey": "00" * 32, "secretKey": "00" * 63}]},
        {"mnemonic": WORDS, "accounts": [{"publicKey": "11" * 32, "secretKey": "00" * 64}]},
        {"mnemonic": WORDS, "accounts": [{"publicKey": "11" * 32, "keyType": 7}]},
        {"mnemonic": WORDS, "keys": {}},
    ],
)
def test_content_that_is_no_wallet_is_refused_without_showing_it(content: Any) -> None:
    with pytest.raises(WalletDamaged) as caught:
        parse(content)
    assert WORDS not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["meta", "crypto", "cipherText", "kdfparams", "salt", "iterations", "iv", "mac", "accounts"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=4), max_size=4))
def test_any_file_is_read_or_refused_in_words(content: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        files.parse_file(json.dumps(content))[0].open(Secret("x"))
        raise DataError("opened by chance")


def test_a_file_is_private_and_never_overwritten(wallet: Wallet, tmp_path: Path) -> None:
    path = tmp_path / "new" / files.file_name(wallet)
    assert path.name == f"wallet_main_wallet_{CREATED}.json"
    write_new(path, "first\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="not overwritten"):
        write_new(path, "second\n")
    assert path.read_text() == "first\n"
    assert os.listdir(path.parent) == [path.name]
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_new(path / "below", "x")


def test_reading_what_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        files.read(tmp_path / "none")
    with pytest.raises(UsageError, match="is a directory"):
        files.read(tmp_path)


def test_created_is_utc_with_dashes() -> None:
    moment = datetime(2026, 11, 23, 3, 11, 40, 287_654, UTC)
    assert files.created_text(moment) == CREATED


def test_accounts_are_added_at_the_next_free_path(wallet: Wallet) -> None:
    more = wallet.with_account(CREATED)
    assert [key.path for key in more.keys] == [derivation.account_path(number) for number in range(3)]
    assert create(phrase.check(WORDS), 3, CREATED).keys[2].public_key == more.keys[2].public_key
    with pytest.raises(DataError, match="no recovery phrase"):
        replace(wallet, phrase=Secret(NO_PHRASE)).with_account(CREATED)
    with pytest.raises(UsageError, match="129 accounts"):
        create(phrase.check(WORDS), 129, CREATED)


def test_the_mac_of_the_light_wallet_is_checked_in_constant_time(monkeypatch, wallet: Wallet) -> None:
    calls: list[None] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (calls.append(None), real(a, b))[1])
    files.unlock(files.lock(wallet, Secret("x"), "argon2"), Secret("x"))
    assert calls


# Damage, forms of passwords, file systems


class CheapHashes:
    """hashlib with a key derivation that takes no time, so that every bit of a file can be tried."""

    def __getattr__(self, name: str) -> Any:
        return getattr(hashlib, name)

    @staticmethod
    def pbkdf2_hmac(name: str, password: bytes, salt: bytes, iterations: int, size: int) -> bytes:
        return hashlib.sha512(name.encode() + password + salt + str(iterations).encode()).digest()[:size]


def cheap_legacy(content: dict[str, Any]) -> bytes:
    key = CheapHashes.pbkdf2_hmac("sha512", b"1", b"Spacemesh blockmesh", 1_000_000, 32)
    cipher = Cipher(algorithms.AES(key), modes.CTR((5).to_bytes(16, "big"))).encryptor()
    text = json.dumps(content, separators=(",", ":")).encode()
    return json.dumps({"crypto": {"cipher": "AES-128-CTR", "cipherText": cipher.update(text).hex()}}).encode()


def kept(wallet: Wallet) -> object:
    return wallet.phrase, [(key.public_key, key.secret) for key in wallet.keys]


@pytest.mark.parametrize("old_path", [False, True], ids=["path of today", "old path"])
def test_no_flipped_bit_of_a_file_without_a_mac_opens_another_wallet(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, old_path: bool
) -> None:
    monkeypatch.setattr(sealing, "hashlib", CheapHashes())
    keys = [key.document() | ({"path": f"0/0/{number}"} if old_path else {}) for number, key in enumerate(wallet.keys)]
    whole = cheap_legacy({"mnemonic": WORDS, "accounts": keys[:1], "contacts": []})
    expected = kept(files.unlock(whole, Secret("1")))
    monkeypatch.setattr(phrase, "seed", cached_seed)
    opened = 0
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            try:
                found = files.unlock(bytes(flipped).decode("latin-1"), Secret("1"))
            except DataError:
                continue
            opened += 1
            if old_path and found.phrase != expected[0]:  # type: ignore[index]
                continue  # four bits of checksum, and keys that the phrase does not tell: one flip in many passes
            assert kept(found) == expected, (place, bit)
    assert opened, "a name that was written may have another letter"


real_seed = phrase.seed
_SEEDS: dict[bytes, bytes] = {}


def cached_seed(words: Secret, passphrase: str = "") -> Secret:
    """The seed of a phrase; the same one is asked for thousands of times."""
    known = _SEEDS.setdefault(words.reveal(), b"")
    if not known:
        known = _SEEDS[words.reveal()] = real_seed(words, passphrase).reveal()
    return Secret(known)


@pytest.mark.parametrize("form", ["gcm", "argon2"])
def test_a_secret_key_that_is_not_that_of_its_public_key(wallet: Wallet, form: sealing.Form) -> None:
    """Whoever wrote it so: what is signed with it is worth nothing."""
    other = bytes(31) + b"\1" + wallet.keys[0].public_key
    made = replace(wallet, keys=(replace(wallet.keys[0], secret=Secret(other)),))
    with pytest.raises(WalletDamaged, match="public key of key 1"):
        files.unlock(files.lock(made, Secret("x"), form), Secret("x"))


@pytest.mark.parametrize("typed", ["\ufeffcafe\u0301", "café", "cafe\u0301", " café", "café\u200b"])
def test_a_password_opens_in_every_form_in_which_it_may_be_typed(wallet: Wallet, typed: str) -> None:
    assert files.unlock(files.lock(wallet, Secret("café")), Secret(typed)).keys == wallet.keys
    # and one that once got a mark into it, by what an editor put before it, still opens
    marked = files.lock(wallet, Secret("\ufeffword"))
    assert files.unlock(marked, Secret("\ufeffword")).keys == wallet.keys


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT, exFAT: the disks on which people keep copies."""

    def refused(*words: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    write_new(tmp_path / "wallet.json", "first")
    assert (tmp_path / "wallet.json").read_text() == "first"
    with pytest.raises(UsageError, match="not overwritten"):
        write_new(tmp_path / "wallet.json", "second")
    assert (tmp_path / "wallet.json").read_text() == "first"
    assert os.listdir(tmp_path) == ["wallet.json"], "nothing else is left"


def test_phrases_as_people_keep_them() -> None:
    lines = "\ufeff" + "\r\n".join(f"{number}. {word}" for number, word in enumerate(WORDS.split(), 1))
    assert phrase.check(lines) == phrase.check(WORDS.upper().replace(" ", "\u00a0 \u200b")) == Secret(WORDS)
