"""`SmesherService`: smeshing of the node itself, begun and ended, and how far its data is.

Beyond the reference, `StartSmeshing` refuses what it lacks, and every call returns in a bounded time.
Specified in protocol 10-api, sections 3.8 and 9.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Status
from api.services.node.backend import Backend
from api.services.node.smeshing import Setup, SetupOptions, Smeshing, SmeshingRefused
from protocol.numbers.durations import SECOND
from protocol.pb.spacemesh.v1 import smesher_types_pb2 as pb

from .convert import Convert
from .requests import address_of, invalid

NOT_SUPERVISED = "node is not configured for supervised smeshing"
BITS_PER_LABEL = 128
WAIT_S = 30.0
"""For smeshing to begin or end."""
BENCHMARK_S = 120.0
"""For all devices together."""

RETIRED = {
    "SmesherID": "this endpoint has been deprecated, use `SmesherIDs` instead",
    "MinGas": "this endpoint is not implemented",
    "SetMinGas": "this endpoint is not implemented",
    "EstimatedRewards": "this endpoint is not implemented",
}
"""Methods that nobody serves any more, with what is said to those who ask."""

T = TypeVar("T")
R = TypeVar("R", pb.StartSmeshingResponse, pb.StopSmeshingResponse, pb.SetCoinbaseResponse)


def calls(backend: Backend, smeshing: Smeshing) -> dict[str, Any]:
    """The methods by their names."""
    service = SmesherService(backend, smeshing)
    return {
        "IsSmeshing": service.is_smeshing,
        "StartSmeshing": service.start_smeshing,
        "StopSmeshing": service.stop_smeshing,
        "SmesherIDs": service.smesher_ids,
        "Coinbase": service.coinbase,
        "SetCoinbase": service.set_coinbase,
        "PostSetupStatus": service.post_setup_status,
        "PostSetupStatusStream": service.post_setup_status_stream,
        "PostSetupProviders": service.post_setup_providers,
        "PostConfig": service.post_config,
        **{name: _refusing(text) for name, text in RETIRED.items()},
    }


class SmesherService:
    """The methods over one node."""

    def __init__(self, backend: Backend, smeshing: Smeshing) -> None:
        self._config, self._smeshing = backend.config, smeshing
        self._convert = Convert(backend.config.main.network_hrp)

    async def is_smeshing(self, request: Empty) -> pb.IsSmeshingResponse:
        """Whether the node smeshes itself. Raises Failed."""
        self._require_supervised()
        return pb.IsSmeshingResponse(is_smeshing=self._smeshing.is_smeshing)

    async def start_smeshing(self, request: pb.StartSmeshingRequest) -> pb.StartSmeshingResponse:
        """Begins. Raises Failed."""
        self._require_supervised()
        if not request.HasField("coinbase"):
            raise invalid("`Coinbase` must be provided")
        options = self._options(request)
        coinbase = address_of(
            request.coinbase.address, self._config.main.network_hrp, "failed to parse in.Coinbase.Address"
        )
        await _done(self._smeshing.start(coinbase, options), "failed to start post supervisor")
        return _fine(pb.StartSmeshingResponse())

    async def stop_smeshing(self, request: pb.StopSmeshingRequest) -> pb.StopSmeshingResponse:
        """Ends. Raises Failed."""
        await _done(self._smeshing.stop(delete_files=request.delete_files), "failed to stop smeshing")
        return _fine(pb.StopSmeshingResponse())

    async def smesher_ids(self, request: Empty) -> pb.SmesherIDsResponse:
        """The public keys of those who smesh here."""
        return pb.SmesherIDsResponse(public_keys=[identity for identity, _ in self._smeshing.identities()])

    async def coinbase(self, request: Empty) -> pb.CoinbaseResponse:
        """Where rewards go."""
        return pb.CoinbaseResponse(account_id=self._convert.account_id(self._smeshing.coinbase()))

    async def set_coinbase(self, request: pb.SetCoinbaseRequest) -> pb.SetCoinbaseResponse:
        """Sets it, until the next start. Raises Failed."""
        if not request.HasField("id"):
            raise invalid("`Id` must be provided")
        coinbase = address_of(request.id.address, self._config.main.network_hrp, "failed to parse in.Id.Address")
        self._smeshing.set_coinbase(coinbase)
        return _fine(pb.SetCoinbaseResponse())

    async def post_setup_status(self, request: Empty) -> pb.PostSetupStatusResponse:
        """How far the data is."""
        return pb.PostSetupStatusResponse(status=_status(self._smeshing.setup()))

    async def post_setup_status_stream(self, request: Empty) -> AsyncIterator[Message | Headers]:
        """The same again and again; the first after one interval."""
        interval_s = self._config.api.smesherstreaminterval_ns / SECOND
        while True:
            await asyncio.sleep(interval_s)
            yield pb.PostSetupStatusStreamResponse(status=_status(self._smeshing.setup()))

    async def post_setup_providers(self, request: pb.PostSetupProvidersRequest) -> pb.PostSetupProvidersResponse:
        """The devices that can make labels. Raises Failed."""
        work = self._smeshing.providers(benchmark=request.benchmark)
        found = await _done(work, "failed to get OpenCL providers", BENCHMARK_S)
        return pb.PostSetupProvidersResponse(
            providers=[
                # the reference says so of processors too
                pb.PostSetupProvider(
                    id=one.id,
                    model=one.name,
                    device_type=pb.PostSetupProvider.DEVICE_CLASS_GPU,
                    performance=one.labels_per_second,
                )
                for one in found
            ]
        )

    async def post_config(self, request: Empty) -> pb.PostConfigResponse:
        """What the network demands of data."""
        post = self._config.post
        return pb.PostConfigResponse(
            bits_per_label=BITS_PER_LABEL,
            labels_per_unit=post.labels_per_unit,
            min_num_units=post.min_numunits,
            max_num_units=post.max_numunits,
            k1=post.k1,
            k2=post.k2,
        )

    def _require_supervised(self) -> None:
        if not self._smeshing.is_supervised:
            raise Failed(Status.FAILED_PRECONDITION, NOT_SUPERVISED)

    def _options(self, request: pb.StartSmeshingRequest) -> SetupOptions:
        """What is wanted, complete. Raises Failed."""
        if not request.HasField("opts"):
            raise invalid("`Opts` must be provided")
        options, post = request.opts, self._config.post
        for name, value in (
            ("DataDir", options.data_dir),
            ("NumUnits", options.num_units),
            ("MaxFileSize", options.max_file_size),
        ):
            if not value:
                raise invalid(f"`Opts.{name}` must be provided")
        if not post.min_numunits <= options.num_units <= post.max_numunits:
            raise invalid(
                f"`Opts.NumUnits` is {options.num_units}, expected {post.min_numunits} to {post.max_numunits}"
            )
        return SetupOptions(
            options.data_dir,
            options.num_units,
            options.max_file_size,
            options.provider_id if options.HasField("provider_id") else self._config.smeshing.opts.provider,
            options.throttle,
        )


async def _done(work: Awaitable[T], failure: str, seconds: float = WAIT_S) -> T:
    """What it comes to, in a bounded time. Raises Failed."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except SmeshingRefused as error:
        raise Failed(Status.INTERNAL, f"{failure}: {error}") from None
    except TimeoutError:
        raise Failed(Status.DEADLINE_EXCEEDED, f"{failure}: it takes longer than {seconds:.0f} s") from None


def _fine(answer: R) -> R:
    """With the status 0, which has no text."""
    answer.status.SetInParent()
    return answer


def _status(setup: Setup) -> pb.PostSetupStatus:
    found = pb.PostSetupStatus(
        state=pb.PostSetupStatus.State.Name(setup.state), num_labels_written=setup.labels_written
    )
    options = setup.options
    if options is not None:
        found.opts.CopyFrom(
            pb.PostSetupOpts(
                data_dir=options.data_dir,
                num_units=options.num_units,
                max_file_size=options.max_file_size,
                provider_id=options.provider,
                throttle=options.throttle,
            )
        )
    return found


def _refusing(text: str) -> Any:
    async def refuse(request: Message) -> Message:
        raise Failed(Status.UNIMPLEMENTED, text)

    return refuse
