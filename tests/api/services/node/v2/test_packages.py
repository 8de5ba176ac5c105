"""Two packages, the same services. Protocol 10-api, sections 1.2 and 4.9; 10a-api-messages, section 3."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor

from api.http.gateway import routes_of
from api.services.node.v2.package import V2ALPHA1, V2BETA1
from api.services.node.v2.services import SERVICES

from .served import Node


def shape(message: Descriptor) -> list[Any]:
    """Fields and messages within, without the package's name."""

    def plain(field: Any) -> Any:
        kind = field.message_type or field.enum_type
        oneof = field.containing_oneof and field.containing_oneof.name
        name = kind and kind.full_name.replace("v2beta1", "v2alpha1")
        return field.number, field.name, field.type, field.is_repeated, field.has_presence, oneof, name

    return [sorted(map(plain, message.fields)), *map(shape, message.nested_types)]


def test_both_have_the_same_messages_and_methods() -> None:
    assert V2ALPHA1.services.keys() == V2BETA1.services.keys() == SERVICES.keys()
    for name, service in V2ALPHA1.services.items():
        for first, second in zip(service.methods, V2BETA1.services[name].methods, strict=True):
            assert (first.name, first.server_streaming) == (second.name, second.server_streaming)
            assert first.input_type.name == second.input_type.name
            assert shape(first.input_type) == shape(second.input_type)
            assert shape(first.output_type) == shape(second.output_type)


def test_every_method_is_there(empty: Node) -> None:
    for package in (V2ALPHA1, V2BETA1):
        for name, make in SERVICES.items():
            methods = {method.name for method in package.services[name].methods}
            assert make(empty.backend, package).keys() == methods, name


def test_only_what_reads_has_a_route_and_only_in_the_second() -> None:
    reading = {
        "AccountService/List", "ActivationService/List", "ActivationService/ActivationsCount",
        "ActivationService/Highest", "LayerService/List", "MalfeasanceService/List", "NetworkService/Info",
        "NodeService/Status", "RewardService/List", "TransactionService/List",
    }  # fmt: skip
    routes = [route for service in V2BETA1.services.values() for route in routes_of(service)]
    assert {route.path for route in routes} == {f"/spacemesh.v2beta1.{method}" for method in reading}
    assert {route.verb for route in routes} == {"GET"}
    assert not [route for service in V2ALPHA1.services.values() for route in routes_of(service)]


def test_a_message_that_is_not_there() -> None:
    assert not hasattr(V2BETA1, "Nothing")


def test_a_spawn_and_a_vault_say_what_they_hold(recorded: Node) -> None:
    """Every kind of transaction of the chain, with the bytes of the whole list the same in both packages."""
    fields = {"limit": 100, "include_result": True, "include_state": True}
    first = recorded.ask("TransactionService.List", **fields)
    assert recorded.ask("TransactionService.List", V2BETA1, **fields).SerializeToString() == first.SerializeToString()
    kinds = {one.tx.contents.WhichOneof("contents") for one in first.transactions}
    assert {"send", "single_sig_spawn", "multi_sig_spawn", "vesting_spawn"} <= kinds
