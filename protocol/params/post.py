"""Parameters of Proof of Space-Time, and their values on the known networks.

Specified in protocol 01-post, section 7 (table of presets), and 03b-config-and-genesis, section 4.5. On every
network scrypt's r and p are 1, so only N is a parameter here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class PostParams:
    """What one network demands of PoST data and proofs, and what its programs do unless told otherwise."""

    min_num_units: int
    """Units: the fewest that an identity may hold."""
    max_num_units: int
    """Units: the most that an identity may hold."""
    labels_per_unit: int
    """Labels (of 16 bytes) in one unit."""
    k1: int
    """Expected number of good labels for one nonce over all data."""
    k2: int
    """Labels in a proof."""
    k3: int
    """Labels of a proof that a verifier checks."""
    pow_difficulty: bytes
    """32 bytes, big-endian: threshold of the k2pow hash for one unit; divided by the number of units."""
    scrypt_n: int
    """scrypt's N: iterations of each of the two loops, and 128-byte blocks of memory for one label."""
    default_num_units: int
    """Units to initialise when nobody says how many."""
    compute_batch_size: int
    """Labels computed in one batch; also the step of the search for a VRF nonce beyond the data."""
    max_file_size: int
    """Bytes in a data file, unless the user wants another size."""


_UNLIMITED_UNITS = 2**32 - 1
_ANY_HASH = bytes.fromhex("ff" * 32)
_FILE_SIZE = 4 * 1024**3

MAINNET = PostParams(
    min_num_units=4,
    max_num_units=_UNLIMITED_UNITS,
    labels_per_unit=2**32,
    k1=26,
    k2=37,
    k3=1,
    pow_difficulty=bytes.fromhex("000dfb23b0979b4b" + "00" * 24),
    scrypt_n=8192,
    # The node's own default of 2 is below the network's minimum; the reference's command line suggests 4.
    default_num_units=4,
    compute_batch_size=2**20,
    max_file_size=_FILE_SIZE,
)
"""The main network: one unit is 64 GiB."""

TESTNET = PostParams(
    min_num_units=2,
    max_num_units=_UNLIMITED_UNITS,
    labels_per_unit=1024,
    k1=26,
    k2=37,
    k3=1,
    pow_difficulty=_ANY_HASH,
    scrypt_n=8192,
    default_num_units=2,
    compute_batch_size=2**20,
    max_file_size=_FILE_SIZE,
)
"""The public test network."""

FASTNET = PostParams(
    min_num_units=2,
    max_num_units=4,
    labels_per_unit=128,
    k1=12,
    k2=4,
    k3=1,
    pow_difficulty=_ANY_HASH,
    scrypt_n=2,
    default_num_units=2,
    compute_batch_size=128,
    max_file_size=_FILE_SIZE,
)
"""The network of system tests: the only one whose scrypt N is not 8192."""

STANDALONE = PostParams(
    min_num_units=1,
    max_num_units=2,
    labels_per_unit=64,
    k1=12,
    k2=4,
    k3=1,
    pow_difficulty=_ANY_HASH,
    scrypt_n=8192,
    default_num_units=1,
    compute_batch_size=2**20,
    max_file_size=_FILE_SIZE,
)
"""One node alone on a developer's machine."""

NETWORKS: Mapping[str, PostParams] = MappingProxyType(
    {"mainnet": MAINNET, "testnet": TESTNET, "fastnet": FASTNET, "standalone": STANDALONE}
)
"""The presets by name."""


def network(name: str) -> PostParams:
    """The preset called `name`, in any case.

    Raises ProtocolError (reason `unknown_network`) that lists the known names and the nearest of them.
    """
    params = NETWORKS.get(name.lower())
    if params is not None:
        return params
    near = difflib.get_close_matches(name.lower(), NETWORKS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ProtocolError(
        f"There is no network called {name[:40]!r}, expected one of {', '.join(NETWORKS)}.{hint}",
        "unknown_network",
    )
