"""NodeService: how far the node is. Protocol 10-api, section 4."""

from __future__ import annotations

from typing import Any

from api.edge.rpc import Method
from api.services.node.backend import Backend
from protocol.pb.spacemesh.v2alpha1.node_pb2 import NodeStatusResponse

from .package import Package


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of the service."""

    async def status(request: Any) -> Any:
        facts = backend.facts
        synced, syncing = NodeStatusResponse.SYNC_STATUS_SYNCED, NodeStatusResponse.SYNC_STATUS_SYNCING
        return package.NodeStatusResponse(
            connected_peers=len(backend.peering.peers()),
            status=synced if facts.is_synced else syncing,
            latest_layer=facts.latest,
            applied_layer=facts.applied,
            processed_layer=facts.processed,
            current_layer=backend.parameters.time.layer_at(backend.now()),
        )

    return {"Status": status}
