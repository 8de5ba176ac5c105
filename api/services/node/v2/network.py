"""NetworkService: what all nodes of the network have in common. Protocol 10-api, section 4."""

from __future__ import annotations

from typing import Any

from api.edge.rpc import Method
from api.services.node.backend import Backend

from .package import Package


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of the service."""
    parameters, config = backend.parameters, backend.config
    time = parameters.time

    async def info(request: Any) -> Any:
        found = package.NetworkInfoResponse(
            genesis_id=parameters.genesis_id,
            hrp=config.main.network_hrp,
            effective_genesis_layer=time.effective_genesis,
            layers_per_epoch=time.layers_per_epoch,
            labels_per_unit=parameters.activation.labels_per_unit,
        )
        found.genesis_time.FromNanoseconds(time.genesis_ns)
        found.layer_duration.FromNanoseconds(time.layer_duration_ns)
        return found

    return {"Info": info}
