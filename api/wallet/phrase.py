"""Recovery phrases: BIP-39 in English, from entropy to words to the seed of all keys.

A phrase is normalised before it is checked: case, white space, list numbers. What does not fit is named: the word,
where it stands, the nearest one of the list. Protocol 11-user-tools, section 1.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from functools import cache

from mnemonic import Mnemonic

from api.edge.errors import UsageError
from api.edge.text import typed

from .secret import Secret

WORD_COUNTS = (12, 15, 18, 21, 24)
DEFAULT_WORDS = 24
SEED_ROUNDS = 2048


class PhraseError(UsageError):
    """A text that is no recovery phrase."""


@cache
def _bip39() -> Mnemonic:
    return Mnemonic("english")


def normalised(text: str) -> str:
    """The words in lower case with single spaces between them, list numbers ("1.", "2)") and marks left out."""
    words = unicodedata.normalize("NFKD", typed(text)).lower().split()
    return " ".join(word for word in words if not re.fullmatch(r"[0-9]+[.):]?", word))


def check(text: str) -> Secret:
    """The phrase, normalised. Raises PhraseError, which names the first word that is wrong.

    The message holds a word only if it is none of the list: such a word is no part of the secret.
    """
    phrase = normalised(text)
    words = phrase.split()
    known = _bip39().wordlist
    for position, word in enumerate(words, 1):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise PhraseError(
                f"Word {position} of the recovery phrase, {word[:20]!r}, is not in the BIP-39 list.{hint}"
            )
    if len(words) not in WORD_COUNTS:
        raise PhraseError(
            f"The recovery phrase has {len(words)} words, expected {', '.join(map(str, WORD_COUNTS[:-1]))} or "
            f"{WORD_COUNTS[-1]}."
        )
    if not _bip39().check(phrase):
        raise PhraseError(
            "The checksum of the recovery phrase does not fit: every word is in the list, but one of them is another "
            "word than it was, or two stand in the wrong order."
        )
    return Secret(phrase)


def from_entropy(entropy: bytes) -> Secret:
    """The phrase of 16 to 32 random bytes. Raises PhraseError for other lengths."""
    if len(entropy) * 3 // 4 not in WORD_COUNTS or len(entropy) % 4:
        raise PhraseError(f"{len(entropy)} bytes of entropy, expected 16, 20, 24, 28 or 32.")
    return Secret(_bip39().to_mnemonic(entropy))


def seed(phrase: Secret, passphrase: str = "") -> Secret:
    """The 64 bytes from which all keys are derived. Every tool of the network leaves the passphrase empty."""
    salt = b"mnemonic" + unicodedata.normalize("NFKD", passphrase).encode()
    return Secret(hashlib.pbkdf2_hmac("sha512", phrase.reveal(), salt, SEED_ROUNDS, 64))
