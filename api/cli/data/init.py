"""`smesher init`: fills a directory with PoST labels, or goes on where an earlier run stopped."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.data import dataset, jobs, owners, pause, places
from api.cli.data.owners import Job
from api.cli.output import Output
from api.cli.progress import Progress, rate_text
from api.cli.units import byte_size, duration
from api.edge.signals import rest_on_signal, stop_on_signal
from protocol.post.rules import LABEL_SIZE
from prover.errors import EnvironmentFault, Interrupted, MetadataError, UsageError
from prover.post import identity as identity_file
from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.identity import Identity
from prover.post.init import plan as planning
from prover.post.init.plan import Found, InitPlan, Request
from prover.post.init.run import Initialisation, look
from prover.post.init.run import Progress as InitProgress
from prover.post.layout import file_name

if TYPE_CHECKING:
    from kernels.devices.pool import DeviceReport, Pool
    from kernels.devices.types import Device

SPARE_BYTES = 1 << 20
"""Room that is asked for beside the labels: metadata and what the file system needs for itself."""

EPILOG = """\
Run the same command again to go on after any interruption. Without --network or parameters the main network
is meant. --data-dir may also name a TOML file: directories = ["/mnt/a", {data-dir = "/mnt/b", num-units = 8}];
they are filled one after another, the other options count for all of them.

  smesher init --data-dir /mnt/post --num-units 4 --commitment-atx-id HEX
  smesher init --data-dir /tmp/try --num-units 2 --network testnet --commitment-atx-id HEX --cpu
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--data-dir", required=True, type=common.path, metavar="D", help="directory, or a TOML list of them"
    )
    parser.add_argument("--num-units", type=common.whole_number, metavar="U", help="units (of 64 GiB on mainnet)")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--node-id", metavar="HEX", help="public key of the smesher")
    who.add_argument("--identity", type=common.path, metavar="FILE", help="key file of the smesher")
    parser.add_argument("--commitment-atx-id", metavar="HEX", help="the ATX that the labels commit to")
    parser.add_argument(
        "--max-file-size",
        type=common.memory_size,
        metavar="SIZE",
        help="of a data file, in bytes or such as 4G (default 4 GiB)",
    )
    network = parser.add_argument_group("network (default: mainnet)")
    network.add_argument("--network", metavar="NAME", help="mainnet, testnet, fastnet or standalone")
    network.add_argument("--labels-per-unit", type=common.whole_number, metavar="L", help="labels in a unit")
    network.add_argument("--scrypt-n", type=common.whole_number, metavar="N", help="a power of two from 2")
    network.add_argument("--min-num-units", type=common.whole_number, metavar="U", help="fewest units")
    network.add_argument("--max-num-units", type=common.whole_number, metavar="U", help="most units")
    common.add_device_arguments(parser)
    part = parser.add_argument_group("part of the data")
    part.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    part.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    parser.add_argument(
        "--throttle", type=common.percent, default=100.0, metavar="PERCENT", help="share of time to work"
    )
    parser.add_argument("--grow", action="store_true", help="extend the data to more units than before")
    parser.add_argument("--yes", action="store_true", help="go on where labels or files would be deleted")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Fills every directory of the call; the last one's result is the last event."""
    if arguments.throttle <= 0:
        raise UsageError("--throttle is 0 percent: nothing would ever be done. Choose 1 to 100.")
    works = [Job(Storage(options.data_dir), options) for options in jobs.of(arguments)]
    for job in works:
        places.check_new(job.storage.path, "--data-dir")
    owners.check_distinct(works)
    for job in works:
        _fill(job, output)
    return 0


def _fill(job: Job, output: Output) -> None:
    storage = job.storage
    devices: list[Device] = []
    if not storage.exists():  # refuse before a directory is made
        _, plan, _ = _decide(job, Found())
        devices = common.chosen_devices(job.options)
        _check_room(storage, plan)
    made = storage.create()
    try:
        with storage.lock():
            _fill_locked(job, devices, output)
    except Exception:
        for place in reversed(made):
            with contextlib.suppress(OSError):  # something was written into it: then it stays
                place.rmdir()
        raise


def _fill_locked(job: Job, devices: list[Device], output: Output) -> None:
    """`devices`: those that the options name, where they are known already."""
    storage, options = job.storage, job.options
    request, plan, new_identity = _decide(job, look(storage))
    for note in plan.notes:
        output.note(note)
    _check_room(storage, plan)
    _check_writable(storage, plan)
    if plan.lacks_labels and not devices:
        devices = common.chosen_devices(options)
    common.compile_kernels(output)
    if new_identity is not None:
        storage.create_secret(identity_file.FILE_NAME, new_identity.encode())
        output.note(
            f"A new identity was made: {storage.path / identity_file.FILE_NAME}. Keep it secret, keep a copy, and "
            "copy it to the node's data/identities."
        )
    with dataset.many_labels(common.thread_count(options)) as labels32:
        initialisation = Initialisation(storage, request, plan, common.label32, labels32=labels32, note=output.note)
        initialisation.prepare()
    if not initialisation.has_work:
        _report(job, request, initialisation, 0.0, [], output)
        return
    with common.open_pool(
        devices or common.chosen_devices(options),
        request.scrypt_n,
        common.thread_count(options),
        output,
        options=common.engine_options(options, options.throttle / 100),
    ) as pool:
        seconds = _work(storage, request, initialisation, pool, output)
        _report(job, request, initialisation, seconds, pool.reports, output)


def _decide(job: Job, found: Found) -> tuple[Request, InitPlan, Identity | None]:
    """The request with what the directory adds to it, the plan, and an identity that is still to be written."""
    options, storage = job.options, job.storage
    before = None
    if found.metadata is not None:
        try:
            before = metadata_file.decode(found.metadata, str(storage.path / metadata_file.FILE_NAME))
        except MetadataError:
            if found.num_labels:
                raise  # without labels `decide` says whether it may be overwritten
    params = common.params_of(options)
    node_id, new_identity = owners.identity(job, found, before.node_id if before else None)
    if options.commitment_atx_id is None and before is None:
        raise UsageError("--commitment-atx-id is missing: a new directory needs the ATX that its labels commit to.")
    if options.num_units is None and before is None:
        raise UsageError("--num-units is missing: a new directory needs its size.")
    request = Request(
        node_id=node_id,
        commitment_atx_id=(
            before.commitment_atx_id
            if options.commitment_atx_id is None and before
            else common.hex_bytes(options.commitment_atx_id, "--commitment-atx-id")
        ),
        labels_per_unit=params.labels_per_unit,
        num_units=before.num_units if options.num_units is None and before else options.num_units,
        max_file_size=(
            options.max_file_size
            if options.max_file_size is not None
            else before.max_file_size
            if before
            else params.max_file_size
        ),
        scrypt_n=params.scrypt_n,
        min_num_units=params.min_num_units,
        max_num_units=params.max_num_units,
        k1=params.k1,
        from_file=options.from_file,
        to_file=options.to_file,
        grow=options.grow,
        yes=options.yes,
    )
    planning.check(request)
    return request, planning.decide(request, found, str(storage.path)), new_identity


def _check_room(storage: Storage, plan: InitPlan) -> None:
    """Room first: it takes no time, whatever was asked for."""
    needed = (plan.num_labels - plan.labels_there) * LABEL_SIZE + SPARE_BYTES
    free = storage.free_bytes()
    if plan.lacks_labels and needed > free:
        raise EnvironmentFault(
            f"{storage.path}: the disk has {byte_size(free)} free, {byte_size(needed)} are needed for the "
            "labels that are missing. Free some space, choose another disk, or fewer units or files."
        )
    if plan.lacks_labels:
        places.check_file_size(storage.path, plan.layout.file_size(0))


def _check_writable(storage: Storage, plan: InitPlan) -> None:
    names = [file_name(one.number) for one in plan.files.there if one.keep < one.target or one.cut]
    storage.check_writable([*names, metadata_file.FILE_NAME])


def _work(storage: Storage, request: Request, initialisation: Initialisation, pool: Pool, output: Output) -> float:
    """Computes what is missing; returns the seconds it took."""
    shown = _Shown(output, pool)
    began = time.monotonic()
    rest = pause.listener(storage, shown.pause, shown.resume)

    def stop() -> None:
        initialisation.stop()
        pool.stop()

    with stop_on_signal(stop), rest_on_signal(rest), shown:
        try:
            initialisation.run(pool, shown.update)
        except Interrupted as error:
            done = sum(storage.data_files().values()) // LABEL_SIZE
            raise Interrupted(
                f"Stopped with {done} of {request.num_labels} labels on disk; {str(error).removeprefix('Stopped; ')}"
            ) from None
        finally:
            pause.forget(storage)
    return time.monotonic() - began


def _report(
    job: Job,
    request: Request,
    initialisation: Initialisation,
    seconds: float,
    reports: Sequence[DeviceReport],
    output: Output,
) -> None:
    storage, metadata, written = job.storage, initialisation.metadata, initialisation.labels_written
    there = sum(storage.data_files().values()) // LABEL_SIZE
    output.event(
        "done",
        data_dir=str(storage.path),
        labels=written,
        seconds=round(seconds, 6),
        labels_per_second=round(written / seconds, 3) if seconds > 0 else 0.0,
        nonce=metadata.nonce,
        nonce_value=metadata.nonce_value.hex() if metadata.nonce_value else None,
        node_id=metadata.node_id.hex(),
        commitment_atx_id=metadata.commitment_atx_id.hex(),
        num_units=metadata.num_units,
        labels_on_disk=there,
        total_labels=request.num_labels,
        complete=there == request.num_labels,
        errors=[error for report in reports for error in report.errors],
    )
    _say_result(storage, request, written, seconds, there, metadata.nonce, output)


def _say_result(
    storage: Storage, request: Request, written: int, seconds: float, there: int, nonce: int | None, output: Output
) -> None:
    if output.json:
        return
    rate = f" in {duration(seconds)}, {rate_text(written / seconds, 'labels')}" if written and seconds else ""
    output.say(f"[bold green]done[/]  {storage.path}: {written:,} labels written{rate}")
    if there == request.num_labels:
        output.say(f"      complete: {there:,} labels ({byte_size(there * LABEL_SIZE)}); VRF nonce {nonce}")
        output.next("verify", storage.path)
    else:
        output.say(f"      {there:,} of {request.num_labels:,} labels are there; the rest belongs to other runs")


_PHASES = {
    "redo": "making doubtful labels again",
    "fill": "labels",
    "scan": "searching the VRF nonce in the data",
    "search": "searching the VRF nonce beyond the data",
}


class _Shown:
    """Progress of the phases of an initialisation on the screen."""

    def __init__(self, output: Output, pool: Pool) -> None:
        from kernels.devices import rig

        self._output = output
        self._pool = pool
        self._phase = ""
        self._bar: Progress | None = None
        self._rates = common.DeviceRates(pool)
        self._states = rig.States(pool)

    def pause(self) -> None:
        """Lets the devices rest, and shows it."""
        self._pool.pause()
        if self._bar is not None:
            self._bar.pause("paused (smesher resume)")
        self._output.event("paused")

    def resume(self) -> None:
        """Lets the devices go on."""
        self._pool.resume()
        if self._bar is not None:
            self._bar.resume()
        self._output.event("resumed")

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, progress: InitProgress) -> None:
        """Takes what `Initialisation` reports."""
        if progress.phase != self._phase or self._bar is None:
            if self._bar is not None:
                self._bar.close()
            self._phase = progress.phase
            self._bar = Progress(self._output, _PHASES[progress.phase], progress.total, progress.done)
            self._rates = common.DeviceRates(self._pool)
            if self._pool.paused:
                self._bar.pause("paused (smesher resume)")
        self._bar.update(progress.done, self._rates.over(self._bar.worked_s), self._states.now())
