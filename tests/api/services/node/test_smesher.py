"""SmesherService: the recorded answers of nodes that smesh, or let others do it, or neither; what the original lets
through is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from api.edge.rpc import Failed, Status
from api.grpc.methods import Kind, methods
from api.services.node.smeshing import Provider, Setup, SetupOptions, SetupState, SmeshingRefused
from api.services.node.v1 import smesher
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import smesher_pb2
from protocol.pb.spacemesh.v1 import smesher_types_pb2 as pb
from protocol.types import address
from protocol.types.ids import Address, NodeId
from tests.support.node_backend import StoresBackend
from tests.vector_cases.harness import load

SERVICE = smesher_pb2.DESCRIPTOR.services_by_name["SmesherService"]
HRP = "stest"
CPU = Provider(4294967295, "[CPU] scrypt-jane", 0)


def chain_a() -> Config:
    """As far as this service tells of it."""
    config = networks.BY_NAME["fastnet"]
    post = replace(config.post, min_numunits=1, max_numunits=8, labels_per_unit=128, k1=12, k2=4)
    api = replace(config.api, smesherstreaminterval_ns=1_000_000)
    return replace(config, post=post, main=replace(config.main, network_hrp=HRP), api=api)


class Smeshing:
    """Smeshing as a test says it stands."""

    def __init__(self, coinbase: str = "", *, is_supervised: bool = True, ids: Sequence[bytes] = ()) -> None:
        self.is_supervised = is_supervised
        self.is_smeshing = bool(coinbase)
        self._coinbase = address.from_text(coinbase, HRP) if coinbase else Address(bytes(24))
        self.ids = ids
        self.found = Setup()
        self.is_running = False
        self.started: list[SetupOptions] = []
        self.hang = False

    def identities(self) -> Sequence[tuple[NodeId, str]]:
        return [(NodeId(one), "x.key") for one in self.ids]

    def coinbase(self) -> Address:
        return self._coinbase

    def set_coinbase(self, coinbase: Address) -> None:
        self._coinbase = coinbase

    def setup(self) -> Setup:
        return self.found

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        if self.is_running:
            raise SmeshingRefused("post service already started")
        self.is_running = self.is_smeshing = True
        self.started.append(options)
        self.found = Setup(SetupState.COMPLETE, 256, options)

    async def stop(self, *, delete_files: bool) -> None:
        if self.hang:
            await asyncio.get_running_loop().create_future()
        if not self.is_smeshing:
            raise SmeshingRefused("not started")
        self.is_running = False

    async def providers(self, *, benchmark: bool) -> Sequence[Provider]:
        return [replace(CPU, labels_per_second=250 if benchmark else 0)]


class Served:
    """The service over a stand-in."""

    def __init__(self, smeshing: Smeshing) -> None:
        self.smeshing = smeshing
        self.methods = methods(SERVICE, smesher.calls(StoresBackend(chain_a()), smeshing))

    async def answer(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What a recorded call gives, in the form in which it was recorded."""
        method = self.methods[entry.get("method") or entry["path"].rpartition("/")[2]]
        request = ParseDict(entry.get("request", {}), method.request())
        try:
            if method.kind is Kind.STREAM:
                found = []
                async for answer in method.call(request):
                    found.append(shown(answer))
                    if len(found) == len(entry["responses"]):
                        break
                return {"responses": found}
            return {"code": 0, "response": shown(await method.call(request))}
        except Failed as error:
            return without_cause({"code": int(error.status), "message": error.message})


def shown(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return found


def entries(root: Path, name: str) -> list[dict[str, Any]]:
    found = [
        one
        for one in load(root / "api" / name)["transcripts"]
        if "SmesherService" in one.get("path", one.get("service", ""))
    ]
    assert found
    return found


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    if "responses" in entry:
        return {"responses": [one["response"] for one in entry["responses"]]}
    return without_cause({key: entry[key] for key in ("code", "response", "message") if key in entry})


def without_cause(answer: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with an address is said in other words than those of the recorded library."""
    if "bech32" in answer.get("message", ""):
        return {**answer, "message": answer["message"].partition("bech32")[0]}
    return answer


def test_a_node_that_does_not_smesh(vectors_root: Path) -> None:
    """Every call of the recorded chain, exactly; the rate of the benchmark is that of the stand-in."""

    async def main() -> None:
        served = Served(Smeshing())
        for entry in entries(vectors_root, "grpc_static_chain_a.json.gz"):
            assert await served.answer(entry) == expected(entry), entry["name"]

    asyncio.run(main())


def test_an_observer_before_the_genesis(vectors_root: Path) -> None:
    async def main() -> None:
        served = Served(Smeshing())
        for entry in entries(vectors_root, "grpc_before_genesis_observer.json.gz"):
            answer, recorded = await served.answer(entry), expected(entry)
            assert any_rate(answer) == any_rate(recorded), entry["name"]

    asyncio.run(main())


def test_a_smesher_before_the_genesis(vectors_root: Path) -> None:
    found = entries(vectors_root, "grpc_before_genesis.json.gz")
    by_name = {one["name"]: one for one in found}
    coinbase = by_name["Coinbase"]["response"]["accountId"]["address"]
    ids = ParseDict(by_name["SmesherIDs"]["response"], pb.SmesherIDsResponse()).public_keys
    setup = by_name["PostSetupStatus"]["response"]["status"]
    data_dir = setup["opts"]["dataDir"]

    async def main() -> None:
        served = Served(Smeshing(coinbase, ids=list(ids)))
        served.smeshing.found = Setup(SetupState.COMPLETE, 256, SetupOptions(data_dir, 2, 4 << 30, CPU.id))
        for entry in found:
            answer, recorded = await served.answer(entry), expected(entry)
            assert any_rate(answer) == any_rate(recorded), entry["name"]

    asyncio.run(main())


def any_rate(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what was measured on another machine."""
    for provider in answer.get("response", {}).get("providers", ()):
        provider["performance"] = "measured" if provider["performance"] != "0" else "0"
    return answer


def test_the_calls_of_the_recorded_control(vectors_root: Path) -> None:
    """By rule: no options are refused where the original drops its refusal; a stop returns while a proof is made."""
    found = {one["name"]: one for one in entries(vectors_root, "grpc_smeshing_control.json")}
    coinbase = found["start: ok"]["request"]["coinbase"]["address"]

    async def main() -> None:
        served = Served(Smeshing(coinbase))
        for name in (
            "supervised, idle: is smeshing",
            "supervised, idle: setup status",
            "supervised, idle: smesher ids",
            "supervised, idle: coinbase",
            "stop when not started",
            "start: bad coinbase",
            "is smeshing after the refused starts",
            "stop",
            "start: ok",
            "is smeshing",
            "start again",
        ):
            assert await served.answer(found[name]) == expected(found[name]), name
        served.smeshing.found = replace(
            served.smeshing.found, options=replace(served.smeshing.started[0], provider=4294967295)
        )
        assert await served.answer(found["setup status"]) == expected(found["setup status"])
        assert (await served.answer(found["start: no opts"]))["code"] == Status.INVALID_ARGUMENT
        assert (await served.answer(found["stop keep files"]))["code"] == 0
        remote = Served(Smeshing(is_supervised=False))
        for name in ("remote: is smeshing", "remote: start", "remote: stop", "remote with coinbase: is smeshing"):
            assert await remote.answer(found[name]) == expected(found[name]), name
        keys = found["remote: smesher ids"]["response"]["publicKeys"]
        listed = ParseDict({"publicKeys": keys}, pb.SmesherIDsResponse()).public_keys
        remote.smeshing.ids = list(listed)
        assert await remote.answer(found["remote: smesher ids"]) == expected(found["remote: smesher ids"])

    asyncio.run(main())


GOOD: dict[str, Any] = {"data_dir": "x", "num_units": 2, "max_file_size": 1024}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**GOOD, "data_dir": ""}, "`Opts.DataDir` must be provided"),
        ({**GOOD, "num_units": 0}, "`Opts.NumUnits` must be provided"),
        ({**GOOD, "max_file_size": 0}, "`Opts.MaxFileSize` must be provided"),
        ({**GOOD, "num_units": 9}, "`Opts.NumUnits` is 9, expected 1 to 8"),
        (None, "`Opts` must be provided"),
    ],
)
def test_options_that_are_not_complete_are_refused(options: dict[str, Any] | None, said: str) -> None:
    async def main() -> None:
        served = Served(Smeshing())
        coinbase = {"address": address.to_text(address.generate(bytes(20)), HRP)}
        request = {"coinbase": coinbase} if options is None else {"coinbase": coinbase, "opts": options}
        answer = await served.answer({"method": "StartSmeshing", "request": request})
        assert answer == {"code": Status.INVALID_ARGUMENT, "message": said}
        assert served.smeshing.started == []

    asyncio.run(main())


def test_a_device_that_nobody_chose_is_the_configured_one() -> None:
    async def main() -> None:
        served = Served(Smeshing())
        coinbase = {"address": address.to_text(address.generate(bytes(20)), HRP)}
        await served.answer({"method": "StartSmeshing", "request": {"coinbase": coinbase, "opts": GOOD}})
        chosen = {**GOOD, "provider_id": 0}
        served.smeshing.is_running = False
        await served.answer({"method": "StartSmeshing", "request": {"coinbase": coinbase, "opts": chosen}})
        assert [one.provider for one in served.smeshing.started] == [chain_a().smeshing.opts.provider, 0]

    asyncio.run(main())


def test_a_stop_that_hangs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smesher, "WAIT_S", 0.01)

    async def main() -> None:
        served = Served(Smeshing())
        served.smeshing.hang = True
        monkeypatch.setattr(smesher._done, "__defaults__", (0.01,))
        answer = await served.answer({"method": "StopSmeshing"})
        assert answer["code"] == Status.DEADLINE_EXCEEDED

    asyncio.run(main())
