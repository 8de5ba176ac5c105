"""Where things lie in the memory of a compiled call: sizes of tables and digits, and the scratch before the groups.

Places are offsets in 64-bit words.
"""

from __future__ import annotations

from kernels.signatures.field25519 import ELEMENT, ROOT_SCRATCH
from kernels.signatures.sha512 import HASH_SCRATCH, STATE
from kernels.vectors.lanes import LANES

# ---- points and their tables ----

POINT = 4 * ELEMENT
"""A point in sum form, or projective, or an addend."""

RECORD = 4 * ELEMENT
"""A point x, y, z and 1/z."""

POINT_FLAGS = 3 * LANES
"""What decoding says of an encoding: is there a point, is the encoding canonical, is the point of small order."""

BYTES_ROW = 8
"""Words of a lane's row of bytes that are to be hashed."""

WINDOW = 5
"""Bits of a signed digit of scalars that multiply keys and other points that come with the message."""

TABLE_POINTS = 2 ** (WINDOW - 1) + 1
"""The multiples 0 to 16 of a point: what signed digits of this width need."""

ROW = 24
"""Words of an addend in a lane's own table: y + x, y - x, 2dt, z."""

TABLE = TABLE_POINTS * LANES * ROW
"""Words of a table of the lanes' own points."""

AFFINE_ROW = 16
"""Words of an addend with z = 1, which serves any lane."""

AFFINE_TABLE = TABLE_POINTS * AFFINE_ROW

BASE_WINDOW = 10
"""Bits of a signed digit of scalars that multiply the base point."""

BASE_TABLE = (2 ** (BASE_WINDOW - 1) + 1) * AFFINE_ROW
"""Words of an affine table of the base point's multiples."""

# ---- digits ----

DIGIT = 2 * LANES
"""Where in a table the row of the digit's magnitude begins, and the digit itself, of which the sign is looked at."""

HALF_BITS = 130
"""A scalar's digits are read in two halves: the upper one is for the multiples of [2^130] of a point."""

HALF_DIGITS = HALF_BITS // WINDOW
KEY_DIGITS = 2 * HALF_DIGITS
"""Digits of a scalar in windows of keys; the highest is always 0."""

BASE_HALF_DIGITS = HALF_BITS // BASE_WINDOW
BASE_DIGITS = 2 * BASE_HALF_DIGITS

CHALLENGE_DIGITS = HALF_DIGITS
"""Digits of a 128-bit challenge in windows of keys."""

# ---- scratch ----

S_POINT = 0
S_ADDEND = S_POINT + POINT
S_TABLE = S_ADDEND + POINT
S_SECOND_TABLE = S_TABLE + TABLE
S_KEY_DIGITS = S_SECOND_TABLE + TABLE
S_BASE_DIGITS = S_KEY_DIGITS + KEY_DIGITS * DIGIT
S_CHALLENGE_DIGITS = S_BASE_DIGITS + BASE_DIGITS * DIGIT
S_KNOWN_DIGITS = S_CHALLENGE_DIGITS + CHALLENGE_DIGITS * DIGIT
S_ROOTS = S_KNOWN_DIGITS + CHALLENGE_DIGITS * DIGIT
"""For decode_two and invert_all; the hash works here too."""
S_FLAGS = S_ROOTS + max(ROOT_SCRATCH, STATE + HASH_SCRATCH)
S_NOWHERE = S_FLAGS + 2 * POINT_FLAGS
"""Takes the second result where only one is wanted."""
SCRATCH = S_NOWHERE + RECORD
