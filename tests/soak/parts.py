"""What a soak does again and again: every part plays one turn from a seed and raises where something does not hold.

A turn says what it did as counts. Each part is a test's own function with dice that nobody has thrown before.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.services.poet import test_attacks as attacks
from tests.api.services.poet.test_kills import rounds_with_kills
from tests.fuzz import poet as poet_messages
from tests.fuzz.mutate import mutated
from tests.fuzz.run import fuzz
from tests.node.assembly.restarting import Hare, as_the_twin, restarted
from tests.node.mesh import test_cuts as cuts
from tests.node.store.levels import copy_of, make_whole, names_of, opens_as
from tests.node.store.test_level_faults import killed_writers, opens_the_same_or_is_refused
from tests.prover.post.init import test_crash as crashes
from tests.support.crash_disk import Kind

Counts = Counter[str]

POET_KILLS = 8
CRASHES = 40
STORE_KILLS = 3
HURTS = 60
SCENARIOS = 6
DAMAGED_REQUESTS = 300
DAMAGED_RECORDS = 20_000
DAMAGED_INPUTS = 300
GOOD_ANSWERS = 10


def poet_kills(seed: int, directory: Path) -> Counts:
    """A PoET server killed in rounds whose proofs are known."""
    hit, rounds = rounds_with_kills(directory, seed, POET_KILLS)
    return Counter({"kills": hit.total(), "rounds": rounds})


def failing_disks(seed: int, directory: Path) -> Counts:
    """Initialisations cut off at any system call, that lose their power, whose syncs fail."""
    rng = random.Random(seed)
    told: Counts = Counter()
    with pytest.MonkeyPatch.context() as patch:
        disk_of = crashes.disks(directory, patch)
        runner = crashes.Runner(disk_of)
        names = [name for name in crashes.SCENARIOS if name != "long search beyond the data"]
        for _ in range(CRASHES):
            kinds: list[Kind] = [rng.choice(("kill", "power cut")) for _ in range(rng.randint(1, 5))]
            told["cuts"] += runner.crash(rng.choice(names), rng.getrandbits(32), kinds, survives=True)
            crashes.failing_syncs(runner, disk_of, rng.choice(names), rng)
            told["failed syncs"] += 4
    return told


def killed_stores(seed: int, directory: Path) -> Counts:
    """Processes that write into a store of a node, each killed."""
    killed_writers(directory / "state", random.Random(seed), STORE_KILLS)
    return Counter({"kills": STORE_KILLS})


def hurt_stores(seed: int, directory: Path) -> Counts:
    """Flipped bits, files cut short, zeros and missing files in a store of a node."""
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        whole = make_whole(directory / "state", seed, patch)
    copy = copy_of(whole, directory / "copy")
    expected = opens_as(copy), names_of(copy)
    files = [file for file in sorted(whole.iterdir()) if file.name not in ("LOCK", "LOG", "LOG.old")]
    told: Counts = Counter()
    for _ in range(HURTS):
        copy_of(whole, copy)
        file = copy / rng.choice(files).name
        data = bytearray(file.read_bytes())
        at = rng.randrange(len(data))
        match rng.choice(["flip", "flip", "cut", "zeros", "gone"]):
            case "flip":
                data[at] ^= 1 << rng.randrange(8)
                file.write_bytes(data)
            case "cut" if file.suffix != ".log":  # a log that is cut is an earlier state, see `ledgers`
                file.write_bytes(data[:at])
            case "gone" if file.suffix != ".log":
                file.unlink()
            case _:
                file.write_bytes(data[:at] + bytes(min(4096, len(data) - at)) + data[at + 4096 :])
        refused = opens_the_same_or_is_refused(copy, file.name, expected)
        told["refused by name" if refused else "as before"] += 1
    return told


def ledgers(seed: int, directory: Path) -> Counts:
    """Layers applied and reverted, transactions coming in: cut at any write, logs cut at any byte."""
    rng = random.Random(seed)
    told: Counts = Counter()
    for _ in range(SCENARIOS):
        told["cuts of units"] += cuts.cuts_of_units(rng.getrandbits(32))
    cuts.cuts_of_a_log(seed, directory)
    told["cuts of logs"] += cuts.LOG_CUTS
    return told


def hostile_clients(seed: int, directory: Path) -> Counts:
    """Attacks on a PoET server while a good client is answered, then damaged requests."""
    rng = random.Random(seed)
    told: Counts = Counter()
    with attacks.attacked(directory) as target:
        for name in rng.sample(sorted(attacks.ATTACKS), 3):
            assert len(attacks.under(attacks.ATTACKS[name], target, GOOD_ANSWERS)) == GOOD_ANSWERS, name
            told["attacks"] += 1
            assert target.most_mb < attacks.MOST_MB, f"{target.most_mb:.0f} MB after {name}"
        for number in range(DAMAGED_REQUESTS):
            send(target, mutated(rng.choice(REQUESTS), rng), rng)
            told["damaged requests"] += 1
            if number % 50 == 0:
                target.info()
        target.info()
        assert target.most_mb < attacks.MOST_MB
    return told


BODY = b'{"challenge": "AAAA", "pubkey": "AAAA", "signature": "AAAA", "nonce": "1", "prefix": ""}'
REQUESTS = (
    attacks.GET,
    attacks.POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    attacks.CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    b"GET /v1/proofs/0 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n" + attacks.GET * 3,
)


def send(target: attacks.Target, data: bytes, rng: random.Random) -> None:
    """A request in pieces; what is answered is not looked at, that the connection ends in time is."""
    with target.connect() as one:
        try:
            at = rng.randrange(len(data) + 1)
            for piece in (data[:at], data[at:]):
                one.sendall(piece)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass
        except TimeoutError:
            raise AssertionError(f"a connection that was shut down is never closed after {data!r}") from None
        except OSError:
            return


def damaged_messages(seed: int, directory: Path) -> Counts:
    """Bytes that are a little wrong for every record of the protocol."""
    tally = fuzz(DAMAGED_RECORDS, seed)
    return Counter({"refused": tally.refused.total(), "accepted": tally.accepted})


def damaged_inputs(seed: int, directory: Path) -> Counts:
    """The same for everything that a PoET server reads: requests, answers, settings, files."""
    told: Counts = Counter()
    for _, accepted, _ in poet_messages.fuzz(DAMAGED_INPUTS, seed):
        told += Counter({"accepted": accepted, "refused": DAMAGED_INPUTS - accepted})
    return told


def restarts(seed: int, directory: Path) -> Counts:
    """Whole nodes that are stopped between any two units, and in the middle of a commit."""
    versions: tuple[Hare, ...] = ("3", "4", "3 to 4")
    told: Counts = Counter()
    for hare in versions:
        made = restarted(seed, hare, layers=44, each=30)
        assert made.run.finish().violations == ()
        as_the_twin(made.run)
        told["restarts"] += made.forgotten.restarts
    return told


PARTS: dict[str, Callable[[int, Path], Counts]] = {
    "poet-kills": poet_kills,
    "failing-disks": failing_disks,
    "killed-stores": killed_stores,
    "hurt-stores": hurt_stores,
    "ledgers": ledgers,
    "hostile-clients": hostile_clients,
    "restarts": restarts,
    "damaged-messages": damaged_messages,
    "damaged-inputs": damaged_inputs,
}
