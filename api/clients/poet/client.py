"""One PoET server over HTTP/JSON, as the node's client speaks to it.

Info, parameters and proofs are asked with a bounded number of tries (a missing proof is polled for), a submit is
tried until the caller's time is up; cancel it, or put it below `asyncio.timeout`. Specified in protocol
02-poet-client, section 3.
"""

from __future__ import annotations

from api.clients.poet.errors import (
    BadBody,
    Conflict,
    GivingUp,
    InvalidRequest,
    PoetClientError,
    Unauthorized,
    UnrecognizedStatus,
)
from api.clients.poet.messages import (
    Authorisation,
    Info,
    Registration,
    RoundProof,
    read_info,
    read_pow_params,
    read_proof,
    read_registration,
    submit_body,
)
from api.clients.poet.transport import RetryPolicy, Send, general_policy, request, send_http, submit_policy
from api.edge.text import escaped
from api.http import bounded_json
from protocol.poet.registration import PowParams


class PoetClient:
    """Requests to one server."""

    def __init__(
        self, address: str, *, retry_delay_s: float = 0.4, retry_max: int = 10, send: Send = send_http
    ) -> None:
        """An address without a scheme is taken for http."""
        self.address = (address if "://" in address else f"http://{address}").rstrip("/")
        self._general = general_policy(retry_delay_s, retry_max)
        self._submit = submit_policy(retry_delay_s)
        self._send = send

    async def info(self) -> Info:
        """What the server says of itself. Raises PoetClientError."""
        return read_info(await self._get("/v1/info", "getting poet info"))

    async def pow_params(self) -> PowParams:
        """The proof of work that it asks for. Raises PoetClientError."""
        return read_pow_params(await self._get("/v1/pow_params", "getting PoW params"))

    async def proof(self, round_id: str) -> RoundProof:
        """The proof of a round, not verified. Raises PoetClientError; GivingUp while there is none."""
        body = await self._get(f"/v1/proofs/{round_id}", "getting proof")
        return await bounded_json.parsed(lambda text: read_proof(text, round_id), body)

    async def submit(
        self,
        prefix: bytes,
        challenge: bytes,
        signature: bytes,
        node_id: bytes,
        deadline_ns: int | None,
        authorisation: Authorisation,
    ) -> Registration:
        """Registers a challenge. Raises PoetClientError: Unauthorized, InvalidRequest, UnrecognizedStatus."""
        body = submit_body(prefix, challenge, node_id, signature, deadline_ns, authorisation)
        doing = "submitting challenge"
        return read_registration(await self._request(self._submit, "POST", "/v1/submit", body, doing))

    async def _get(self, path: str, doing: str) -> bytes:
        return await self._request(self._general, "GET", path, b"{}", doing)

    async def _request(self, policy: RetryPolicy, method: str, path: str, body: bytes, doing: str) -> bytes:
        try:
            answer = await request(self._send, policy, method, self.address + path, body)
        except GivingUp as error:
            raise GivingUp(f"{doing}: doing request: {error}") from None
        if answer.status == 200:
            if not answer.body:
                raise BadBody(f"{doing}: the answer is empty")
            return answer.body
        text = f"status code: {answer.reason}, body: {escaped(answer.body, 1000)}"
        errors: dict[int, type[PoetClientError]] = {400: InvalidRequest, 401: Unauthorized, 409: Conflict}
        kinds = {400: "invalid request: response ", 401: "unauthorized: response "}
        kind = errors.get(answer.status, UnrecognizedStatus)
        raise kind(f"{doing}: {kinds.get(answer.status, 'unrecognized error: ')}{text}")
