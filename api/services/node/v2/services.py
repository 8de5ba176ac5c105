"""All services of the second generation, by their names without the package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from api.edge.rpc import Method
from api.services.node.backend import Backend

from . import account, activation, layer, malfeasance, network, node, reward, transaction
from .package import Package

SERVICES: Mapping[str, Callable[[Backend, Package], dict[str, Method]]] = {
    "AccountService": account.calls,
    "ActivationService": activation.calls,
    "ActivationStreamService": activation.stream_calls,
    "LayerService": layer.calls,
    "LayerStreamService": layer.stream_calls,
    "MalfeasanceService": malfeasance.calls,
    "MalfeasanceStreamService": malfeasance.stream_calls,
    "NetworkService": network.calls,
    "NodeService": node.calls,
    "RewardService": reward.calls,
    "RewardStreamService": reward.stream_calls,
    "TransactionService": transaction.calls,
    "TransactionStreamService": transaction.stream_calls,
}
"""Each makes the methods of a service. Which listener has which is `catalogue`'s."""
