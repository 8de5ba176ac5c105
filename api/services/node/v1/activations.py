"""`ActivationService`: activations by their ids, and the highest one. Specified in protocol 10-api, section 3.5."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Method, Status
from api.services.node.backend import Backend
from api.services.node.reading import reading
from node.malfeasance.tables import PROOFS
from node.queries import activations
from protocol.pb.spacemesh.v1 import activation_types_pb2, types_pb2
from protocol.types.ids import AtxId

from . import malfeasance
from .convert import Convert
from .requests import invalid

ID_SIZE = 32


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = ActivationService(backend)
    return {"Get": service.get, "Highest": service.highest}


class ActivationService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._convert = Convert(backend.config.main.network_hrp)

    async def get(self, request: activation_types_pb2.GetRequest) -> Message:
        """An activation, with the proof against its smesher where there is one. Raises Failed."""
        if len(request.id) != ID_SIZE:
            raise invalid(f"invalid ATX ID length ({len(request.id)}), expected ({ID_SIZE})")
        with reading(self._backend) as view:
            known = activations.find(view, AtxId(request.id))
            if known is None:
                raise Failed(Status.NOT_FOUND, "id was not found")
            smesher = known.stored.smesher
            proof = view.get(PROOFS, smesher)
            return activation_types_pb2.GetResponse(
                atx=self._convert.activation(view, known.id, known.stored),
                malfeasance_proof=None
                if proof is None
                else malfeasance.message(smesher, proof.proof, with_proof=False),
            )

    async def highest(self, request: Any) -> Message:
        """The activation with the most ticks behind it; where there is none, the golden id alone. Raises Failed."""
        with reading(self._backend) as view:
            known = activations.highest(view)
            if known is not None:
                atx = self._convert.activation(view, known.id, known.stored)
            else:
                golden = self._backend.parameters.proposals.golden_atx
                atx = types_pb2.Activation(id=types_pb2.ActivationId(id=golden))
        return activation_types_pb2.HighestResponse(atx=atx)
