"""poet/cli.json, metrics.json, crash.json: how the server starts, what it tells, how it survives.

What the reference panics or loops on is not replayed: such a case passes when ours refuses in words or goes on,
as the specification asks. Each run of cli.json is decided by a rule on what it sets, never by its name.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from api.edge.errors import EnvironmentFault, Failure
from api.edge.rpc import Status
from api.http import protojson
from api.services.poet.app import App
from api.services.poet.calls import proof_message
from api.services.poet.config import Config, ConfigError, HelpWanted, VersionWanted, load
from api.services.poet.metrics import CONTENT_TYPE, Metrics
from api.services.poet.options import HELP, SETTINGS
from api.services.poet.service import PoetService
from api.services.poet.worker_link import NoWorker
from kernels.posw import sha256
from protocol.numbers.time import Time
from prover.errors import ProofError
from prover.poet.round.execution import Settings
from prover.poet.server.messages import Assignment, Finished, FromWorker
from prover.poet.server.records import ProofRecord, RoundState, write_round_state
from prover.poet.server.registration import Refused
from prover.poet.server.rounds import Schedule
from prover.poet.server.worker import Worker, WorkerConfig
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors

SHORT_STATES = 100
"""Bytes; a state file in cli.json is given as text with one character a byte."""


# cli.json


@vectors("poet/cli.json", variants=False)
def command_line(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "options", "runs"))
    for entry in document["options"]:
        yield Case(f"option {entry['long']}", lambda e=entry: check_option(e))
    for entry in document["runs"]:
        yield Case(entry["name"], lambda e=entry: check_run(e, context.temporary("cli")))


def check_option(entry: dict[str, Any]) -> None:
    setting = next((one for one in (*SETTINGS, HELP) if one.flag == entry["long"]), None)
    assert setting is not None, f"--{entry['long']} is not known"
    if setting is HELP:
        assert (setting.short or None) == entry["short"]
        return
    assert setting.group == entry["group"], f"expected the group {entry['group']}, got {setting.group}"
    assert (setting.short or None) == entry["short"]
    assert setting.kind.switch != entry["takes_value"]
    if entry["default"] is not None and not entry["default"].startswith("<user cache dir>"):
        assert setting.default == setting.kind.from_text(entry["default"]), f"default {setting.default!r}"


def check_run(entry: dict[str, Any], directory: Path) -> None:
    words = [word.replace("<dir>", str(directory)) for word in entry["args"]]
    for name, content in entry["files"].items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("latin-1" if path.name == "state.bin" else "utf-8"))
    environment = {"HOME": str(directory), **entry["environment"]}
    try:
        config = load(words, environment)
    except HelpWanted:
        assert not entry["starts"]  # and ends with 0: who asks for help and gets it has done nothing wrong
        return
    except VersionWanted:
        assert not entry["starts"] and entry["exit_code"] == 0
        return
    except ConfigError as error:
        check_refusal(entry, error, directory, words)
        return
    taken = occupied_port(entry)
    try:
        asyncio.run(start_and_stop(at_any_port(config, taken)))
    except (ProofError, Failure) as error:
        check_refusal(entry, error, directory, words)
        return
    finally:
        if taken is not None:
            taken.close()
    # a round that cannot be gone on with is reported; the reference ends with it, and says that all is well
    broken_round = entry["exit_code"] == 0 and any("rounds/" in name for name in entry["files"])
    keyless_state = entry["exit_code"] == 2
    assert entry["starts"] or broken_round, f"expected a refusal ({entry['stderr'][:200]}), it starts"
    assert not keyless_state, "it starts where the reference panics"


SENSELESS = (
    "certifier-pubkey has",
    "epoch-duration is",
    "cycle-gap is",
    "second half is not the public key",
    "certifier-url is set",
    "max-round-members is 0",
    "is no option of the server",
    "the private key has",
)
"""What ours refuses though the reference starts: it fails at the first use, or never does what it was set up for."""


def check_refusal(entry: dict[str, Any], error: ProofError | Failure, directory: Path, words: list[str]) -> None:
    text = str(error).replace(str(directory), "<dir>")
    if "address already in use" in entry["stderr"]:
        assert isinstance(error, EnvironmentFault) and error.exit_code == 3, f"expected exit 3, got {error!r}"
        return
    if entry["starts"]:
        assert any(one in text for one in SENSELESS), f"expected it to start, got {text}"
        return
    assert entry["exit_code"] in (1, 2), f"expected exit {entry['exit_code']}, got the refusal {text}"
    if entry["exit_code"] == 2:
        return  # a panic there, words here
    assert error.exit_code == 1 or isinstance(error, EnvironmentFault), f"exit {error.exit_code}"
    # the words are ours; what is named is what the reference names
    first = entry["stderr"].splitlines()[0] if entry["stderr"] else ""
    named = [f"--{word.strip('-').rpartition('--')[2]}" for word in re.findall(r"flag `(.*?)'", first) if len(word) > 1]
    named += re.findall(r"<dir>/\S+\.conf", first)[:1] + [
        f"line {number}" for number in re.findall(r"conf:(\d+):", first)
    ]
    missing = [word for word in named if word not in text]
    assert not missing, f"{missing} not in {text!r} (recorded: {first!r})"


def occupied_port(entry: dict[str, Any]) -> socket.socket | None:
    """A listener in the server's way, where the run was recorded with one."""
    if "address already in use" not in entry["stderr"]:
        return None
    return socket.create_server(("127.0.0.1", 0))


def at_any_port(config: Config, taken: socket.socket | None) -> Config:
    """The same configuration on free ports, one worker in this process; a port in the way stays in the way."""
    changes: dict[str, Any] = {"one_process": True}
    for name in ("rpclisten", "config_rpclisten", "restlisten"):
        host, colon, port = getattr(config, name).rpartition(":")
        if colon and host == "127.0.0.1" and port.isdigit():
            changes[name] = "127.0.0.1:0"
    if taken is not None:
        changes["restlisten"] = f"127.0.0.1:{taken.getsockname()[1]}"
    if config.metrics_port is not None:
        changes["metrics_port"] = 0
    return replace(config, **changes)


async def start_and_stop(config: Config) -> None:
    app = App(config)
    await app.start()
    await asyncio.sleep(0.05)
    await app.stop()


# metrics.json


@vectors("poet/metrics.json", variants=False)
def metrics(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "http_status", "headers", "families", "samples"))
    text = exposition(context.temporary("metrics"))
    yield Case("content type", lambda: check_content_type(document))
    for family in document["families"]:
        if family["name"].startswith("go_"):
            continue  # of Go's runtime
        yield Case(family["name"], lambda f=family: check_family(f, text))
    for sample in document["samples"]:
        yield Case(f"samples, {sample['when']}", lambda s=sample: check_samples(s, text))


def exposition(directory: Path) -> dict[str, Any]:
    """The families of a server with one round in work: name to type, help and samples (labels to value)."""

    async def collect() -> str:
        config = load([f"--poetdir={directory}", "--disable-worker"], {})
        service = PoetService(config, NoWorker())
        service.open()
        counted = Metrics(service)
        service.progress = replace(service.progress, round_id=0, num_leaves=7)
        for status in Status:
            counted.count("Submit", status, 0.01)
        found = counted.text().decode()
        await service.stop()
        return found

    families: dict[str, Any] = {}
    for line in asyncio.run(collect()).splitlines():
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            families[name] = {"help": help_text, "samples": []}
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            families[name]["type"] = kind
        else:
            families[name]["samples"].append(line)
    return families


def check_content_type(document: dict[str, Any]) -> None:
    headers = dict(document["headers"])
    assert headers["Content-Type"] == CONTENT_TYPE
    assert document["http_status"] == 200


def labels_of(line: str) -> dict[str, str]:
    inside = line.partition("{")[2].partition("}")[0]
    return dict(part.split("=", 1) for part in inside.split(",")) if inside else {}


def check_family(family: dict[str, Any], found: dict[str, Any]) -> None:
    ours = found.get(family["name"])
    assert ours is not None, f"{family['name']} is missing"
    assert ours["type"] == family["type"], f"expected {family['type']}, got {ours['type']}"
    assert ours["help"] == family["help"], f"expected {family['help']!r}, got {ours['help']!r}"
    names = sorted({name for line in ours["samples"] for name in labels_of(line)})
    assert names == sorted(family["labels"]), f"expected the labels {family['labels']}, got {names}"
    if "buckets" in family:
        bounds = list(dict.fromkeys(labels_of(line)["le"].strip('"') for line in ours["samples"] if "le=" in line))
        assert bounds == family["buckets"], f"expected {family['buckets']}, got {bounds}"


def check_samples(sample: dict[str, Any], found: dict[str, Any]) -> None:
    """Names and label names of every recorded sample are ours too; values depend on what was asked of it."""
    for line in sample["lines"]:
        name = line.partition("{")[0].partition(" ")[0]
        family = next(
            (
                one
                for one in (name, name.removesuffix("_sum"), name.removesuffix("_count"), name.removesuffix("_bucket"))
                if one in found
            ),
            None,
        )
        assert family is not None, f"{name} is missing"
        mine = [one for one in found[family]["samples"] if one.partition("{")[0].partition(" ")[0] == name]
        assert any(labels_of(one).keys() == labels_of(line).keys() for one in mine), f"{line}: ours are {mine[:2]}"
        for label in ("grpc_code", "result"):
            value = labels_of(line).get(label)
            if value is not None:
                assert any(labels_of(one).get(label) == value for one in mine), f"{label} {value} is missing"


# crash.json


@vectors("poet/crash.json", variants=False)
def crashes(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "scenarios", "with_checkpoint"))
    for entry in document["scenarios"]:
        yield Case(entry["name"], lambda e=entry: check_take_over(e, context.temporary("crash")))
    for entry in document["with_checkpoint"]["scenarios"]:
        yield Case(f"with checkpoint: {entry['name']}", lambda e=entry: check_proof_after(e, context))


STATEMENT = bytes(range(32))
MOST_LEAVES = 20_000
"""The recorded files held up to some hundred thousand leaves; the same shapes are made with fewer."""


def check_take_over(entry: dict[str, Any], directory: Path) -> None:
    """What lies there after the recorded stop, in small, is gone on with: the round ends with a valid proof.

    The reference never starts again in most of these; ours must.
    """
    files = entry.get("round_files_after") or {}
    layers = {name: size // 32 for name, size in files.items() if name.startswith("layercache_")}
    leaves = min(layers.get("layercache_0.bin", 0), MOST_LEAVES)
    round_directory = directory / "rounds" / "0"
    round_directory.mkdir(parents=True)
    if layers:
        write_layer_files(round_directory, leaves, len(layers))
    if "state.bin" in files:
        stopped_well = entry.get("proof_status") == 200 and entry["signal"] == "SIGINT"
        state = RoundState.new(STATEMENT, 150, Time(1_795_000_000)).after(leaves if stopped_well else 0)
        write_round_state(round_directory, state)
    expected = max(leaves + 1000, 2000)
    finished = run_worker(directory, expected, None if "state.bin" in files else STATEMENT)
    assert finished.num_leaves == expected
    check_equals_uninterrupted(finished, STATEMENT, directory)


def write_layer_files(directory: Path, leaves: int, count: int) -> None:
    """The reference's layer files of a round with so many leaves."""
    slots = sha256.new_slots()
    control = np.zeros(3, np.int64)
    control[sha256.LIMIT] = leaves
    ring = np.zeros(32 * max(leaves, 1), np.uint8)
    sha256.advance(sha256.as_array(STATEMENT), slots, ring, 0, control)
    nodes = ring[: 32 * leaves]
    for layer in range(count):
        (directory / f"layercache_{layer}.bin").write_bytes(nodes.tobytes())
        nodes = sha256.parents(STATEMENT, nodes[: len(nodes) // 64 * 64]) if len(nodes) >= 64 else nodes[:0]


def run_worker(directory: Path, leaves: int, statement: bytes | None) -> Finished:
    """Lets a worker go on with a directory until it publishes round 0."""
    found: list[Finished] = []
    schedule = Schedule(0, 10**18, 0, 0)

    def emit(message: FromWorker) -> None:
        if isinstance(message, Finished):
            found.append(message)
            worker.stop()

    # at the end of the round by the clock, so that the fixed number of leaves alone decides when it ends
    config = WorkerConfig(directory, schedule, Settings(kept_height=0))
    worker = Worker(config, emit, clock=lambda: schedule.end(0), leaves=lambda round_id: leaves)
    if statement is not None:
        worker.tell(Assignment(0, statement))
    worker.run()
    assert found, "no proof was published"
    return found[0]


def check_equals_uninterrupted(finished: Finished, statement: bytes, directory: Path) -> None:
    other = directory / "uninterrupted"
    other.mkdir()
    expected = run_worker(other, finished.num_leaves, statement)
    assert finished.nip == expected.nip, "the proof differs from that of an uninterrupted round"
    shutil.rmtree(other)


def check_proof_after(entry: dict[str, Any], context: Context) -> None:
    """The proof that the reference gave after its restart is that of an uninterrupted round of ours."""
    import json

    recorded = entry["proof"]
    leaves = int(recorded["proof"]["leaves"])
    finished = run_worker(context.temporary("crash"), leaves, bytes.fromhex(entry["statement"]))
    record = ProofRecord(finished.nip, (), leaves, b"", "0")
    assert not isinstance(record, Refused)
    ours = json.loads(protojson.encode(proof_message(record)))["proof"]["proof"]
    assert ours == recorded["proof"]["proof"], (
        f"expected the root {recorded['proof']['proof']['root']}, got {ours['root']}"
    )
