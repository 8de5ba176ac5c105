"""Requests and answers as they stand on a stream: lengths, and what went wrong. Protocol 09a, section 3.1.

    request    length as LEB128, then so many bytes
    answer     Response{data, error}, in the network's usual encoding, without a length before it

An answer with an error has no data. Some requests are closed without any answer. Machines see neither: they take and
give what is inside, or `Failed`.
"""

from __future__ import annotations

from node.contract.demands import Failed, Result
from node.p2p.wire import varint
from protocol.codec.declare import CodecError
from protocol.types.fetch import MAX_ERROR_SIZE, ServerResponse

MAX_REQUEST_BYTES = 10_240
"""Above it the whole connection is closed."""
MAX_LENGTH_BYTES = 9
"""Of a LEB128 number; a length that is allowed needs two."""

REFUSED = "refused"
"""The peer said why, which is the detail; or is to be told."""
NO_ANSWER = "no_answer"
"""The peer closed without an answer; or is to be answered so."""
TOO_LARGE = "too_large"
"""A request above the limit."""
BUSY = "busy"
"""Too many requests wait: closed without an answer."""
MALFORMED = "malformed"
"""An answer that is none."""


def request_frame(data: bytes) -> bytes:
    """A request as it is sent. Raises ValueError above the limit."""
    if len(data) > MAX_REQUEST_BYTES:
        raise ValueError(f"the request has {len(data)} bytes, expected at most {MAX_REQUEST_BYTES}")
    return varint.delimited(data)


def read_request(stream: bytes) -> bytes | Failed | None:
    """The request at the beginning of what came so far; None: more must come. What follows it is ignored.

    Failed: no_answer for a length that is not minimal or too long, too_large.
    """
    length = 0
    for at, one in enumerate(stream):
        length |= (one & 0x7F) << 7 * at
        if one < 0x80:
            if one == 0 and at > 0:
                return Failed(NO_ANSWER, "The length of the request is not written in the shortest form.")
            break
        if at + 1 == MAX_LENGTH_BYTES:
            return Failed(NO_ANSWER, "The length of the request has too many bytes.")
    else:
        return None
    if length > MAX_REQUEST_BYTES:
        return Failed(TOO_LARGE, f"The request has {length} bytes, expected at most {MAX_REQUEST_BYTES}.")
    end = at + 1 + length
    return stream[at + 1 : end] if len(stream) >= end else None


def response_frame(result: Result) -> bytes | None:
    """An answer as it is sent; None: the stream is closed without one."""
    if isinstance(result, bytes):
        return ServerResponse.codec.encode(ServerResponse(result))
    if isinstance(result, Failed) and result.reason == REFUSED:
        return ServerResponse.codec.encode(ServerResponse(b"", shortened(result.detail or result.reason)))
    return None


def read_response(stream: bytes) -> bytes | Failed:
    """What a peer has answered, all that came until it closed. Failed: no_answer, malformed, refused."""
    if not stream:
        return Failed(NO_ANSWER, "The peer closed without an answer.")
    try:
        response = ServerResponse.codec.decode(stream)
    except CodecError as error:
        return Failed(MALFORMED, str(error))
    if response.error:
        return Failed(REFUSED, response.error)
    return response.data


def shortened(text: str) -> str:
    """A text that fits into an answer."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= MAX_ERROR_SIZE else data[:MAX_ERROR_SIZE].decode("utf-8", "ignore")
