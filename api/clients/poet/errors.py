"""What can go wrong between a node and a PoET, by what the node does about it.

`error_class` is the stable word for programs. Specified in protocol 02-poet-client, sections 3 and 6.4.
"""

from __future__ import annotations


class PoetClientError(Exception):
    """A request to a PoET or certifier failed."""

    error_class: str

    def __init__(self, message: str, error_class: str = "other") -> None:
        super().__init__(message)
        self.error_class = error_class


class InvalidRequest(PoetClientError):
    """Status 400: also "too late to register"."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "invalid_request")


class Unauthorized(PoetClientError):
    """Status 401: the certificate or proof of work was refused."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unauthorized")


class UnrecognizedStatus(PoetClientError):
    """Any other status; final."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "unrecognized_status")


class Conflict(UnrecognizedStatus):
    """Status 409: the server has another challenge of the identity in this round."""


class BadBody(PoetClientError):
    """The answer is not what it should be; final."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "bad_body")


class GivingUp(PoetClientError):
    """All tries failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "giving_up")


class Unreachable(PoetClientError):
    """No answer came; `retryable` says whether another try makes sense."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, "unreachable")
        self.retryable = retryable


class PhaseShiftMismatch(PoetClientError):
    """The server keeps other times than the node is configured for; the node must not go on with it."""


class InvalidProof(PoetClientError):
    """The server's proof does not hold."""
