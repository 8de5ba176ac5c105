"""MalfeasanceService and its stream: who broke the rules, and what the proof says. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.backend import Backend
from api.services.node.events import SmesherConvicted
from api.services.node.reading import reading
from node.malfeasance.tables import has_proof
from node.queries import malfeasance
from node.queries.malfeasance import Conviction
from node.queries.pages import ALL, Page
from node.store.view import View
from protocol.types.ids import NodeId

from .far import read
from .package import Package
from .pages import ids_of, page_of
from .streams import stream_of


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of MalfeasanceService."""

    async def list_(request: Any) -> Any:
        smeshers = ids_of(request, "smesher_id")
        found = await read(backend, page_of(request), lambda view, page: list(_rows(package, view, smeshers, page)))
        return package.MalfeasanceList(proofs=found)

    return {"List": list_}


def stream_calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of MalfeasanceStreamService."""

    def stream(request: Any) -> AsyncIterator[Message | Headers]:
        smeshers = ids_of(request, "smesher_id")

        def live(event: SmesherConvicted) -> Message | None:
            if smeshers is None or (smeshers and event.identity not in smeshers):
                return None
            with reading(backend) as view:
                conviction = malfeasance.find(view, event.identity)
            return None if conviction is None else _shown(package, conviction)

        return stream_of(
            backend,
            lambda view: _rows(package, view, smeshers),
            watch=request.watch,
            kinds=(SmesherConvicted,),
            live=live,
            is_among=lambda view, event: has_proof(view, event.identity),
        )

    return {"Stream": stream}


def _rows(package: Package, view: View, smeshers: list[NodeId] | None, page: Page = ALL) -> Iterator[Message]:
    """smeshers: None where the filter names none that could be. A proof that cannot be read is left out."""
    if smeshers is None:
        return
    for conviction in malfeasance.page(view, smeshers, page):
        shown = _shown(package, conviction)
        if shown is not None:
            yield shown


def _shown(package: Package, conviction: Conviction) -> Message | None:
    if conviction.proof is None:
        return None
    properties = conviction.properties
    # the domains came later, and proofs of the first version have none
    del properties["domain"]
    shown: Message = package.MalfeasanceProof(
        smesher=conviction.smesher, type=int(properties.pop("type")), properties=properties
    )
    return shown
