"""Every command of the guides is run as it stands there, or it is said why it cannot be.

A block of a guide says in its first line what it is. `console`: each line behind `$ ` is run, in the order of the page,
in an empty folder, and has to end well. `sh needs=…`: it wants something that a test has not, named below; the commands
of smesher in it are parsed all the same. `toml file=NAME`: what a file holds that the next command reads. `text`: what
a program says, or a file's content. Three things are altered: folders below /mnt stand in the test's own folder,
`init` makes a few labels instead of as many as a disk has, and words in capitals, which a reader replaces, are
replaced.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.cli import main
from api.cli.data.demo import GOLDEN_ATX
from api.cli.poet import serve
from api.config.load import parse_flags
from api.services.poet.config import load
from prover.post import identity
from tests.support.cli import ROOT, smesher

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [*GUIDES, ROOT / "README.md"]

NEEDS = {
    "network": "packages are downloaded; tests have no network",
    "root": "something is installed for the whole system",
    "docker": "there is no container engine where tests run",
    "gpu": "there is no graphics card where tests run",
    "node": "a node of the network has to run beside it",
    "machines": "it takes two machines",
    "days": "a server runs until it is stopped, and its rounds take days; the tests of the servers start them",
}

SMALL = ["--labels-per-unit", "1024", "--scrypt-n", "2", "--max-file-size", "1024", "--cpu"]
"""What `init` is given besides: at 64 labels a file there are as many files as a guide's numbers speak of."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    options: dict[str, str]
    lines: list[str]
    where: str

    def commands(self) -> list[str]:
        """What is typed, without the prompt."""
        return [line.removeprefix("$ ") for line in self.lines if self.language == "sh" or line.startswith("$ ")]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page; the fences of a list's items are indented."""
    inside: list[str] | None = None
    first, indent, start = "", "", 0
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if match := re.match(r"( *)```(.*)$", line):
            if inside is None:
                inside, indent, first, start = [], match[1], match[2], number
            else:
                language, *options = first.split() or [""]
                yield Block(language, dict(one.split("=") for one in options), inside, f"{page.name}:{start}")
                inside = None
        elif inside is not None:
            inside.append(line.removeprefix(indent))


def words_of(command: str) -> list[str]:
    return shlex.split(command, comments=True)


# -- the rules of the pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in ("console", "sh", "toml", "text"), f"{block.where}: {block.language!r}"
        if block.language == "console":
            wrong = [line for line in block.lines if not line.startswith("$ smesher ")]
            assert not wrong, f"{block.where}: not run: {wrong}"
        if block.language == "sh":
            assert block.options.get("needs") in NEEDS, f"{block.where}: why is it not run?"
        if block.language in ("console", "sh"):
            assert "…" not in "".join(block.lines), f"{block.where}: cannot be typed"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_stands_outside_of_a_block_and_no_bare_pip_anywhere(page: Path) -> None:
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        where = f"{page.name}:{number}: {line}"
        if page in GUIDES and not inside:
            assert not re.match(r" {4,}(\w+\$ |\$ )?(\.venv/bin/)?(smesher|pip|git|python3?) ", line), where
        assert not re.search(r"(?<![\w/])pip3? install", line), where
        assert "smesher[" not in line, where


def test_every_file_of_ours_that_a_guide_names_is_there() -> None:
    for page in PAGES:
        for name in re.findall(r"\b(?:packaging|requirements|docs)/[\w./-]+\w", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_need_something_have_options_that_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(page):
        if block.language != "sh":
            continue
        for command in block.commands():
            words = words_of(re.sub(r"^docker run .* (smesher(?::\w+)?) (?=\w)", "smesher ", command))
            if words and Path(words[0]).name == "smesher" and len(words) > 1 and words[1] != "--version":
                chosen = next(one for one in main.COMMANDS if one.name == words[1])
                if chosen.name == "poet":
                    check_poet(words[2:])
                    continue
                if chosen.name == "node":
                    assert not parse_flags(words[2:]).positional, command
                    continue
                main.build_parser(chosen).parse_args(words[1:])


def check_poet(words: list[str]) -> None:
    """The options of a PoET server are the original's, read by a parser of their own."""
    if words[:1] and words[0] in serve.TOOLS:
        serve.tool_parser(words[0]).parse_args(words[1:])
    else:
        key = base64.b64encode(bytes(range(32))).decode()
        load([key if word == "PUBLIC_KEY" else word for word in words], {})


# -- running -------------------------------------------------------------------------------------------------------


def nothing(folder: Path) -> dict[str, str]:
    return {}


def of_rig_owner(folder: Path) -> dict[str, str]:
    return {"NODE_ID": "11" * 32}


def of_coin_holder(folder: Path) -> dict[str, str]:
    """Wallets of three people, and what their commands tell of them."""
    found = {}
    for name in ("anna", "ben", "carl"):
        told = smesher("wallet", "create", "--out", f"{name}.json", "--show-secrets", "--json").ok().last
        found[f"KEY_OF_{name.upper()}"] = told["accounts"][0]["public_key"]
        found["ADDRESS"] = told["accounts"][0]["address"]
        (folder / "phrase").write_text(told["mnemonic"] + "\n")
    keys = [word for name in ("ANNA", "BEN", "CARL") for word in ("--key", found[f"KEY_OF_{name}"])]
    vesting = smesher("wallet", "address", "vesting", "--required", 2, *keys, "--json").ok().last["address"]
    words = ["wallet", "address", "vault", "--owner", vesting, "--total", "1000SMH", "--json"]
    return {"PUBLIC_KEY": found["KEY_OF_ANNA"], "VAULT": smesher(*words).ok().last["address"], **found}


PREPARED: dict[str, Callable[[Path], dict[str, str]]] = {"rig-owner.md": of_rig_owner, "wallet.md": of_coin_holder}
"""What a reader of that page has, and puts in the place of words in capitals."""

BESIDES: dict[tuple[str, ...], list[str]] = {
    ("init",): SMALL,
    ("wallet", "create"): ["--show-secrets"],
    ("wallet", "import"): ["--mnemonic-file", "phrase"],
    **{("tx", word): ["--yes"] for word in ("spawn", "spend", "drain", "sign")},
}
"""Options that a test adds: small data, and answers that a person types."""


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_a_guide_followed_to_the_letter_ends_well(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMESHER_WALLET_PASSWORD", "a password")
    replaced = PREPARED.get(page.name, nothing)(tmp_path)
    ran = 0
    for block in blocks(page):
        if block.language == "toml" and "file" in block.options:
            (tmp_path / block.options["file"]).write_text("\n".join(block.lines).replace("/mnt", f"{tmp_path}/mnt"))
        if block.language != "console":
            continue
        for command in block.commands():
            words = [replaced.get(word, word) for word in words_of(command)[1:]]
            words = [word.replace("/mnt", f"{tmp_path}/mnt") for word in words]
            for place, more in BESIDES.items():
                words += more if tuple(words[: len(place)]) == place else []
            done = smesher(*words)
            assert done.code == 0, f"{block.where}: {command}\nexit {done.code}: {done.text}"
            ran += 1
    assert ran or page.name == "install.md"


def test_the_golden_atx_that_the_guides_name_is_mainnets() -> None:
    for page in GUIDES:
        named = re.findall(r"--commitment-atx-id (\S+)", page.read_text())
        assert set(named) <= {GOLDEN_ATX}, page.name


def test_a_key_made_alone_is_what_a_directory_takes(tmp_path: Path) -> None:
    made = smesher("identity", "new", tmp_path / identity.FILE_NAME, "--json").ok().last
    assert smesher("identity", "show", made["file"], "--json").ok().last["node_id"] == made["node_id"]
