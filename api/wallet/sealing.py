"""Encryption of wallet files: the four forms that were ever written, and the one that we write.

A: AES-256-GCM under PBKDF2-HMAC-SHA512 (the desktop wallet; the command line writes the same under a wrong label),
B: AES-256-CTR with a fixed salt and counter (the old desktop wallet), D: AES-256-CTR under Argon2id with a MAC (the
light wallet). Labels lie in the wild, so the form is told by the fields that are there. Salt and IV are fresh at every
write; what a file asks of memory and time is bounded. Protocol 11-user-tools, section 2.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl import exceptions, pwhash

from api.edge.errors import DataError
from api.edge.text import shown

from .secret import Secret

Form = Literal["gcm", "legacy", "argon2"]

PBKDF2_ITERATIONS = 210_000
"""What we write; files with fewer are read."""
SALT_SIZE = 16
GCM_IV_SIZE = 12
COUNTER_SIZE = 16
KEY_SIZE = 32

_LEGACY_SALT = b"Spacemesh blockmesh"
_LEGACY_ITERATIONS = 1_000_000
_LEGACY_COUNTER = (5).to_bytes(COUNTER_SIZE, "big")
_MAX_ITERATIONS = 50_000_000
_MAX_MEMORY_KIB = 4 << 20
_MAX_ARGON2_ITERATIONS = 10_000


class WrongPassword(DataError):
    """The password does not open the wallet, or the encrypted part is damaged: the two cannot be told apart."""


class SealDamaged(DataError):
    """The encrypted part of a wallet file does not have the form of one."""


def wrong_password() -> WrongPassword:
    """What to raise where no key opens the file."""
    return WrongPassword(
        "The password does not open this wallet. If it is certainly the right one, the file is damaged: restore it "
        "from a copy, or make a new wallet from the recovery phrase."
    )


@dataclass(frozen=True, slots=True)
class Sealed:
    """The `crypto` object of a wallet file, checked."""

    form: Form
    ciphertext: bytes
    salt: bytes = b""
    iv: bytes = b""
    iterations: int = 0
    memory_kib: int = 0
    parallelism: int = 1
    mac: bytes = b""

    @classmethod
    def parse(cls, crypto: Any) -> Sealed:
        """Read a `crypto` object. Raises SealDamaged, which names the field."""
        fields = _lowered(crypto, "crypto")
        ciphertext = _hex(fields, "ciphertext", None)
        parameters = fields.get("kdfparams")
        if parameters is None:
            return cls("legacy", ciphertext)
        kdf = _lowered(parameters, "kdfparams")
        salt = _hex(kdf, "salt", SALT_SIZE)
        iterations = _number(kdf, "iterations", _MAX_ITERATIONS)
        if "mac" in fields:
            if iterations > _MAX_ARGON2_ITERATIONS:
                raise SealDamaged(f"kdfparams.iterations is {iterations}, expected at most {_MAX_ARGON2_ITERATIONS}.")
            cipher = _lowered(fields.get("cipherparams", {}), "cipherParams")
            parallelism = _number(kdf, "parallelism", 1 << 24)
            if parallelism != 1:
                raise SealDamaged(f"kdfparams.parallelism is {parallelism}, expected 1.")
            return cls(
                "argon2",
                ciphertext,
                salt,
                _hex(cipher, "iv", COUNTER_SIZE),
                iterations,
                _number(kdf, "memorysize", _MAX_MEMORY_KIB),
                parallelism,
                _hex(fields, "mac", 32),
            )
        cipher = _lowered(fields.get("cipherparams"), "cipherParams")
        return cls("gcm", ciphertext, salt, _hex(cipher, "iv", GCM_IV_SIZE), iterations)

    def open(self, password: Secret) -> Secret:
        """The plaintext. Raises WrongPassword.

        The legacy form has no integrity: any password gives bytes, and only reading them tells.
        """
        if self.form == "gcm":
            with Secret(hashlib.pbkdf2_hmac("sha512", password.reveal(), self.salt, self.iterations, KEY_SIZE)) as key:
                try:
                    return Secret(AESGCM(key.reveal()).decrypt(self.iv, self.ciphertext, None))
                except InvalidTag:
                    raise wrong_password() from None
        if self.form == "legacy":
            rounds = _LEGACY_ITERATIONS
            with Secret(hashlib.pbkdf2_hmac("sha512", password.reveal(), _LEGACY_SALT, rounds, KEY_SIZE)) as key:
                return Secret(_ctr(key.reveal(), _LEGACY_COUNTER, self.ciphertext))
        with _argon2id(password, self.salt, self.iterations, self.memory_kib) as key:
            plaintext = Secret(_ctr(key.reveal(), self.iv, self.ciphertext))
            if not hmac.compare_digest(_mac(key, plaintext), self.mac):
                plaintext.wipe()
                raise wrong_password()
            return plaintext


def seal(plaintext: Secret, password: Secret, form: Form = "gcm") -> Mapping[str, Any]:
    """The `crypto` object of a new file, with a fresh salt and IV."""
    salt = secrets.token_bytes(SALT_SIZE)
    if form == "argon2":
        iv = secrets.token_bytes(COUNTER_SIZE)
        iterations, memory_kib = 7, 65_536
        with _argon2id(password, salt, iterations, memory_kib) as key:
            return {
                "cipher": "AES-256-CTR",
                "cipherText": _ctr(key.reveal(), iv, plaintext.reveal()).hex(),
                "cipherParams": {"iv": iv.hex()},
                "kdf": "ARGON2",
                "kdfparams": {
                    "salt": salt.hex(),
                    "iterations": iterations,
                    "memorySize": memory_kib,
                    "parallelism": 1,
                },
                "mac": _mac(key, plaintext).hex(),
            }
    if form == "legacy":
        raise ValueError("the legacy form is only read")
    iv = secrets.token_bytes(GCM_IV_SIZE)
    with Secret(hashlib.pbkdf2_hmac("sha512", password.reveal(), salt, PBKDF2_ITERATIONS, KEY_SIZE)) as key:
        return {
            "cipher": "AES-GCM",
            "cipherText": AESGCM(key.reveal()).encrypt(iv, plaintext.reveal(), None).hex(),
            "cipherParams": {"iv": iv.hex()},
            "kdf": "PBKDF2",
            "kdfparams": {
                "dklen": KEY_SIZE * 8,
                "hash": "SHA-512",
                "iterations": PBKDF2_ITERATIONS,
                "salt": salt.hex(),
            },
        }


def unreadable(form: Form) -> DataError:
    """What to raise where the plaintext is no wallet."""
    if form == "legacy":
        return wrong_password()
    return SealDamaged("The wallet was opened, but its content is no JSON object: it was not written by a wallet.")


def _ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _argon2id(password: Secret, salt: bytes, iterations: int, memory_kib: int) -> Secret:
    try:
        return Secret(
            pwhash.argon2id.kdf(KEY_SIZE, password.reveal(), salt, opslimit=iterations, memlimit=memory_kib << 10)
        )
    except (exceptions.CryptoError, exceptions.ValueError, MemoryError):
        raise SealDamaged(
            f"The key of this wallet cannot be computed with {memory_kib} KiB of memory (kdfparams.memorySize) and "
            f"{iterations} iterations on this machine."
        ) from None


def _mac(key: Secret, plaintext: Secret) -> bytes:
    # the light wallet takes the text of the key, in hex, for the key of the MAC
    return hmac.digest(key.reveal().hex().encode(), plaintext.reveal(), hashlib.sha256)


def _lowered(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SealDamaged(f"The wallet file has no object {name}.")
    return {str(key).lower(): item for key, item in value.items()}


def _hex(fields: Mapping[str, Any], name: str, size: int | None) -> bytes:
    value = fields.get(name)
    if not isinstance(value, str) or not re.fullmatch("(?:[0-9a-fA-F]{2})*", value):
        raise SealDamaged(f"The field {name} of the wallet file is no text of hex digits.")
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise SealDamaged(f"The field {name} of the wallet file has {len(data)} bytes, expected {size}.")
    return data


def _number(fields: Mapping[str, Any], name: str, highest: int) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise SealDamaged(
            f"The field {name} of the wallet file is {shown(value)}, expected a number from 1 to {highest}."
        )
    return value
