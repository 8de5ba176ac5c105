"""Settings that are fine each by itself, and with which no node can run: found before anything is opened.

The reference looks at most of these somewhere in its start, some of them it survives until it panics or hangs. Protocol
03b-config-and-genesis, sections 4.3 and 5; 09a-p2p-fetch-sync, section 2; 09b-node-storage-libp2p, section 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from urllib.parse import urlsplit

from api.edge.errors import UsageError
from api.edge.listen import parse_address
from api.edge.node_log import ENCODERS, level_number
from api.edge.text import nearest, shown
from node.assembly.parameters import parameters_of
from protocol.errors import ProtocolError
from protocol.numbers import durations
from protocol.params.config.derived import Contradiction
from protocol.params.config.logs import Logging
from protocol.params.config.node import Config
from protocol.types import address

TICK_NS = durations.SECOND
"""How often the clock of the original looks: layers are not shorter."""

LISTENERS = ("grpc_public_listener", "grpc_private_listener", "grpc_post_listener")
OPTIONAL_LISTENERS = ("grpc_tls_listener", "grpc_json_listener")


def problems(config: Config) -> list[str]:
    """A sentence for each of them, none where a node can run. The genesis time has to be set."""
    found: list[str] = []
    for check in _CHECKS:
        found += check(config)
    return found


def later_problems(config: Config) -> list[str]:
    """What the parts of a node find themselves when it is put together, for those who only ask; loads all of them.

    The configuration has no other problems.
    """
    from api.services.node.catalogue import NAMES

    from .peers import host_parameters

    found = []
    for field in ("public_services", "private_services", "post_services", "grpc_tls_services"):
        names: Sequence[str] = getattr(config.api, field)
        found += [
            f"api: {shown(name)} is no service.{nearest(name, NAMES)} There are: {', '.join(NAMES)}."
            for name in names
            if name not in NAMES
        ]
        twice = sorted({name for name in names if names.count(name) > 1})
        found += [f"api: {shown(name)} is named twice for one listener; each service is there once." for name in twice]
    if not config.main.standalone:
        found += _refusal(partial(host_parameters, config, parameters_of(config)))
    return found


def require(config: Config) -> None:
    """Raises Contradiction with all of them."""
    if found := problems(config):
        raise Contradiction(" ".join(found))


def levels(config: Config) -> dict[str, str]:
    """Module to the name of its level."""
    return {
        item.metadata["key"]: getattr(config.logging, item.name)
        for item in fields(Logging)
        if item.name != "log_encoder"
    }


def _timing(config: Config) -> Iterator[str]:
    main, confidence = config.main, config.hare_eligibility.confidence_param
    if main.layer_duration_ns < TICK_NS:
        yield (
            f"main.layer-duration is {durations.text(main.layer_duration_ns)}, expected at least 1s: the clock looks "
            "once a second."
        )
    elif 0 < main.layers_per_epoch <= confidence:
        yield (
            f"hare-eligibility.eligibility-confidence-param is {confidence} layers, expected fewer than an epoch has "
            f"({main.layers_per_epoch}, main.layers-per-epoch)."
        )


def _consensus(config: Config) -> Iterator[str]:
    if config.main.layer_duration_ns >= TICK_NS:  # else that was said
        yield from _refusal(partial(parameters_of, config))


def _coinbase(config: Config) -> Iterator[str]:
    if config.smeshing.coinbase:
        for why in _refusal(partial(address.from_text, config.smeshing.coinbase, config.main.network_hrp)):
            yield f"smeshing.smeshing-coinbase: {why}"


def _smeshing(config: Config) -> Iterator[str]:
    of, post = config.smeshing, config.post
    if of.start and not post.min_numunits <= of.opts.numunits <= post.max_numunits:
        yield (
            f"smeshing-opts-numunits is {of.opts.numunits}, expected {post.min_numunits} to {post.max_numunits} "
            "(post-min-numunits, post-max-numunits): the network takes no other activations."
        )
    if of.proving_opts.randomx_mode not in ("fast", "light"):
        yield (
            f"smeshing-opts-proving-randomx-mode is {shown(of.proving_opts.randomx_mode)}, expected fast (2 GiB of "
            "memory, quicker) or light."
        )


def _poet(config: Config) -> Iterator[str]:
    for number, server in enumerate(config.main.poet_servers):
        place = f"main.poet-servers[{number}]"
        if not server.address.startswith(("http://", "https://")):
            yield f"{place}.address is {shown(server.address)}, expected a URL with http:// or https://."
        elif config.main.standalone and not _is_local(server.address):
            yield (
                f"{place}.address is {shown(server.address)}, expected one such as http://127.0.0.1:10010: a "
                "standalone network runs its PoET there."
            )
        if server.pubkey and len(server.pubkey) != 32:
            yield f"{place}.pubkey has {len(server.pubkey)} bytes, expected 32."


def _is_local(url: str) -> bool:
    """Whether a PoET of this process can be there."""
    try:
        found = urlsplit(url)
        return found.scheme == "http" and bool(found.hostname) and bool(found.port)
    except ValueError:
        return False


def _logging(config: Config) -> Iterator[str]:
    for module, level in levels(config).items():
        for why in _refusal(partial(level_number, level)):
            yield f"logging.{module}: {why}."
    if config.logging.log_encoder not in ENCODERS:
        yield f"logging.log-encoder is {shown(config.logging.log_encoder)}, expected {' or '.join(ENCODERS)}."


def _listeners(config: Config) -> Iterator[str]:
    api, main = config.api, config.main
    for name in (*LISTENERS, *OPTIONAL_LISTENERS):
        text, option = getattr(api, name), f"api.{name.replace('_', '-')}"
        if not text and name in OPTIONAL_LISTENERS:
            continue
        # the original takes an address without a host for all of this machine's
        whole = f"0.0.0.0{text}" if text.startswith(":") else text
        yield from _refusal(partial(parse_address, whole, option))
    if main.metrics and not 0 <= main.metrics_port < 1 << 16:
        yield f"main.metrics-port is {main.metrics_port}, expected 0 to 65535."
    if api.grpc_tls_listener:
        missing = [
            f"grpc-tls-{name}" for name in ("ca-cert", "cert", "key") if not getattr(api, f"grpc_tls_{_field(name)}")
        ]
        if missing:
            yield f"api.grpc-tls-listener is set, but not {', '.join(missing)}: that listener cannot do without them."
    for name, size in (("send", api.grpc_send_msg_size), ("recv", api.grpc_recv_msg_size)):
        if size <= 0:
            yield f"api.grpc-{name}-msg-size is {size}, expected more than 0 bytes."


def _recovery(config: Config) -> Iterator[str]:
    of = config.recovery
    if of.uri and not of.uri.startswith(("http://", "https://")):
        yield f"recovery.recovery-uri is {shown(of.uri)}, expected a URL with http:// or https://."
    if of.uri and not of.layer:
        yield "recovery.recovery-uri is set, but not recovery.recovery-layer: the first layer after the checkpoint."


def _peers(config: Config) -> Iterator[str]:
    of = config.p2p
    if of.reachability not in ("", "public", "private"):
        yield f"p2p.p2p-reachability is {shown(of.reachability)}, expected public, private or nothing."
    timings = of.discovery_timings
    if timings.advertise_interval_spread_ns > timings.advertise_interval_ns:
        yield "p2p.discovery-timings: advertise-interval-spread is longer than advertise-interval itself."


def _field(name: str) -> str:
    return name.replace("-", "_")


def _refusal(make: Callable[[], object]) -> Iterator[str]:
    try:
        make()
    except (ProtocolError, UsageError, ValueError) as error:
        yield str(error)


_CHECKS: tuple[Callable[[Config], Iterator[str]], ...] = (
    _timing,
    _consensus,
    _coinbase,
    _smeshing,
    _poet,
    _logging,
    _listeners,
    _recovery,
    _peers,
)
