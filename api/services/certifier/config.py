"""The configuration of a certifier: a file, and environment variables above it.

Every field may also be given as `CERTIFIER_` and its name, those inside a section with two underscores between:
`CERTIFIER_LIMITS__MAX_PENDING_REQUESTS`. What the original lets through and then panics on is refused here, and so are
fields that it does not know and ignores: a misspelt limit is no limit. Specified in protocol 01-post-tools, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.config import kinds
from api.config.errors import BadValue, ConfigError
from api.config.files import Document, read_document
from api.config.kinds import Kind, decimal_integer, hexadecimal, of_text
from api.config.settings import Setting, from_document, from_environment, given_values, unknown_variables
from api.edge.errors import UsageError
from api.edge.listen import Address, parse_address
from api.edge.text import shown, typed
from kernels.labels.cpu import usable_cores
from protocol.errors import ProtocolError
from protocol.post.rules import check_scrypt_n
from prover.post.proof.verify import VerifyParams

PREFIX = "CERTIFIER_"
PATH_VARIABLE = "CERTIFIER_CONFIG_PATH"
DEFAULT_PATH = "config.yml"
SEED_SIZE = 32
MAX_BODY_SIZE = 1024
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
MAX_LIMIT = 1_000_000
LONGEST_S = 1000 * 365 * 86_400

_UNITS_S = {
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
_DURATION_PART = re.compile(r"\s*\+?\s*(\d{1,12})\s*([a-z]*)\s*", re.ASCII)


def _seconds(text: str) -> int:
    total, at = 0, 0
    lowered = typed(text).lower()
    while at < len(lowered):
        match = _DURATION_PART.match(lowered, at)
        unit = match[2] if match else ""
        size = _UNITS_S.get(unit, _UNITS_S.get(unit.removesuffix("s"))) if unit else 1
        if match is None or size is None:
            raise BadValue
        total, at = total + int(match[1]) * size, match.end()
    if not 0 < total <= LONGEST_S:
        raise BadValue("it must be more than nothing and at most 1000 years; leave it out for ever")
    return total


def _address(text: str) -> Address:
    try:
        return parse_address(typed(text), "it")
    except UsageError as error:
        raise BadValue(str(error).removeprefix("it is ")) from None


def _seed(text: str) -> bytes:
    try:
        seed = kinds.base64_bytes(text)
    except BadValue:
        raise BadValue("it is not base64") from None
    if len(seed) != SEED_SIZE:
        raise BadValue(f"it is the base64 of {len(seed)} bytes")
    return seed


EXPIRATION = Kind("a time such as 2w, 90d or 1d 12h", _seconds, lambda value: _seconds(kinds.text_in_file(value)))
ADDRESS = of_text("an address and a port such as 127.0.0.1:8080 or [::1]:8080", _address, str)
SEED = of_text(f"the base64 of {SEED_SIZE} bytes (the secret_key of smesher certifier generate-keys)", _seed)


def _one(
    path: str, kind: Kind, help: str, default: Any = None, *, required: bool = True, secret: bool = False
) -> Setting:
    names = (PREFIX + path.upper(), PREFIX + path.upper().replace(".", "__"))
    return Setting(
        path,
        kind,
        default,
        help,
        variables=tuple(dict.fromkeys(names)),
        group="required" if required else "",
        secret=secret,
    )


SETTINGS = (
    _one("listen", ADDRESS, "where it is asked"),
    _one("signing_key", SEED, "what certificates are signed with", secret=True),
    _one("certificate_expiration", EXPIRATION, "how long certificates hold; left out: for ever", required=False),
    _one("post_cfg.k1", decimal_integer(1, U32), "expected good labels for a nonce"),
    _one("post_cfg.k2", decimal_integer(1, U32), "labels in a proof"),
    _one("post_cfg.pow_difficulty", hexadecimal(32), "k2pow threshold for one unit"),
    _one("init_cfg.min_num_units", decimal_integer(0, U32), "fewest units that are certified"),
    _one("init_cfg.max_num_units", decimal_integer(1, U32), "most units"),
    _one("init_cfg.labels_per_unit", decimal_integer(1, U64), "labels in a unit"),
    _one("init_cfg.scrypt.n", decimal_integer(2, 1 << 31), "scrypt N"),
    _one("init_cfg.scrypt.r", decimal_integer(1, 1), "scrypt r, 1 on every network"),
    _one("init_cfg.scrypt.p", decimal_integer(1, 1), "scrypt p, 1 on every network"),
    _one("metrics", ADDRESS, "where metrics are told; left out: nowhere", required=False),
    _one("randomx_mode", kinds.one_of("Fast", "Light"), "2,080 MiB and quick, or 256 MiB", "Light", required=False),
    _one(
        "limits.max_concurrent_requests",
        decimal_integer(1, MAX_LIMIT),
        "verified at once; left out: processors",
        required=False,
    ),
    _one("limits.max_pending_requests", decimal_integer(1, MAX_LIMIT), "requests that wait"),
    _one("limits.max_body_size", decimal_integer(1, 1 << 30), "bytes of a request", MAX_BODY_SIZE, required=False),
)


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
    """Sentences about variables that have no meaning."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration from a file and the environment. Raises UsageError that names the field."""
    what = "The configuration"
    try:
        document = read_document(path, what)
    except UsageError as error:
        raise UsageError(f"{error} Name a file with --config.") from None
    return from_fields(document, environ, f"{what} {path}")


def from_fields(document: Document, environ: Mapping[str, str], where: str) -> Config:
    """The configuration from the content of a file, which messages call `where`. Raises ConfigError."""
    given = from_document(SETTINGS, document, where=f"{where}: ")
    given = [one for one in given if one.value != ""]  # as if it were not there
    given += from_environment(SETTINGS, environ, empty_counts=False)
    found = {one.path: one.default for one in SETTINGS} | given_values(given)
    for one in SETTINGS:
        if found[one.path] is None and one.group == "required":
            raise ConfigError(f"{where}: the field {one.path} is missing; set it there or in {one.variables[-1]}.")
    params = VerifyParams(
        k1=found["post_cfg.k1"],
        k2=found["post_cfg.k2"],
        pow_difficulty=found["post_cfg.pow_difficulty"],
        min_num_units=found["init_cfg.min_num_units"],
        max_num_units=found["init_cfg.max_num_units"],
        labels_per_unit=found["init_cfg.labels_per_unit"],
        scrypt_n=found["init_cfg.scrypt.n"],
    )
    places = {one.setting.path: one.where for one in given}
    _check(params, found["listen"], found["metrics"], places)
    return Config(
        listen=found["listen"],
        signing_key=found["signing_key"],
        expiration_s=found["certificate_expiration"],
        params=params,
        full_randomx=found["randomx_mode"] == "Fast",
        limits=Limits(
            found["limits.max_concurrent_requests"] or usable_cores(),
            found["limits.max_pending_requests"],
            found["limits.max_body_size"],
        ),
        metrics=found["metrics"],
        notes=tuple(unknown_variables(SETTINGS, PREFIX, environ)),
    )


def described(config: Config) -> Mapping[str, object]:
    """What a log says of a configuration; the signing key never."""
    params = config.params
    return {
        "listen": config.listen,
        "certificate_expiration": "never" if config.expiration_s is None else f"{config.expiration_s} s",
        "post_cfg.k1": params.k1,
        "post_cfg.k2": params.k2,
        "post_cfg.pow_difficulty": params.pow_difficulty.hex(),
        "init_cfg.min_num_units": params.min_num_units,
        "init_cfg.max_num_units": params.max_num_units,
        "init_cfg.labels_per_unit": params.labels_per_unit,
        "init_cfg.scrypt.n": params.scrypt_n,
        "metrics": config.metrics or "nowhere",
        "randomx_mode": "Fast" if config.full_randomx else "Light",
        "limits.max_concurrent_requests": config.limits.max_concurrent_requests,
        "limits.max_pending_requests": config.limits.max_pending_requests,
        "limits.max_body_size": config.limits.max_body_size,
    }


def _check(params: VerifyParams, listen: Address, metrics: Address | None, places: Mapping[str, str]) -> None:
    """Refuses settings that contradict each other. Raises ConfigError."""
    if params.min_num_units > params.max_num_units:
        raise ConfigError(
            f"{places['init_cfg.min_num_units']} is {params.min_num_units}, expected at most max_num_units = "
            f"{params.max_num_units}.",
            "contradiction",
        )
    try:
        check_scrypt_n(params.scrypt_n)
    except ProtocolError as error:
        raise ConfigError(f"{places['init_cfg.scrypt.n']}: {error}") from None
    if metrics == listen and listen.port:
        raise ConfigError(
            f"{places['listen']} and metrics are both {shown(str(listen))}; each needs its own.", "contradiction"
        )
