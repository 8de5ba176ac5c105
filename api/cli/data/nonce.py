"""`smesher nonce`: searches the VRF nonce in existing data, then beyond it."""

from __future__ import annotations

import argparse
import time

from api.cli import common
from api.cli.data import dataset
from api.cli.output import Output
from api.edge.signals import stop_on_signal
from kernels.devices.types import Stopped
from protocol.post.rules import vrf_difficulty
from prover.errors import DataError, Interrupted
from prover.post import check as pos
from prover.post import record as record_file
from prover.post.books import Books
from prover.post.dataset import DataSet
from prover.post.init import vrf_nonce
from prover.post.init.vrf_nonce import Nonce
from prover.post.layout import file_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")
    parser.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    parser.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    common.add_scrypt_arguments(parser)
    common.add_device_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 when the metadata holds a valid nonce at the end, 1 when none was found in a part of the data."""
    data = dataset.open_data(arguments.data_dir)
    files = data.layout.files(arguments.from_file, arguments.to_file)
    difficulty = vrf_difficulty(data.metadata.num_labels)
    with data.storage.lock():
        present = _present(data, files, output)
        common.compile_kernels(output)
        scrypt_n = dataset.scrypt_n_of(data, common.asked_scrypt_n(arguments), output)
        books = data.books(scrypt_n)
        began = time.monotonic()
        stored = _stored(data, scrypt_n, difficulty)
        total = sum(data.layout.file_labels(number) for number in present)
        stopped: list[bool] = []
        try:
            with (
                stop_on_signal(lambda: stopped.append(True)),
                output.progress("searching the VRF nonce in the data", total) as bar,
            ):
                best, wrong = vrf_nonce.search_data(
                    data.storage,
                    data.layout,
                    present,
                    data.commitment,
                    scrypt_n,
                    common.label32,
                    bar.update,
                    lambda: bool(stopped),
                )
        except Stopped:
            raise Interrupted("Stopped; run the same command again to search from the start.") from None
        for message in wrong:
            output.note(message)
        chosen = min(filter(None, (stored, best)), key=lambda nonce: (nonce.label32, nonce.index), default=None)
        if chosen is not None:
            books.save_nonce(chosen.index, chosen.value)
        elif len(present) == data.layout.num_files:
            chosen = _beyond(data, books, scrypt_n, arguments, output)
        if data.record is None:
            if data.damaged_record:
                output.note(f"It is kept as {data.storage.set_aside(record_file.FILE_NAME)}.")
            books.save_record(books.record)
    seconds = time.monotonic() - began
    if chosen is None:
        raise DataError(
            f"No VRF nonce is in the {len(present)} files that were searched. With complete data and without "
            "--from-file and --to-file the search goes on beyond the data."
        )
    output.event(
        "done",
        labels=total,
        seconds=round(seconds, 6),
        labels_per_second=round(total / seconds, 3) if seconds else 0.0,
        nonce=chosen.index,
        nonce_value=chosen.value.hex(),
        beyond_data=chosen.index >= data.metadata.num_labels,
    )
    where = "beyond the data" if chosen.index >= data.metadata.num_labels else "in the data"
    output.say(f"[bold green]done[/]  VRF nonce {chosen.index} ({where}), value {chosen.value.hex()}")
    return 0


def _present(data: DataSet, files: range, output: Output) -> list[int]:
    """The files that can be searched. Raises DataError for a short one: it would have to be searched again."""
    findings = pos.sizes(data.storage, data.layout, files)
    missing = [bad.file for bad in findings.short if bad.size is None]
    for bad in findings.short:
        if bad.size is not None:
            raise DataError(
                f"{data.storage.path / file_name(bad.file)} {bad.reason}. Run smesher init with the parameters of the "
                "directory to complete it, then search again."
            )
        output.note(f"{file_name(bad.file)} {bad.reason}: it is not searched")
    return [number for number in files if number not in missing]


def _stored(data: DataSet, scrypt_n: int, difficulty: bytes) -> Nonce | None:
    """The nonce of the metadata, if it is valid."""
    nonce = data.metadata.nonce
    if nonce is None or nonce > vrf_nonce.MAX_INDEX:
        return None
    label = common.label32(data.commitment, nonce, scrypt_n)
    return Nonce(nonce, label) if label < difficulty else None


def _beyond(data: DataSet, books: Books, scrypt_n: int, arguments: argparse.Namespace, output: Output) -> Nonce:
    devices = common.chosen_devices(arguments)
    options = common.engine_options(arguments)
    with common.open_pool(devices, scrypt_n, common.thread_count(arguments), output, options=options) as pool:
        try:
            with (
                stop_on_signal(pool.stop),
                output.progress("searching the VRF nonce beyond the data", None) as bar,
            ):
                return vrf_nonce.search_beyond(
                    books, pool, data.commitment, scrypt_n, common.label32, progress=bar.update
                )
        except Stopped:
            raise Interrupted("Stopped; run the same command again to go on from there.") from None
