"""`smesher poet`: the PoET server, and with a word after it the operator's tools: status, verify, db, bench.

The server's command line is the reference's, so its words are not argparse's to judge: `add_arguments` makes the
parser hand them over as they are. Exit codes of the server are the reference's, see protocol 02-poet,
section 9.1; those of the tools are the usual ones.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from dataclasses import dataclass

from api.cli.output import Output
from api.cli.words import take_words
from api.edge import logging as logs
from api.edge.version import program_version


@dataclass(frozen=True, slots=True)
class Tool:
    """A word after `smesher poet`: the module behind it, its two functions, and what it does in one line."""

    module: str
    arguments: str
    function: str
    summary: str


TOOLS = {
    "status": Tool("api.cli.poet.status", "add_arguments", "status", "show what a server does"),
    "verify": Tool(
        "api.cli.poet.verify",
        "add_verify_arguments",
        "verify",
        "judge a proof: JSON of /v1/proofs/ID, or an encoded message",
    ),
    "db": Tool(
        "api.cli.poet.db", "add_arguments", "run", "check the databases of a server that is stopped, or repair them"
    ),
    "bench": Tool("api.cli.poet.bench", "add_bench_arguments", "bench", "measure the leaf rate of this core"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes every word as it is; see `run`."""
    take_words(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs the server or a tool. Raises ProofError."""
    words: list[str] = list(arguments.words)
    if words and words[0] in TOOLS:
        return _run_tool(words[0], words[1:], output)
    return _serve([word for word in words if word != "--json"], output)


def tool_parser(name: str) -> argparse.ArgumentParser:
    """The options of a tool."""
    from api.cli.main import Parser

    tool = TOOLS[name]
    summary = tool.summary[0].upper() + tool.summary[1:] + "."
    parser = Parser(prog=f"smesher poet {name}", description=summary, allow_abbrev=False)
    getattr(importlib.import_module(tool.module), tool.arguments)(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    return parser


def _run_tool(name: str, words: list[str], output: Output) -> int:
    tool = TOOLS[name]
    function = getattr(importlib.import_module(tool.module), tool.function)
    return int(function(tool_parser(name).parse_args(words), output))


def _serve(words: list[str], output: Output) -> int:
    from api.services.poet import config

    try:
        loaded = config.load(words, config.user_environment(), TOOLS)
    except config.HelpWanted:
        print(help_text())
        return 0
    except config.VersionWanted:
        print(program_version())
        return 0
    from api.services.poet import app

    log = logging.getLogger("poet")

    def ready(running: app.App) -> None:
        logs.begun(log, "poet", config.described(loaded))
        output.event(
            "serving",
            http=running.rest_port,
            grpc=running.grpc_ports["rpc"],
            configuration=running.grpc_ports["config"],
            metrics=running.metrics_port or None,
        )

    with logs.end(log, "poet"):
        return app.run(loaded, ready)


def help_text() -> str:
    """The settings of the server, by group, and the tools."""
    from api.services.poet.options import APPLICATION, GROUPS, HELP, SETTINGS

    lines = ["Usage: smesher poet [OPTIONS]", "       smesher poet status|verify|db|bench ...", ""]
    for group in GROUPS:
        lines.append(f"{group}:")
        for setting in (*SETTINGS, *([HELP] if group == APPLICATION else [])):
            if setting.group == group or (setting is HELP and group == APPLICATION):
                flag = setting.shown_flag if setting.kind.switch else f"{setting.shown_flag}="
                lines.append(f"  {flag:34} {setting.meaning()}")
        lines.append("")
    lines.append("Environment:")
    key = "the server's key, base64 of 64 bytes (default: the one in datadir, or a new one)"
    lines.append(f"  {'POET_PRIVATE_KEY':34} {key}")
    lines.append("")
    lines.append("Tools ('smesher poet TOOL --help' explains each):")
    lines += [f"  {name:34} {tool.summary}" for name, tool in TOOLS.items()]
    return "\n".join(lines)
