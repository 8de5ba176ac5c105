"""The curve edwards25519 in plain integers: constants, encodings, and operations on points.

For public data only: nothing here takes the same time for all inputs. A point is in extended coordinates; an
encoding is 32 bytes, y in little-endian order with the lowest bit of x on top. RFC 8032, section 5.1; RFC 9380,
section 6.8.2 for the map of Elligator 2. Protocol 03-encoding-and-types, sections 8 and 9.
"""

from __future__ import annotations

P = 2**255 - 19
"""The prime of the field."""

ORDER = 2**252 + 27742317777372353535851937790883648493
"""L: the order of the base point."""

COFACTOR = 8

D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
SIGN_BIT = 1 << 255

MONTGOMERY_A = 486662

Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z."""

IDENTITY: Point = (0, 1, 1, 0)


def y_of(encoded: bytes) -> int:
    """The y that an encoding states, which may be P or above."""
    return int.from_bytes(encoded, "little") & (SIGN_BIT - 1)


def is_canonical(encoded: bytes) -> bool:
    """Whether y is below P, and the sign is 0 where x is 0. Says nothing of whether there is such a point."""
    y = y_of(encoded)
    return y < P and not (y in (1, P - 1) and encoded[31] >> 7)


def decompress(encoded: bytes) -> Point | None:
    """The point of an encoding or None; takes y modulo P and a set sign bit on x = 0, as Go does."""
    y = y_of(encoded) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * SQRT_MINUS_ONE % P
    elif v * x * x % P != u:
        return None
    if x & 1 != encoded[31] >> 7:
        x = -x % P
    return (x, y, 1, x * y % P)


def compress(point: Point) -> bytes:
    """The canonical encoding."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def negate(point: Point) -> Point:
    x, y, z, t = point
    return (-x % P, y, z, -t % P)


def add(left: Point, right: Point) -> Point:
    """The sum of any two points, equal ones too."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar: int, point: Point) -> Point:
    """[scalar] point, for any point and any scalar that is not negative."""
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def _base_point() -> Point:
    y = 4 * pow(5, -1, P) % P
    point = decompress(y.to_bytes(32, "little"))
    assert point is not None, "the base point is on the curve"
    return point


BASE = _base_point()


def _torsion_points() -> tuple[bytes, ...]:
    # [L] of a point has an order that divides 8; of the point with y = 3 it has order 8
    point = decompress((3).to_bytes(32, "little"))
    assert point is not None, "a point of the curve has y = 3"
    point = multiply(ORDER, point)
    return tuple(compress(multiply(times, point)) for times in range(COFACTOR))


TORSION = _torsion_points()
"""The canonical encodings of the eight points of small order: the multiples 0 to 7 of one of order 8."""

SMALL_ORDER = frozenset(TORSION)

SMALL_ORDER_Y = frozenset(y_of(encoded) for encoded in TORSION)
"""The five values of y of the points of small order."""


def _even_root(square: int) -> int:
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * SQRT_MINUS_ONE % P
    assert root * root % P == square, "a square"
    return root if root % 2 == 0 else P - root


EDWARDS_SCALE = _even_root(-(MONTGOMERY_A + 2) % P)
"""c1 of RFC 9380: takes the Montgomery curve to the Edwards curve, X = c1 x/y."""


def map_to_curve(element: int) -> bytes:
    """Elligator 2 of a field element, then a multiplication by 8: the encoding of a point of prime order.

    With w = 1 + 2 u^2 the candidate is x = -A/w, and x^3 + A x^2 + x = n/w^3: one power decides whether that is a
    square and gives the root, of n/w^3 or, times u (1 +- i), of the other candidate's 2 u^2 n/w^3.
    """
    u = element % P
    twice_square = 2 * u * u % P
    w = (1 + twice_square) % P
    n = -MONTGOMERY_A * (MONTGOMERY_A**2 - MONTGOMERY_A**2 * w + w * w) % P
    d = pow(w, 3, P)
    d3 = pow(d, 3, P)
    y = n * d3 * pow(n * d3 * d3 * d, (P - 5) // 8, P) % P
    found = y * y * d % P
    x = -MONTGOMERY_A % P
    is_first = found in (n, -n % P)
    if is_first:
        if found != n:
            y = y * SQRT_MINUS_ONE % P
    else:
        x = x * twice_square % P
        root = 1 - SQRT_MINUS_ONE if found == n * SQRT_MINUS_ONE % P else 1 + SQRT_MINUS_ONE
        y = y * root * u % P
    if (y & 1 == 1) != is_first:
        y = -y % P
    z = w * y * (x + w) % P
    if z == 0:
        return TORSION[0]
    point = (EDWARDS_SCALE * x * (x + w) % P, (x - w) * w * y % P, z)
    for _ in range(3):
        point = _double(point)
    return compress((*point, 0))


def _double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    x, y, z = point
    xx, yy = x * x % P, y * y % P
    e, g, h = 2 * x * y, yy - xx, yy + xx
    f = 2 * z * z - g
    return (e * f % P, g * h % P, f * g % P)
