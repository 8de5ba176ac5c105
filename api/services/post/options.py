"""What the service is told: the flags of the reference's program, checked before anything starts.

Specified in protocol 01-post-tools, section 4.1. Exit codes are the recorded ones: 2 where an option's text is
wrong, 1 where it names something that cannot be used.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from api.clients.k2pow import BACKOFF_S, PARALLELISM, check_url
from api.edge import listen
from api.edge.errors import DataError, Failure, UsageError
from api.edge.text import is_whole, read_file, read_token, shown
from api.edge.threads import limited_threads, refused_processors
from protocol.params.post import MAINNET
from protocol.post.proof import MAX_GROUPS, NONCES_PER_GROUP
from protocol.post.rules import check_scrypt_n

RandomXMode = Literal["fast", "light"]
MAX_NONCES = NONCES_PER_GROUP * MAX_GROUPS
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the node listens."""

    url: str
    host: str
    port: int
    secure: bool

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        return str(listen.Address(self.host, self.port))


@dataclass(frozen=True, slots=True)
class Tls:
    """Mutual TLS: PEM texts, and the name that the node's certificate must have."""

    ca_cert: bytes
    cert: bytes
    key: bytes
    domain: str | None


@dataclass(frozen=True, slots=True)
class PowServices:
    """k2pow services that find the proofs of work."""

    urls: tuple[str, ...]
    parallelism: int = PARALLELISM
    backoff_s: float = BACKOFF_S
    token: str = field(default="", repr=False)
    """What they ask for, where they do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but the identities."""

    address: Address
    tls: Tls | None = None
    reconnect_interval_s: float = 5.0
    max_retries: int | None = None
    watch_pid: int | None = None
    operator_address: listen.Address | None = None
    min_num_units: int = MAINNET.min_num_units
    max_num_units: int = MAINNET.max_num_units
    k1: int = MAINNET.k1
    k2: int = MAINNET.k2
    pow_difficulty: bytes = MAINNET.pow_difficulty
    scrypt_n: int = MAINNET.scrypt_n
    scrypt_r: int = 1
    scrypt_p: int = 1
    threads: int = 1
    pinned_cores: tuple[int, ...] = ()
    nonces: int = 128
    randomx_mode: RandomXMode | None = None
    """None: nobody asked, so fast where memory allows."""
    large_pages: bool = False
    remote_pow: PowServices | None = None

    @property
    def full_randomx(self) -> bool:
        """Whether the full data set is wanted: for a remote search only a single hash is checked here."""
        return self.randomx_mode != "light" and self.remote_pow is None


def read(found: Mapping[str, Any]) -> Settings:
    """The settings, checked, from values by their flags. Raises UsageError, DataError."""
    if not found["dir"]:
        raise UsageError("--dir is required: the data directory, once for each identity.")
    if found["address"] is None:
        raise UsageError("--address is required: the node's PoST listener, such as http://127.0.0.1:9094.")
    if found["threads"] is None and found["pinned-cores"] is None:
        raise UsageError("--threads or --pinned-cores is required: --threads 0 uses all processors.")
    check_nonces(found["nonces"])
    check_scrypt_n(found["n"])
    if found["r"] < 1 or found["p"] < 1:
        raise UsageError(f"-r is {found['r']} and -p is {found['p']}, expected at least 1.")
    if found["k1"] < 1 or found["k2"] < 1:
        raise UsageError(f"--k1 is {found['k1']} and --k2 is {found['k2']}, expected at least 1.")
    if found["min-num-units"] > found["max-num-units"]:
        raise UsageError(
            f"--min-num-units is {found['min-num-units']}, expected at most --max-num-units {found['max-num-units']}."
        )
    cores = () if found["pinned-cores"] is None else read_cores(found["pinned-cores"])
    operator = found["operator-address"]
    tls = read_tls(found["ca-cert"], found["cert"], found["key"], found["domain"])
    address = read_address(found["address"])
    check_security(address, tls)
    return Settings(
        address=address,
        tls=tls,
        reconnect_interval_s=found["reconnect-interval-s"],
        max_retries=found["max-retries"],
        watch_pid=found["watch-pid"],
        operator_address=None if operator is None else read_socket(operator, "--operator-address"),
        min_num_units=found["min-num-units"],
        max_num_units=found["max-num-units"],
        k1=found["k1"],
        k2=found["k2"],
        pow_difficulty=found["pow-difficulty"],
        scrypt_n=found["n"],
        scrypt_r=found["r"],
        scrypt_p=found["p"],
        threads=len(cores) or limited_threads(found["threads"]),
        pinned_cores=cores,
        nonces=found["nonces"],
        randomx_mode=found["randomx-mode"],
        large_pages=found["randomx-large-pages"],
        remote_pow=read_remote(found),
    )


def read_remote(found: Mapping[str, Any]) -> PowServices | None:
    """The k2pow services that are to be asked; None without one. Raises UsageError."""
    if not found["remote-k2pow"]:
        for name in ("remote-k2pow-parallelism", "remote-k2pow-backoff", "remote-k2pow-token-file"):
            if found[name] is not None:
                raise UsageError(f"--{name} is given without --remote-k2pow; they belong together.")
        return None
    urls = tuple(check_url(url, "--remote-k2pow") for url in found["remote-k2pow"])
    parallelism, backoff = found["remote-k2pow-parallelism"], found["remote-k2pow-backoff"]
    token = found["remote-k2pow-token-file"]
    return PowServices(
        urls,
        PARALLELISM if parallelism is None else parallelism,
        float(BACKOFF_S if backoff is None else backoff),
        "" if token is None else read_token(token, "--remote-k2pow-token-file"),
    )


def read_address(text: str) -> Address:
    """The node's address from its URL. Raises DataError: the recorded program ends with 1, not 2."""
    expected = "expected http://HOST:PORT or https://HOST:PORT, the node's PoST listener"
    if not text:
        raise DataError(f"--address is empty, {expected}.")
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise DataError(f"--address {shown(text)} has no scheme, {expected}.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise DataError(f"--address {shown(text)}: {error}, {expected}.") from None
    if scheme.lower() not in DEFAULT_PORTS:
        raise DataError(f"--address {shown(text)} has the scheme {shown(scheme)}, {expected}.")
    if not host:
        raise DataError(f"--address {shown(text)} names no host, {expected}.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise DataError(f"--address {shown(text)} has more than host and port, {expected}.")
    secure = scheme.lower() == "https"
    return Address(text, host, DEFAULT_PORTS[scheme.lower()] if port is None else port, secure)


def read_tls(ca_cert: Path | None, cert: Path | None, key: Path | None, domain: str | None) -> Tls | None:
    """The three files of mutual TLS; None when none is given.

    Raises UsageError when some are missing, DataError when a file cannot be read or does not belong to the others.
    """
    given = {"--ca-cert": ca_cert, "--cert": cert, "--key": key}
    missing = [option for option, path in given.items() if path is None]
    if len(missing) == len(given):
        if domain is not None:
            raise UsageError("--domain is given without --ca-cert, --cert and --key; they belong together.")
        return None
    if ca_cert is None or cert is None or key is None:
        raise UsageError(f"--ca-cert, --cert and --key belong together; {' and '.join(missing)} missing.")
    found = Tls(_read_file(ca_cert, "--ca-cert"), _read_file(cert, "--cert"), _read_file(key, "--key"), domain)
    _check_tls(found, (ca_cert, cert, key))
    return found


def _read_file(path: Path, option: str) -> bytes:
    try:
        return read_file(path, option)
    except Failure as error:  # the recorded program ends with 1, whatever is wrong with a file
        raise DataError(str(error)) from None


def _check_tls(tls: Tls, paths: tuple[Path, Path, Path]) -> None:
    """Wrong files are named here; the connection would only say that it failed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=tls.ca_cert.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise DataError(f"--ca-cert {paths[0]} holds no certificate in PEM form.") from None
    try:
        context.load_cert_chain(paths[1], paths[2], password="")
    except ssl.SSLError as error:
        raise DataError(
            f"--cert {paths[1]} and --key {paths[2]} are no certificate and its unencrypted key in PEM form: "
            f"{error.reason or error}."
        ) from None


def check_security(address: Address, tls: Tls | None) -> None:
    """Whether scheme and certificates fit. Raises DataError for https without them, UsageError for them without it."""
    if address.secure and tls is None:
        raise DataError(f"--address {address.url} is https: give --ca-cert, --cert and --key.")
    if not address.secure and tls is not None:
        raise UsageError(
            f"--address {address.url} is not https, so nothing would be encrypted although --ca-cert, --cert and --key "
            "are given. Write https, or leave the certificates out."
        )


def read_socket(text: str, option: str) -> listen.Address:
    """IP address and port. Raises UsageError: a name is not enough, as in the recorded program."""
    address = listen.parse_address(text, option)
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise UsageError(
            f"{option} is {shown(text)}, expected an IP address and a port such as 127.0.0.1:50051 or [::1]:50051."
        ) from None
    return address


def read_cores(text: str) -> tuple[int, ...]:
    """Processor numbers from `a,b,c`. Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if not all(is_whole(word) for word in words):
        raise UsageError(f"--pinned-cores is {shown(text)}, expected numbers of processors such as 0,1,2.")
    return tuple(int(word) for word in words)


def check_nonces(nonces: int) -> None:
    """Raises UsageError; also for 0, with which the recorded program starts, to fail at the first proof."""
    if not 0 < nonces <= MAX_NONCES or nonces % NONCES_PER_GROUP:
        raise UsageError(f"--nonces is {nonces}, expected a multiple of {NONCES_PER_GROUP} up to {MAX_NONCES}.")


def check_cores(cores: Sequence[int]) -> None:
    """Raises DataError for a processor that a thread cannot be pinned to."""
    why = refused_processors(cores)
    if why:
        raise DataError(f"--pinned-cores: {why}.")
