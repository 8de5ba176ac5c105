"""What a PoET server knows before it serves: its key, whose certificates count, the proof of work it asks for.

The key is the environment's, or the one in `state.bin`, or a new one; where both are there they must agree.
Specified in protocol 02-poet, sections 7.2, 7.3 and 9.1.
"""

from __future__ import annotations

import os
from pathlib import Path

from nacl.bindings import crypto_sign_seed_keypair

from api.services.poet.config import KEY_VARIABLE, Config, ConfigError
from kernels.signatures.ed25519_curve import SMALL_ORDER_Y, P
from protocol.poet.registration import TrustedKeys
from prover import durable
from prover.errors import DataError
from prover.poet.server.records import STATE_FILE, XdrError, decode_server_state, encode_server_state
from prover.poet.server.registration import Pow
from prover.poet.server.store import POW_CHALLENGE, ProofStore
from prover.poet.server.trusted_keys import load_trusted_keys

POW_CHALLENGE_SIZE = 32
SEED_SIZE = 32


def load_key(config: Config) -> bytes:
    """The server's private key (64 bytes), which is in its file from now on. Raises ConfigError, OSError."""
    path = config.datadir / STATE_FILE
    failed = "failed to create server: loading state: "
    given = config.private_key
    try:
        key = decode_server_state(durable.read_whole(path), str(path))
    except FileNotFoundError:
        key = given or crypto_sign_seed_keypair(os.urandom(32))[1]
    except XdrError as error:
        raise ConfigError(f"{failed}{error} Restore the file, or move it away for a new key.") from None
    if given is not None and given != key:
        raise ConfigError(f"{failed}private key mismatch. env != {STATE_FILE}")
    if crypto_sign_seed_keypair(key[:SEED_SIZE])[1] != key:
        raise ConfigError(
            f"{failed}{path if key != given else KEY_VARIABLE}: the public half of the key does not belong to its "
            "seed, so it is damaged. Restore it from a copy; moved away, it gets a new one, which no node knows."
        )
    durable.replace(path, encode_server_state(key))
    return key


def load_trusted(config: Config) -> TrustedKeys:
    """The keys whose certificates count: the configured one and those in the directory. Raises ConfigError."""
    main = config.certifier_pubkey
    if main is not None and is_of_small_order(main):
        raise ConfigError(f"certifier-pubkey {main.hex()} {SMALL_ORDER}")
    if config.trusted_keys is None:
        return TrustedKeys(main)
    try:
        return TrustedKeys(main, read_trusted(config.trusted_keys))
    except DataError as error:
        raise ConfigError(
            f"failed to create server: creating registration service: loading trusted public keys: {error}"
        ) from None


def read_trusted(directory: Path) -> tuple[bytes, ...]:
    """The keys in a directory. Raises DataError."""
    keys = load_trusted_keys(directory)
    for key in keys:
        if is_of_small_order(key):
            raise DataError(f"reading trusted keys from dir: {directory}: {key.hex()} {SMALL_ORDER}")
    return keys


SMALL_ORDER = "is a point of small order: anybody can make signatures that hold for it. No certifier has such a key."


def is_of_small_order(key: bytes) -> bool:
    """Whether a key is one of the few points for which signatures need no secret, in any of their encodings."""
    return (int.from_bytes(key, "little") & ((1 << 255) - 1)) % P in SMALL_ORDER_Y


def load_pow(proofs: ProofStore, difficulty: int, initial: bytes | None) -> Pow:
    """The stored challenges; a first one (`initial`, else random) is stored. Raises EnvironmentFault, DataError."""
    current, previous = proofs.pow_challenges()
    if current is None:
        current = initial or os.urandom(POW_CHALLENGE_SIZE)
        proofs.put_raw(POW_CHALLENGE, current)
        return Pow(difficulty, current)
    return Pow(difficulty, current, previous)
