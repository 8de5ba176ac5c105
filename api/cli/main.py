"""The command `smesher`: finds the command's module, runs it, turns errors into exit codes.

A command module has `add_arguments(parser)` and `run(arguments, output) -> int`. It is imported only
when its command is used, so that help is instant. Exit codes are those of `DESIGN` D8: 0 done, 1 the
answer is no, 2 usage or input, 3 environment, 130 interrupted and resumable.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Never, TextIO

from api.edge import errors
from api.edge.errors import EXIT_DONE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_USAGE
from api.edge.signals import ignore_rest
from api.edge.text import escaped, shown
from api.edge.version import program_version

from .output import Output

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, the module behind it, and what it does in one line."""

    name: str
    module: str
    summary: str


COMMANDS = (
    Command("init", "api.cli.data.init", "fill a directory with PoST labels, or go on where it stopped"),
    Command("info", "api.cli.data.info", "show what a data directory holds and what is missing"),
    Command("verify", "api.cli.data.verify", "recompute a sample of the labels and name each wrong one"),
    Command("repair", "api.cli.data.repair", "rewrite the labels that verify found wrong"),
    Command("merge", "api.cli.data.merge", "join the parts of a split initialisation"),
    Command("nonce", "api.cli.data.nonce", "search the VRF nonce in existing data, then beyond it"),
    Command("prove", "api.cli.data.prove", "make a proof of space-time over a data directory"),
    Command("verify-proof", "api.cli.data.verify_proof", "check a proof of space-time as the network does"),
    Command(
        "post-service", "api.cli.services.post_service", "make the proofs that a node asks for, in place of its service"
    ),
    Command("k2pow-service", "api.cli.services.k2pow_service", "search proofs of work for provers on other machines"),
    Command("certifier", "api.cli.services.certifier", "certify nodes that hold a valid proof, for PoET servers"),
    Command("identity", "api.cli.data.identity", "make a smesher's key, or tell the node id of one: new, show"),
    Command("profile", "api.cli.data.profile", "measure how fast this machine proves, and for how many space units"),
    Command("pause", "api.cli.data.pause", "let a running init rest"),
    Command("resume", "api.cli.data.resume", "let a paused init go on"),
    Command("providers", "api.cli.data.providers", "list the devices that can compute labels"),
    Command("poet", "api.cli.poet.serve", "run a PoET server, or look at one: status, verify, bench"),
    Command("wallet", "api.cli.wallet.keys", "make and read wallets, compute addresses"),
    Command("tx", "api.cli.wallet.tx", "make, sign and explain transactions; tell an account's history"),
    Command("node", "api.cli.node.run", "run a node of the network, or a network of one"),
    Command("devnet", "api.cli.node.devnet", "run a network of several nodes and a PoET on this machine"),
    Command("config", "api.cli.node.config", "explain the settings of a node, or check a file of them"),
    Command("merge-nodes", "api.cli.node.merge_nodes", "join the identities of two nodes in one data directory"),
    Command("gen-p2p-identity", "api.cli.node.peer_identity", "make the key by which peers know a node, tell its id"),
    Command("migrate", "api.cli.node.migrate", "move the data of an original node to this one, or back"),
    Command("db", "api.cli.node.db", "look after the stores of a node: whole or not, a copy, their room, a state.sql"),
    Command("simulate", "api.cli.node.simulate", "run a network of nodes from a seed, with faults and liars"),
    Command("bench", "api.cli.data.bench", "measure the label engine against hashlib.scrypt on this machine"),
)


LONGEST_WORD, LONGEST_ERROR = 300, 4000
"""Characters of one word of the command line that an error repeats, and of the whole error."""


class Parser(argparse.ArgumentParser):
    """argparse, but its errors follow the rules of `Output`."""

    output: Output | None = None
    words: Sequence[str] = ()
    """What was typed."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A word that is left over is told here, so by the command that does not know it, not by the whole program."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> Never:
        """A usage error: exit code 2, with a hint where help is. What was typed is repeated cut, as all input is."""
        message = _bounded(message)
        if Parser.output is not None and Parser.output.json:
            Parser.output.error(EXIT_USAGE, f"{message} (see {self.prog} --help)")
        else:
            self.print_usage(sys.stderr)
            print(f"{self.prog}: {message}\nTry '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(EXIT_USAGE)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """argparse swallows what an unbuffered output refuses, so that help on a full disk would seem to be told."""
        if message:
            (sys.stderr if file is None else file).write(message)


def build_parser(command: Command | None) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the options of one command (the others are only named)."""
    parser = Parser(
        prog="smesher",
        description="Spacemesh proofs of space-time: PoST data that the network accepts, at the speed of the silicon.",
        epilog="'smesher COMMAND --help' explains a command. All commands take --json for machines.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for one in COMMANDS:
        sub = commands.add_parser(
            one.name,
            help=one.summary,
            description=one.summary[0].upper() + one.summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if one is command:
            importlib.import_module(one.module).add_arguments(sub)
            sub.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code; never raises for anything a user can cause."""
    words = list(sys.argv[1:] if argv is None else argv)
    # numpy's linear algebra, which nothing here uses, starts a thread for each processor when it is loaded; where the
    # system has none left it interrupts the program
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # read once when gRPC is loaded; what matters of it is in the log in our words
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    output, Parser.words = Output(json="--json" in words), words
    Parser.output = output
    try:
        with _terminate_like_interrupt(), ignore_rest():
            code = _run(words, output)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else EXIT_USAGE
    except BrokenPipeError:
        _mute(sys.stdout)  # the reader of our output has gone; there is nobody left to tell
        return EXIT_DONE
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        _tell(output, code, "interrupted")
    except Exception as error:  # sorted by kind below; what is unknown is raised again
        known = errors.exit_code(error)
        if known is None:
            raise
        code = known
        nameless = isinstance(error, OSError) and error.filename is None  # perhaps it was the output itself
        if not (nameless and _flushed(EXIT_DONE) != EXIT_DONE):
            _tell(output, code, errors.sentence(error))
    return _flushed(code)


def _bounded(message: str) -> str:
    """What is told of an error, with the words of the command line cut and escaped where it repeats them whole."""
    typed = {part for word in Parser.words for part in (word, word.partition("=")[2]) if len(part) > LONGEST_WORD}
    for word in sorted(typed, key=len, reverse=True):
        for form in (repr(word), word):
            message = message.replace(form, shown(word, LONGEST_WORD))
    return escaped(message, LONGEST_ERROR)


def _tell(output: Output, code: int, message: str) -> None:
    """Why it ends. Without memory, or without room for the output, at least on standard error."""
    try:
        output.error(code, _bounded(message))
    except (MemoryError, OSError):
        with suppress(OSError):  # nowhere is left to say it; the exit code does
            sys.stderr.write(f"smesher: {message}\n")


def _flushed(code: int) -> int:
    """The exit code once all output is where it belongs: what a full disk does not take is told, and changes it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _mute(stream)
        except (OSError, ValueError) as error:
            _mute(stream)
            with suppress(OSError, ValueError):  # it may be standard error that failed; the exit code says it then
                sys.stderr.write(f"smesher: the output could not be written: {getattr(error, 'strerror', error)}.\n")
            code = EXIT_ENVIRONMENT
    return code


def _mute(stream: TextIO) -> None:
    """Lets what a stream still holds go nowhere, so that the end of the program does not complain of it."""
    with suppress(OSError, ValueError):  # a stream without a descriptor, or closed, holds nothing that could complain
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: files are closed, locks released, exit code 130."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: list[str], output: Output) -> int:
    name = next((word for word in words if not word.startswith("-")), None)
    command = next((one for one in COMMANDS if one.name == name), None)
    parser = build_parser(command)
    arguments = parser.parse_args(words)
    if arguments.version:
        print(f"smesher {program_version()}")
        return EXIT_DONE
    if command is None:
        parser.print_help()
        return EXIT_DONE if name is None and not words else EXIT_USAGE
    return int(importlib.import_module(command.module).run(arguments, output))
