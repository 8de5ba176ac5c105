"""Wallet files: their names, and their text, which is read and made with a password.

A file is `{"meta": …, "crypto": …}` and ends with a newline.
Protocol 11-user-tools, section 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.edge.text import read_text, same_when_typed

from . import sealing
from .secret import Secret
from .wallet import Wallet, WalletDamaged, document, parse

MAX_FILE_SIZE = 16 << 20
_KNOWN_META = ("displayname", "created", "genesisid")


def created_text(now: datetime) -> str:
    """A moment as wallets write it: UTC with dashes, 2026-11-23T03-11-40.287Z."""
    utc = now.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H-%M-%S}.{utc.microsecond // 1000:03d}Z"


def file_name(wallet: Wallet) -> str:
    """The name that the desktop wallet gives a new file."""
    name = re.sub(r"[^\w-]+", "_", wallet.display_name.lower()).strip("_") or "wallet"
    return f"wallet_{name}_{wallet.created}.json"


def parse_file(text: str | bytes) -> tuple[sealing.Sealed, Mapping[str, Any]]:
    """The encrypted part and the open part of a wallet file's text. Raises DataError."""
    try:
        top = json.loads(text)
    except (ValueError, RecursionError):
        raise WalletDamaged("This is no wallet file: it is no JSON.") from None
    if not isinstance(top, dict):
        raise WalletDamaged("This is no wallet file: it is no JSON object.")
    fields = {key.lower(): value for key, value in top.items()}
    if "crypto" not in fields:
        raise WalletDamaged("This is no wallet file: it has no part called crypto.")
    meta = fields.get("meta")
    return sealing.Sealed.parse(fields["crypto"]), meta if isinstance(meta, dict) else {}


def unlock(text: str | bytes, password: Secret) -> Wallet:
    """The wallet in a file's text. Raises DataError (WrongPassword, SealDamaged, WalletDamaged)."""
    sealed, meta = parse_file(text)
    wallet = parse(_content(sealed, password), authentic=sealed.form != "legacy")
    lowered = {key.lower(): value for key, value in meta.items()}

    def text_of(name: str) -> str:
        value = lowered.get(name)
        return value if isinstance(value, str) else ""

    return replace(
        wallet,
        display_name=text_of("displayname"),
        created=text_of("created"),
        genesis_id=text_of("genesisid"),
        meta={key: value for key, value in meta.items() if key.lower() not in _KNOWN_META and key.lower() != "salt"},
    )


def _content(sealed: sealing.Sealed, password: Secret) -> dict[str, Any]:
    """The decrypted JSON object. The password is tried in every form in which it may have been typed."""
    for form in same_when_typed(password.text()):
        with Secret(form) as tried:
            try:
                with sealed.open(tried) as plaintext:
                    content = json.loads(plaintext.reveal())
            except sealing.WrongPassword:
                continue
            except (ValueError, RecursionError):
                if sealed.form == "legacy":  # whose key cannot be told from another but by what comes out
                    continue
                raise sealing.unreadable(sealed.form) from None
        if isinstance(content, dict):
            return content
        raise sealing.unreadable(sealed.form)
    raise sealing.wrong_password()


def lock(wallet: Wallet, password: Secret, form: sealing.Form = "gcm") -> str:
    """The text of a file that holds the wallet."""
    with Secret(json.dumps(document(wallet), ensure_ascii=False, separators=(",", ":"))) as plaintext:
        crypto = sealing.seal(plaintext, password, form)
    meta = {
        "displayName": wallet.display_name,
        "created": wallet.created,
        "genesisID": wallet.genesis_id,
        **({} if wallet.meta else {"type": "remote-api", "remoteApi": ""}),
        **wallet.meta,
    }
    return json.dumps({"meta": meta, "crypto": crypto}, ensure_ascii=False, separators=(",", ":")) + "\n"


def read(path: Path) -> str:
    """The text of a wallet file, a description or a transaction. Raises UsageError, EnvironmentFault."""
    return read_text(path, "The file", MAX_FILE_SIZE)
