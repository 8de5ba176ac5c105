"""Vectors of how a node starts (api/node_operation.json): the reference's exit code, or a refusal by name where it runs
on, panics or hangs. What a node without peers cannot show belongs to later work.

Exit code 1 of the reference stays 1; its panics (2) and what never ends (-9) are refused with 1.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from api.node.start import prepared
from protocol.crypto.signing import Signer
from tests.support.cli import Result, finish, start, wait_for
from tests.support.node_data import NOW_NS, NodeFolder, serving_file
from tests.vector_cases.harness import Case, Context, Later, vectors

Sections = Mapping[str, Mapping[str, Any]]

ELSEWHERE = ("state.sql not writable",)
"""Beginnings of the names of cases in which a node has started already, except those in `START`."""


@dataclass(frozen=True)
class Start:
    """One start of a node."""

    do: Callable[[NodeFolder], Result]
    words: Sequence[str] = ()
    """What a refusal has to say."""
    rule: str = ""
    """Why ours differs from the reference; empty where it does not."""
    runs: bool = False
    """Whether the refusal comes from the node that is made of what was prepared."""


def configured(changes: Sections, *words: str, rule: str = "") -> Start:
    """A configuration file with changes of some sections."""

    def do(at: NodeFolder) -> Result:
        at.write(changes)
        return at.run()

    return Start(do, words, rule)


def flagged(*flags: str, words: Sequence[str] = ()) -> Start:
    def do(at: NodeFolder) -> Result:
        at.write()
        return at.run(*flags)

    return Start(do, words)


def written(text: str, *words: str) -> Start:
    """A configuration file of this text."""

    def do(at: NodeFolder) -> Result:
        at.file.write_text(text)
        return at.run()

    return Start(do, words)


def bare(*flags: str, words: Sequence[str] = (), rule: str = "") -> Start:
    """`smesher node` without a configuration file."""

    def do(at: NodeFolder) -> Result:
        from tests.support.cli import smesher

        return smesher("node", *(flag.replace("<dir>", str(at.path)) for flag in flags))

    return Start(do, words, rule)


def keyed(files: Mapping[str, str], *words: str) -> Start:
    """Key files that lie there before the first start."""

    def do(at: NodeFolder) -> Result:
        at.keys.mkdir(parents=True)
        for name, text in files.items():
            (at.keys / name).write_text(text)
        at.write()
        return at.run()

    return Start(do, words)


def used(change: Callable[[NodeFolder], None], *words: str, changes: Sections | None = None, rule: str = "") -> Start:
    """A second start, after something was done to the data."""

    def do(at: NodeFolder) -> Result:
        at.used()
        change(at)
        at.write(changes)
        return at.run()

    return Start(do, words, rule)


def reconfigured(changes: Sections, *words: str, rule: str = "") -> Start:
    """A second start with another configuration."""
    return used(lambda at: None, *words, changes=changes, rule=rule)


def original(*names: str) -> Start:
    """Databases of an original node lie there, and no store of ours."""

    def do(at: NodeFolder) -> Result:
        at.data.mkdir()
        for name in names:
            (at.data / name).write_bytes(b"SQLite format 3\0" if name != "state.sql" else b"")
        at.write()
        return at.run()

    return Start(do, (names[0], "smesher migrate from-go"), ORIGINAL)


def second(other_lock: bool) -> Start:
    """While a first node runs."""

    def do(at: NodeFolder) -> Result:
        with prepared(at.config(), now_ns=NOW_NS):
            at.write({"main": {"filelock": str(at.path / "OTHER")}} if other_lock else {})
            return at.run()

    return Start(do, ("is in use by smesher node, process", "main.data-folder" if other_lock else "LOCK"))


def port_taken(place: Callable[[int], Sections], option: str) -> Start:
    """Somebody else listens on a port of the node's."""

    def do(at: NodeFolder) -> Result:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            api = {f"grpc-{name}-listener": "127.0.0.1:0" for name in ("public", "private", "post")}
            changes = place(port)
            at.write({**changes, "api": {**api, **changes.get("api", {})}})
            return at.run()

    return Start(do, (option, "ddress already in use"), runs=True)


def listener(name: str) -> Start:
    return port_taken(lambda port: {"api": {name: f"127.0.0.1:{port}"}}, name)


def recovered(
    *words: str,
    change: Callable[[Any], Any] = lambda document: document,
    options: Mapping[str, Any] | None = None,
    status: int = 200,
    is_used: bool = True,
    then: Sequence[str] = (),
    rule: str = "",
) -> Start:
    """A start with a checkpoint, which a server of this machine has. status 0: it is not there any more."""

    def do(at: NodeFolder) -> Result:
        if is_used:
            at.used()
        document = json.loads((Path(__file__).parents[1] / "vectors" / "api" / CHECKPOINT).read_text())
        changed = change(document)
        body = changed if isinstance(changed, str) else json.dumps(changed)
        with serving_file(body.encode(), status or 200) as url:
            recovery = {"recovery-uri": f"{url}/{CHECKPOINT}", "recovery-layer": 176, **(options or {})}
            at.write({"recovery": recovery})
            if status:
                result = at.run()
        if not status:
            result = at.run()
        for word in then:  # the server is gone, and is not asked any more
            at.write({"recovery": recovery} if word == "again" else {})
            result = at.run()
        return result

    return Start(do, words, rule)


def of_data(document: Any, **changes: Any) -> Any:
    """The checkpoint with other parts; None: without one."""
    data = {**document["data"], **changes}
    return {**document, "data": {name: value for name, value in data.items() if value is not None}}


def lacking(document: Any, name: str) -> Any:
    return {key: value for key, value in document.items() if key != name}


def signalled(number: signal.Signals, *, ends: bool = True, rule: str = "") -> Start:
    """A node in a process of its own, which gets a signal once clients are let in. ends: else it is ignored."""

    def do(at: NodeFolder) -> Result:
        api = {f"grpc-{name}-listener": "127.0.0.1:0" for name in ("public", "private", "post")}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            poet = f"http://127.0.0.1:{free.getsockname()[1]}"
        at.write({"api": api, "main": {"poet-servers": [{"address": poet}]}})
        log = at.path / "node.log"
        child = start("node", "-c", at.file, "--log-file", log)
        wait_for(lambda: log.exists() and "post API on port" in log.read_text(), child)
        child.send_signal(number)
        if not ends:
            child.send_signal(signal.SIGTERM)
        return finish(child)

    return Start(do, rule=rule, runs=True)


def without(*names: str) -> Callable[[NodeFolder], None]:
    """Deletes something of the data directory."""

    def do(at: NodeFolder) -> None:
        for name in names:
            path = at.data / name
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink()
                path.rmdir()
            else:
                path.unlink()

    return do


def overwritten(name: str, text: str) -> Callable[[NodeFolder], None]:
    def do(at: NodeFolder) -> None:
        (at.data / name).write_text(text)

    return do


KEY, OTHER_KEY = (Signer(bytes([byte]) * 32).identity_text() for byte in (1, 2))
FOREIGN_ADDRESS = "sm1qqqqqq9fwfymdr7qv0tfc3ppa4q8ara6qm7kwugw9gdme"
ACCOUNTS = dict(NodeFolder(Path()).document()["genesis"]["accounts"])
FIRST = next(iter(ACCOUNTS))

CHECKPOINT = "checkpoint_devnet_a_100.json"
STRICT = "a checkpoint is judged by its content, not by its shape alone"
IGNORED = "it was stopped in the end, where the reference's was killed"
NO_DUMP = "a Go program prints what its threads do and ends with 2; here the signal ends it"
LOSES = "a number that the reference wraps or cuts is refused"
ORIGINAL = "a data directory of the original is moved over first: begun anew, its identities could sign twice"
LOST = "what was there before and is missing is refused, where the reference begins anew without a word"
OTHER_LAYERS = "the data counts other layers"
BY_NAME = "what the reference replaces by a default without a word is refused"
FOLLOWS = "the labels of a standalone network lie beside its data, so that two networks of one machine do not meet"
NO_DATABASE = "ours has no connections to a database; the setting is named in the warning about such settings"

START: Mapping[str, Start] = {
    "version": bare("version"),
    "help": bare("--help"),
    "no config flag": bare(words=("--config FILE",)),
    "config file missing": bare("-c", "<dir>/config.json", words=("config.json", "no such file")),
    "unknown flag": flagged("--nosuch", words=("no flag --nosuch",)),
    "config: invalid JSON": written("{", "JSON"),
    "config: empty file": written("", "JSON"),
    "config: empty object with preset standalone flag": bare(
        *("-p", "standalone", "--data-folder", "<dir>/data", "--filelock", "<dir>/L"),
        *("--grpc-public-listener", "127.0.0.1:0", "--genesis-time", "2026-11-23T04:00:57Z"),
        rule=FOLLOWS,
    ),
    "config: unknown top-level key": configured({"nosuch": {}}, "nosuch is no setting"),
    "config: unknown key in main": configured({"main": {"nosuch": 1}}, "main.nosuch is no setting"),
    "config: unknown keys, several": configured(
        {"main": {"aa": 1, "bb": 2}, "p2p": {"cc": 3}}, "main.aa is no", "main.bb is no", "p2p.cc is no"
    ),
    "config: untagged api.PublicServices": configured({"api": {"PublicServices": ["node"]}}),
    "config: unknown preset": flagged("-p", "nonet", words=("no preset 'nonet'", "standalone")),
    "config: bad duration": configured({"main": {"layer-duration": "4 seconds"}}, "main.layer-duration is '4 seconds'"),
    "config: duration as number (nanoseconds)": configured({"main": {"layer-duration": 4_000_000_000}}),
    "config: bad genesis time": configured({"genesis": {"genesis-time": "yesterday"}}, "genesis.genesis-time"),
    "config: genesis-time without zone": configured({"genesis": {"genesis-time": "2026-01-01T00:00:00"}}, "zone"),
    "config: deprecated poet-server": configured({"main": {"poet-server": "x"}}, "main.poet-servers"),
    "config: string for number": configured({"main": {"layers-per-epoch": "8"}}),
    "config: negative": configured({"main": {"layers-per-epoch": -8}}, "main.layers-per-epoch is -8", rule=LOSES),
    "config: float": configured({"main": {"tick-size": 12.7}}, "main.tick-size is 12.7", rule=LOSES),
    "config: bad rational": configured({"beacon": {"beacon-theta": "x"}}, "beacon.beacon-theta is 'x'"),
    "config: bad multiaddr": configured({"p2p": {"listen": "localhost:1"}}, "p2p.listen", "localhost:1"),
    "config: provider as string of number": configured(
        {"smeshing": {"smeshing-opts": {"smeshing-opts-provider": "0"}}}, "smeshing-opts-provider is '0'"
    ),
    "config: provider as string above 2^32": configured(
        {"smeshing": {"smeshing-opts": {"smeshing-opts-provider": "4294967295"}}}, "smeshing-opts-provider"
    ),
    "config: provider as number 4294967295": configured(
        {"smeshing": {"smeshing-opts": {"smeshing-opts-provider": 4294967295}}}
    ),
    "config: pow difficulty short": configured({"post": {"post-pow-difficulty": "0f"}}, "64 hex digits"),
    "config: bad log level": configured({"logging": {"hare": "loud"}}, "logging.hare: level 'loud' is unknown"),
    "config: bad log encoder": configured(
        {"logging": {"log-encoder": "xml"}}, "logging.log-encoder is 'xml'", rule=BY_NAME
    ),
    "config: unknown logger key": configured({"logging": {"nosuch": "info"}}, "logging.nosuch is no setting"),
    "config: poet pubkey bad base64": configured(
        {"main": {"poet-servers": [{"address": "http://127.0.0.1:1", "pubkey": "%%"}]}}, "pubkey", "base64"
    ),
    "config: atx-versions bad epoch": configured({"main": {"atx-versions": {"x": 2}}}, "main.atx-versions"),
    "config: atx-versions version 3": configured({"main": {"atx-versions": {"2": 3}}}, "version 3"),
    "config: atx-versions going down": configured({"main": {"atx-versions": {"2": 2, "3": 1}}}, "goes back"),
    "config: case of keys differs": configured({"Main": {"Tick-Size": 100}}),
    "genesis: extra data empty": configured({"genesis": {"genesis-extra-data": ""}}, "genesis-extra-data has 0 bytes"),
    "genesis: extra data 256 characters": configured(
        {"genesis": {"genesis-extra-data": "x" * 256}}, "genesis-extra-data has 256 bytes"
    ),
    "genesis: account of another network": configured(
        {"genesis": {"accounts": {FOREIGN_ADDRESS: 1}}}, "genesis.accounts", FOREIGN_ADDRESS, "standalone"
    ),
    "genesis: bad account": configured({"genesis": {"accounts": {"abc": 1}}}, "genesis.accounts", "abc"),
    "smeshing-start without coinbase": configured(
        {"smeshing": {"smeshing-start": True, "smeshing-coinbase": ""}}, "smeshing-coinbase names nobody"
    ),
    "bad coinbase": configured({"smeshing": {"smeshing-coinbase": "zzz"}}, "smeshing.smeshing-coinbase", "zzz"),
    "coinbase of another network": configured(
        {"smeshing": {"smeshing-coinbase": FOREIGN_ADDRESS}}, "smeshing.smeshing-coinbase", "standalone"
    ),
    "hare longer than zdist": configured(
        {"hare3": {"round-duration": "5s"}}, "hare3 may take 2m21s", "tortoise-zdist", "layer-duration"
    ),
    "eligibility-confidence-param >= layers per epoch": configured(
        {"hare-eligibility": {"eligibility-confidence-param": 8}},
        "eligibility-confidence-param is 8",
        "layers-per-epoch",
    ),
    "layer duration 0": configured({"main": {"layer-duration": "0s"}}, "main.layer-duration is 0s"),
    "layer duration 500ms": configured({"main": {"layer-duration": "500ms"}}, "main.layer-duration is 500ms"),
    "layers per epoch 0": configured({"main": {"layers-per-epoch": 0}}, "main.layers-per-epoch is 0"),
    "standalone with two poets": configured(
        {"main": {"poet-servers": [{"address": "http://127.0.0.1:1"}, {"address": "http://127.0.0.1:2"}]}},
        "main.poet-servers names 2, not one",
    ),
    "db-connections 0": configured({"main": {"db-connections": 0}}, rule=NO_DATABASE),
    "port in use: public gRPC": listener("grpc-public-listener"),
    "port in use: private gRPC": listener("grpc-private-listener"),
    "port in use: post gRPC": listener("grpc-post-listener"),
    "port in use: JSON": listener("grpc-json-listener"),
    # a standalone network of ours has no peers, and listens for none
    "port in use: p2p": port_taken(
        lambda port: {"main": {"standalone": False}, "p2p": {"listen": f"/ip4/127.0.0.1/tcp/{port}"}}, "p2p"
    ),
    "port in use: standalone poet": port_taken(
        lambda port: {"main": {"poet-servers": [{"address": f"http://127.0.0.1:{port}"}]}}, "main.poet-servers"
    ),
    "listener not parseable": configured({"api": {"grpc-public-listener": "abc"}}, "api.grpc-public-listener is 'abc'"),
    "identity: one key not called local.key": keyed({"own.key": KEY}),
    "identity: two keys": keyed({"a.key": KEY, "b.key": OTHER_KEY}),
    "identity: two keys, one local.key": keyed({"a.key": KEY, "local.key": OTHER_KEY}, "2 keys", "local.key"),
    "identity: duplicate keys": keyed({"a.key": KEY, "b.key": KEY.upper()}, "a.key and b.key", "the same key"),
    "identity: empty file": keyed({"local.key": ""}, "local.key", "empty"),
    "identity: not hex": keyed({"local.key": "z" * 128}, "local.key", "not all of them hexadecimal"),
    "identity: 63 bytes": keyed({"local.key": KEY[:126]}, "local.key", "126 characters"),
    "identity: 65 bytes": keyed({"local.key": KEY + "00"}, "local.key", "130 characters"),
    "identity: trailing newline": keyed({"local.key": KEY + "\n"}, "local.key", "line ends"),
    "identity: upper case hex": keyed({"local.key": KEY.upper()}),
    "identity: public half does not match the seed": keyed({"local.key": KEY[:64] + OTHER_KEY[64:]}, "does not belong"),
    "baseline: existing data of 166 layers": used(lambda at: None),
    "second instance: same lock file": second(other_lock=False),
    "second instance: other lock file, same data dir, other ports": second(other_lock=True),
    "first instance while a second is tried": used(lambda at: None),
    "signal SIGINT": signalled(signal.SIGINT),
    "signal SIGHUP": signalled(signal.SIGHUP),
    "signal SIGUSR1": signalled(signal.SIGUSR1, ends=False, rule=IGNORED),
    "signal SIGQUIT": signalled(signal.SIGQUIT, rule=NO_DUMP),
    "genesis changed: time": reconfigured(
        {"genesis": {"genesis-time": "2027-01-01T00:00:01Z"}},
        "2027-01-01T00:00:00Z there, 2027-01-01T00:00:01Z configured",
    ),
    "genesis changed: extra data": reconfigured(
        {"genesis": {"genesis-extra-data": "other"}}, "'op' there, 'other' configured"
    ),
    "genesis changed: account balance": reconfigured(
        {"genesis": {"accounts": {**ACCOUNTS, FIRST: 5}}}, FIRST, f"{ACCOUNTS[FIRST]} there, 5 configured"
    ),
    "genesis changed: account removed": reconfigured(
        {"genesis": {"accounts": {FIRST: ACCOUNTS[FIRST]}}}, "absent configured"
    ),
    "genesis.json deleted": used(without("genesis.json"), "genesis.json is missing", "own, state", rule=LOST),
    "genesis.json not JSON": used(overwritten("genesis.json", "{{"), "genesis.json is damaged"),
    "genesis.json empty": used(overwritten("genesis.json", ""), "genesis.json is damaged"),
    "layers-per-epoch changed on existing data": reconfigured(
        {"main": {"layers-per-epoch": 9}}, "main.layers-per-epoch is 8 here, 9 configured", rule=OTHER_LAYERS
    ),
    "layer-duration changed on existing data": reconfigured(
        {"main": {"layer-duration": "5s"}}, "main.layer-duration is 4s here, 5s configured", rule=OTHER_LAYERS
    ),
    "hrp changed on existing data": reconfigured({"main": {"network-hrp": "sm"}}, "genesis.accounts"),
    "state.sql: header overwritten": original("state.sql", "local.sql"),
    "state.sql: random page overwritten (page 3)": original("state.sql", "local.sql"),
    "state.sql: truncated to half": original("state.sql", "local.sql"),
    "state.sql: empty file": original("state.sql"),
    "state.sql: deleted": used(without("state"), "state is missing", "state.store", rule=LOST),
    "state.sql: user_version 26 (newer)": original("state.sql", "local.sql"),
    "state.sql: user_version 24": original("state.sql", "local.sql"),
    "state.sql: schema drift, extra table": original("state.sql", "local.sql"),
    "state.sql: schema drift, extra index": original("state.sql", "local.sql"),
    "state.sql: schema drift, missing index": original("state.sql", "local.sql"),
    "state.sql: schema drift allowed": original("state.sql", "local.sql"),
    "local.sql: deleted": used(without("own", "own.store"), "own is missing", "contradict themselves", rule=LOST),
    "local.sql: user_version 2": original("local.sql"),
    "local.sql: garbage": original("local.sql"),
    "node_state.sql present (old name)": original("node_state.sql"),
    "p2p key: not JSON": used(overwritten("p2p/p2p.key", "xx"), "p2p.key is damaged"),
    "p2p key: deleted": used(without("p2p/p2p.key")),
    "identity deleted": used(
        without("identities/local.key"), "holds no key any more", "local.key with node id", rule=LOST
    ),
    "data folder is a file": Start(
        lambda at: (at.data.write_text("x"), at.write(), at.run())[-1], ("main.data-folder", "a part is a file")
    ),
    "data folder not writable (other user)": configured(
        {"main": {"data-folder": "/proc/smesher", "filelock": "/proc/LOCK"}},
        "main.data-folder /proc/smesher cannot be made",
    ),
    "lock file directory missing": Start(
        lambda at: (at.write({"main": {"filelock": str(at.path / "a" / "b" / "LOCK")}}), at.run())[-1]
    ),
    "checkpoint: accepted, restore layer 176": recovered(),
    "checkpoint: second start with the same recovery options": recovered(then=("again",)),
    "checkpoint: third start without recovery options": recovered(then=("again", "without")),
    "checkpoint: fresh data dir": recovered(is_used=False),
    "checkpoint: do not preserve own atx": recovered(options={"preserve-own-atx": False}),
    "checkpoint: restore layer 0": recovered("recovery.recovery-layer", options={"recovery-layer": 0}),
    "checkpoint: 404": recovered(status=404),
    "checkpoint: server down": recovered(status=0),
    "checkpoint: file scheme": recovered("recovery-uri", "http://", options={"recovery-uri": "file:///snapshot-100"}),
    "checkpoint: not JSON": recovered("is no JSON", change=lambda document: "no"),
    "checkpoint: wrong version": recovered("checkpoint.version", change=lambda document: {**document, "version": "9"}),
    "checkpoint: no accounts": recovered("accounts", change=lambda document: of_data(document, accounts=None)),
    "checkpoint: no atxs": recovered("atxs", change=lambda document: of_data(document, atxs=None)),
    "checkpoint: atx lacks a field": recovered(
        "vrfNonce", change=lambda document: of_data(document, atxs=[lacking(document["data"]["atxs"][0], "vrfNonce")])
    ),
    "checkpoint: extra top-level key": recovered(change=lambda document: {**document, "more": 1}),
    "checkpoint: empty atxs": recovered(change=lambda document: of_data(document, atxs=[])),
    "checkpoint: duplicate atx": recovered(
        "atxs", change=lambda document: of_data(document, atxs=[document["data"]["atxs"][0]] * 2)
    ),
    "checkpoint: bad account address": recovered(
        "address",
        change=lambda document: of_data(document, accounts=[{**document["data"]["accounts"][0], "address": "AAAA"}]),
        rule=STRICT,
    ),
    "checkpoint: no command": recovered("command", change=lambda document: lacking(document, "command")),
}


@contextlib.contextmanager
def stopped_before_it_runs() -> Iterator[None]:
    """A node that has been prepared ends well at once: what is tested here is everything before it."""
    ends = ModuleType("api.node.run")
    vars(ends)["run"] = lambda found: 0
    with mock.patch.dict(sys.modules, {"api.node.run": ends}):
        yield


KILLED = -signal.SIGKILL
"""The exit code of a case that did not end by itself."""


def expected(case: Mapping[str, Any], one: Start) -> int:
    """Our exit code: the reference's, 1 in place of its panics, and what a rule says."""
    if one.rule == NO_DUMP:
        return -signal.SIGQUIT
    if one.rule:
        return 1 if one.words else 0
    if case["exit_code"] < 0 and case["exit_code"] != KILLED:
        return int(case["exit_code"])  # the signal that ended it
    return 0 if case["exit_code"] == 0 else 1


def _check(case: Mapping[str, Any]) -> None:
    one = START[case["name"]]
    before = contextlib.nullcontext() if one.runs else stopped_before_it_runs()
    with tempfile.TemporaryDirectory() as folder, before:
        result = one.do(NodeFolder(Path(folder)))
    code = expected(case, one)
    if code:
        result.refused(code, *one.words)
    else:
        result.ok()
    # a rule that is not needed any more is to go
    assert not one.rule or one.rule in (ORIGINAL, NO_DUMP) or (case["exit_code"] == 0) != (code == 0), (
        "this is no difference"
    )


@vectors("api/node_operation.json", variants=False)
def operation(document: Any, context: Context) -> Iterator[Case | Later]:
    for case in document["cases"]:
        name = case["name"]
        if name in START:
            yield Case(name, lambda case=case: _check(case))
        else:
            assert name.startswith(ELSEWHERE), f"{name} is neither a start nor known to be tested elsewhere"
            yield Later(name)
