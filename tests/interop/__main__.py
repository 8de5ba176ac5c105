"""Our keys, addresses and transactions against the network's JavaScript clients: `python -m tests.interop`.

The clients are installed by npm into a folder of their own and asked about random cases of one seed; every answer must
be ours. Needs Node and, the first time, the npm registry: no part of `make test`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.edge.errors import UsageError
from api.wallet import accounts, derivation, transactions
from api.wallet.accounts import AccountDescription
from api.wallet.secret import Secret
from protocol.types import address
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.templates import MultisigSpawnArguments, Payload, VaultSpawnArguments

HERE = Path(__file__).resolve().parent
HRPS = ("sm", "stest", "standalone")
GENESIS_ID = bytes(20)


@dataclass(frozen=True, slots=True)
class Question:
    """What the client is asked, and what we say."""

    asked: dict[str, Any]
    ours: str | None


def _u64(value: int) -> dict[str, str]:
    return {"u64": str(value)}


def _hex(value: bytes) -> dict[str, str]:
    return {"hex": value.hex()}


def keys(dice: random.Random) -> Iterator[Question]:
    """Keys of a seed at a path."""
    seed = dice.randbytes(64)
    steps = [dice.choice((0, 44, 540, dice.getrandbits(31))) for _ in range(dice.randrange(6))]
    path = "/".join(["m", *(f"{step}'" for step in steps)])
    _, secret = derivation.key_pair(derivation.derive(Secret(seed), path))
    yield Question({"kind": "key", "seed": seed.hex(), "path": path}, secret.reveal().hex())


def addresses(dice: random.Random) -> Iterator[Question]:
    """Addresses of bytes, and texts that may be damaged."""
    hrp = dice.choice(HRPS)
    data = dice.randbytes(20)
    text = address.to_text(address.generate(data), hrp)
    yield Question({"kind": "address", "bytes": data.hex(), "hrp": hrp}, text)
    if dice.random() < 0.5:
        place = dice.randrange(len(text))
        text = text[:place] + dice.choice("qpzry9x8gf2tvdw0s3jn54khce6mua7lB1") + text[place + 1 :]
    other = dice.choice(HRPS)
    try:
        found: str | None = address.from_text(text, other).hex()
    except address.AddressError:
        found = None
    yield Question({"kind": "parse", "text": text, "hrp": other}, found)


def _number(dice: random.Random, bits: int) -> int:
    return dice.getrandbits(dice.randrange(1, bits + 1))


def _account(dice: random.Random, template: str) -> tuple[AccountDescription, dict[str, Any]]:
    if template == "wallet":
        key = dice.randbytes(32)
        return accounts.wallet_account(key), {"PublicKey": _hex(key)}
    if template == "vault":
        total = _number(dice, 63)
        start = _number(dice, 31)
        terms = VaultSpawnArguments(
            Address(bytes(4) + dice.randbytes(20)),
            total,
            dice.randrange(total + 1),
            LayerId(start),
            LayerId(start + _number(dice, 30)),
        )
        return AccountDescription("vault", terms), {
            "Owner": _hex(terms.owner),
            "TotalAmount": _u64(terms.total_amount),
            "InitialUnlockAmount": _u64(terms.initial_unlock_amount),
            "VestingStart": terms.vesting_start,
            "VestingEnd": terms.vesting_end,
        }
    public_keys = tuple(NodeId(dice.randbytes(32)) for _ in range(dice.randrange(1, 11)))
    required = dice.randrange(1, len(public_keys) + 1)
    return AccountDescription(template, MultisigSpawnArguments(required, public_keys)), {
        "Required": required,
        "PublicKeys": [_hex(key) for key in public_keys],
    }


def composed(dice: random.Random) -> Iterator[Question]:
    """Principals and unsigned transactions of every template and method."""
    # the client holds the gas price in 32 bits
    nonce, price = _number(dice, 64), _number(dice, 32) or 1
    payload = Payload(nonce, price)
    template = dice.choice(tuple(accounts.TEMPLATES))
    account, arguments = _account(dice, template)
    yield Question({"kind": "principal", "template": template, "arguments": arguments}, account.address.hex())
    principal = account if template != "vault" else _account(dice, "wallet")[0]
    asked = {
        "kind": "transaction",
        "template": template,
        "principal": principal.address.hex(),
        "nonce": str(nonce),
        "gas_price": str(price),
    }
    try:
        spawned = transactions.spawn(principal, account, payload, GENESIS_ID)
        yield Question({**asked, "method": 0, "arguments": arguments}, spawned.data.hex())
    except UsageError:
        pass  # ten keys and a long nonce: more bytes than a transaction may have
    if template == "vault":
        return
    destination, amount = Address(bytes(4) + dice.randbytes(20)), _number(dice, 64)
    spent = {"Destination": _hex(destination), "Amount": _u64(amount)}
    unsigned = transactions.spend(principal, destination, amount, payload, GENESIS_ID)
    yield Question({**asked, "method": 16, "arguments": spent}, unsigned.data.hex())
    if template == "vesting":
        vault = Address(bytes(4) + dice.randbytes(20))
        drained = transactions.drain(principal, vault, destination, amount, payload, GENESIS_ID)
        yield Question({**asked, "method": 17, "arguments": {"Vault": _hex(vault), **spent}}, drained.data.hex())


def questions(seed: int, count: int) -> Iterator[Question]:
    """`count` rounds of every kind."""
    dice = random.Random(seed)
    for _ in range(count):
        for ask in (keys, addresses, composed):
            yield from ask(dice)


def main() -> int:
    """0 when every answer is ours, 1 when one differs, 3 without Node or without the clients."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=Path, required=True, help="folder into which npm installs the clients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("Node and npm are needed to compare with the network's JavaScript clients; install Node 18 or newer.")
        return 3
    folder: Path = arguments.clients
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", folder / "package.json")
    installed = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=False)
    if installed.returncode:
        print("npm could not install the clients; the lines above say why.")
        return 3
    asked = list(questions(arguments.seed, arguments.rounds))
    lines = "".join(json.dumps(question.asked) + "\n" for question in asked)
    answered = subprocess.run(
        [node, HERE / "clients.cjs", folder.resolve()], input=lines, capture_output=True, text=True, check=False
    )
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    if len(answers) != len(asked):
        print(f"The clients answered {len(answers)} of {len(asked)} questions: {answered.stderr[-2000:]}")
        return 3
    same: Counter[str] = Counter()
    wrong = 0
    for question, answer in zip(asked, answers, strict=True):
        kind = question.asked["kind"]
        if answer.get("answer") == question.ours and "error" not in answer:
            same[kind] += 1
            continue
        wrong += 1
        if wrong <= 10:
            print(f"differs: {json.dumps(question.asked)}\n  ours {question.ours}\n  theirs {answer}")
    print(f"{sum(same.values())} of {len(asked)} answers are equal: {dict(same)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
