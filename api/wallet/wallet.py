"""What a wallet holds: its recovery phrase, key pairs, accounts and contacts.

The plaintext of a wallet file is read tolerantly, since four programs wrote such files over the years, and what is not
understood is kept and written back. Protocol 11-user-tools, section 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.edge.errors import DataError, UsageError
from api.edge.text import shown

from . import derivation, phrase
from .secret import Secret

KEY_SOFTWARE, KEY_LEDGER = 0, 1
NO_PHRASE = "(none)"
"""What stands for the phrase in the wallet of a hardware key."""
_OWN_PATH = re.compile(r"m/44'/540'/0'/0'/[0-9]{1,9}'")
_OLD_PATH = re.compile(r"(?:[0-9]{1,9}/){0,4}[0-9]{1,9}|")
"""What wallets before the main network wrote, and nothing at all."""


class WalletDamaged(DataError):
    """The content of a wallet file does not have the form of a wallet."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One key of a wallet."""

    display_name: str
    created: str
    path: str
    """How it was derived; never derived again from here, since old wallets name paths of another derivation."""
    public_key: bytes
    secret: Secret | None
    """64 bytes: seed and public key; None for a hardware key and for an account that is only looked at."""
    key_type: int = KEY_SOFTWARE
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are not understood."""

    @property
    def can_sign(self) -> bool:
        """Whether the secret is here."""
        return self.secret is not None

    def document(self, *, with_type: bool = False) -> dict[str, Any]:
        """The JSON object of this key."""
        document: dict[str, Any] = {
            "displayName": self.display_name,
            "created": self.created,
            "path": self.path,
            "publicKey": self.public_key.hex(),
            "secretKey": self.secret.reveal().hex() if self.secret else "",
        }
        if with_type or self.key_type != KEY_SOFTWARE:
            document["keyType"] = self.key_type
        return document | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Wallet:
    """The secrets of a wallet file and what its owner wrote beside them."""

    phrase: Secret
    keys: Sequence[KeyPair]
    display_name: str = "Main Wallet"
    created: str = ""
    genesis_id: str = ""
    master: KeyPair | None = None
    contacts: Sequence[Mapping[str, Any]] = ()
    accounts: Sequence[Mapping[str, Any]] = ()
    """Accounts by template and spawn arguments, as the light wallet keeps them."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Secret fields that are not understood."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the open part of the file."""

    def wipe(self) -> None:
        """Overwrite every secret."""
        self.phrase.wipe()
        for key in (*self.keys, *([self.master] if self.master else [])):
            if key.secret:
                key.secret.wipe()

    def with_account(self, created: str, name: str | None = None) -> Wallet:
        """The wallet with one account more, derived at the next free path. Raises DataError."""
        if not self.phrase or self.phrase.text() == NO_PHRASE:
            raise DataError("This wallet has no recovery phrase, so no further account can be derived from it.")
        taken = {key.path for key in self.keys}
        number = next(number for number in range(len(taken) + 1) if derivation.account_path(number) not in taken)
        if len(self.keys) >= derivation.MAX_ACCOUNTS:
            raise DataError(f"This wallet has {len(self.keys)} accounts, the most that all tools can read.")
        key = account_key(self.phrase, number, created, name)
        return replace(self, keys=(*self.keys, key))


def account_key(words: Secret, number: int, created: str, name: str | None = None) -> KeyPair:
    """The key of account `number`, counted from 0."""
    path = derivation.account_path(number)
    with phrase.seed(words) as seed, derivation.derive(seed, path) as private:
        public, secret = derivation.key_pair(private)
    return KeyPair(name or f"Account {number + 1}", created, path, public, secret)


def create(words: Secret, accounts: int, created: str, display_name: str = "Main Wallet") -> Wallet:
    """A wallet of a checked phrase with its first accounts. Raises UsageError for none, or more than tools can read."""
    if not 1 <= accounts <= derivation.MAX_ACCOUNTS:
        raise UsageError(f"{accounts} accounts were asked for, expected 1 to {derivation.MAX_ACCOUNTS}.")
    return Wallet(
        phrase=words,
        keys=tuple(account_key(words, number, created) for number in range(accounts)),
        display_name=display_name,
        created=created,
    )


# Reading the plaintext


def parse(document: Any, *, authentic: bool = True) -> Wallet:
    """The wallet of a decrypted JSON object. Raises WalletDamaged, never with a secret in its message.

    authentic: whether the encryption vouches for every bit. Where it does not, what can be computed is compared: the
    checksum of the phrase, and every key with the phrase.
    """
    top = _Fields(document, "the wallet")
    words = top.text("mnemonic", required=True)
    accounts = top.take("accounts", [] if authentic else None)
    keys = top.take("keys", None)
    if not isinstance(accounts, list):
        raise WalletDamaged("The wallet's accounts are no list, or missing.")
    if keys is None:  # the desktop wallet and the command line keep the keys in the accounts
        keys, accounts = accounts, []
    if not isinstance(keys, list):
        raise WalletDamaged("The wallet's keys are no list.")
    master = top.take("masterkeypair", None)
    contacts = top.take("contacts", None)
    wallet = Wallet(
        phrase=Secret(words),
        keys=tuple(_key_pair(key, f"key {number}") for number, key in enumerate(keys, 1)),
        master=None if master is None else _key_pair(master, "the master key"),
        contacts=tuple(contacts) if isinstance(contacts, list) else (),
        accounts=tuple(accounts),
        extra=top.rest(),
    )
    if not authentic:
        _check_content(wallet)
    return wallet


def _check_content(wallet: Wallet) -> None:
    """Whether the parts of a wallet that nothing vouches for agree. Raises WalletDamaged.

    The form without integrity is that of the old desktop wallet, which wrote the secret of every key of its own.
    """
    damaged = "The wallet file is damaged: restore it from a copy, or make a new wallet from the recovery phrase. "
    if wallet.phrase.text() != NO_PHRASE:
        try:
            phrase.check(wallet.phrase.text())
        except phrase.PhraseError:  # which might show a word
            raise WalletDamaged(damaged + "Its recovery phrase is none: a word or the checksum is wrong.") from None
    with phrase.seed(wallet.phrase) as seed:
        for number, key in enumerate(wallet.keys, 1):
            if (key.secret is None) != (key.key_type == KEY_LEDGER):
                raise WalletDamaged(damaged + f"The secret of key {number} does not fit its type.")
            if _OWN_PATH.fullmatch(key.path) and key.secret is not None:
                with derivation.derive(seed, key.path) as private:
                    if derivation.key_pair(private)[1] != key.secret:
                        raise WalletDamaged(damaged + f"Key {number} is not the one that the phrase gives.")
            elif not _OLD_PATH.fullmatch(key.path):  # those were derived in another way, and are not followed
                raise WalletDamaged(damaged + f"Key {number} has a path that no wallet wrote.")


def document(wallet: Wallet) -> dict[str, Any]:
    """The JSON object that is encrypted, in the form of the desktop wallet, which all tools read."""
    secrets: dict[str, Any] = {"mnemonic": wallet.phrase.text()}
    if wallet.master is not None:
        secrets["MasterKeypair"] = wallet.master.document()
    if wallet.accounts:
        secrets["keys"] = [key.document() for key in wallet.keys]
        secrets["accounts"] = [dict(account) for account in wallet.accounts]
    else:
        secrets["accounts"] = [key.document() for key in wallet.keys]
    secrets["contacts"] = [dict(contact) for contact in wallet.contacts]
    return secrets | dict(wallet.extra)


def _key_pair(value: Any, where: str) -> KeyPair:
    fields = _Fields(value, where)
    public = fields.hex("publickey", 32, required=True)
    secret = fields.hex("secretkey", 64)
    path = fields.text("path")
    key_type = fields.take("keytype", None)
    if key_type is None:
        key_type = fields.take("origin", KEY_SOFTWARE)
    if key_type not in (KEY_SOFTWARE, KEY_LEDGER):
        raise WalletDamaged(f"The type of {where} is {shown(key_type)}, expected 0 (software) or 1 (Ledger).")
    if secret and (secret[32:] != public or derivation.key_pair(Secret(secret[:32]))[0] != public):
        raise WalletDamaged(f"The public key of {where} does not belong to its secret key.")
    return KeyPair(
        display_name=fields.text("displayname"),
        created=fields.text("created"),
        path=path,
        public_key=public,
        secret=Secret(secret) if secret else None,
        key_type=key_type,
        extra=fields.rest(),
    )


class _Fields:
    """A JSON object of which the keys are matched without case; what is not taken is the rest."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise WalletDamaged(f"{where[:1].upper()}{where[1:]} is no JSON object.")
        self._left = dict(value)
        self._where = where

    def take(self, name: str, default: Any) -> Any:
        for key in list(self._left):
            if key.lower() == name:
                value = self._left.pop(key)
                return default if value is None else value
        return default

    def text(self, name: str, *, required: bool = False) -> str:
        value = self.take(name, None if required else "")
        if not isinstance(value, str):
            raise WalletDamaged(f"The field {name} of {self._where} is no text.")
        return value

    def hex(self, name: str, size: int, *, required: bool = False) -> bytes:
        value = self.text(name, required=required)
        if not value and not required:
            return b""
        if not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", value):
            raise WalletDamaged(f"The field {name} of {self._where} is no {2 * size} hex digits.")
        return bytes.fromhex(value)

    def rest(self) -> dict[str, Any]:
        return self._left
