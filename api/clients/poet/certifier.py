"""Certificates: what a node asks a certifier, what it accepts, and where it keeps them.

The proof of space goes to the certifier, which signs that the node holds it. Specified in protocol
02-poet-client, section 5.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

from api.clients.poet.errors import BadBody, PoetClientError
from api.clients.poet.messages import Certificate, CertifierInfo
from api.clients.poet.transport import Send, exponential_policy, request, send_http
from api.edge.text import escaped
from api.http import bounded_json
from protocol.poet.registration import InvalidCertificate, verify_certificate


@dataclass(frozen=True, slots=True)
class ProofOfSpace:
    """What the node proves to the certifier."""

    nonce: int
    indices: bytes
    pow: int
    node_id: bytes
    commitment_atx_id: bytes
    challenge: bytes
    num_units: int

    def body(self) -> bytes:
        """The certifier's request."""
        fields = {
            "proof": {"nonce": self.nonce, "indices": _text(self.indices), "pow": self.pow},
            "metadata": {
                "node_id": _text(self.node_id),
                "commitment_atx_id": _text(self.commitment_atx_id),
                "challenge": _text(self.challenge),
                "num_units": self.num_units,
            },
        }
        return json.dumps(fields, separators=(",", ":")).encode()


class CertificateStore(Protocol):
    """Certificates by (node id, certifier's key)."""

    def get(self, key: tuple[bytes, bytes]) -> Certificate | None:
        """The stored one."""

    def put(self, key: tuple[bytes, bytes], certificate: Certificate) -> None:
        """Stores or replaces."""

    def delete(self, key: tuple[bytes, bytes]) -> None:
        """Forgets; nothing where there is none."""


class MemoryCertificates:
    """A CertificateStore for tests and tools."""

    def __init__(self) -> None:
        self._rows: dict[tuple[bytes, bytes], Certificate] = {}

    def get(self, key: tuple[bytes, bytes]) -> Certificate | None:
        """The stored one."""
        return self._rows.get(key)

    def put(self, key: tuple[bytes, bytes], certificate: Certificate) -> None:
        """Stores or replaces."""
        self._rows[key] = certificate

    def delete(self, key: tuple[bytes, bytes]) -> None:
        """Forgets."""
        self._rows.pop(key, None)


class CertifierClient:
    """Gets certificates, one request in flight for each node and certifier."""

    def __init__(
        self,
        store: CertificateStore,
        post_of: Callable[[bytes], ProofOfSpace | None],
        *,
        retry_delay_s: float = 1.0,
        max_retry_delay_s: float = 30.0,
        max_retries: int = 5,
        send: Send = send_http,
        now_s: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        """`post_of` gives the proof of space on record for a node id, None if there is none."""
        self._store = store
        self._post_of = post_of
        self._policy = exponential_policy(retry_delay_s, max_retry_delay_s, max_retries)
        self._send = send
        self._now_s = now_s
        self._locks: WeakValueDictionary[tuple[bytes, bytes], asyncio.Lock] = WeakValueDictionary()

    async def certificate(self, node_id: bytes, certifier: CertifierInfo) -> Certificate:
        """The stored certificate, whether expired or not, else a new one. Raises PoetClientError."""
        key = (node_id, certifier.pubkey)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            stored = self._store.get(key)
            if stored is not None:
                return stored
            certificate = await self.certify(node_id, certifier)
            self._store.put(key, certificate)
            return certificate

    def forget(self, node_id: bytes, certifier: CertifierInfo) -> None:
        """The PoET refused the certificate: the next one is asked for anew."""
        self._store.delete((node_id, certifier.pubkey))

    async def certify(self, node_id: bytes, certifier: CertifierInfo) -> Certificate:
        """Asks the certifier. Raises PoetClientError."""
        post = self._post_of(node_id)
        if post is None:
            raise PoetClientError("PoST not found")
        url = certifier.url.rstrip("/") + "/certify"
        answer = await request(self._send, self._policy, "POST", url, post.body(), honour_retry_after=True)
        if answer.status != 200:
            raise PoetClientError(f"request failed with code {answer.status} (message: {escaped(answer.body, 1000)})")
        certificate, pubkey = _read(answer.body)
        if pubkey != certifier.pubkey:
            raise PoetClientError("pubkey is invalid")
        try:
            verify_certificate(certificate.data, certificate.signature, certifier.pubkey, node_id, self._now_s())
        except (InvalidCertificate, ValueError) as error:
            raise PoetClientError(f"verifying certificate: {error}") from None
        return certificate


def _read(body: bytes) -> tuple[Certificate, bytes]:
    """Certificate and signer's key; unknown fields and text after the object are ignored."""
    try:
        bounded_json.check(body)
        fields, _ = json.JSONDecoder().raw_decode(body.decode().lstrip())
    except (ValueError, RecursionError) as error:
        raise BadBody(f"decoding JSON response: {error}") from None
    if not isinstance(fields, dict):
        raise BadBody("decoding JSON response: not an object")
    try:
        values = [
            base64.b64decode(fields.get(name) or "", validate=True) for name in ("certificate", "signature", "pub_key")
        ]
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadBody(f"decoding JSON response: {error}") from None
    return Certificate(values[0], values[1]), values[2]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
