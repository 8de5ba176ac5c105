"""The configuration of a certifier: a file, and environment variables above it.

Every field may also be given as `CERTIFIER_` and its name, those inside a section with two underscores between:
`CERTIFIER_LIMITS__MAX_PENDING_REQUESTS`. What the original lets through and then panics on is refused here; fields that
it does not know are reported and left alone, as the original ignores them. Specified in protocol 01-post-tools,
section 6.
"""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.edge.listen import Address, parse_address
from api.services.certifier.config_file import Node, read
from kernels.labels.cpu import usable_cores
from protocol.errors import ProtocolError
from protocol.post.rules import check_scrypt_n
from prover.errors import UsageError
from prover.post.proof.verify import VerifyParams

PREFIX = "CERTIFIER_"
PATH_VARIABLE = "CERTIFIER_CONFIG_PATH"
DEFAULT_PATH = "config.yml"
SEED_SIZE = 32
MAX_BODY_SIZE = 1024
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
MAX_LIMIT = 1_000_000
LONGEST_S = 1000 * 365 * 86_400

FIELDS = (
    "listen",
    "signing_key",
    "certificate_expiration",
    "post_cfg.k1",
    "post_cfg.k2",
    "post_cfg.pow_difficulty",
    "init_cfg.min_num_units",
    "init_cfg.max_num_units",
    "init_cfg.labels_per_unit",
    "init_cfg.scrypt.n",
    "init_cfg.scrypt.r",
    "init_cfg.scrypt.p",
    "metrics",
    "randomx_mode",
    "limits.max_concurrent_requests",
    "limits.max_pending_requests",
    "limits.max_body_size",
)
UNITS_S = {
    "y": 365 * 86_400,
    "year": 365 * 86_400,
    "mon": 30 * 86_400,
    "month": 30 * 86_400,
    "w": 7 * 86_400,
    "week": 7 * 86_400,
    "d": 86_400,
    "day": 86_400,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "m": 60,
    "min": 60,
    "minute": 60,
    "s": 1,
    "sec": 1,
    "second": 1,
}
_DURATION_PART = re.compile(r"\s*\+?\s*(\d{1,12})\s*([a-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done at once."""

    max_concurrent_requests: int
    """Verifications at the same time."""
    max_pending_requests: int
    """Requests that wait; above, 429."""
    max_body_size: int
    """Bytes; above, 413."""


@dataclass(frozen=True, slots=True)
class Config:
    """How a certifier is run."""

    listen: Address
    signing_key: bytes = field(repr=False)
    """32 secret bytes, the seed of an Ed25519 key."""
    expiration_s: int | None
    """How long a certificate holds; None: for ever."""
    params: VerifyParams
    full_randomx: bool
    limits: Limits
    metrics: Address | None = None
    notes: tuple[str, ...] = ()
    """Sentences about fields that have no meaning."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration from a file and the environment. Raises UsageError that names the field."""
    return from_fields(read(path), environ, f"The configuration {path}")


def from_fields(document: Mapping[str, Node], environ: Mapping[str, str], where: str) -> Config:
    """The configuration from the content of a file, which messages call `where`. Raises UsageError."""
    notes: list[str] = []
    fields = _Fields(_flatten(document, where, notes), environ, where)
    listen, signing_key = parse_address(fields.required("listen"), f"{where}: listen"), fields.seed()
    params = VerifyParams(
        k1=fields.whole("post_cfg.k1", 1, U32),
        k2=fields.whole("post_cfg.k2", 1, U32),
        pow_difficulty=fields.hex32("post_cfg.pow_difficulty"),
        min_num_units=fields.whole("init_cfg.min_num_units", 0, U32),
        max_num_units=fields.whole("init_cfg.max_num_units", 1, U32),
        labels_per_unit=fields.whole("init_cfg.labels_per_unit", 1, U64),
        scrypt_n=fields.scrypt_n(),
    )
    if params.min_num_units > params.max_num_units:
        raise fields.wrong(
            "init_cfg.min_num_units", str(params.min_num_units), f"at most max_num_units = {params.max_num_units}"
        )
    limits = Limits(
        fields.whole("limits.max_concurrent_requests", 1, MAX_LIMIT, usable_cores()),
        fields.whole("limits.max_pending_requests", 1, MAX_LIMIT),
        fields.whole("limits.max_body_size", 1, 1 << 30, MAX_BODY_SIZE),
    )
    metrics = fields.text("metrics")
    return Config(
        listen=listen,
        signing_key=signing_key,
        expiration_s=fields.duration("certificate_expiration"),
        params=params,
        full_randomx=fields.randomx_is_full(),
        limits=limits,
        metrics=None if metrics is None else parse_address(metrics, f"{where}: metrics"),
        notes=tuple(notes),
    )


def _flatten(document: Mapping[str, Node], where: str, notes: list[str]) -> dict[str, Node]:
    """Dotted names with their values; notes about those that are not known."""
    sections = {name.rpartition(".")[0] for name in FIELDS} | {"init_cfg"}
    found: dict[str, Node] = {}

    def walk(mapping: Mapping[str, Node], prefix: str) -> None:
        for key, value in mapping.items():
            name = f"{prefix}{key}"
            if name in sections and isinstance(value, Mapping):
                walk(value, f"{name}.")
            elif name in FIELDS:
                found[name] = value
            elif name in sections:
                raise UsageError(f"{where}: {name} is {value!r}, expected further fields below it.")
            else:
                near = difflib.get_close_matches(name, FIELDS, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                notes.append(f"{where}: the field {name} is not known and has no effect.{hint}")

    walk(document, "")
    return found


class _Fields:
    """Values by their dotted names, with errors that name them."""

    def __init__(self, values: Mapping[str, Node], environ: Mapping[str, str], where: str) -> None:
        self._values = dict(values)
        self._where = {name: f"{where}: {name}" for name in FIELDS}
        for name in FIELDS:
            for variable in (PREFIX + name.upper().replace(".", "__"), PREFIX + name.upper()):
                if environ.get(variable):
                    self._values[name], self._where[name] = environ[variable], f"The environment variable {variable}"
        self._file = where

    def wrong(self, name: str, found: str, expected: str) -> UsageError:
        """The error for a value that cannot be."""
        return UsageError(f"{self._where[name]} is {found}, expected {expected}.")

    def text(self, name: str) -> str | None:
        """A text; None where the field is absent or empty."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, (Mapping, list)):
            raise self.wrong(name, "not a single value", "one")
        return str(value).strip()

    def required(self, name: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if not value:
            variable = PREFIX + name.upper().replace(".", "__")
            raise UsageError(f"{self._file}: the field {name} is missing; set it there or in {variable}.")
        return value

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        text = self.text(name)
        if text is None and default is not None:
            return default
        text = self.required(name)
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or not least <= int(text) <= most:
            raise self.wrong(name, repr(text[:40]), f"a whole number from {least} to {most}")
        return int(text)

    def hex32(self, name: str) -> bytes:
        """32 bytes of hex."""
        text = self.required(name)
        if not re.fullmatch("[0-9a-fA-F]{64}", text):
            raise self.wrong(name, repr(text[:80]), "64 hex digits (in quotes, so that it is no number)")
        return bytes.fromhex(text)

    def seed(self) -> bytes:
        """The signing key. The value is never shown."""
        text = self.required("signing_key")
        try:
            seed = base64.b64decode(text, validate=True)
        except ValueError:
            raise self.wrong("signing_key", "not base64", f"the base64 of {SEED_SIZE} bytes") from None
        if len(seed) != SEED_SIZE:
            raise self.wrong(
                "signing_key",
                f"the base64 of {len(seed)} bytes",
                f"that of {SEED_SIZE} (the secret_key of smesher certifier generate-keys)",
            )
        return seed

    def duration(self, name: str) -> int | None:
        """Seconds; None where it is absent."""
        text = self.text(name)
        if not text:
            return None
        total, at = 0, 0
        lowered = text.lower()
        while at < len(lowered):
            match = _DURATION_PART.match(lowered, at)
            unit = match[2] if match else ""
            size = UNITS_S.get(unit, UNITS_S.get(unit.removesuffix("s"))) if unit else 1
            if match is None or size is None:
                raise self.wrong(name, repr(text[:40]), "a time such as 2w, 90d or 1d 12h")
            total, at = total + int(match[1]) * size, match.end()
        if not 0 < total <= LONGEST_S:
            raise self.wrong(name, repr(text[:40]), "more than nothing and at most 1000 years; leave it out for ever")
        return total

    def randomx_is_full(self) -> bool:
        """randomx_mode."""
        mode = self.text("randomx_mode") or "Light"
        if mode.lower() not in ("fast", "light"):
            raise self.wrong("randomx_mode", repr(mode[:40]), "Fast or Light")
        return mode.lower() == "fast"

    def scrypt_n(self) -> int:
        """scrypt's N; r and p are 1 on every network and nothing else is computed here."""
        number = self.whole("init_cfg.scrypt.n", 2, 1 << 31)
        try:
            check_scrypt_n(number)
        except ProtocolError as error:
            raise UsageError(f"{self._where['init_cfg.scrypt.n']}: {error}") from None
        for name in ("init_cfg.scrypt.r", "init_cfg.scrypt.p"):
            if self.whole(name, 0, U32) != 1:
                raise self.wrong(name, str(self.text(name)), "1, as on every network")
        return number
