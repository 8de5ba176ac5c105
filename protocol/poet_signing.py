"""Ed25519 as the PoET server judges it: the rule of Go's standard library.

The equation R = [S]B - [k]A is compared byte by byte, S must be below the group order, and nothing else is
asked: keys and R of small order and keys with y at or above the prime are let through, which libsodium
refuses. What libsodium accepts, this rule accepts; only where libsodium would refuse for one of its extra
reasons is the equation worked out here, in plain integers. Specified in protocol 02-poet, section 7.1.
"""

from __future__ import annotations

import hashlib

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
SIGN_BIT = 1 << 255
BASE_Y = 4 * pow(5, P - 2, P) % P

SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        P - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)
"""y of the eight points of small order (below the prime). The two long ones belong to order 8."""

Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z."""

IDENTITY: Point = (0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether Go's ed25519.Verify accepts. Raises ValueError for a key that is not 32 bytes (Go panics)."""
    if len(public_key) != 32:
        raise ValueError(f"an Ed25519 key has 32 bytes, this one has {len(public_key)}")
    if len(signature) != 64:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return _refused_for_its_form(public_key, signature) and _equation_holds(public_key, message, signature)
    return True


def _refused_for_its_form(public_key: bytes, signature: bytes) -> bool:
    """Whether libsodium refuses this key or R whatever the message is."""
    key_y = _y_of(public_key)
    return key_y >= P or key_y in SMALL_ORDER_Y or _y_of(signature[:32]) % P in SMALL_ORDER_Y


def _y_of(encoded: bytes) -> int:
    return int.from_bytes(encoded, "little") & (SIGN_BIT - 1)


def _equation_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key = _decompress(public_key)
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    x, y, z, t = key
    found = _add(_multiply(scalar, BASE), _multiply(challenge, (-x % P, y, z, -t % P)))
    return _compress(found) == signature[:32]


def _decompress(encoded: bytes) -> Point | None:
    """The point of an encoding, taking y modulo the prime and a set sign bit on x = 0, as Go does."""
    y = _y_of(encoded) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_MINUS_ONE % P
    elif v * x * x % P != u:
        return None
    if x & 1 != encoded[31] >> 7:
        x = -x % P
    return (x, y, 1, x * y % P)


def _compress(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def _add(left: Point, right: Point) -> Point:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiply(scalar: int, point: Point) -> Point:
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _base_point() -> Point:
    point = _decompress(BASE_Y.to_bytes(32, "little"))
    assert point is not None, "the base point is on the curve"
    return point


BASE = _base_point()
