"""The group of edwards25519 through libsodium, for every point of the curve.

libsodium's multiplication refuses the scalar 0, the identity, and points with a component of small order; the network's
rules need all of them. Points are canonical encodings. `multiply` and `multiply_base` take public scalars; secret ones
go to libsodium directly (`protocol.crypto.vrf`). Protocol 03-encoding-and-types, sections 8 and 9.
"""

from __future__ import annotations

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as SodiumError

from kernels.signatures.ed25519_curve import COFACTOR, ORDER, SMALL_ORDER, TORSION

_IDENTITY = TORSION[0]
_EIGHTH = pow(COFACTOR, -1, ORDER)


class NotAPoint(ValueError):
    """An encoding that belongs to no point of the curve."""


def add(left: bytes, right: bytes) -> bytes:
    """The sum of two points. Raises NotAPoint."""
    try:
        return crypto_core_ed25519_add(left, right)
    except SodiumError as error:
        raise NotAPoint from error


def subtract(left: bytes, right: bytes) -> bytes:
    """The difference of two points. Raises NotAPoint."""
    try:
        return crypto_core_ed25519_sub(left, right)
    except SodiumError as error:
        raise NotAPoint from error


def multiply_base(scalar: int) -> bytes:
    """[scalar] B; 0 <= scalar < ORDER, public."""
    return crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little")) if scalar else _IDENTITY


def multiply(scalar: int, point: bytes) -> bytes:
    """[scalar] point, for a point of any order; 0 <= scalar < ORDER, public. Raises NotAPoint."""
    if not scalar:
        return _IDENTITY
    try:
        return crypto_scalarmult_ed25519_noclamp(scalar.to_bytes(32, "little"), point)
    except SodiumError:
        # not of prime order: its parts of prime and of small order are multiplied each for itself
        prime = without_torsion(point)
        torsion = subtract(point, prime)
        result = multiply(scalar, prime) if prime != _IDENTITY else _IDENTITY
        for _ in range(scalar % COFACTOR):
            result = add(result, torsion)
        return result


def without_torsion(point: bytes) -> bytes:
    """The component of prime order: [1/8 mod L] [8] point. Raises NotAPoint."""
    for _ in range(3):
        point = add(point, point)
    if point in SMALL_ORDER:
        return _IDENTITY
    return crypto_scalarmult_ed25519_noclamp(_EIGHTH.to_bytes(32, "little"), point)
