"""Damaged input for everything of the PoET that takes bytes or text from outside; only its own errors may come out.

`python -m tests.fuzz.poet` runs 10^5 cases of each kind, or as many as it is told; exit code 1 on a find, with what
reproduces it. What is read must be the same again after it was written, where there is a writer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.message import DecodeError

from api.cli.poet import verify as poet_verify
from api.clients.poet import messages
from api.clients.poet.errors import PoetClientError
from api.edge.errors import UsageError as Unusable
from api.http import protojson
from api.services.poet import config
from api.services.poet.calls import proof_message, submit_of
from api.services.poet.options import SETTINGS
from protocol.codec.declare import CodecError
from protocol.errors import ProtocolError
from protocol.numbers.time import Time
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.poet.registration import PowParams, decode_certificate, encode_certificate
from protocol.types.poet import MerkleProof, PoetCertificate, PoetProof, PoetProofMessage
from prover.errors import DataError, UsageError
from prover.poet.round import layers
from prover.poet.server import records
from tests.fuzz.mutate import mutated

STATEMENT = bytes(range(32))
NODES = tuple(bytes([number]) * 32 for number in range(9))
MESSAGE = PoetProofMessage(PoetProof(MerkleProof(NODES[0], NODES[1:4], NODES[4:]), 1234), b"service", b"7", STATEMENT)
NIP = MerkleProof(NODES[0], NODES[1:4], NODES[4:])
RECORD = records.ProofRecord(NIP, NODES[:3], 1234, NODES[5], "7")
STATE = records.RoundState.new(STATEMENT, 150, Time(1_795_000_000, 5, 60)).after(77, NIP)
PARAMS = PowParams(NODES[1], 4)
INFO = api_pb2.InfoResponse(service_pubkey=NODES[2])
INFO.phase_shift.seconds, INFO.cycle_gap.nanos = 1, 5
INFO.certifier.url, INFO.certifier.pubkey = "http://127.0.0.1:1", NODES[3]
INTERESTING = (
    *(
        b'""',
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"[",
        b'"',
        b"[" * 5000,
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\xc2\xb2",
        b"\x00",
    ),
    *(b"-1", b"1e999", b"1E-7", b"18446744073709551616", b"0x1", b"NaN", b"Infinity", b"9" * 400, b"=", b"\n"),
    *(b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59-23:59", b"0001-01-01T00:00:00+23:59"),
)


class Found(AssertionError):
    """Something else came out; the text holds the input."""


@dataclass(frozen=True)
class Target:
    """One reader: what it is given before it is damaged, and what it may raise."""

    read: Callable[[bytes], object]
    right: tuple[bytes, ...]
    errors: tuple[type[BaseException], ...]
    write: Callable[[Any], bytes] | None = None
    """The inverse, where there is one that gives what `read` reads alike."""


def submit_body() -> bytes:
    """A request with every field."""

    def text(value: bytes) -> str:
        return b64encode(value).decode()

    fields = {
        "nonce": "7",
        "powParams": {"difficulty": 4, "challenge": text(NODES[1])},
        "prefix": text(b"prefix"),
        "challenge": text(NODES[2]),
        "pubkey": text(NODES[3]),
        "signature": text(NODES[4] * 2),
        "deadline": "2026-11-25T07:00:00.5+01:00",
        "certificate": {"data": text(b"data"), "signature": text(NODES[5] * 2)},
        "certificatePubkeyHint": text(b"hint"),
    }
    return json.dumps(fields).encode()


def submit_message() -> bytes:
    """The same as protobuf."""
    message = api_pb2.SubmitRequest(
        nonce=7, prefix=b"prefix", challenge=NODES[2], pubkey=NODES[3], signature=NODES[4] * 2
    )
    message.pow_params.difficulty, message.pow_params.challenge = 4, NODES[1]
    message.deadline.seconds, message.deadline.nanos = 1_795_000_000, 500
    message.certificate.data, message.certificate.signature = b"data", NODES[5] * 2
    message.certificate_pubkey_hint = b"hint"
    return message.SerializeToString()


def over_http(data: bytes) -> object:
    """What the server takes a body for."""
    return submit_of(protojson.decode(data, api_pb2.SubmitRequest))


def over_grpc(data: bytes) -> object:
    """What the server takes a message for."""
    message = api_pb2.SubmitRequest()
    message.ParseFromString(data)
    return submit_of(message)


INI = b"""; a comment
[Application Options]
genesis-time = 2026-11-25T07:00:00Z
poetdir="/tmp/a b"
restlisten=localhost:0
jsonlog=
[Round]
epoch-duration=1h30m0.5s
[Registration]
max-submit-batch-size=-7
certifier-pubkey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
[Service]
lps=1000
[Smesher]
network=fastnet
"""
VALUES = {
    "genesis-time": "2026-11-25T07:00:00Z",
    "certifier-pubkey": b64encode(NODES[1]).decode(),
    "metrics-port": "9000",
    "keep-rounds": "7",
    "cpu": "0",
    "network": "testnet",
}
"""By flag, where its default is none and not any text will do."""


def ini(data: bytes) -> config.Config:
    """A configuration file of these bytes."""
    with tempfile.NamedTemporaryFile(suffix=".conf") as file:
        file.write(data)
        file.flush()
        return config.load([f"--configfile={file.name}"], {"HOME": "/home/nobody"})


def words(data: bytes) -> config.Config:
    """A command line of these words."""
    line = data.decode(errors="surrogateescape").split("\n")
    return config.load([word for word in line if not word.startswith(("-c", "--configfile"))], {})


def checkpoint_log(data: bytes) -> layers.Log:
    """The log of a round with these bytes."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / layers.LOG_FILE).write_bytes(data)
        return layers.open_log(Path(directory), STATEMENT, 2)


def log_file() -> bytes:
    """The log of a round with some checkpoints."""
    with tempfile.TemporaryDirectory() as directory:
        layer = layers.KeptLayer.create(Path(directory), STATEMENT, 2)
        for closed in (0, 0, 77):
            layer.append(b"".join(NODES))
            layer.commit(closed)
        layer.close()
        return (Path(directory) / layers.LOG_FILE).read_bytes()


def trusted_key(data: bytes) -> list[bytes]:
    """A directory with one key file of these bytes."""
    from prover.poet.server.trusted_keys import load_trusted_keys

    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "a.key").write_bytes(data)
        return list(load_trusted_keys(Path(directory)))


def targets() -> dict[str, Target]:
    """All readers, by name."""
    raw = PoetProofMessage.codec.encode(MESSAGE)
    registered = api_pb2.SubmitResponse(round_id="3")
    registered.round_end.seconds = 4
    params = api_pb2.PowParamsResponse()
    params.pow_params.difficulty, params.pow_params.challenge = PARAMS.difficulty, PARAMS.challenge
    answers = tuple(map(protojson.encode, (INFO, params, registered, proof_message(RECORD))))
    values = {
        one.flag: VALUES.get(one.flag, "a:1") if one.default is None else one.kind.to_file(one.default)
        for one in SETTINGS
        if not one.kind.switch
    }
    flags = "\n".join(f"--{name}={value}" for name, value in values.items())
    server_key = records.encode_server_state(bytes(64))
    client = (PoetClientError,)
    return {
        "gateway": Target(over_http, (submit_body(),), (protojson.Malformed,)),
        "grpc": Target(over_grpc, (submit_message(),), (DecodeError,)),
        "ini": Target(ini, (INI,), (config.ConfigError,)),
        "flags": Target(
            words,
            (flags.encode(), b"--jsonlog\n-r\nlocalhost:1"),
            (config.ConfigError, *WANTED),
        ),
        "message": Target(PoetProofMessage.codec.decode, (raw,), (CodecError,), PoetProofMessage.codec.encode),
        "proof": Target(
            PoetProof.codec.decode,
            (PoetProof.codec.encode(MESSAGE.proof),),
            (CodecError,),
            PoetProof.codec.encode,
        ),
        "certificate": Target(
            decode_certificate,
            (encode_certificate(PoetCertificate(NODES[1], 5)),),
            (ProtocolError,),
            encode_certificate,
        ),
        "server state": Target(
            records.decode_server_state, (server_key,), (records.XdrError,), records.encode_server_state
        ),
        "round state": Target(
            records.decode_round_state,
            (records.encode_round_state(STATE), records.encode_round_state(records.RoundState.new(STATEMENT, 150))),
            (records.XdrError,),
            records.encode_round_state,
        ),
        "proof record": Target(
            records.decode_proof, (records.encode_proof(RECORD),), (records.XdrError,), records.encode_proof
        ),
        "checkpoint log": Target(checkpoint_log, (log_file(),), (layers.DamagedLog, UsageError)),
        "trusted key": Target(trusted_key, (b64encode(NODES[1]) + b"\n",), (DataError,)),
        "poet verify": Target(
            lambda data: poet_verify.load(data, "file"), (raw, raw.hex().encode(), answers[3]), (Unusable,)
        ),
        "answer: info": Target(messages.read_info, (answers[0],), client),
        "answer: pow_params": Target(messages.read_pow_params, (answers[1],), client),
        "answer: submit": Target(messages.read_registration, (answers[2],), client),
        "answer: proof": Target(lambda data: messages.read_proof(data, "7"), (answers[3],), client),
    }


WANTED = (config.HelpWanted, config.VersionWanted)


def damaged(right: bytes, random: Random) -> bytes:
    """Bytes that are a little or altogether wrong."""
    if random.random() < 0.02:
        return random.randbytes(random.randrange(64))
    data = mutated(right, random)
    if random.random() < 0.4:
        at, to = (random.randrange(len(data) + 1) for _ in range(2))
        data = (
            data[:at] + random.choice(INTERESTING) + data[at if random.random() < 0.5 else max(at, min(to, at + 40)) :]
        )
    return data


def check(name: str, target: Target, data: bytes) -> bool:
    """One case; whether it was accepted. Raises Found."""
    try:
        value = target.read(data)
        if target.write is None:
            return True
        written = target.write(value)
        again = target.read(written)
        if again != value or target.write(again) != written:
            raise Found(f"{name} reads {data!r} as another value than its own encoding {written!r}")
    except target.errors:
        return False
    except Found:
        raise
    except Exception as error:
        raise Found(f"{name} on {data!r}: {type(error).__name__}: {error}") from error
    return True


def fuzz(cases: int, seed: int, only: str = "") -> Iterator[tuple[str, int, float]]:
    """So many cases of every kind with `only` in its name; tells of each how many were accepted, and the seconds."""
    for name, target in targets().items():
        if only not in name:
            continue
        random = Random(f"{seed} {name}")
        began = time.process_time()
        for right in target.right:
            if not check(name, target, right):
                raise Found(f"{name} refuses what is right: {right!r}")
        accepted = sum(check(name, target, damaged(random.choice(target.right), random)) for _ in range(cases))
        yield name, accepted, time.process_time() - began


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.poet", description="Damaged input for the PoET.")
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="of each kind (default 10^5)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the same cases again (default: the time)")
    parser.add_argument("--only", default="", metavar="WORD", help="kinds with this in their name: gateway, ini")
    options = parser.parse_args(argv)
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}")
    try:
        for name, accepted, seconds in fuzz(options.cases, seed, options.only):
            print(f"{name}: {options.cases:,} cases in {seconds:.0f} s, {accepted:,} accepted", flush=True)
    except Found as found:
        print(f"found, with --seed {seed}: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
