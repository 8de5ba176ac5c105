"""The methods of a PoET server as messages, once for gRPC and for the JSON gateway.

Specified in protocol 02-poet, section 9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Status
from api.http import protojson
from api.http.gateway import Encoded
from api.services.poet.service import PoetService
from protocol.numbers.time import Time
from protocol.pb.rpc.api.v1 import api_pb2, internal_api_pb2
from protocol.poet.registration import PowParams
from prover.poet.server.records import ProofRecord
from prover.poet.server.registration import Refused, Registered, Submit

PROOF_CACHE = 8
"""Proofs that are kept ready; every client of a round asks for the same one at the same time."""

POET_SERVICE = api_pb2.DESCRIPTOR.services_by_name["PoetService"]
CONFIGURATION_SERVICE = internal_api_pb2.DESCRIPTOR.services_by_name["ConfigurationService"]

Call = Callable[[Any], Awaitable[Message]]


def failed(refused: Refused) -> Failed:
    """A refusal as the end of a call."""
    return Failed(Status(refused.code), refused.message)


def submit_of(message: api_pb2.SubmitRequest) -> Submit:
    """The registration in a message."""
    deadline = None
    if message.HasField("deadline"):
        moment = Time(message.deadline.seconds, message.deadline.nanos)
        deadline = None if moment.is_zero else moment.unix_ns
    certificate = None
    if message.HasField("certificate"):
        certificate = (message.certificate.data, message.certificate.signature)
    return Submit(
        message.prefix,
        message.challenge,
        message.pubkey,
        message.signature,
        message.nonce,
        PowParams(message.pow_params.challenge, message.pow_params.difficulty),
        deadline,
        certificate,
        message.certificate_pubkey_hint,
    )


def proof_message(record: ProofRecord) -> api_pb2.ProofResponse:
    """A stored proof as a message."""
    nip = record.nip
    return api_pb2.ProofResponse(
        proof=api_pb2.PoetProof(
            proof=api_pb2.MerkleProof(root=nip.root, proven_leaves=nip.proven_leaves, proof_nodes=nip.proof_nodes),
            members=record.members,
            leaves=record.num_leaves,
        ),
        pubkey=record.service_pubkey,
    )


class PoetCalls:
    """The methods of PoetService and ConfigurationService over one service."""

    def __init__(self, service: PoetService) -> None:
        self._service = service
        self._encoded: dict[str, asyncio.Future[Encoded]] = {}

    def poet(self) -> dict[str, Call]:
        """For clients of gRPC."""
        return {"Info": self.info, "PowParams": self.pow_params, "Proof": self.proof, "Submit": self.submit}

    def gateway(self) -> dict[str, Callable[[Any], Awaitable[Message | Encoded]]]:
        """For clients of HTTP: proofs are encoded once for all who ask."""
        return {**self.poet(), "Proof": self.encoded_proof}

    def configuration(self) -> dict[str, Call]:
        """For the operator."""
        return {"ReloadTrustedKeys": self.reload_trusted_keys}

    async def info(self, request: Message) -> api_pb2.InfoResponse:
        """What a client has to know."""
        schedule = self._service.config.schedule
        answer = api_pb2.InfoResponse(service_pubkey=self._service.pubkey)
        answer.phase_shift.FromNanoseconds(schedule.phase_shift_ns)
        answer.cycle_gap.FromNanoseconds(schedule.cycle_gap_ns)
        certifier = self._service.certifier()
        if certifier is not None:
            answer.certifier.SetInParent()
            answer.certifier.url, answer.certifier.pubkey = certifier
        return answer

    async def pow_params(self, request: Message) -> api_pb2.PowParamsResponse:
        """The parameters of the proof of work."""
        params = self._service.pow_params()
        return api_pb2.PowParamsResponse(
            pow_params=api_pb2.PowParams(difficulty=params.difficulty, challenge=params.challenge)
        )

    async def proof(self, request: api_pb2.ProofRequest) -> api_pb2.ProofResponse:
        """The proof of a round."""
        return proof_message(await self._record(request.round_id))

    async def _record(self, round_id: str) -> ProofRecord:
        if not self._service.may_have_proof(round_id):
            found: ProofRecord | Refused = self._service.no_proof
        else:
            found = await asyncio.to_thread(self._service.proof, round_id)
        if isinstance(found, Refused):
            raise failed(found)
        return found

    async def encoded_proof(self, request: api_pb2.ProofRequest) -> Encoded:
        """The same as JSON, once for all who ask for it."""
        known = self._encoded.get(request.round_id)
        if known is None:
            record = await self._record(request.round_id)
            known = self._encoded.get(request.round_id) or self._encode(request.round_id, record)
        return await asyncio.shield(known)

    def _encode(self, round_id: str, record: ProofRecord) -> asyncio.Future[Encoded]:
        def encode() -> Encoded:
            message = proof_message(record)
            return Encoded(protojson.encode(message), message.ByteSize())

        made = asyncio.ensure_future(asyncio.to_thread(encode))
        if len(self._encoded) >= PROOF_CACHE:
            del self._encoded[next(iter(self._encoded))]
        self._encoded[round_id] = made
        return made

    async def submit(self, request: api_pb2.SubmitRequest) -> api_pb2.SubmitResponse:
        """Registers a challenge; answers once it is on stable storage."""
        answered: asyncio.Future[Refused | Registered] = asyncio.get_running_loop().create_future()

        def answer(verdict: Refused | Registered) -> None:
            if not answered.done():  # the caller may have gone
                answered.set_result(verdict)

        self._service.submit(submit_of(request), answer)
        verdict = await answered
        if isinstance(verdict, Refused):
            raise failed(verdict)
        response = api_pb2.SubmitResponse(round_id=str(verdict.round_id))
        response.round_end.FromNanoseconds(verdict.end_ns - self._service.clock())
        return response

    async def reload_trusted_keys(self, request: Message) -> internal_api_pb2.ReloadTrustedKeysResponse:
        """Reads the trusted keys anew."""
        refused = await asyncio.to_thread(self._service.reload_trusted_keys)
        if refused is not None:
            raise failed(refused)
        return internal_api_pb2.ReloadTrustedKeysResponse()
