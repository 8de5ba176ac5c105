"""Which label is in which file: pure arithmetic over the number of labels and the size of a file.

Files are numbered from 0, hold labels of 16 bytes in ascending order without header or padding, and are all
full but the last. Specified in protocol 01-post, section 3; the names that the reference's readers take for
data files are those of `post: shared/shared.go` (`IsInitFile`) and `post-rs: src/reader.rs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol.post.rules import LABEL_SIZE
from prover.errors import UsageError

_NAME = re.compile(r"postdata_(0|[1-9][0-9]{0,17})\.bin")
_RUST_NAME = re.compile(r"postdata_[0-9]+\.bin")
# Neither anchored nor with an escaped dot: the Go library also finds its pattern inside longer names.
_GO_NAME = re.compile(r"postdata_(.*).bin")
_GO_NUMBER = re.compile(r"[+-]?0*[0-9]{1,19}")


def file_name(k: int) -> str:
    """The name of data file number `k`."""
    return f"postdata_{k}.bin"


def file_number(name: str) -> int | None:
    """The number in a data file's name, or None when it is not exactly the name of one (no leading zeros)."""
    match = _NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def looks_like_data(name: str) -> bool:
    """Whether a program of the reference counts or reads this name as a data file although it is not one.

    `postdata_001.bin` is read as file 1 by post-rs; `postdata_9xbin` and `postdata_1.bin.bak` count as files
    9 and 1 in the Go library, which deletes them when the number is above the last one needed.
    """
    if file_number(name) is not None:
        return False
    if _RUST_NAME.fullmatch(name):
        return True
    match = _GO_NAME.search(name)
    return match is not None and _GO_NUMBER.fullmatch(match.group(1)) is not None


@dataclass(frozen=True, slots=True)
class Layout:
    """How `num_labels` labels are spread over files of at most `max_file_size` bytes.

    A size that is no multiple of 16 is used as its floor, as the reference does; whether to accept it for new
    data is the caller's decision. Raises UsageError when not a single label fits into a file or the number is
    negative.
    """

    num_labels: int
    """Labels in all files together."""
    max_file_size: int
    """Bytes that a file holds at most."""

    def __post_init__(self) -> None:
        if self.num_labels < 0:
            raise UsageError(f"The number of labels is {self.num_labels}, expected 0 or more.")
        if self.max_file_size < LABEL_SIZE:
            raise UsageError(
                f"The maximum file size is {self.max_file_size} bytes, expected at least {LABEL_SIZE}, the "
                "size of one label. Choose a larger size, such as 4294967296."
            )

    @property
    def labels_per_file(self) -> int:
        """Labels in every file but perhaps the last."""
        return self.max_file_size // LABEL_SIZE

    @property
    def num_files(self) -> int:
        """Files needed for all labels."""
        return -(-self.num_labels // self.labels_per_file)

    def first_label(self, k: int) -> int:
        """The index of the label that file `k` begins with. Raises ValueError for a negative number."""
        _check_file(k)
        return k * self.labels_per_file

    def file_labels(self, k: int) -> int:
        """Labels that belong into file `k`; 0 past the last file. Raises ValueError for a negative number."""
        return max(0, min(self.labels_per_file, self.num_labels - self.first_label(k)))

    def file_size(self, k: int) -> int:
        """Bytes of file `k` when it is complete; 0 past the last file. Raises ValueError if negative."""
        return self.file_labels(k) * LABEL_SIZE

    def locate(self, label: int) -> tuple[int, int]:
        """The file number and the byte offset in it where a label starts.

        Raises ValueError when the label is not in the data; a VRF nonce may lie beyond it.
        """
        if not 0 <= label < self.num_labels:
            raise ValueError(f"label {label} is not in the data, which holds the labels 0 to {self.num_labels - 1}")
        k, within = divmod(label, self.labels_per_file)
        return k, within * LABEL_SIZE

    def files(self, from_file: int | None, to_file: int | None) -> range:
        """The numbers of the files from `from_file` to `to_file`, both included; None means first, last.

        Raises UsageError when the range is empty or leaves the layout.
        """
        last = self.num_files - 1
        if from_file is None and to_file is None:
            return range(last + 1)
        first, final = 0 if from_file is None else from_file, last if to_file is None else to_file
        if 0 <= first <= final <= last:
            return range(first, final + 1)
        allowed = f"0 <= --from-file <= --to-file <= {last}" if last >= 0 else "no files at all"
        raise UsageError(
            f"--from-file {_shown(from_file, first)} and --to-file {_shown(to_file, final)} do not name a "
            f"range of files, expected {allowed}: the data has {self.num_files} files, counted from 0."
        )


def _check_file(k: int) -> None:
    if k < 0:
        raise ValueError(f"file number {k} is negative")


def _shown(given: int | None, used: int) -> str:
    return str(given) if given is not None else f"(not given, so {used})"
