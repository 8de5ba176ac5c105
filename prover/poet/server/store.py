"""The databases of a PoET server, in the reference's formats: members of a round, proofs.

LevelDB. `rounds/<n>` maps the public key of a member to its challenge, so that members come out in the order of
their keys; `proofs` maps the decimal id of a round to its proof, and holds the challenges of the registration's
proof of work. One WriteBatch a call, on stable storage when the call returns. Specified in protocol 02-poet,
sections 7.4 to 7.6.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prover import durable, leveldb
from prover.errors import DataError, EnvironmentFault, ProofError
from prover.poet.server.records import ProofRecord, XdrError, decode_proof, encode_proof
from prover.poet.server.salvage import DamagedDatabase, require_whole, salvage

POW_CHALLENGE = b"pow_challenge"
POW_CHALLENGE_PREVIOUS = b"pow_challenge_previous"
NO_SPACE_WORDS = ("No space left", "Disk quota")

WRITE_BUFFER = 1 << 20
"""Bytes of a table in memory; the default of 4 MiB, once for every open database, is idle memory."""

REOPEN_S = 1.0
"""Between tries to open a database again that the disk did not let be written."""


def open_database(path: Path, *, create: bool = True) -> tuple[leveldb.DB, str]:
    """Opens a LevelDB, after its files were looked at, and says what was torn of it (a sentence, or nothing).

    Raises DataError where it is damaged, absent or held by another process.
    """
    report = require_whole(path)
    try:
        if create:
            durable.make_directory(path.parent, 0o777)
        opened = leveldb.DB(
            str(path),
            create_if_missing=create and report is None,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER,
        )
    except leveldb.IOError as error:
        raise _explained(path, str(error)) from None
    except leveldb.Error as error:
        raise DataError(f"the database {path} cannot be opened: {error}") from None
    except OSError as error:
        raise EnvironmentFault(f"the database {path} cannot be opened: {error}") from None
    if report is None or not report.torn:
        return opened, ""
    torn = "; ".join(map(str, report.torn))
    return opened, f"The database {path} was being written when its last server ended: {torn}. The state before counts."


def _explained(path: Path, text: str) -> ProofError:
    if "lock" in text.lower():
        return DataError(f"the database {path} is in use by another process: {text}")
    return EnvironmentFault(f"the database {path} cannot be opened: {text}")


class Database:
    """A LevelDB that is opened anew after a write that failed. One thread writes, any may read meanwhile.

    Behind a record that was torn, LevelDB goes on appending, acknowledges it, and leaves it out at its next start.
    Opened anew it ends its log before the torn record; what was acknowledged until then is all there.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        """Not open yet: `open` does that, or the first use."""
        self.path = path
        self._create = create
        self._guard = threading.Lock()
        """Held by whoever reads, opens or closes; not by a write, which waits for the disk."""
        self._handle: leveldb.DB | None = None
        self._next_try = 0.0
        self._problem = f"the database {path} is not open."
        self.torn = ""
        """What had to be left out when it was opened, in a sentence; nothing: nothing."""

    def open(self) -> None:
        """Opens it now. Raises DataError, EnvironmentFault."""
        with self._guard:
            self._opened()

    def _opened(self) -> leveldb.DB:
        """The open database, opened if it is time to try again. Raises DataError, EnvironmentFault."""
        if self._handle is None:
            if time.monotonic() < self._next_try:
                raise EnvironmentFault(self._problem)
            try:
                self._handle, self.torn = open_database(self.path, create=self._create)
            except ProofError as error:
                self._problem = str(error)
                self._next_try = time.monotonic() + REOPEN_S
                raise
        return self._handle

    def get(self, key: bytes) -> bytes | None:
        """The value of a key. Raises DataError, EnvironmentFault."""
        with self._guard, self._readable():
            value: bytes | None = self._opened().get(key, verify_checksums=True)
            return value

    def all_keys(self) -> list[bytes]:
        """All keys, ascending. Raises DataError, EnvironmentFault."""
        with self._guard, self._readable(), self._opened().iterator(include_value=False, verify_checksums=True) as rows:
            return list(rows)

    def all_values(self) -> list[bytes]:
        """All values, in the order of their keys. Raises DataError, EnvironmentFault."""
        with self._guard, self._readable(), self._opened().iterator(include_key=False, verify_checksums=True) as rows:
            return list(rows)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except leveldb.Error as error:
            raise DataError(f"the database {self.path} cannot be read: {error}") from None

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Puts rows, removes those whose value is None; durable when this returns. Raises as `get`."""
        with self._guard:
            handle = self._opened()
        try:
            with handle.write_batch(sync=True) as batch:
                for key, value in rows.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        except leveldb.Error as error:
            self.close()
            hint = " Make room on the disk." if any(word in str(error) for word in NO_SPACE_WORDS) else ""
            raise EnvironmentFault(f"{self.path} could not be written: {error}.{hint}") from error

    def close(self) -> None:
        """Closes it; the next use opens it again."""
        with self._guard:
            if self._handle is not None:
                self._handle.close()
                self._handle = None


class RoundStore:
    """The members of one round. One thread writes, any may read meanwhile."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """The store at `path`, opened by its first use."""
        self.path = path
        self._database = Database(path, create=create)

    @classmethod
    def create(cls, path: Path) -> RoundStore:
        """The store at `path`, made if absent. Raises DataError, EnvironmentFault."""
        store = cls(path)
        store._database.open()
        return store

    @classmethod
    def open(cls, path: Path) -> RoundStore:
        """The store that is at `path`. Raises DataError, EnvironmentFault."""
        store = cls(path, create=False)
        store._database.open()
        return store

    @property
    def torn(self) -> str:
        """What had to be left out when it was opened, in a sentence; nothing: nothing."""
        return self._database.torn

    def get(self, pubkey: bytes) -> bytes | None:
        """The challenge that a key registered. Raises DataError, EnvironmentFault."""
        return self._database.get(pubkey)

    def write(self, entries: Mapping[bytes, bytes]) -> None:
        """Adds members; they are on stable storage when this returns. Raises EnvironmentFault, DataError."""
        self._database.write(entries)

    def count(self) -> int:
        """How many members there are (walks over all of them). Raises DataError, EnvironmentFault."""
        return len(self._database.all_keys())

    def challenges(self) -> list[bytes]:
        """The challenges, ordered by the members' keys: the leaves of the membership tree. Raises as `count`."""
        return self._database.all_values()

    def close(self) -> None:
        """Closes the database."""
        self._database.close()


class ProofStore:
    """Proofs by round, and the proof of work's challenges. Reading and writing raise DataError, EnvironmentFault."""

    def __init__(self, path: Path) -> None:
        """The store at `path`, made if absent. Raises DamagedDatabase, DataError, EnvironmentFault."""
        self.path = path
        self.salvaged = ""
        """What became of a damaged database in whose place this one is."""
        self._database = Database(path, create=True)
        self._database.open()

    @classmethod
    def always(cls, path: Path) -> ProofStore:
        """The store at `path`; a damaged one is set aside, and what can be read of it is in a new one.

        Old proofs must never keep a round from being open: nodes have copies of them, and what is in work is published
        again. Everything is read once. Raises DataError where another process holds it, EnvironmentFault.
        """
        try:
            store = cls(path)
            try:
                store.check()
            except BaseException:
                store.close()
                raise
            return store
        except DamagedDatabase as error:
            saved = salvage(path, is_proof_row)
            store = cls(path)
            store.salvaged = f"{error} It was set aside: {saved}."
            return store

    @property
    def torn(self) -> str:
        """What had to be left out when it was opened, in a sentence; nothing: nothing."""
        return self._database.torn

    def check(self) -> None:
        """Reads every row with its checksum. Raises DamagedDatabase, EnvironmentFault."""
        try:
            self._database.all_keys()
        except DataError as error:
            raise DamagedDatabase(str(error)) from None

    def get(self, round_id: str) -> ProofRecord | None:
        """The proof of a round, None if there is none. DataError also where the row is damaged."""
        value = self.raw(round_id.encode())
        if value is None:
            return None
        try:
            return decode_proof(value, f"the proof of round {round_id}")
        except XdrError as error:
            raise DataError(f"failed to deserialize: {error}") from None

    def has(self, round_id: int) -> bool:
        """Whether the proof of a round is there."""
        return self.raw(str(round_id).encode()) is not None

    def raw(self, key: bytes) -> bytes | None:
        """The bytes of a row."""
        return self._database.get(key)

    def put_raw(self, key: bytes, value: bytes) -> None:
        """Writes one row, durably."""
        self._database.write({key: value})

    def put(self, record: ProofRecord, *, current: bytes | None = None, previous: bytes | None = None) -> None:
        """Stores a proof, and the challenges that follow from it, in one durable batch."""
        rows: dict[bytes, bytes | None] = {record.round_id.encode(): encode_proof(record)}
        if current is not None:
            rows[POW_CHALLENGE] = current
        if previous is not None:
            rows[POW_CHALLENGE_PREVIOUS] = previous
        self._database.write(rows)

    def pow_challenges(self) -> tuple[bytes | None, bytes | None]:
        """The stored challenges: current, previous."""
        return self.raw(POW_CHALLENGE), self.raw(POW_CHALLENGE_PREVIOUS)

    def rounds(self) -> list[int]:
        """The rounds that have a proof, ascending."""
        return sorted(int(key) for key in self._database.all_keys() if key.isdigit())

    def delete(self, round_id: int) -> None:
        """Forgets a round's proof."""
        self._database.write({str(round_id).encode(): None})

    def close(self) -> None:
        """Closes the database."""
        self._database.close()


def is_proof_row(key: bytes, value: bytes) -> bool:
    """Whether a row belongs into the database of proofs."""
    if key in (POW_CHALLENGE, POW_CHALLENGE_PREVIOUS):
        return bool(value)
    try:
        return decode_proof(value).round_id.encode() == key
    except XdrError:
        return False


def is_member_row(key: bytes, value: bytes) -> bool:
    """Whether a row belongs into the database of a round's members: a public key and a challenge."""
    return len(key) == len(value) == 32


def stored_rounds(directory: Path) -> list[int]:
    """The rounds that have a member database below `directory`, ascending."""
    try:
        names = [entry.name for entry in directory.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if is_round_name(name))


def is_round_name(name: str) -> bool:
    """Whether a directory's name is the decimal number of a round (32 bits)."""
    return name.isascii() and name.isdigit() and int(name) < 1 << 32


def migrate(datadir: Path, dbdir: Path) -> list[str]:
    """Moves databases of old versions to where they belong; returns what was moved.

    `<datadir>/proofs` goes to `<dbdir>/proofs`, `<datadir>/rounds/<n>/challengesDb` to `<dbdir>/rounds/<n>`. Raises
    DataError for a round's directory that has no number, and where both the old and the new place exist.
    """
    moves = []
    if (datadir / "proofs").is_dir() and any((datadir / "proofs").glob("CURRENT")):
        moves.append((datadir / "proofs", dbdir / "proofs"))
    rounds = datadir / "rounds"
    for entry in sorted(rounds.iterdir()) if rounds.is_dir() else ():
        if not entry.is_dir():
            continue
        if not is_round_name(entry.name):
            raise DataError(
                f"migrations failed: migrating rounds DBs: entry is not a uint32 {entry.name} (in {rounds}). "
                "Move it away."
            )
        if (entry / "challengesDb").is_dir():
            moves.append((entry / "challengesDb", dbdir / "rounds" / entry.name))
    for source, target in moves:
        _move_database(source, target)
    return [f"{source} -> {target}" for source, target in moves]


def _move_database(source: Path, target: Path) -> None:
    if target.exists():
        raise DataError(f"both {source} and {target} exist; keep the one that is right and remove the other")
    durable.make_directory(target.parent, 0o777)
    try:
        durable.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # on another file system: a copy becomes the database, and the source goes, only when it is whole on the disk
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        for place in (partial, *partial.rglob("*")):
            durable.sync_directory(place) if place.is_dir() else durable.sync_file(place)
        durable.rename(partial, target)
        shutil.rmtree(source)
