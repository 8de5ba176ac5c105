"""Errors of the prover floor. Each class of them has the exit code that a command ends with.

Messages are complete sentences that say what was found, what was expected and what to do, so that a command
can print them as they are.
"""

from __future__ import annotations

from typing import ClassVar


class ProofError(Exception):
    """Anything that keeps work on proof data from being done."""

    exit_code: ClassVar[int] = 1
    """The exit code of a command that ends with this error."""


class UsageError(ProofError):
    """What was asked for conflicts with what is there, or makes no sense by itself."""

    exit_code: ClassVar[int] = 2


class DataError(ProofError):
    """The answer is no: data is damaged, refused or locked."""

    exit_code: ClassVar[int] = 1


class EnvironmentFault(ProofError):
    """The machine does not play along: disk full, permission missing, device absent or failing."""

    exit_code: ClassVar[int] = 3


class Interrupted(ProofError):
    """Someone asked to stop. What was done before is kept."""

    exit_code: ClassVar[int] = 130


class MetadataError(DataError):
    """A small file beside the data cannot be read with one clear meaning. Nothing was written to it."""

    file: str
    """Name or path of the file, as the caller knows it."""
    field: str | None
    """The field that is wrong; None when it is the file as a whole."""
    reason: str
    """What was found and what was expected."""

    remedy: str
    """What to do, without a full stop."""

    def __init__(
        self, file: str, field: str | None, reason: str, remedy: str = "Correct the file or restore it from a copy"
    ) -> None:
        subject = file if field is None else f"{file}, field {field}"
        super().__init__(f"{subject}: {reason}. {remedy}; it was not changed.")
        self.file = file
        self.field = field
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[MetadataError], tuple[str, str | None, str, str]]:
        """Copies between processes are made from the fields, not from the message."""
        return (type(self), (self.file, self.field, self.reason, self.remedy))
