"""post/post_service.json: recorded streams between the network's PoST service and a node, and its operator's interface.

Every session is played against a service of ours on a real gRPC stream, message by message, with repeated answers "in
progress" folded. Ours differs where the recorded program has no way on (`DEAD_END`), gives out or stands by the proof
of another challenge (`OTHER_CHALLENGE`), or counts files by their place instead of the number in their name (`GAP`);
the rule is taken from the stream and the directory, and the name of the case says which one applied. How a process
ends is its own (143 for the recorded end by the signal itself), and so is its user agent. `service_cases` are the
service's command lines in post/cli.json.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from api.cli.main import main
from api.services.post.job import DataFiles, ProofJob
from api.services.post.machine import Phase
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof, ProofMetadata
from prover.post.directory import Storage
from prover.post.layout import file_name
from prover.post.metadata import FILE_NAME, PostMetadata, decode, encode
from prover.post.proof import verify
from prover.post.proof.verify import Claim, Mode, VerifyParams
from tests.support.post_node import Node, Stream, wait_for
from tests.support.post_served import Service, settings_for
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, load, unknown_sections, vectors
from tests.vector_cases.post_pos import request_of
from tests.vector_cases.post_support import engine, initialise
from tests.vector_cases.post_verify import pow_hash

IN_PROGRESS = bytes.fromhex("12020801")
ERROR = bytes.fromhex("12020802")

DEAD_END = "recorded: the error stays for ever; ours starts afresh"
OTHER_CHALLENGE = "recorded: the proof of another challenge stands in the way; ours starts afresh"
GAP = "recorded: files are counted by their place, so no proof holds; ours counts by the number in the name"
PROVING = r'\{"Proving":\{"nonces":\{"start":(\d+),"end":(\d+)\},"position":(\d+)\}\}'

GAPS = ("missing_first_file", "missing_middle_file", "leading_zero_and_renamed")
"""Changes that leave a data file missing below another one."""

SESSION_KEYS = {"name", "arguments", "exit_code_on_sigterm", "request_headers", "stream", "operator_http"}
OPTION_FIELDS = {"--k1": "k1", "--k2": "k2", "-n": "scrypt_n", "--threads": "threads", "--nonces": "nonces"}


@dataclass(frozen=True)
class Exchange:
    """One request and its recorded answer; an answer "in progress" stands for all its repetitions."""

    request: bytes
    answer: bytes

    @property
    def challenge(self) -> bytes | None:
        """Of a request for a proof that could be made."""
        message = pb.NodeRequest.FromString(self.request)
        wanted = message.gen_proof.challenge if message.HasField("gen_proof") else b""
        return wanted if len(wanted) == 32 else None


class RememberingJob(ProofJob):
    """A proof of work that an earlier session found is not sought again."""

    def _find_pow(self, group: int) -> int:
        key = (self._difficulty, self._challenge, self._identity.metadata.node_id, group)
        if key not in KNOWN_POWS:
            KNOWN_POWS[key] = super()._find_pow(group)
        return KNOWN_POWS[key]


KNOWN_POWS: dict[tuple[bytes, bytes, bytes, int], int] = {}


@vectors("post/post_service.json", variants=False)
def sessions(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("sessions",))
    for entry in document["sessions"]:
        pairs = exchanges(entry)
        where = "; ".join(differences(entry, pairs))
        name = entry["name"] + (f" ({where})" if where else "")
        yield Case(name, partial(check_session, entry, pairs, context))


def exchanges(entry: dict[str, Any]) -> list[Exchange]:
    """The stream in pairs, folded."""
    stream = entry["stream"]
    found: list[Exchange] = []
    for asked, told in zip(stream[::2], stream[1::2], strict=True):
        if (asked["dir"], told["dir"]) != ("node->service", "service->node"):
            raise NotUnderstood("requests and answers do not alternate")
        one = Exchange(bytes.fromhex(asked["hex"]), bytes.fromhex(told["hex"]))
        if not found or one != found[-1] or one.answer != IN_PROGRESS:
            found.append(one)
    return found


def differences(entry: dict[str, Any], pairs: Sequence[Exchange]) -> list[str]:
    """Where ours and the recorded program part, for the name of the case; the game must find the same."""
    found = []
    for place, one in enumerate(pairs[1:], 1):
        twice = one.answer == ERROR and one.challenge is not None and one == pairs[place - 1]
        if twice and any(before.answer == IN_PROGRESS for before in pairs[:place]):
            found.append(DEAD_END)
        if stands_in_the_way(pairs, place):
            found.append(OTHER_CHALLENGE)
    if options_of(entry)["--dir"].removeprefix("POS/ps_") in GAPS:
        found.append(GAP)
    return list(dict.fromkeys(found))


def stands_in_the_way(pairs: Sequence[Exchange], place: int) -> bool:
    """An error for a challenge whose next request is answered "in progress": a finished proof was in the way."""
    one = pairs[place]
    refused = place > 0 and one.challenge is not None and one.answer == ERROR
    goes_on = place + 1 < len(pairs) and pairs[place + 1] == Exchange(one.request, IN_PROGRESS)
    return refused and goes_on and pairs[place - 1].challenge not in (None, one.challenge)


def check_session(entry: dict[str, Any], pairs: Sequence[Exchange], context: Context) -> None:
    unknown = set(entry) - SESSION_KEYS
    if unknown:
        raise NotUnderstood(f"unknown fields: {', '.join(sorted(unknown))}")
    options = options_of(entry)
    directory = directory_of(options["--dir"], pairs, context)
    with Node(greets=False) as node:
        named: dict[str, Any] = {field: int(options[word]) for word, field in OPTION_FIELDS.items()}
        named["pow_difficulty"] = bytes.fromhex(options["--pow-difficulty"])
        settings = settings_for(node.address, **named)
        with Service(settings, directory, held=True, make_job=RememberingJob) as service:
            game = Game(entry, pairs, node.connected(), service, directory)
            game.play()
    announced = differences(entry, pairs)
    assert game.met == announced, f"differences: expected {announced}, got {game.met}"


def options_of(entry: dict[str, Any]) -> dict[str, str]:
    words = entry["arguments"]
    return dict(zip(words[::2], words[1::2], strict=True))


class Game:
    """One session against our service. A proof is held back until the recorded stream shows that it has ended."""

    def __init__(
        self,
        entry: dict[str, Any],
        pairs: Sequence[Exchange],
        stream: Stream,
        service: Service,
        directory: Path,
    ) -> None:
        self.pairs, self.stream, self.service, self.directory = pairs, stream, service, directory
        self.http = list(entry.get("operator_http", ()))
        self.state = service.app.machine.states[0]
        self.met: list[str] = []
        """Where ours and the recorded program went different ways."""

    def play(self) -> None:
        self.look("before first request")
        for place, one in enumerate(self.pairs):
            self.exchange(place, one)
            if one.answer == IN_PROGRESS:
                self.look("while polling")
        self.look("after the error answers", "after second fetch", "next request")
        left = [one["stage"] for one in self.http]
        if left:
            raise NotUnderstood(f"stages of the operator's interface: {', '.join(left)}")

    def exchange(self, place: int, one: Exchange) -> None:
        ended = self.running(one.challenge) and one.answer != IN_PROGRESS
        in_the_way = stands_in_the_way(self.pairs, place)
        if ended or in_the_way:
            self.let_end()
            self.look("finished, not fetched", "after failure")
        elif place + 1 == len(self.pairs):
            self.look("after failure")  # the recorder did not wait for an end
        idle = self.state.phase in (Phase.IDLE, Phase.DONE, Phase.FAILED) and not ended
        answer = self.stream.ask(one.request)
        if one.answer == ERROR and idle and one.challenge is not None:
            assert answer == IN_PROGRESS, f"a fresh start: expected {IN_PROGRESS.hex()}, got {answer.hex()}"
            self.differ(OTHER_CHALLENGE if in_the_way else DEAD_END)
        elif ended and one.answer == ERROR and answer != ERROR and has_gap(self.directory):
            self.check_proof(answer, one)
            self.differ(GAP)
        else:
            assert answer == one.answer, f"exchange {place}: expected {one.answer.hex()}, got {answer.hex()}"
        if ended:
            self.look("after the proof was fetched")
        if in_the_way:
            self.look("after a request with another challenge was answered")

    def running(self, challenge: bytes | None) -> bool:
        return challenge is not None and self.state.phase is Phase.PROVING and self.state.challenge == challenge

    def let_end(self) -> None:
        """The proof in work goes on to its end; the next one is held back again."""
        self.service.go.set()
        wait_for(lambda: self.state.phase in (Phase.DONE, Phase.FAILED) or None, "the proof ends")
        self.service.go.clear()

    def differ(self, how: str) -> None:
        if how not in self.met:
            self.met.append(how)

    def check_proof(self, answer: bytes, one: Exchange) -> None:
        """The recorded program found none that holds; ours does."""
        message = pb.ServiceResponse.FromString(answer).gen_proof
        assert message.metadata.challenge == one.challenge
        settings, meta = self.service.app.settings, message.metadata.meta
        rules = VerifyParams(
            settings.k1, settings.k2, settings.pow_difficulty, 1, 100, meta.labels_per_unit, settings.scrypt_n
        )
        claimed = ProofMetadata(meta.node_id, meta.commitment_atx_id, message.metadata.challenge, meta.num_units)
        proof = Proof(message.proof.nonce, message.proof.indices, message.proof.pow)
        verdict = verify.check(Claim(proof, claimed, Mode.all(settings.k2)), rules, engine(settings.scrypt_n), pow_hash)
        assert verdict.valid, f"{verdict}"

    def look(self, *stages: str) -> None:
        """Asks the operator's interface what was asked at these stages, those that come next."""
        while self.http and self.http[0]["stage"] in stages:
            self.compare(self.http.pop(0))

    def compare(self, entry: dict[str, Any]) -> None:
        reply = self.service.ask(entry["method"], entry["path"])
        if entry["path"] == "/metrics":
            assert reply.status == 200, "ours has metrics"
            return
        expected = (entry["status"], {**entry["headers"]}, entry["body"])
        got = (reply.status, {name: reply.header(name) for name in entry["headers"]}, reply.text)
        if entry["body"].startswith('{"Proving"') or self.state.phase is Phase.PROVING:
            self.compare_proving(entry, reply.text)
        else:
            assert got == expected, f"{entry['stage']}: expected {expected}, got {got}"

    def compare_proving(self, entry: dict[str, Any], text: str) -> None:
        """How far a proof is differs; that it is being made, and by how many nonces, does not."""
        found = re.fullmatch(PROVING, text)
        assert found, f"{entry['stage']}: {text}"
        nonces = self.service.app.settings.nonces
        assert int(found[2]) - int(found[1]) == nonces and int(found[1]) % (nonces or 1) == 0, text


def has_gap(directory: Path) -> bool:
    """Whether a data file is missing below another one."""
    numbers = sorted(DataFiles(directory).data_files())
    return numbers != list(range(len(numbers)))


# -- directories ---------------------------------------------------------------------------------------------


def directory_of(argument: str, pairs: Sequence[Exchange], context: Context) -> Path:
    """The directory of a session: one of pos.json with the identity of the stream, changed as its name says."""
    told = next((meta for one in pairs if (meta := metadata_in(one.answer)) is not None), None)
    if told is None:
        raise NotUnderstood("the stream does not say whose data it is")
    cases = load(context.path("post/pos.json"))["cases"]
    name = argument.removeprefix("POS/")
    named = [entry for entry in cases if entry["name"] == name]
    same_id = [entry for entry in cases if bytes.fromhex(entry["node_id"]) == told.node_id]
    if not (named or same_id):
        raise NotUnderstood(f"{argument} is no directory of pos.json, nor has one its node id")
    base = (named or same_id)[0]
    path = context.temporary(name)
    if base["archive"] is None:
        initialise(path, request_of(base, int(base["max_file_size"])))
    else:
        shutil.copytree(context.archive(f"post/{base['archive']}"), path, dirs_exist_ok=True)
    before = decode(Storage(path).read_small(FILE_NAME) or b"")
    metadata = PostMetadata(
        told.node_id,
        told.commitment_atx_id,
        told.labels_per_unit,
        told.num_units,
        before.max_file_size,
        told.nonce if told.HasField("nonce") else None,
    )
    (path / FILE_NAME).write_text(encode(metadata))
    if not named:
        change(path, name.removeprefix("ps_"))
    return path


def metadata_in(answer: bytes) -> pb.Metadata | None:
    """What an answer says about the data."""
    message = pb.ServiceResponse.FromString(answer)
    if message.HasField("metadata"):
        return message.metadata.meta
    return message.gen_proof.metadata.meta if message.gen_proof.HasField("metadata") else None


def change(path: Path, what: str) -> None:
    """Damages the data as it is called; changes of the metadata are in the stream."""
    files = sorted(path.glob("postdata_*.bin"))
    middle = files[(len(files) - 1) // 2]
    if what in ("ct", "nn", "n0", "metadata_says_more_units_than_data"):
        return
    if what == "missing_first_file":
        files[0].unlink()
    elif what == "missing_middle_file":
        middle.unlink()
    elif what == "missing_last_file":
        files[-1].unlink()
    elif what == "nofiles":
        for file in files:
            file.unlink()
    elif what == "all_data_random":
        for number, file in enumerate(files):
            file.write_bytes(random.Random(number).randbytes(file.stat().st_size))
    elif what == "last_file_longer":
        files[-1].write_bytes(files[-1].read_bytes() + bytes(1000))
    elif what == "leading_zero_and_renamed":
        middle.rename(path / "postdata_01.bin")
        files[files.index(middle) + 1].rename(path / "renamed.bin")
    elif found := re.fullmatch(r"truncated_middle_file_to_(\d+)_bytes", what):
        os.truncate(middle, int(found[1]))
    elif found := re.fullmatch(r"extra_file_(\d+)", what):
        (path / file_name(int(found[1]))).write_bytes(files[0].read_bytes())
    else:
        raise NotUnderstood(f"a directory changed by {what!r}")


# -- command lines -------------------------------------------------------------------------------------------

PANIC = 101
MESSAGES = {
    "missing_argument": r"required|belong together",
    "max_retries_reached": r"max retries|has no scheme",
    "file_missing": r"does not exist|has no postdata_metadata.json|cannot be read: (?:No|there is no) such file",
    "metadata_syntax": r"postdata_metadata.json: the text is not JSON",
    "permission": r"postdata_metadata.json: permission denied",
    "num_units_out_of_range": r"units, --min-num-units and --max-num-units allow",
    "invalid_value": r"--(nonces|pow-difficulty|operator-address|randomx-mode|reconnect-interval-s)",
    "panic": r"scrypt N",
    "unknown_protocol": r"scheme 'ftp'",
    "https_without_tls": r"is https: give --ca-cert",
    "bad_address": r"--address .*expected http",
    "watched_process_gone": r"watched process 4194300 is gone",
}
"""How ours says what the recorded message is about. An address without a scheme never connects: ours ends at once."""


def service_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    """Those of post/cli.json that are about the PoST service."""
    for entry in document["cases"]:
        if entry["tool"] == "post-service":
            yield Case(entry["name"], partial(check_command, entry, context))


def check_command(entry: dict[str, Any], context: Context) -> None:
    unknown = set(entry) - {"name", "tool", "args", "exit_code", "message_class", "note"}
    if unknown:
        raise NotUnderstood(f"unknown fields: {', '.join(sorted(unknown))}")
    words = [place_of(word, context) for word in entry["args"]]
    said = io.StringIO()
    unreadable = "DIR/perm" in entry["args"]
    reading = mock.patch("prover.durable.read_whole", refused) if unreadable else contextlib.nullcontext()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), reading:
        code = main(["post-service", *words])
    expected = 2 if entry["exit_code"] == PANIC else entry["exit_code"]
    text = said.getvalue()
    if any(word == "--nonces=0" for word in entry["args"]):
        # a pass without nonces finds nothing: the recorded program starts and fails at the first proof, ours does not
        assert code == 2 and "--nonces is 0" in text, f"exit code {code}: {text}"
        return
    assert code == expected, f"expected exit code {expected}, got {code}: {text}"
    if entry["message_class"] not in MESSAGES:
        raise NotUnderstood(f"message class {entry['message_class']!r}")
    pattern = MESSAGES[entry["message_class"]]
    assert re.search(pattern, text), f"{entry['message_class']}: {pattern!r} is not in {text!r}"


def place_of(word: str, context: Context) -> str:
    """A word of the command line with our folders in it."""
    if word.startswith("POS/"):
        return str(context.archive(f"post/pos/{word.removeprefix('POS/')}.tar.gz"))
    if not word.startswith("DIR/"):
        return word
    path = context.temporary("dir") / word.removeprefix("DIR/")
    if word == "DIR/nope":
        return str(path)
    path.mkdir()
    if word == "DIR/bad":
        (path / FILE_NAME).write_text("{")
    elif word == "DIR/perm":
        (path / FILE_NAME).write_text("{}")
    elif word != "DIR/empty":
        raise NotUnderstood(f"what is in {word}")
    return str(path)


def refused(file: Path, limit: int) -> bytes:
    """What a user without the permission gets; whoever runs the tests may have it."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
