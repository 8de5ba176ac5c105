"""`smesher prove`: makes a proof of space-time over a data directory and checks it before it is written."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

from kernels import randomx
from protocol.params.post import PostParams
from protocol.post_proof import (
    CHALLENGE_SIZE,
    Proof,
    ProofMetadata,
    metadata_to_json,
    proof_to_json,
    proving_difficulty,
    scale_pow_difficulty,
)
from prover.errors import DataError, Interrupted, UsageError
from prover.post import prove, verify
from prover.post.pow import Search
from prover.post.prove import ProveParams, Prover
from prover.post.storage import Storage
from prover.post.verify import Claim, Mode, VerifyParams

from . import common, dataset, proofs
from .dataset import DataSet
from .output import Output, Progress
from .signals import stop_on_signal

NONCES = 288
SMALL_NONCES = 16
PROOF_NAME, METADATA_NAME = "proof.json", "metadata.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=Path, metavar="D", help="the data directory")
    parser.add_argument("--challenge", required=True, metavar="HEX", help="32 bytes; zeros for an initial proof")
    parser.add_argument("--node-id", metavar="HEX", help="refuse data of another identity")
    parser.add_argument(
        "--nonces", type=common.whole_number, metavar="N", help="nonces of one pass (default 288; small networks 16)"
    )
    parser.add_argument("--threads", type=common.whole_number, metavar="T", help="threads (default: all processors)")
    proofs.add_randomx_argument(parser, "fast")
    proofs.add_parameter_arguments(parser, labels=False)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where proof.json and metadata.json go (default: here)")
    parser.add_argument("--allow-incomplete", action="store_true", help="go on with files that are missing or short")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: a proof was made, checked and written."""
    challenge = common.hex_bytes(arguments.challenge, "--challenge", CHALLENGE_SIZE)
    data = dataset.open_data(arguments.data_dir)
    if arguments.node_id is not None:
        wanted = common.hex_bytes(arguments.node_id, "--node-id")
        if wanted != data.metadata.node_id:
            raise UsageError(f"The data is of node {data.metadata.node_id.hex()}, --node-id asks for {wanted.hex()}.")
    params = proofs.parameters(arguments)
    nonces = arguments.nonces
    if nonces is None:
        nonces = SMALL_NONCES if arguments.network in ("fastnet", "standalone") else NONCES
    settings = ProveParams(params.k1, params.k2, nonces, common.thread_count(arguments))
    settings.check()
    proving_difficulty(params.k1, data.metadata.num_labels)
    faults = prove.incomplete(data.layout, data.storage.data_files())
    if faults and not arguments.allow_incomplete:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise DataError(
            f"The data is not complete: {'; '.join(faults[:5])}{more}. Complete it with smesher init, or go on with "
            "--allow-incomplete (a weaker proof, or none)."
        )
    for fault in faults[:5]:
        output.note(f"{fault}: the proof is weaker for it.")
    target = arguments.out or Path()
    common.compile_kernels(output)
    scrypt_n = dataset.scrypt_n_of(data, arguments.scrypt_n, output)
    memory = proofs.open_randomx(arguments.randomx_mode, "fast", settings.threads, output)
    began = time.monotonic()
    try:
        proof = _prove(data, challenge, params, settings, memory, output)
        metadata = ProofMetadata(
            data.metadata.node_id, data.metadata.commitment_atx_id, challenge, data.metadata.num_units
        )
        _check(data, proof, metadata, params, scrypt_n, memory)
    finally:
        memory.close()
    out = Storage(target)
    out.create()
    out.replace(PROOF_NAME, (json.dumps(proof_to_json(proof)) + "\n").encode())
    out.replace(METADATA_NAME, (json.dumps(metadata_to_json(metadata)) + "\n").encode())
    seconds = time.monotonic() - began
    output.event(
        "done",
        nonce=proof.nonce,
        indices=proof.indices.hex(),
        pow=proof.pow,
        seconds=round(seconds, 3),
        labels=data.metadata.num_labels,
        proof=str(target / PROOF_NAME),
        metadata=str(target / METADATA_NAME),
    )
    output.say(
        f"[bold green]done[/]  nonce {proof.nonce}, pow {proof.pow}, {seconds:,.1f} s; all {params.k2} labels checked"
    )
    output.say(f"      {target / PROOF_NAME} and {target / METADATA_NAME} are written")
    return 0


def _prove(
    data: DataSet,
    challenge: bytes,
    params: PostParams,
    settings: ProveParams,
    memory: randomx.Memory,
    output: Output,
) -> Proof:
    scaled = scale_pow_difficulty(params.pow_difficulty, data.metadata.num_units)
    searches: list[Search] = []
    bars: dict[str, Progress] = {}

    def find_pow(group: int) -> int:
        search = Search(memory, group, challenge, data.metadata.node_id, scaled, threads=settings.threads)
        searches[:] = [search]
        return search.run()

    def show(phase: str, done: int, total: int) -> None:
        if phase not in bars:
            for bar in bars.values():
                bar.close()
            bars[phase] = Progress(output, "proofs of work" if phase == "k2pow" else "labels", total, 0)
        bars[phase].update(done)

    prover = Prover(
        data.storage,
        data.metadata,
        challenge,
        settings,
        find_pow,
        state_file=state_file(data),
        progress=show,
        note=output.note,
    )

    def stop() -> None:
        prover.stop()
        for search in searches:
            search.stop()

    try:
        with stop_on_signal(stop):
            return prover.run()
    except Interrupted:
        raise Interrupted("Stopped; the pass is saved, run the same command again to go on.") from None
    finally:
        for bar in bars.values():
            bar.close()


def state_file(data: DataSet) -> Path:
    """Where a pass is saved: beside the data, or in the user's state directory where the data is read-only."""
    if os.access(data.storage.path, os.W_OK):
        return data.storage.path / prove.STATE_NAME
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "smesher"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = hashlib.sha256(str(data.storage.path.resolve()).encode()).hexdigest()[:16]
    return base / f"proof-{name}.json"


def _check(
    data: DataSet,
    proof: Proof,
    metadata: ProofMetadata,
    params: PostParams,
    scrypt_n: int,
    memory: randomx.Memory,
) -> None:
    """All indices, as the network would check them; a proof that fails is not written."""
    from kernels import cpu

    rules = VerifyParams(
        params.k1, params.k2, params.pow_difficulty, 1, 2**32 - 1, data.metadata.labels_per_unit, scrypt_n
    )
    machine = memory.machine()
    engine = cpu.LabelEngine(cpu.devices()[0], scrypt_n)
    try:
        verdict = verify.check(Claim(proof, metadata, Mode.all(params.k2)), rules, engine, machine.hash)
    finally:
        engine.close()
        machine.close()
    if verdict.valid:
        return
    place = ""
    if verdict.label_index is not None and verdict.label_index < data.metadata.num_labels:
        number, offset = data.layout.locate(verdict.label_index)
        place = f" That label is in postdata_{number}.bin at byte offset {offset}."
    raise DataError(
        f"The proof that was found is not valid: {verdict.diagnosis}.{place} Run smesher verify {data.storage.path} "
        "and smesher repair."
    )
