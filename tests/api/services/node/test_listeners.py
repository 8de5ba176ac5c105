"""The ports of a node: which services are where, what is refused by name, TLS, health, and the end of all of them."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.edge.errors import DataError, EnvironmentFault, Failure, UsageError
from api.grpc.limits import NEVER_MS
from api.services.node.catalogue import GIVEN, NAMES, Catalogue
from api.services.node.events import StatusChanged
from api.services.node.listeners import POST_LIMITS, PRIVATE_LIMITS, PUBLIC_LIMITS, Listeners, is_reachable
from node.runtime.facts import Facts
from protocol.params.config.networks import BY_NAME
from protocol.params.config.node import Config
from protocol.params.config.services import Api
from protocol.pb.grpc.health.v1 import health_pb2
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.types.ids import LayerId
from tests.support import post_tls, served
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ANY, ServedApi, everywhere, refusing

WAIT_S = 30.0
FASTNET = BY_NAME["fastnet"]
NODE_INFO = "/spacemesh.v1.NodeService/NodeInfo"


@contextmanager
def open_api(config: Config | None = None) -> Iterator[ServedApi]:
    config = config or everywhere(FASTNET)
    with ServedApi(lambda loop: StoresBackend(config, loop=loop)) as api:
        yield api


def refused(kind: type[Failure], **api: Any) -> str:
    """Why listeners with these settings do not open."""

    async def main() -> str:
        given = {name: refusing(service) for name, service in GIVEN.items()}
        listeners = Listeners(StoresBackend(everywhere(FASTNET, **api)), given)
        with pytest.raises(kind) as found:
            await listeners.open()
        assert listeners.ports == {}, "nothing stays open"
        return str(found.value)

    return asyncio.run(main())


def health_of(channel: grpc.Channel, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    answer = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=WAIT_S)
    return health_pb2.HealthCheckResponse.FromString(answer).status


def services_of(port: int) -> Sequence[str]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()]))
        found = reflection_pb2.ServerReflectionResponse.FromString(answer)
        return [one.name for one in found.list_services_response.service]


def test_every_name_of_the_network_is_known_and_both_second_packages_go_together() -> None:
    api = Api()
    names = {*api.public_services, *api.private_services, *api.post_services, *api.grpc_tls_services}
    assert names <= set(NAMES)

    async def main() -> None:
        catalogue = Catalogue(StoresBackend(FASTNET), {})
        both = catalogue.offers("x", ["account_v2alpha1", "layer_stream_v2alpha1"])
        assert [one.descriptor.full_name for one in both] == [
            "spacemesh.v2alpha1.AccountService",
            "spacemesh.v2beta1.AccountService",
            "spacemesh.v2alpha1.LayerStreamService",
            "spacemesh.v2beta1.LayerStreamService",
        ]
        again = catalogue.offers("y", ["account_v2beta1", "account_v2alpha1"])
        assert [one.descriptor.full_name for one in again] == [
            "spacemesh.v2beta1.AccountService",
            "spacemesh.v2alpha1.AccountService",
        ]
        assert again[0].calls is both[1].calls, "the same service on two listeners"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ({"public_services": ("node", "mesh", "node")}, "api.PublicServices names 'node' twice"),
        ({"private_services": ("admn",)}, "api.PrivateServices names 'admn', which is no service. Did you mean admin?"),
        ({"grpc_tls_listener": ANY, "grpc_tls_services": ("zz",)}, "api.grpc-tls-services names 'zz', which is no"),
        ({"public_services": ()}, "api.grpc-json-listener is '127.0.0.1:0', but api.PublicServices names no service"),
        ({"grpc_public_listener": "9092"}, "--grpc-public-listener is '9092', expected an address and a port"),
        (
            {"grpc_private_listener": "::1:9092"},
            "--grpc-private-listener is '::1:9092', expected an address and a port",
        ),
        ({"grpc_json_listener": "127.0.0.1:70000"}, "--grpc-json-listener is '127.0.0.1:70000', expected"),
        ({"grpc_tls_listener": ANY}, "api.grpc-tls-ca-cert and api.grpc-tls-cert and api.grpc-tls-key are empty"),
        ({"grpc_tls_listener": ANY, "grpc_tls_cert": "a", "grpc_tls_key": "b"}, "but api.grpc-tls-ca-cert is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_the_setting(api: dict[str, Any], words: str) -> None:
    assert words in refused(UsageError, **api)


def test_a_service_that_this_node_does_not_have() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="names 'smesher', a service that this node does not have"):
            Catalogue(StoresBackend(FASTNET), {}).offers("api.PublicServices", ["smesher"])

    asyncio.run(main())


@pytest.mark.parametrize("name", ["public", "private", "post", "json"])
def test_a_port_in_use_is_refused_by_its_option_and_the_others_are_closed_again(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(EnvironmentFault, **{f"grpc_{name}_listener": f"127.0.0.1:{port}"})
    assert f"--grpc-{name}-listener" in said and str(port) in said


def test_listeners_open_in_their_order_with_their_own_services() -> None:
    with open_api() as api:
        assert list(api.ports) == ["public", "private", "post", "json"]
        public, private, post = (services_of(api.ports[name]) for name in ("public", "private", "post"))
        assert "spacemesh.v1.MeshService" in public and "spacemesh.v2beta1.NodeService" in public
        assert "spacemesh.v1.AdminService" in private and "spacemesh.v1.AdminService" not in public
        assert [one for one in post if one.startswith("spacemesh")] == [
            "spacemesh.v1.PostInfoService",
            "spacemesh.v1.PostService",
        ]
        assert all("grpc.health.v1.Health" in one for one in (public, private, post))


def test_without_services_there_is_no_listener() -> None:
    with open_api(everywhere(FASTNET, private_services=(), post_services=(), grpc_json_listener="")) as api:
        assert list(api.ports) == ["public"]


def test_health_follows_the_node() -> None:
    with open_api() as api, grpc.insecure_channel(f"127.0.0.1:{api.ports['public']}") as channel:
        assert health_of(channel, "") == health_of(channel, "spacemesh.v1.MeshService") == 1
        assert health_of(channel, "synced") == 2
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(
            health_pb2.HealthCheckRequest(service="synced").SerializeToString(), timeout=WAIT_S
        )
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 2
        api.backend.told = Facts(True, True, *[LayerId(9)] * 4)
        api.backend.bus.publish([StatusChanged()])
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 1


def test_nothing_is_serving_before_the_node_says_so() -> None:
    async def main() -> None:
        given = {name: refusing(service) for name, service in GIVEN.items()}
        listeners = Listeners(StoresBackend(everywhere(FASTNET)), given)
        ports = await listeners.open()
        with grpc.insecure_channel(f"127.0.0.1:{ports['private']}") as channel:
            assert await asyncio.to_thread(health_of, channel, "") == 2
            listeners.serving()
            assert await asyncio.to_thread(health_of, channel, "") == 1
        await listeners.stop()

    asyncio.run(main())


def test_the_listener_with_tls_wants_a_certificate_of_its_authority(tmp_path: Path) -> None:
    files = {}
    for name, text in (("ca_cert", post_tls.CA_CERT), ("cert", post_tls.NODE_CERT), ("key", post_tls.NODE_KEY)):
        (tmp_path / name).write_bytes(text)
        files[f"grpc_tls_{name}"] = str(tmp_path / name)
    config = everywhere(FASTNET, grpc_tls_listener=ANY, grpc_tls_services=("node",), **files)
    with open_api(config) as api:
        assert list(api.ports) == ["public", "private", "post", "tls", "json"]
        port = api.ports["tls"]

        def ask(credentials: grpc.ChannelCredentials | None) -> bytes:
            where = f"localhost:{port}"
            channel = grpc.insecure_channel(where) if credentials is None else grpc.secure_channel(where, credentials)
            with channel:
                answer: bytes = channel.unary_unary(NODE_INFO)(b"", timeout=WAIT_S)
                return answer

        ca = post_tls.CA_CERT
        assert ask(grpc.ssl_channel_credentials(ca, post_tls.SERVICE_KEY, post_tls.SERVICE_CERT))
        for credentials in (
            grpc.ssl_channel_credentials(ca, post_tls.STRANGER_KEY, post_tls.STRANGER_CERT),
            grpc.ssl_channel_credentials(ca),
            None,
        ):
            with pytest.raises(grpc.RpcError) as found:
                ask(credentials)
            assert found.value.code() is grpc.StatusCode.UNAVAILABLE


def test_files_of_tls_that_are_none_are_named(tmp_path: Path) -> None:
    for name, text in (("ca", post_tls.CA_CERT), ("cert", post_tls.NODE_CERT), ("key", post_tls.NODE_KEY)):
        (tmp_path / name).write_bytes(text)
    (tmp_path / "bad").write_text("no certificate")

    def said(kind: type[Failure], ca: str, cert: str, key: str) -> str:
        paths = {"ca_cert": ca, "cert": cert, "key": key}
        return refused(
            kind, grpc_tls_listener=ANY, **{f"grpc_tls_{name}": str(tmp_path / path) for name, path in paths.items()}
        )

    assert "--grpc-tls-ca-cert" in said(DataError, "bad", "cert", "key")
    assert "--grpc-tls-cert" in said(DataError, "ca", "bad", "key")
    assert "--grpc-tls-key" in said(DataError, "ca", "cert", "bad")
    missing = said(EnvironmentFault, "ca", "cert", "nowhere")
    assert "--grpc-tls-key" in missing and "nowhere" in missing and "No such file" in missing


@pytest.mark.parametrize(
    ("host", "reachable"),
    [
        ("localhost", False), ("127.0.0.1", False), ("::1", False), ("10.1.2.3", False), ("192.168.0.1", False),
        ("0.0.0.0", True), ("::", True), ("8.8.8.8", True), ("node.example.org", True),
    ],
)  # fmt: skip
def test_which_addresses_can_be_reached_from_outside(host: str, reachable: bool) -> None:
    assert is_reachable(host) is reachable


def test_a_plaintext_listener_that_can_be_reached_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "api"),
        open_api(everywhere(FASTNET, grpc_public_listener="0.0.0.0:0")),
    ):
        warned = [one.getMessage() for one in caplog.records if one.name == "api"]
    assert len(warned) == 1 and warned[0].startswith("--grpc-public-listener 0.0.0.0:0 can be reached")


def test_connections_are_kept_as_the_network_keeps_them() -> None:
    names = ("keepalive_time_ms", "keepalive_timeout_ms", "max_connection_idle_ms", "max_connection_age_ms")
    minute = 60_000
    for limits, expected in (
        (PUBLIC_LIMITS, (minute, 10_000, 120 * minute, 180 * minute)),
        (PRIVATE_LIMITS, (10 * minute, 10_000, NEVER_MS, NEVER_MS)),
        (POST_LIMITS, (10 * minute, 10_000, NEVER_MS, NEVER_MS)),
    ):
        options = dict(limits.options())
        assert tuple(options[f"grpc.{name}"] for name in names) == expected
        assert options["grpc.max_connection_age_grace_ms"] == 10 * minute
        assert options["grpc.http2.min_ping_interval_without_data_ms"] == minute
        assert limits.calls > limits.streams_in_all + limits.dialogues, "streams leave places for calls"


def test_limits_of_messages_are_those_of_the_configuration() -> None:
    config = everywhere(FASTNET, grpc_recv_msg_size=100, grpc_send_msg_size=60)
    with open_api(config) as api, grpc.insecure_channel(f"127.0.0.1:{api.ports['public']}") as channel:
        echo = channel.unary_unary("/spacemesh.v1.NodeService/Echo")
        for size, words in ((101, "larger than max"), (80, "trying to send message larger than max")):
            with pytest.raises(grpc.RpcError) as found:
                echo(b"\x0a" + bytes((size - 2,)) + b"\x0a" + bytes((size - 4,)) + b"x" * (size - 4), timeout=WAIT_S)
            assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and words in found.value.details()


def test_the_gateway_describes_itself() -> None:
    with open_api() as api:
        reply = served.ask(api.ports["json"], "GET", "/openapi.json")
        assert reply.status == 200 and reply.header("content-type") == "application/json"
        paths = json.loads(reply.text)["paths"]
        assert list(paths["/v1/node/status"]) == ["post"]
        assert list(paths["/spacemesh.v2beta1.NodeService/Status"]) == ["get"]
        assert list(paths["/spacemesh.v2alpha1.NodeService/Status"]) == ["post"]
        assert not any("Admin" in path or "Stream" in path for path in paths)
        found = served.ask(api.ports["json"], "GET", "/spacemesh.v2beta1.AccountService/List?limit=1&addresses=x")
        assert found.status == 400 and json.loads(found.text)["code"] == 3


def test_who_asks_the_gateway_too_often_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_api() as api:
        gateway = api.listeners._gateway
        assert gateway is not None
        monkeypatch.setattr(gateway._rates, "take", lambda client: client != "127.0.0.1")
        reply = served.ask(api.ports["json"], "POST", "/v1/node/version")
        assert reply.status == 429 and json.loads(reply.text)["code"] == 8
        assert reply.header("vary") == "Origin"


def test_streams_and_calls_end_together_when_the_node_stops() -> None:
    with open_api() as api, grpc.insecure_channel(f"127.0.0.1:{api.ports['public']}") as channel:
        stream = channel.unary_stream("/spacemesh.v1.NodeService/ErrorStream")(b"", timeout=WAIT_S)
        stream.initial_metadata()
        assert api.listeners.open_streams == 1
        api.run(api.listeners.stop(WAIT_S))
        with pytest.raises(grpc.RpcError) as found:
            next(stream)
        assert found.value.code() is grpc.StatusCode.UNAVAILABLE
        assert api.listeners.open_streams == 0 and api.listeners.ports == {}
