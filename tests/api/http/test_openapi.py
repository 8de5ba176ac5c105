"""The description of a gateway: its routes, and the messages as JSON writes them."""

from __future__ import annotations

from typing import Any

from api.http.openapi import document
from api.http.routes import routes_of
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.pb.spacemesh.v1 import mesh_pb2
from protocol.pb.spacemesh.v2alpha1 import malfeasance_pb2, network_pb2

POET = api_pb2.DESCRIPTOR.services_by_name["PoetService"]
MESH = mesh_pb2.DESCRIPTOR.services_by_name["MeshService"]
NETWORK = network_pb2.DESCRIPTOR.services_by_name["NetworkService"]
MALFEASANCE = malfeasance_pb2.DESCRIPTOR.services_by_name["MalfeasanceService"]


def made(*services: Any) -> dict[str, Any]:
    return document("A gateway", "1", [one for service in services for one in routes_of(service, unannotated=True)])


def references(node: Any) -> set[str]:
    """All schemas that are named somewhere."""
    if isinstance(node, list):
        return {found for one in node for found in references(one)}
    if isinstance(node, dict):
        inner = {found for one in node.values() for found in references(one)}
        return inner | ({node["$ref"].removeprefix("#/components/schemas/")} if "$ref" in node else set())
    return set()


def test_every_route_but_those_of_streams_is_there_by_its_verb() -> None:
    paths = made(POET, MESH, NETWORK)["paths"]
    assert list(paths["/v1/proofs/{round_id}"]) == ["get"]
    assert list(paths["/v1/mesh/genesistime"]) == ["post"]
    assert list(paths["/spacemesh.v2alpha1.NetworkService/Info"]) == ["post"]
    assert list(paths["/spacemesh.v1.MeshService/MalfeasanceQuery"]) == ["post"]
    assert not any("Stream" in path for path in paths)


def test_every_schema_that_is_named_is_there() -> None:
    found = made(POET, MESH, NETWORK, MALFEASANCE)
    assert references(found) == set(found["components"]["schemas"])


def test_fields_have_the_names_and_types_of_their_json() -> None:
    found = made(MESH, NETWORK, MALFEASANCE)
    schemas = {name: one.get("properties") for name, one in found["components"]["schemas"].items()}
    info = schemas["spacemesh.v2alpha1.NetworkInfoResponse"]
    assert info["genesisTime"] == {"type": "string", "format": "date-time"}
    assert info["genesisId"] == {"type": "string", "format": "byte"}
    assert info["layersPerEpoch"]["type"] == "integer"
    assert schemas["spacemesh.v1.SimpleInt"]["value"] == {"type": "string", "format": "uint64"}
    assert schemas["spacemesh.v1.LayersQueryResponse"]["layer"] == {
        "type": "array", "items": {"$ref": "#/components/schemas/spacemesh.v1.Layer"},
    }  # fmt: skip
    proof = schemas["spacemesh.v2alpha1.MalfeasanceProof"]
    assert proof["properties"] == {"type": "object", "additionalProperties": {"type": "string"}}
    enum = found["components"]["schemas"][proof["domain"]["$ref"].rpartition("/")[2]]
    assert enum["type"] == "string" and "DOMAIN_UNSPECIFIED" in enum["enum"]


def test_a_get_has_its_fields_as_parameters() -> None:
    (proofs,) = made(POET)["paths"]["/v1/proofs/{round_id}"].values()
    assert proofs["parameters"] == [{"name": "round_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert "requestBody" not in proofs
