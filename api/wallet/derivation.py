"""From one seed to many keys: SLIP-0010 for Ed25519, hardened steps only.

The network's own path is m/44'/540'/0'/0'/n' for account n; one step less is the master key, which is only shown.
Protocol 11-user-tools, section 1.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from nacl import bindings

from api.edge.errors import UsageError

from .secret import Secret

MASTER_PATH = "m/44'/540'/0'/0'"
MAX_ACCOUNTS = 128
"""Accounts of a wallet that all tools can read."""
_HARDENED = 1 << 31
_PATH = re.compile(r"m(?:/[0-9]{1,12}'){0,255}")


class PathError(UsageError):
    """A derivation path that has no key."""


def account_path(account: int) -> str:
    """The path of an account, counted from 0."""
    return f"{MASTER_PATH}/{account}'"


def parse_path(path: str) -> tuple[int, ...]:
    """The steps of a path such as m/44'/540'/0'/0'/0'. Raises PathError."""
    if not _PATH.fullmatch(path):
        raise PathError(
            f"{path[:60]!r} is no derivation path: expected m and hardened steps, such as {account_path(0)}."
        )
    steps = tuple(int(step[:-1]) for step in path.split("/")[1:])
    for step in steps:
        if step >= _HARDENED:
            raise PathError(f"Step {step} of the path {path[:60]!r} is too large, expected at most {_HARDENED - 1}.")
    return steps


def derive(seed: Secret, path: str) -> Secret:
    """The 32-byte Ed25519 seed at a path. Raises PathError."""
    steps = parse_path(path)
    digest = hmac.digest(b"ed25519 seed", seed.reveal(), hashlib.sha512)
    for step in steps:
        data = b"\0" + digest[:32] + (step | _HARDENED).to_bytes(4, "big")
        digest = hmac.digest(digest[32:], data, hashlib.sha512)
    return Secret(digest[:32])


def key_pair(private_seed: Secret) -> tuple[bytes, Secret]:
    """The public key (32 bytes) and the secret key in the form of wallet files (64 bytes: seed, public key)."""
    public, secret = bindings.crypto_sign_seed_keypair(private_seed.reveal())
    return public, Secret(secret)
