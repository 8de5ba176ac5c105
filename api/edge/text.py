"""Text that people type, paste or keep in files, read as people write it, and files that are read whole.

An editor puts a byte order mark before a text, a web page non-breaking spaces into it, a phone directional marks, a
file system another form of Unicode; Windows ends lines with CR LF. None of that is meant. A number is refused by its
length before it is converted, a file by its kind and size before it is read.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from protocol.errors import shown as shown
from prover import durable

from .errors import EnvironmentFault, UsageError

MAX_DIGITS = 40
"""More than any number here needs; Python takes quadratic time for long ones, and refuses very long ones."""

MAX_SMALL_FILE = 1 << 20
"""Bytes of a file that a person writes: settings, a password, a phrase."""

SHELL_PIPES = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""Where a shell puts what `<(…)` and a pipe into a command are."""

_MARKS = dict.fromkeys(
    # byte order mark; zero-width space, non-joiner, word joiner; directional marks, embeddings, isolates; soft hyphen
    [0xFEFF, 0x200B, 0x200C, 0x2060, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x00AD]
)


def decoded(data: bytes, what: str) -> str:
    """The text of a file: UTF-8, or UTF-16 where a byte order mark says so; every line ends with a line feed.

    Raises UsageError that calls the file `what`.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is no UTF-8 text (at byte {error.start}); save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def typed(text: str) -> str:
    """One word or line without what nobody means: marks, blanks around it, another form of Unicode (NFC it becomes)."""
    return unicodedata.normalize("NFC", text.translate(_MARKS)).strip()


def without_marks(text: str) -> str:
    """A secret without what nobody sees, composed (NFC); blanks are part of it."""
    return unicodedata.normalize("NFC", text.translate(_MARKS))


def same_when_typed(text: str) -> tuple[str, ...]:
    """The forms in which a secret that looks like `text` may once have been typed, likeliest first.

    A password cannot be put right before it is used: another program may have taken it as it came. So a reader tries
    these one after another.
    """
    plain = text.translate(_MARKS)
    forms = [text, plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD", "NFKC", "NFKD"))]
    forms += [form.strip() for form in list(forms)]
    return tuple(dict.fromkeys(forms))


def is_whole(text: str) -> bool:
    """Whether a text is a whole number in plain decimal digits, of a length that a number can have."""
    return len(text) <= MAX_DIGITS and text.isascii() and text.isdigit()


def whole(text: str) -> int:
    """The whole number of a text. Raises ValueError."""
    if not is_whole(text):
        raise ValueError(f"{shown(text)} is no whole number")
    return int(text)


def escaped(said: object, most: int = 200) -> str:
    """What somebody else said, for a log or a terminal: control characters escaped, cut. One line, whatever it held."""
    text = said[: 4 * most].decode("utf-8", "backslashreplace") if isinstance(said, bytes) else str(said)
    cut = text if len(text) <= most else text[:most] + "…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)


def why_no_json(error: Exception) -> str:
    """What is wrong with a text that is no JSON, from what Python's reader or our bounds raised; no full stop."""
    from json import JSONDecodeError

    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no UTF-8 text (at byte {error.start})"
    if isinstance(error, JSONDecodeError):
        if "BOM" in error.msg:
            return "it begins with a byte order mark"
        return f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno}, column {error.colno}"
    if "integer string conversion" in str(error):
        return "it holds a number of thousands of digits"
    return escaped(error)


def nearest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """ " Did you mean …?" or nothing."""
    import difflib  # only a slip needs it

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {prefix}{near[0]}?" if near else ""


_HEX = re.compile("[0-9a-fA-F]*")
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def quoted(word: object) -> str:
    """A word as a shell takes it whole, for commands that people copy."""
    text = str(word)
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\"'\"'") + "'"


def from_hex(text: object, size: int) -> bytes:
    """`size` bytes from the hex digits that somebody typed, with 0x in front or not.

    Raises ValueError for anything else, which says what is wrong or what the text may be instead, if that can be told.
    """
    word = typed(text) if isinstance(text, str) else ""
    digits = word[2:] if word[:2] in ("0x", "0X") else word
    is_hex = _HEX.fullmatch(digits) is not None
    if len(digits) != 2 * size or not is_hex:
        raise ValueError(hint_of_base64(word, size) or (f"it has {len(digits)}" if is_hex and digits else ""))
    return bytes.fromhex(digits)


def hint_of_base64(text: str, size: int) -> str:
    """Where a text that should be hex is the base64 of as many bytes: what it would be in hex."""
    if len(text) % 4 == 0 and len(text) == -(-size // 3) * 4:
        try:
            data = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            return ""
        if len(data) == size:
            return f"that is base64; in hex it is {data.hex()}"
    return ""


# Paths and files


def file_path(path: Path | str, what: str) -> Path:
    """A path that names something. `what` is the option or the file's role. Raises UsageError for an empty one."""
    text = str(path)
    if not text or "\0" in text:
        raise UsageError(f"{what} is empty, expected the name of a file.")
    return Path(text)


def read_file(path: Path, what: str, most: int = MAX_SMALL_FILE) -> bytes:
    """The content of an ordinary file of at most `most` bytes; `-` is standard input.

    what: how messages begin, such as "--config". Raises UsageError for what is no such file or too large,
    EnvironmentFault where the system refuses.
    """
    if str(path) == "-":
        return _within(sys.stdin.buffer.read(most + 1), most, f"{what} on standard input")
    name = f"{what} {file_path(path, what)}"
    # a pipe that the shell made for `<(…)` is read to its end; no other FIFO is waited for
    opener = None if str(path).startswith(SHELL_PIPES) else durable.open_file
    try:
        with open(path, "rb", opener=opener) as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise UsageError(f"{name} cannot be read: there is no such file.") from None
    except durable.Unfit as error:
        raise UsageError(f"{name}: {error}.") from None
    except IsADirectoryError:
        raise UsageError(f"{name}: it is a directory, expected a file.") from None
    except OSError as error:
        raise EnvironmentFault(f"{name} cannot be read: {error.strerror}.") from None
    return _within(data, most, name)


def _within(data: bytes, most: int, name: str) -> bytes:
    if len(data) > most:
        raise UsageError(f"{name} has more than {most} bytes: it is not what is expected here.")
    return data


def read_text(path: Path, what: str, most: int = MAX_SMALL_FILE) -> str:
    """The text of a small file; see `read_file` and `decoded`. Raises UsageError, EnvironmentFault."""
    return decoded(read_file(path, what, most), f"{what} {path}")


LEAST_TOKEN, LONGEST_TOKEN = 16, 1000


def read_token(path: Path, what: str) -> str:
    """The secret word in a small file. Raises UsageError that names the option or field; the word is never shown."""
    text = read_text(path, what, 4 * LONGEST_TOKEN).strip()
    if not LEAST_TOKEN <= len(text) <= LONGEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{what} {path} holds no token, expected one word of {LEAST_TOKEN} to {LONGEST_TOKEN} letters and digits; "
            "make one with: openssl rand -hex 32"
        )
    return text
