"""A node's settings: the sections of `protocol.params.config`, how each is read and written, and its flag.

Where they come from is `load`'s. Protocol 03b-config-and-genesis, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any

from protocol.params.config import declare
from protocol.params.config.node import Config

from . import kinds
from .errors import BadValue, ConfigError
from .files import parse_json
from .kinds import UINT32, UINT64, Kind
from .settings import Setting, from_document, given_values

ENVIRONMENT_PREFIX = "SMESHER_"


def variable_of(flag: str) -> str:
    """The environment variable of a flag: SMESHER_DATA_FOLDER."""
    return ENVIRONMENT_PREFIX + flag.upper().replace("-", "_")


Attributes = tuple[str, ...]
"""Names of attributes from the configuration down to a setting."""

_FLAGS: Mapping[str, str] = {
    "": "preset",
    "main": "data-folder filelock metrics metrics-port profiler-name profiler-url layer-duration layer-average-size "
    "layers-per-epoch poet-servers poet-server pprof-server pprof-listener pprof-mutex-profile pprof-block-profile "
    "txs-per-proposal block-gas-limit optimistic-filtering-threshold tick-size db-connections db-latency-metering "
    "db-prune-interval no-main-override",
    "genesis": "genesis-time genesis-extra-data accounts",
    "public-metrics": "metrics-push-period metrics-url=metrics-push",
    "tortoise": "tortoise-hdist tortoise-zdist tortoise-window-size tortoise-max-exceptions tortoise-delay-layers "
    "tortoise-enable-tracer",
    "p2p": "disable-reuseport disable-natport flood listen bootnodes min-peers low-peers high-peers advertise-address "
    "p2p-accept-queue p2p-metrics p2p-bootnode force-dht-server p2p-private-network ping-peers ping-interval "
    "static-relays enable-tcp-transport enable-quic-transport enable-routing-discovery routing-discovery-advertise",
    "api": "grpc-public-listener grpc-private-listener grpc-post-listener grpc-tls-services grpc-tls-listener "
    "grpc-tls-cert grpc-tls-key grpc-send-msg-size grpc-recv-msg-size grpc-json-listener "
    "grpc-tls-ca-cert=gprc-tls-ca-cert grpc-cors-allowed-origins=grpc-cors-allowed-origin",
    "hare-eligibility": "eligibility-confidence-param",
    "beacon": "beacon-kappa beacon-q beacon-rounds-number beacon-grace-period-duration beacon-proposal-duration "
    "beacon-first-voting-round-duration beacon-voting-round-duration beacon-weak-coin-round-duration beacon-theta "
    "beacon-votes-limit beacon-sync-weight-units",
    "time.peersync": "disable=peersync-disable round-retry-interval=peersync-round-retry-interval "
    "round-interval=peersync-round-interval round-timeout=peersync-round-timeout "
    "max-clock-offset=peersync-max-clock-offset max-offset-errors=peersync-max-offset-errors "
    "required-responses=peersync-required-responses",
    "post": "post-min-numunits post-max-numunits post-labels-per-unit post-k1 post-k2 post-k3 post-pow-difficulty",
    "poet": "phase-shift cycle-gap grace-period poet-request-timeout",
    "smeshing": "smeshing-start smeshing-coinbase",
    "smeshing.smeshing-opts": "smeshing-opts-datadir smeshing-opts-numunits smeshing-opts-maxfilesize "
    "smeshing-opts-provider smeshing-opts-throttle",
    "smeshing.smeshing-proving-opts": "smeshing-opts-proving-threads smeshing-opts-proving-nonces "
    "smeshing-opts-proving-randomx-mode",
    "smeshing.smeshing-verifying-opts": "smeshing-opts-verifying-disable smeshing-opts-verifying-workers "
    "smeshing-opts-verifying-min-workers smeshing-opts-verifying-powflags",
    "logging": "log-encoder",
    "bootstrap": "bootstrap-url bootstrap-version",
    "recovery": "recovery-uri recovery-layer",
}
"""Settings of each section that are flags too, by their keys; `key=flag` where the flag has another name."""
_SHORT = {"data-folder": "d", "preset": "p", "accounts": "a"}


# Kinds of the network's settings


def _map(read: Callable[[Any], Any], expected: str, to_file: Callable[[Any], Any], **more: Any) -> Kind:
    """Names with values. A file replaces the map whole; an empty one changes nothing."""

    def from_file(value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise BadValue
        return MappingProxyType({key: read(item) for key, item in value.items()})

    def over(before: Any, document: Mapping[str, Any]) -> Any:
        return from_file(document) if document else before

    return Kind(
        expected, **{"from_text": lambda text: declare.NOTHING, **more}, from_file=from_file, to_file=to_file, over=over
    )


def _balances(text: str) -> Mapping[str, int]:
    balances = {}
    for pair in text.split(","):
        account, sign, amount = pair.partition("=")
        if not sign:
            raise BadValue
        balances[account] = UINT64.from_text(amount)
    return MappingProxyType(balances)


def _versions(value: Any) -> Mapping[int, int]:
    if not isinstance(value, Mapping):
        raise BadValue
    versions = {UINT32.from_text(str(epoch)): UINT64.from_file(version) for epoch, version in value.items()}
    newest = 0
    for epoch, version in sorted(versions.items()):
        if version not in (1, 2):
            raise BadValue(f"version {version} of epoch {epoch} is unknown")
        if version < newest:
            raise BadValue(f"epoch {epoch} goes back to version {version}")
        newest = version
    return MappingProxyType(versions)


def _provider(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadValue
    number: int = UINT32.from_file(value)
    return number


def _old_poet_server(_: Any) -> None:
    raise ConfigError(
        "main.poet-server was replaced: write main.poet-servers, a list of objects with address and pubkey.",
        "deprecated_key",
    )


_KINDS: Mapping[str, Kind] = {
    "text": kinds.TEXT,
    "texts": kinds.TEXTS,
    "addresses": kinds.ADDRESSES,
    "boolean": kinds.BOOLEAN,
    "integers": kinds.INTEGERS,
    "float": kinds.FLOAT,
    "rational": kinds.RATIONAL,
    "duration": kinds.DURATION,
    "time": kinds.TIME,
    "hash32": kinds.HASH32,
    "hash20": kinds.HASH20,
    "public key": kinds.KEY,
    "provider": Kind(
        "the number of a device, without quotes",
        lambda text: UINT32.from_text(text) if text else None,
        _provider,
        lambda value: "" if value is None else str(value),
    ),
    "pow flags": replace(UINT32, to_file=str),
    "old poet server": Kind("nothing", _old_poet_server, _old_poet_server, lambda value: {}),
    "balances": _map(
        UINT64.from_file,
        "addresses with balances in smidge, such as sm1…=1000",
        lambda value: {account: UINT64.to_file(amount) for account, amount in value.items()},
        from_text=_balances,
        appends=True,
    ),
    "headers": _map(kinds.text_in_file, "names with texts", dict),
    "atx versions": Kind(
        'epochs with the ATX version that begins with them, 1 or 2 and never falling, such as {"2": 2}',
        lambda text: declare.NOTHING,
        _versions,
        lambda value: {str(epoch): version for epoch, version in value.items()},
        over=lambda before, document: _versions(document) if document else before,
    ),
}


def _kind(declared: declare.Kind) -> Kind:
    """How a declared kind of values is read."""
    if declared.name == "integer":
        assert declared.least is not None and declared.most is not None
        return kinds.integer(declared.least, declared.most)
    if declared.record is None:
        return _KINDS[declared.name]
    return _record_kind(declared.name, declared.record)


def _record_kind(name: str, record: type) -> Kind:
    def one(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise BadValue
        return overlay(record(), value)

    def several(value: Any) -> tuple[Any, ...]:
        return tuple(one(item) for item in (value if isinstance(value, list) else [value]))

    def from_text(text: str) -> tuple[Any, ...]:
        try:
            return several(normalised(parse_json(text)))
        except (ValueError, RecursionError):
            raise BadValue from None

    if name == "record":
        return Kind(
            "an object",
            lambda text: None,
            one,
            lambda value: None if value is None else to_document(value),
            over=overlay,
        )
    if name == "records":
        return Kind("a list of objects", from_text, several, lambda value: [to_document(item) for item in value])
    return _map(one, "names with objects", lambda value: {key: to_document(item) for key, item in value.items()})


# Settings of sections


@cache
def settings_of(section: type, path: str = "") -> tuple[tuple[Setting, Attributes], ...]:
    """Every setting of a section or record, with the attributes that lead to its value."""
    return tuple(_settings(section(), path, ()))


def _settings(value: Any, path: str, attributes: Attributes) -> Iterator[tuple[Setting, Attributes]]:
    flags: dict[str, str] = {}
    if path or isinstance(value, Config):  # a record of a list has no path, and no flags
        for pair in _FLAGS.get(path, "").split():
            key, sign, name = pair.partition("=")
            flags[key] = name if sign else key
    for item in fields(value):
        key, inner = item.metadata["key"], getattr(value, item.name)
        here = f"{path}.{key}" if path else key
        if "section" in item.metadata:
            yield from _settings(inner, here, (*attributes, item.name))
            continue
        flag = flags.get(key, "")
        variables = (variable_of(flag),) if flag else ()
        made = Setting(here, _kind(item.metadata["kind"]), inner, "", flag, _SHORT.get(flag, ""), variables, path)
        yield made, (*attributes, item.name)


def overlay(section: Any, document: Mapping[str, Any]) -> Any:
    """The section or record with the values of a normalised document. Raises ConfigError."""
    kind: type = type(section)
    table = settings_of(kind)
    before = {setting.path: inner(section, attributes) for setting, attributes in table}
    found = given_values(from_document([setting for setting, _ in table], document, any_case=True), before)
    return with_values(
        section, {attributes: found[setting.path] for setting, attributes in table if setting.path in found}
    )


def with_values(section: Any, changed: Mapping[Attributes, Any]) -> Any:
    """The section with other values at some places."""
    here = {path[0]: value for path, value in changed.items() if len(path) == 1}
    deeper: dict[str, dict[Attributes, Any]] = {}
    for path, value in changed.items():
        if len(path) > 1:
            deeper.setdefault(path[0], {})[path[1:]] = value
    here.update({name: with_values(getattr(section, name), inner) for name, inner in deeper.items()})
    return replace(section, **here) if here else section


def inner(section: Any, attributes: Attributes) -> Any:
    """The value at a place of a section."""
    for name in attributes:
        section = getattr(section, name)
    return section


def to_document(section: Any) -> dict[str, Any]:
    """What a file holds for a section or record; names in brackets where it has no key of its own."""
    document: dict[str, Any] = {}
    for item in fields(section):
        inner, key = getattr(section, item.name), item.metadata["key"]
        if item.metadata["by_name"]:
            key = f"({key})"
        is_section = "section" in item.metadata
        document[key] = to_document(inner) if is_section else _kind(item.metadata["kind"]).to_file(inner)
    return document


def normalised(document: Any) -> Any:
    """The same document with keys in lower case and dotted keys spread out."""
    if isinstance(document, datetime):  # TOML has times of its own
        return document.isoformat()
    if isinstance(document, list):
        return [normalised(item) for item in document]
    if not isinstance(document, Mapping):
        return document
    result: dict[str, Any] = {}
    for key, value in document.items():
        place, *rest = str(key).lower().split(".")
        target = result
        for part in rest:
            inner = target.get(place)
            target[place] = inner = inner if isinstance(inner, dict) else {}
            target, place = inner, part
        target[place] = normalised(value)
    return result
