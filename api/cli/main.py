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
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Never

from api.edge.signals import ignore_rest

from .output import Output


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
    Command("profile", "api.cli.data.profile", "measure how fast this machine proves, and for how many space units"),
    Command("pause", "api.cli.data.pause", "let a running init rest"),
    Command("resume", "api.cli.data.resume", "let a paused init go on"),
    Command("providers", "api.cli.data.providers", "list the devices that can compute labels"),
    Command("poet", "api.cli.poet.serve", "run a PoET server, or look at one: status, verify, bench"),
    Command("wallet", "api.cli.wallet.keys", "make and read wallets, compute addresses"),
    Command("tx", "api.cli.wallet.tx", "make, sign and explain transactions without a node"),
    Command("bench", "api.cli.data.bench", "measure the label engine against hashlib.scrypt on this machine"),
)

EXIT_DONE, EXIT_NO, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class Parser(argparse.ArgumentParser):
    """argparse, but its errors follow the rules of `Output`."""

    output: Output | None = None

    def error(self, message: str) -> Never:
        """A usage error: exit code 2, with a hint where help is."""
        if Parser.output is not None and Parser.output.json:
            Parser.output.error(EXIT_USAGE, f"{message} (see {self.prog} --help)")
        else:
            self.print_usage(sys.stderr)
            print(f"{self.prog}: {message}\nTry '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


def build_parser(command: Command | None) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the options of one command (the others are only named)."""
    parser = Parser(
        prog="smesher",
        description="Spacemesh proofs of space-time: PoST data that the network accepts, at the speed of the silicon.",
        epilog="'smesher COMMAND --help' explains a command. All commands take --json for machines.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
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
    output = Parser.output = Output(json="--json" in words)
    try:
        with _terminate_like_interrupt(), ignore_rest():
            return _run(words, output)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_USAGE
    except BrokenPipeError:
        # the reader of our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except KeyboardInterrupt:
        output.error(EXIT_INTERRUPTED, "interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:  # sorted by kind below; what is unknown is raised again
        code = _exit_code(error)
        if code is None:
            raise
        try:
            output.error(code, _message(error))
        except (MemoryError, OSError):  # without memory not even the module that formats it can be loaded
            sys.stderr.write(f"smesher: {_message(error)}\n")
        return code


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


def program_version() -> str:
    """The version of the installed package; "unknown" where it runs from a folder without being installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("smesher")
    except PackageNotFoundError:
        return "unknown"


STARVED = ("can't start new thread", "failed to map segment", "annot allocate memory")
"""What Python, or a library that it loads, says when the system gives no more memory or threads."""


def _starved(error: Exception) -> bool:
    words = isinstance(error, (RuntimeError, ImportError)) and any(words in str(error) for words in STARVED)
    return words or isinstance(error, MemoryError)


def _exit_code(error: Exception) -> int | None:
    if _starved(error):  # first of all: what follows may load modules
        return EXIT_ENVIRONMENT

    from kernels.devices.types import SelectionError
    from kernels.errors import KernelError
    from protocol.errors import ProtocolError
    from prover.errors import ProofError

    if isinstance(error, ProofError):
        return error.exit_code
    if isinstance(error, (ProtocolError, SelectionError)):
        return EXIT_USAGE
    if isinstance(error, (KernelError, OSError)):
        return EXIT_ENVIRONMENT
    return None


def _message(error: Exception) -> str:
    if _starved(error):
        return (
            f"The system gives no more memory or threads ({type(error).__name__}: {error}). Stop other programs, or "
            "raise the limits of this one (ulimit -v, ulimit -u, the limits of its container)."
        )

    from kernels.devices.types import SelectionError

    if isinstance(error, SelectionError):
        listed = "; ".join(
            f"{one.place if one.id is None else one.id}: {one.name} ({', '.join(filter(None, (one.pci, one.driver)))})"
            for one in error.devices
        )
        return f"{error}. Choose among: {listed}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)
