"""identity.key: the smesher's Ed25519 key beside the data, as the reference's postcli writes it.

128 hex digits: the 32-byte seed and the 32-byte public key. The file is secret, is never overwritten, and has
to be copied to the node's `data/identities`. Specified in protocol 01-post-tools, section 2.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from prover.errors import UsageError

FILE_NAME = "identity.key"
FORMER_NAMES = ("key.bin", "local.key")
"""What the node called it before, and calls it in its own folder: somebody's only key may still bear such a name."""

KEY_SIZE = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """A smesher's key pair."""

    seed: bytes
    """32 secret bytes."""
    node_id: bytes
    """The public key, 32 bytes."""

    def encode(self) -> bytes:
        """The content of identity.key."""
        return (self.seed + self.node_id).hex().encode()


def generate() -> Identity:
    """A new identity from the system's random source."""
    from nacl.signing import SigningKey

    return _from_seed(SigningKey.generate().encode())


def decode(data: bytes, file: str) -> Identity:
    """The identity in a key file; `file` is how error messages call it.

    Its content is judged as a node judges it, once blanks, line ends and an order mark are left out. Raises UsageError
    when it is not 128 hex digits or its two halves do not belong together. Never shows what the file holds.
    """
    from protocol.crypto import signing

    # an editor's mark and line ends, where somebody pasted the key
    text = b"".join(data.removeprefix(codecs.BOM_UTF8).split())
    try:
        signer = signing.read_identity(text)
    except signing.InvalidIdentity as error:
        if error.reason == "public_private_mismatch":
            raise UsageError(
                f"{file}: the public key in its second half does not belong to the seed in its first half: it is "
                "damaged."
            ) from None
        found = f"{len(text)} characters" if error.reason == "wrong_size" else "something else"
        raise UsageError(
            f"{file}: expected {2 * KEY_SIZE} hex digits (an Ed25519 private key), found {found}."
        ) from None
    return Identity(bytes.fromhex(text.decode("ascii"))[: signing.SEED_BYTES], signer.public_key)


def _from_seed(seed: bytes) -> Identity:
    from nacl.signing import SigningKey

    return Identity(seed, SigningKey(seed).verify_key.encode())
