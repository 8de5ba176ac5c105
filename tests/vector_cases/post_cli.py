"""post/cli.json: command lines of the reference's programs → exit code, what it was about; ours in their place.

`initializer` has no stand-in of its own: its command lines are told as `smesher init`, `verify` and `providers` would
be, whose exit codes are those of all our commands (DESIGN D8). What ours refuses by a rule of the specification where
the recorded program went on (or ended in a panic) is refused with 2: no units or labels, more units than 32 bits hold,
files below 1024 bytes, a share outside of 0 to 100 percent. The labels themselves are held against the recorded nonce
in any case. `profiler` is `smesher profile`, which keeps its codes (101, a panic, is 2). The checks of `post-service`
are in `post_service`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from api.cli.main import COMMANDS, main
from kernels.labels.cpu import smallest
from protocol.post.rules import commitment
from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name
from prover.post.metadata import PostMetadata
from tests.support import pocl
from tests.support.cli import run_child
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.post_support import engine

KEYS = {"name", "tool", "args", "exit_code", "message_class", "stdout", "directory", "file0_same"}
PANIC = 101
NODE_ID = "8411931ece38b5abfb611f3bb1155a7eecd9c0e6c26672b567f7b1629c70a924"
ATX_ID = "66ec687158c86167efec0fcad4b9a6f3e98db07cc065a595a5b979f8a20dc7e2"
"""What the initializer takes when it is given none: known answer 1 of protocol 01-post."""
LEAST_FILE_SIZE = 1024
U32 = 1 << 32

INIT_CODES = {
    "unexpected_argument": 2,
    "n_not_power_of_two": 2,
    "panic": 2,
    "bad_base64": 2,
    "id_length": 2,
    "invalid_provider": 2,
    "output_is_not_a_directory": 2,
    "permission": 3,
    "no_opencl_platform": 3,
    "no_providers": 3,
}
VERIFY_CODES = {"label_mismatch": 1, "file_missing": 1, "missing_argument": 2}
PROFILE_MESSAGES = {
    "invalid_value": "nonces|difficulty|randomx-mode",
    "nonces_zero": "--nonces is 0",
    "panic": "--iterations is 0",
    "file_missing": "/proc/x",
}

INIT_MESSAGES = {
    "n_not_power_of_two": r"scrypt N is \d+, expected a power of two",
    "bad_base64": "--node-id",
    "id_length": r"expected 64 hex digits \(it has 6\)",
    "invalid_provider": "no device matches '99'",
    "output_is_not_a_directory": "is a file, expected a directory",
    "permission": "Permission denied|permission",
    "no_opencl_platform": "No GPU can be used",
    "no_providers": "No GPU can be used",
    "unexpected_argument": "usage",
}
NO_GPUS = {"POST_OCL_PLATFORMS_BLACKLIST": ".*", "CUDA_VISIBLE_DEVICES": "-1"}

MADE = re.compile(r"Initializing (\d+) labels .* vrf_nonce: (?:Some\((\d+)\)|None)")


@dataclass(frozen=True)
class Options:
    """An initializer's command line, read by its own rules. Numbers are texts: they may be wrong."""

    command: str
    method: str
    values: dict[str, str]

    @classmethod
    def read(cls, words: Sequence[str]) -> Options:
        command, method, values = "initialize", "", {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word.startswith("-"):
                name, equals, value = word.partition("=")
                values[name] = value if equals else (rest.pop(0) if rest and name not in ("--help",) else "")
            elif word in ("cpu", "gpu"):
                method = word
            else:
                command = word
        return cls(command, method, values)

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def number(self, name: str, default: int) -> int:
        return int(self.get(name, str(default)))

    @property
    def scrypt_n(self) -> int:
        return self.number("-n", 8192)

    @property
    def labels(self) -> int:
        """What the initializer makes: units are cut to 32 bits."""
        return self.number("-l", 65_536) * (self.number("-u", 1) % U32)

    @property
    def file_size(self) -> int:
        return self.number("-m", 4 << 30)


@vectors("post/cli.json", variants=False)
def command_lines(document: Any, context: Context) -> Iterator[Case | Later]:
    from tests.vector_cases.post_service import service_cases

    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        if entry["tool"] == "initializer":
            yield Case(entry["name"], partial(check_initializer, entry, document["cases"], context))
        elif entry["tool"] == "profiler":
            yield Case(entry["name"], partial(check_profiler, entry, context))
        elif entry["tool"] != "post-service":
            yield Case(entry["name"], partial(no_such_tool, entry))
    yield from service_cases(document, context)


def no_such_tool(entry: dict[str, Any]) -> None:
    raise NotUnderstood(f"the program {entry['tool']!r}")


def run(words: Sequence[object], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and words of a command line of ours; in a process of its own where its environment matters."""
    if environment is not None:
        with mock.patch.dict(os.environ, environment):
            result = run_child(*words)
        return result.code, result.text
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([str(word) for word in words])
    return code, said.getvalue()


def expect(found: tuple[int, str], code: int, pattern: str = "") -> None:
    assert found[0] == code, f"expected exit code {code}, got {found[0]}: {found[1]}"
    assert "Traceback" not in found[1], found[1]
    assert re.search(pattern, found[1]), f"{pattern!r} is not in {found[1]!r}"


def check_initializer(entry: dict[str, Any], cases: Sequence[dict[str, Any]], context: Context) -> None:
    unknown = set(entry) - KEYS
    if unknown:
        raise NotUnderstood(f"unknown fields: {', '.join(sorted(unknown))}")
    options = Options.read(entry["args"])
    if "--help" in options.values:
        expect(run(["init", "--help"]), 0, "--data-dir")
    elif "--version" in options.values:
        expect(run(["--version"]), 0, "^smesher ")
    elif options.command == "initialize":
        check_init(entry, options, context)
    elif options.command == "verify-data":
        check_verify(entry, options, cases, context)
    elif options.command == "list-providers":
        check_providers(entry)
    else:
        raise NotUnderstood(f"the command {options.command!r}")


# -- initialize ----------------------------------------------------------------------------------------------


def check_init(entry: dict[str, Any], options: Options, context: Context) -> None:
    """`smesher init` in its place, and the labels against the recorded nonce."""
    target = context.temporary("init") / "data"
    kind = entry["message_class"]
    refusing: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if kind == "output_is_not_a_directory":
        target.write_bytes(b"")
    elif kind == "permission":
        error = PermissionError(13, "Permission denied", str(target))
        refusing = mock.patch("prover.durable.make_directory", side_effect=error)
    environment = NO_GPUS if kind in ("no_opencl_platform", "no_providers") else None
    with refusing:
        found = run(init_words(options, target, without_gpus=environment is not None), environment)
    if kind is not None:
        if kind not in INIT_CODES:
            raise NotUnderstood(f"message class {kind!r}")
        expect(found, INIT_CODES[kind], INIT_MESSAGES.get(kind, ""))
        return
    expect(found, made_code(options))
    made = MADE.fullmatch(entry["stdout"])
    if made is None:
        raise NotUnderstood(f"the output {entry['stdout']!r}")
    if int(made[1]) < U32:  # else the recorded figure is that of the units before they were cut
        assert int(made[1]) == options.labels
    if options.labels:
        nonce = smallest_label(options)
        assert str(nonce) == made[2], f"the smallest label is {nonce}, recorded is {made[2]}"
    if found[0] == 0:
        assert Storage(target).data_files() == {
            number: Layout(options.labels, options.file_size).file_size(number)
            for number in range(Layout(options.labels, options.file_size).num_files)
        }
        stored = metadata_file.decode((target / metadata_file.FILE_NAME).read_text()).nonce
        assert stored is not None and (stored == nonce or stored >= options.labels), f"nonce {stored}, not {nonce}"


def init_words(options: Options, target: Path, *, without_gpus: bool) -> list[object]:
    """The command line for ours."""
    words: list[object] = ["init", "--data-dir", target]
    names = {"-n": "--scrypt-n", "-l": "--labels-per-unit", "-m": "--max-file-size", "-u": "--num-units"}
    defaults = {"-l": "65536", "-u": "1"}
    for name, ours in names.items():
        if name in options.values or name in defaults:
            words.append(f"{ours}={options.get(name, defaults.get(name, ''))}")
    words += ["--node-id", hex_of(options.get("--node-id"), NODE_ID)]
    words += ["--commitment-atx-id", hex_of(options.get("--commitment-atx-id"), ATX_ID)]
    words += [name for name in options.values if name.startswith("--") and name not in KNOWN_OPTIONS]
    if options.method == "gpu" and not without_gpus:
        # the initializer counts OpenCL devices of any class and takes the first one, ours names them
        number = options.get("--provider", "0")
        return [*words, "--provider", "opencl" if number == "0" else number]
    return [*words, *([f"--{options.method}"] if options.method else [])]


KNOWN_OPTIONS = {"--node-id", "--commitment-atx-id", "--output", "--provider"}


def hex_of(text: str, default: str) -> str:
    """An id in hex; what is no base64 stays what it is."""
    try:
        return base64.b64decode(text, validate=True).hex() if text else default
    except ValueError:
        return text


def made_code(options: Options) -> int:
    """What ours ends with where the recorded program was content."""
    units, labels = options.number("-u", 1), options.number("-l", 65_536)
    if not 0 < units < U32 or not labels or options.file_size < LEAST_FILE_SIZE:
        return 2
    if options.method == "gpu" and pocl.found() is None:
        return 2  # there is no OpenCL device here
    return 0


def labels_of(options: Options) -> Any:
    """All full labels that an initializer's command line makes."""
    node_id = bytes.fromhex(hex_of(options.get("--node-id"), NODE_ID))
    atx_id = bytes.fromhex(hex_of(options.get("--commitment-atx-id"), ATX_ID))
    return engine(options.scrypt_n).labels32([commitment(node_id, atx_id)], range(options.labels))


def smallest_label(options: Options) -> int:
    return smallest(labels_of(options))


# -- verify-data ---------------------------------------------------------------------------------------------


def check_verify(entry: dict[str, Any], options: Options, cases: Sequence[dict[str, Any]], context: Context) -> None:
    """`smesher verify` in its place: over a directory in which the file stands where its first label says."""
    kind = entry["message_class"]
    if "-i" not in options.values:
        expect(run(["verify"]), 2, "usage")
        return
    directory = context.temporary("verify")
    made = made_before(options.get("-i"), cases)
    number = 0
    if made is not None:
        number = options.number("--first-label-index", 0) * 16 // made.file_size
        place_file(directory, made, Path(options.get("-i")).name, number)
    words = ["verify", directory if made else directory / "missing", "--scrypt-n", options.scrypt_n]
    words += ["--from-file", number, "--to-file", number, "--cpu"]
    if "-f" in options.values:
        words.append(f"--fraction={options.get('-f')}")
    found = run(words)
    if not 0 <= options.number("-f", 5) <= 100:
        expect(found, 2, "--fraction")
    elif kind is None:
        expect(found, 0, "are right")
    elif made is None:
        expect(found, 2, "does not exist")
    elif options.scrypt_n != made.scrypt_n:
        expect(found, 2, f"scrypt N.* {made.scrypt_n}.* {options.scrypt_n} asked for")
    elif kind in VERIFY_CODES:
        expect(found, VERIFY_CODES[kind], "wrong")
    else:
        raise NotUnderstood(f"message class {kind!r}")


def made_before(path: str, cases: Sequence[dict[str, Any]]) -> Options | None:
    """The command line that made the directory of a file."""
    folder = str(Path(path).parent)
    for entry in cases:
        options = Options.read(entry["args"])
        if entry["tool"] == "initializer" and options.get("--output") == folder and entry["exit_code"] == 0:
            return options
    return None


def place_file(directory: Path, made: Options, name: str, number: int) -> None:
    """A directory with one file of those that were made, as number `number`."""
    layout = Layout(made.labels, made.file_size)
    files = {file_name(one): one for one in range(layout.num_files)}
    first = layout.first_label(files[name])
    count = layout.file_size(files[name]) // 16
    content = labels_of(made)[first : first + count, :16].tobytes()
    (directory / file_name(number)).write_bytes(content)
    metadata = PostMetadata(
        bytes.fromhex(NODE_ID), bytes.fromhex(ATX_ID), made.number("-l", 0), made.number("-u", 1), made.file_size
    )
    (directory / metadata_file.FILE_NAME).write_text(metadata_file.encode(metadata), newline="")


# -- list-providers ------------------------------------------------------------------------------------------


def check_providers(entry: dict[str, Any]) -> None:
    """`smesher providers` in its place: the processor is always there, filters hide, a bad one is told and not used."""
    kind = entry["message_class"]
    listed = [line for line in entry.get("stdout", "").splitlines() if "scrypt-jane" not in line]
    environment = {}
    if kind == "bad_filter_logged":
        environment = {"POST_OCL_PLATFORMS_BLACKLIST": "["}
    elif kind == "no_opencl_platform" or not listed:
        environment = NO_GPUS
    elif kind is not None:
        raise NotUnderstood(f"message class {kind!r}")
    code, text = run(["providers", "--json"], environment)
    expect((code, text), 0)
    events = [json.loads(line) for line in text.splitlines()]
    devices = [event for event in events if event["event"] == "provider"]
    assert devices[-1]["id"] == U32 - 1, text
    if environment is NO_GPUS:
        assert len(devices) == 1, text
    elif pocl.found() is not None:
        assert any("Portable Computing Language" in one["name"] for one in devices), text
    if kind == "bad_filter_logged":
        assert "no regular expression" in text, text


# -- profiler ------------------------------------------------------------------------------------------------


def check_profiler(entry: dict[str, Any], context: Context) -> None:
    unknown = set(entry) - KEYS
    if unknown:
        raise NotUnderstood(f"unknown fields: {', '.join(sorted(unknown))}")
    if all(command.name != "profile" for command in COMMANDS):
        raise NotUnderstood("there is no command `profile`")
    folder = context.temporary("profile")
    words = [str(folder / word.removeprefix("DIR/")) if word.startswith("DIR/") else word for word in entry["args"]]
    code, text = run(["profile", *words, "--json"])
    kind = entry["message_class"]
    nothing = "--duration 0" in " ".join(entry["args"]) or "--data-size 0" in " ".join(entry["args"])
    if nothing and kind != "nonces_zero":  # ours refuses what measures nothing
        expect((code, text), 2, "nothing would be measured")
        return
    if kind is not None:
        if kind not in PROFILE_MESSAGES:
            raise NotUnderstood(f"message class {kind!r}")
        expect((code, text), 2 if entry["exit_code"] == PANIC else entry["exit_code"], PROFILE_MESSAGES[kind])
        return
    expect((code, text), 0)
    found, recorded = json.loads(text.splitlines()[-1]), json.loads(entry["stdout"])
    assert set(recorded) <= set(found), f"expected the fields {', '.join(recorded)}: {found}"
    for name, value in recorded.items():
        assert kind_of(found[name]) == kind_of(value), f"{name} is {found[name]!r}, recorded is {value!r}"
    if "iterations" in recorded:
        assert found["iterations"] == recorded["iterations"]


def kind_of(value: object) -> object:
    """The form of a value, whatever was measured."""
    return {name: kind_of(one) for name, one in value.items()} if isinstance(value, dict) else type(value)
