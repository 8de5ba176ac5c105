"""`smesher prove`: makes a proof of space-time over a data directory and checks it before it is written."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import common, proofs
from api.cli.data import dataset
from api.cli.output import Output
from api.cli.progress import Progress
from api.cli.services import remote_k2pow
from api.edge.signals import stop_on_signal
from kernels import randomx
from protocol.params.post import NETWORKS, PostParams
from protocol.post.proof import (
    CHALLENGE_SIZE,
    Proof,
    ProofMetadata,
    metadata_to_json,
    proof_to_json,
    proving_difficulty,
)
from prover.errors import DataError, Interrupted, UsageError
from prover.post.check import BadLabel
from prover.post.dataset import DataSet
from prover.post.directory import Storage
from prover.post.proof import job, prove
from prover.post.proof.job import Phase
from prover.post.proof.prove import ProveParams
from prover.post.proof.randomx_cache import RandomXCache

if TYPE_CHECKING:
    from kernels.labels.cpu import LabelEngine

NONCES = 288
SMALL_NONCES = 16
PROOF_NAME, METADATA_NAME = "proof.json", "metadata.json"
NAMED = 5
"""Files that a sentence names; of more it gives the number."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")
    parser.add_argument("--challenge", required=True, metavar="HEX", help="32 bytes; zeros for an initial proof")
    parser.add_argument("--node-id", metavar="HEX", help="refuse data of another identity")
    parser.add_argument("--commitment-atx-id", metavar="HEX", help="refuse data with another commitment ATX")
    parser.add_argument(
        "--labels-per-unit", type=common.whole_number, metavar="L", help="refuse data with units of another size"
    )
    parser.add_argument(
        "--nonces", type=common.whole_number, metavar="N", help="nonces of one pass (default 288; small networks 16)"
    )
    parser.add_argument("--threads", type=common.threads, metavar="T", help="threads (default: all processors)")
    parser.add_argument("--pin", action="store_true", help="pin every thread of the pass to a processor of its own")
    proofs.add_randomx_argument(parser, "fast; light with --remote-k2pow")
    remote_k2pow.add_arguments(parser)
    proofs.add_parameter_arguments(parser, labels=False)
    parser.add_argument(
        "--out", type=common.path, metavar="DIR", help="where proof.json and metadata.json go (default: here)"
    )
    parser.add_argument("--allow-incomplete", action="store_true", help="go on with files that are missing or short")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: a proof was made, checked and written."""
    challenge = common.hex_bytes(arguments.challenge, "--challenge", CHALLENGE_SIZE)
    data = dataset.open_data(arguments.data_dir)
    _check_identity(data, arguments)
    params = proofs.parameters(arguments)
    settings = _settings(arguments, params)
    proving_difficulty(params.k1, data.metadata.num_labels)
    _look_at_files(data, arguments.allow_incomplete, output)
    _compare_with_network(data, arguments, params, output)
    out = Storage(arguments.out or Path())
    out.create()
    out.check_writable([PROOF_NAME, METADATA_NAME])
    proofs.compile_kernels(output)
    scrypt_n = dataset.scrypt_n_of(data, arguments.scrypt_n, output)
    work = Job(data, challenge, params, scrypt_n, settings, arguments, output)
    began = time.monotonic()
    try:
        proof = work.run()
        metadata = ProofMetadata(
            data.metadata.node_id, data.metadata.commitment_atx_id, challenge, data.metadata.num_units
        )
        out.replace(PROOF_NAME, (json.dumps(proof_to_json(proof)) + "\n").encode())
        out.replace(METADATA_NAME, (json.dumps(metadata_to_json(metadata)) + "\n").encode())
        work.forget()
    finally:
        work.close()
    seconds = time.monotonic() - began
    output.event(
        "done",
        nonce=proof.nonce,
        indices=proof.indices.hex(),
        pow=proof.pow,
        seconds=round(seconds, 3),
        labels=data.metadata.num_labels,
        weakened=work.weakened,
        wrong_labels=[bad.index for bad in work.wrong],
        proof=str(out.path / PROOF_NAME),
        metadata=str(out.path / METADATA_NAME),
    )
    output.say(
        f"[bold green]done[/]  nonce {proof.nonce}, pow {proof.pow}, {seconds:,.1f} s; all {params.k2} labels checked"
    )
    if work.weakened:
        output.say("[bold yellow]      [/]the proof is valid; a part of the data could not be read for it, see above")
    output.say(f"      {out.path / PROOF_NAME} and {out.path / METADATA_NAME} are written")
    return 0


def _settings(arguments: argparse.Namespace, params: PostParams) -> ProveParams:
    nonces = arguments.nonces
    if nonces is None:
        nonces = SMALL_NONCES if arguments.network in ("fastnet", "standalone") else NONCES
    threads = common.thread_count(arguments)
    settings = ProveParams(params.k1, params.k2, nonces, threads, prove.cores_for(threads) if arguments.pin else ())
    settings.check()
    return settings


def _check_identity(data: DataSet, arguments: argparse.Namespace) -> None:
    """Raises UsageError when the data is not the one that was asked for."""
    for option, what, found in (
        ("node_id", "node", data.metadata.node_id),
        ("commitment_atx_id", "commitment ATX", data.metadata.commitment_atx_id),
    ):
        text = getattr(arguments, option)
        name = f"--{option.replace('_', '-')}"
        if text is not None and (wanted := common.hex_bytes(text, name)) != found:
            raise UsageError(f"The data is of {what} {found.hex()}, {name} asks for {wanted.hex()}.")
    size, labels = data.metadata.labels_per_unit, arguments.labels_per_unit
    if labels not in (None, size):
        raise UsageError(f"The data has {size} labels per unit, --labels-per-unit asks for {labels}.")


def _look_at_files(data: DataSet, allow_incomplete: bool, output: Output) -> None:
    """Raises DataError that names the files that are missing or short, unless that is allowed."""
    faults = prove.incomplete(data.layout, data.storage.data_files())
    more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    named = "; ".join(faults[:NAMED]) + more
    if faults and not allow_incomplete:
        raise DataError(
            f"The data is not complete: {named}. Complete it with smesher init, or go on with --allow-incomplete (a "
            "weaker proof, or none)."
        )
    if faults:
        output.note(f"The data is not complete: {named}. The proof is weaker for it, or there is none.")


def _compare_with_network(data: DataSet, arguments: argparse.Namespace, params: PostParams, output: Output) -> None:
    """Says what the network will not accept; who gives single parameters knows what they do."""
    if arguments.network is None and any(
        getattr(arguments, name) is not None for name in ("k1", "k2", "pow_difficulty", "scrypt_n")
    ):
        return
    name, metadata = arguments.network or "mainnet", data.metadata
    if metadata.labels_per_unit != params.labels_per_unit:
        output.note(
            f"The data has {metadata.labels_per_unit} labels per unit, {name} has {params.labels_per_unit}: it will "
            f"not accept this proof. --network names another one: {', '.join(NETWORKS)}."
        )
    elif not params.min_num_units <= metadata.num_units <= params.max_num_units:
        output.note(
            f"The data has {metadata.num_units} units; {name} accepts {params.min_num_units} to "
            f"{params.max_num_units}, so it will not accept this proof."
        )


class Job:
    """One proof on the command line: the job, RandomX's memory, and what is shown. Close it when done."""

    def __init__(
        self,
        data: DataSet,
        challenge: bytes,
        params: PostParams,
        scrypt_n: int,
        settings: ProveParams,
        arguments: argparse.Namespace,
        output: Output,
    ) -> None:
        self._output = output
        remote = bool(arguments.remote_k2pow)
        self._randomx = proofs.RandomX(arguments.randomx_mode, "light" if remote else "fast", settings.threads, output)
        self._memory: RandomXCache[randomx.Memory] = RandomXCache(self._randomx.open)
        self._bar: tuple[str, Progress] | None = None
        self._done = 0
        self._job = job.ProofJob(
            job.ProofData(data.storage, data.metadata, data.layout, state_file(data)),
            challenge,
            job.Rules(params.k1, params.k2, params.pow_difficulty, scrypt_n),
            settings,
            self._memory,
            self,
            full_randomx=self._randomx.full,
            engine=lambda: _engine(scrypt_n, settings.threads),
            remote=lambda pow_hash: remote_k2pow.chosen(arguments, pow_hash, output.note),
        )

    @property
    def weakened(self) -> list[str]:
        """Sentences about data that could not be read."""
        return self._job.weakened

    @property
    def wrong(self) -> list[BadLabel]:
        """Labels that were left out since they are wrong on disk."""
        return self._job.wrong

    def run(self) -> Proof:
        """The proof, checked; a signal makes it raise Interrupted, with the pass saved."""
        try:
            with stop_on_signal(self._stop):
                self._job.look(common.label32)
                return self._job.make()
        except Interrupted:
            raise Interrupted("Stopped; run the same command again to go on.") from None
        finally:
            self._end_bar()

    def forget(self) -> None:
        """Removes the saved pass."""
        self._job.forget()

    def close(self) -> None:
        """Gives memory back."""
        self._memory.close()

    def _stop(self) -> None:
        self._randomx.stop.set()
        self._job.stop()

    # -- what is shown (`prover.post.proof.job.Watch`) --------------------------------------------------------

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._output.note(text)

    def enter(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """A phase begins."""
        if phase in ("k2pow", "labels"):
            self.advance(phase, first_nonce, done, total)

    def advance(self, phase: Phase, first_nonce: int, done: int, total: int) -> None:
        """It goes on."""
        self._done = done
        if self._bar is None or self._bar[0] != phase:
            self._end_bar()
            if phase == "k2pow":
                bar = Progress(self._output, "proofs of work", total, done, unit="groups")
            else:
                bar = Progress(self._output, "labels", total, done)
            self._bar = phase, bar
        self._bar[1].update(done)

    def hashes(self, count: int) -> None:
        """So many were tried for the group in work."""
        if self._bar is not None:
            expected = (1 << 256) // max(1, int.from_bytes(self._job.difficulty, "big"))
            self._bar[1].say(f"proofs of work ({count:,} of about {expected:,} hashes for this one)")
            self._bar[1].update(self._done)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar[1].close()
            self._bar = None


def _engine(scrypt_n: int, threads: int) -> LabelEngine:
    from kernels.labels import cpu

    return cpu.LabelEngine(cpu.devices()[0], scrypt_n, threads)


def state_file(data: DataSet) -> Path:
    """Where a pass is saved: beside the data, or in the user's state directory where the data is read-only."""
    if os.access(data.storage.path, os.W_OK):
        return data.storage.path / prove.STATE_NAME
    name = hashlib.sha256(str(data.storage.path.resolve()).encode()).hexdigest()[:16]
    base = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")) / "smesher"
    with suppress(OSError):  # what cannot be made is said when the pass is to be saved; it goes on
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
    return base / f"proof-{name}.json"
