"""v2beta1 over HTTP: what only reads is a GET, everything else as everywhere. Protocol 10-api, sections 1.6 and 4.9."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format

from api.services.node.v2.package import V2BETA1
from node.store.memory import MemoryBackend
from tests.support.imported_chain import SHORT, imported_chain
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ServedApi, everywhere

from .served import Node


@pytest.fixture(scope="module")
def api() -> Iterator[ServedApi]:
    def make(loop: Any) -> StoresBackend:
        files = MemoryBackend(), MemoryBackend()
        return StoresBackend(everywhere(imported_chain(SHORT, files).config), files, loop=loop)

    with ServedApi(make) as served:
        yield served


def ask(api: ServedApi, verb: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", api.ports["json"], timeout=30)
    try:
        connection.request(verb, f"/spacemesh.v2beta1.{path}", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "query", "fields"),
    (
        ("AccountService.List", "limit=2&offset=1", {"limit": 2, "offset": 1}),
        ("ActivationService.List", "limit=3&start_epoch=2&endEpoch=2", {"limit": 3, "start_epoch": 2, "end_epoch": 2}),
        ("ActivationService.ActivationsCount", "epoch=2", {"epoch": 2}),
        ("ActivationService.Highest", "", {}),
        ("LayerService.List", "limit=2&sort_order=DESC", {"limit": 2, "sort_order": 1}),
        ("MalfeasanceService.List", "limit=9", {"limit": 9}),
        ("NetworkService.Info", "", {}),
        ("NodeService.Status", "", {}),
        ("RewardService.List", "limit=2&startLayer=18", {"limit": 2, "start_layer": 18}),
        (
            "TransactionService.List",
            "limit=2&include_result=true&includeState=true&start_layer=0",
            {"limit": 2, "include_result": True, "include_state": True, "start_layer": 0},
        ),
    ),
)
def test_what_reads_is_a_get(api: ServedApi, recorded: Node, name: str, query: str, fields: dict[str, Any]) -> None:
    path = name.replace(".", "/")
    status, found = ask(api, "GET", f"{path}?{query}")
    expected = json_format.MessageToDict(
        recorded.ask(name, V2BETA1, **fields), always_print_fields_with_no_presence=True
    )
    assert (status, found) == (200, expected)
    assert ask(api, "POST", path, b"{}")[0] == 501, "it has no other route"


@pytest.mark.parametrize("name", ("ParseTransaction", "SubmitTransaction", "EstimateGas"))
def test_what_takes_bytes_is_a_post(api: ServedApi, name: str) -> None:
    status, found = ask(api, "POST", f"TransactionService/{name}", b"{}")
    assert (status, found["code"], found["message"]) == (400, 3, "transaction is empty")
    assert ask(api, "GET", f"TransactionService/{name}")[0] == 501


@pytest.mark.parametrize(
    ("path", "status"),
    (
        ("AccountService/List", 400),
        ("AccountService/List?limit=200", 400),
        ("AccountService/List?limit=5&addresses=x&addresses=y", 400),
        ("ActivationService/List?limit=5&id=AAA", 200),
        ("ActivationService/List?limit=5&id=%21%21", 400),
        ("RewardService/List?limit=-1", 400),
        ("LayerStreamService/Stream", 404),
        ("AccountService/Nothing", 404),
    ),
)
def test_what_a_query_may_be(api: ServedApi, path: str, status: int) -> None:
    assert ask(api, "GET", path)[0] == status
