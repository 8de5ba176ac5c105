"""SmesherService beyond the recorded answers: what the original lets through is refused, and every call has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from api.edge.rpc import Failed, Status
from api.grpc.methods import methods
from api.services.node.smeshing import Provider, Setup, SetupOptions, SmeshingRefused
from api.services.node.v1 import smesher
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import smesher_pb2
from protocol.types import address
from protocol.types.ids import Address, NodeId
from tests.support.node_backend import StoresBackend

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
    """Smeshing that notes how it is started, and hangs when it is stopped."""

    is_supervised = is_smeshing = True

    def __init__(self) -> None:
        self.started: list[SetupOptions] = []

    def identities(self) -> Sequence[tuple[NodeId, str]]:
        return []

    def coinbase(self) -> Address:
        return Address(bytes(24))

    def set_coinbase(self, coinbase: Address) -> None:
        """Nobody asks for it."""

    def setup(self) -> Setup:
        return Setup()

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        self.started.append(options)

    async def stop(self, *, delete_files: bool) -> None:
        await asyncio.get_running_loop().create_future()

    async def providers(self, *, benchmark: bool) -> Sequence[Provider]:
        raise SmeshingRefused("no device was found")


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
            return {"code": 0, "response": MessageToDict(await method.call(request))}
        except Failed as error:
            return {"code": int(error.status), "message": error.message}


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
        await served.answer({"method": "StartSmeshing", "request": {"coinbase": coinbase, "opts": chosen}})
        assert [one.provider for one in served.smeshing.started] == [chain_a().smeshing.opts.provider, 0]

    asyncio.run(main())


def test_a_stop_that_hangs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smesher, "WAIT_S", 0.01)

    async def main() -> None:
        served = Served(Smeshing())
        monkeypatch.setattr(smesher._done, "__defaults__", (0.01,))
        answer = await served.answer({"method": "StopSmeshing"})
        assert answer["code"] == Status.DEADLINE_EXCEEDED

    asyncio.run(main())


def test_a_machine_without_devices_says_so() -> None:
    async def main() -> None:
        answer = await Served(Smeshing()).answer({"method": "PostSetupProviders"})
        assert answer == {
            "code": Status.INTERNAL,
            "message": "failed to get OpenCL providers: no device was found",
        }

    asyncio.run(main())
