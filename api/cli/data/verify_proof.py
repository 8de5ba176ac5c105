"""`smesher verify-proof`: the network's verdict on a proof of space-time."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from api.cli import common, proofs
from api.cli.output import Output
from api.edge.text import shown
from protocol.params.post import PostParams
from protocol.post.proof import metadata_from_json, proof_from_json
from prover.errors import UsageError
from prover.post.proof import verify
from prover.post.proof.verify import Claim, Mode, VerifyParams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--proof", type=common.path, required=True, metavar="FILE", help="JSON: nonce, indices, pow")
    parser.add_argument(
        "--metadata",
        type=common.path,
        required=True,
        metavar="FILE",
        help="JSON: node_id, commitment_atx_id, challenge, num_units",
    )
    proofs.add_parameter_arguments(parser, labels=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="check every index (the default)")
    which.add_argument("--index", type=common.whole_number, metavar="I", help="check one position of the proof")
    which.add_argument("--k3", type=common.whole_number, metavar="K", help="check K positions that --seed chooses")
    parser.add_argument("--seed", metavar="HEX", help="bytes, of any length")
    proofs.add_randomx_argument(parser, "light")
    parser.add_argument("--threads", type=common.threads, metavar="T", help="threads (default: all processors)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: valid; 1: invalid, with the reason and the failing position."""
    proof = proof_from_json(proofs.read_json(arguments.proof, "--proof"))
    metadata = metadata_from_json(proofs.read_json(arguments.metadata, "--metadata"))
    verify.check_input(proof, metadata)
    params = proofs.parameters(arguments)
    if (arguments.k3 is None) != (arguments.seed is None):
        raise UsageError("--k3 and --seed belong together: give both or neither.")
    if arguments.k3 is not None:
        mode = Mode.subset(arguments.k3, _seed(arguments.seed), params.k2, metadata)
    elif arguments.index is not None:
        mode = Mode.one(arguments.index, params.k2)
    else:
        mode = Mode.all(params.k2)
    if not mode.positions:
        raise UsageError(f"No position of the proof is chosen; it has {params.k2}, counted from 0.")
    verdict, seconds = _verdict(arguments, output, Claim(proof, metadata, mode), params)
    output.event(
        "done",
        valid=verdict.valid,
        reason=verdict.failure.value if verdict.failure else None,
        index=verdict.position,
        label=verdict.label_index,
        message=verdict.diagnosis,
        seconds=round(seconds, 6),
    )
    if verdict.valid:
        output.say(
            f"[bold green]valid[/]  {len(mode.positions)} of {params.k2} labels checked, {seconds * 1000:,.0f} ms"
        )
        return 0
    assert verdict.failure is not None
    where = f" at position {verdict.position}" if verdict.position is not None else ""
    output.say(f"[bold red]invalid[/]  {verdict.failure.value}{where}: {verdict.diagnosis}")
    return 1


def _verdict(
    arguments: argparse.Namespace, output: Output, claim: Claim, params: PostParams
) -> tuple[verify.Verdict, float]:
    threads = common.thread_count(arguments)
    rules = VerifyParams(
        params.k1,
        params.k2,
        params.pow_difficulty,
        params.min_num_units,
        params.max_num_units,
        params.labels_per_unit,
        params.scrypt_n,
    )
    refused = verify.at_once(claim, rules)
    if refused is not None:
        return refused, 0.0
    prepared = proofs.RandomX(arguments.randomx_mode, "light", threads, output)

    def proof_of_work() -> tuple[bytes, float]:
        memory = prepared.open(prepared.full)
        began, machine = time.monotonic(), memory.machine()
        try:
            return machine.hash(verify.hashed_of(claim)), time.monotonic() - began
        finally:
            machine.close()
            memory.close()

    with ThreadPoolExecutor(1, "randomx") as beside:
        # RandomX works without the interpreter, which loads the label engine meanwhile
        working = beside.submit(proof_of_work)
        try:
            from kernels.labels import cpu

            common.compile_kernels(output)
            engine = cpu.LabelEngine(cpu.devices()[0], params.scrypt_n, threads)
            hashed, seconds = working.result()
        except BaseException:
            prepared.stop.set()
            raise
    began = time.monotonic()
    try:
        with proofs.stopped_by_signal(engine):
            return verify.check(claim, rules, engine, lambda data: hashed), seconds + time.monotonic() - began
    finally:
        engine.close()


def _seed(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"--seed is {shown(text)}, expected hex digits.") from None
