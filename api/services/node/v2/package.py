"""The messages and services of v2alpha1 and v2beta1, which differ in name alone, and in routes of HTTP.

Protocol 10a-api-messages, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from protocol.pb.spacemesh.v2alpha1 import (
    account_pb2,
    activation_pb2,
    block_pb2,
    layer_pb2,
    malfeasance_pb2,
    network_pb2,
    node_pb2,
    reward_pb2,
    tx_pb2,
)
from protocol.pb.spacemesh.v2beta1 import account_pb2 as account_beta
from protocol.pb.spacemesh.v2beta1 import activation_pb2 as activation_beta
from protocol.pb.spacemesh.v2beta1 import block_pb2 as block_beta
from protocol.pb.spacemesh.v2beta1 import layer_pb2 as layer_beta
from protocol.pb.spacemesh.v2beta1 import malfeasance_pb2 as malfeasance_beta
from protocol.pb.spacemesh.v2beta1 import network_pb2 as network_beta
from protocol.pb.spacemesh.v2beta1 import node_pb2 as node_beta
from protocol.pb.spacemesh.v2beta1 import reward_pb2 as reward_beta
from protocol.pb.spacemesh.v2beta1 import tx_pb2 as tx_beta


class Package:
    """One of the packages: every message is an attribute by its name."""

    def __init__(self, *modules: ModuleType) -> None:
        self.name: str = modules[0].DESCRIPTOR.package
        self.services: Mapping[str, ServiceDescriptor] = {
            name: service for module in modules for name, service in module.DESCRIPTOR.services_by_name.items()
        }
        """By their names without the package's."""
        self._messages = {
            name: getattr(module, name) for module in modules for name in module.DESCRIPTOR.message_types_by_name
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_messages"][name]
        except KeyError:
            raise AttributeError(f"{self.name} has no message {name}") from None


V2ALPHA1 = Package(
    account_pb2, activation_pb2, block_pb2, layer_pb2, malfeasance_pb2, network_pb2, node_pb2, reward_pb2, tx_pb2
)
V2BETA1 = Package(
    account_beta,
    activation_beta,
    block_beta,
    layer_beta,
    malfeasance_beta,
    network_beta,
    node_beta,
    reward_beta,
    tx_beta,
)
