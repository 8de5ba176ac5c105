"""`smesher node`: a node of the network, with the command line, files and environment of the original.

Its command line is the original's, so its words are not argparse's to judge: `add_arguments` makes the parser hand them
over as they are. Every refusal ends with exit code 1, as the original's do, a stop by a signal with 0. Protocol
09b-node-storage-libp2p, section 6; 11-user-tools, section 6.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from api.cli.output import Output
from api.cli.words import take_words
from api.config.errors import ConfigError
from api.config.load import CommandLine, Loaded, flags, parse_flags, read
from api.config.node import inner, settings_of
from api.config.own import SETTINGS as OWN
from api.edge import ending, errors, node_log
from api.edge import logging as logs
from api.edge.collecting import starting
from api.edge.errors import EXIT_DONE, DataError, UsageError
from api.edge.text import read_text, shown
from api.edge.threads import processors
from api.edge.version import program_version
from protocol.params.config import networks
from protocol.params.config.node import Config

SECRETS = ("public-metrics.metrics-push-pass", "public-metrics.metrics-push-header")
"""Paths of settings that no log shows."""

MOST_BYTES = 64 << 20
"""Of a configuration; a hundred thousand accounts have ten million."""

GENERAL = "general"
"""The heading of what belongs to no section."""

log = logging.getLogger(node_log.ROOT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes every word as it is; see `run`."""
    take_words(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs the node until it is stopped. Raises DataError for whatever keeps it from that."""
    try:
        return _run([word for word in arguments.words if word != "--json"], as_json=arguments.json)
    except KeyboardInterrupt:
        return EXIT_DONE  # not even the log had begun
    except BrokenPipeError:
        raise  # of help, whose reader has gone
    except Exception as error:  # sorted by kind below; what is unknown is raised again
        if errors.exit_code(error) is None:
            raise
        raise DataError(errors.sentence(error)) from error  # exit code 1, as the original's


def _run(words: list[str], *, as_json: bool) -> int:
    if "--help" in words or "-h" in words:
        print(help_text())
        return EXIT_DONE
    if words == ["version"]:
        print(program_version())
        return EXIT_DONE
    loaded = configuration(words, os.environ)
    if as_json:
        logging_of = replace(loaded.config.logging, log_encoder=node_log.JSON)
        loaded = replace(loaded, config=replace(loaded.config, logging=logging_of))
    with starting():
        code, has_run = _start(loaded)
    if has_run:
        ending.want_at_once()
    return code


def configuration(words: Sequence[str], environment: Mapping[str, str]) -> Loaded:
    """What a command line, its file and the environment say. Raises UsageError and below, EnvironmentFault."""
    line = parse_flags(words)
    if line.positional:
        known = "It is no relay for others." if line.positional[0] == "relay" else "Words beside flags: version."
        raise UsageError(f"smesher node knows no {shown(line.positional[0])}. {known}")
    text = None if line.config is None and _names_preset(line, environment) else _file(line.config)
    loaded = read("{}" if text is None else text, line, environment, form=form_of(line.config), processors=processors())
    return replace(loaded, config=followed(loaded))


def form_of(path: str | None) -> Literal["json", "toml"]:
    """The format of a configuration file, by its name."""
    return "toml" if path is not None and path.endswith(".toml") else "json"


def followed(loaded: Loaded) -> Config:
    """The configuration, with lock and labels beside the data where the preset has them there and only the data was
    moved: the second network of one machine must not meet the first one's."""
    config, base = loaded.config, loaded.base
    before, now = base.main.data_folder, config.main.data_folder
    lock, opts = config.main.filelock, config.smeshing.opts
    if "main.filelock" not in loaded.sources and lock.startswith(f"{before}/"):
        config = replace(config, main=replace(config.main, filelock=now + lock.removeprefix(before)))
    if "smeshing.smeshing-opts.smeshing-opts-datadir" not in loaded.sources and opts.datadir == before:
        config = replace(config, smeshing=replace(config.smeshing, opts=replace(opts, datadir=now)))
    return config


def _names_preset(line: CommandLine, environment: Mapping[str, str]) -> bool:
    return any(one.setting.path == "preset" for one in line.given) or bool(environment.get("SMESHER_PRESET"))


def _file(path: str | None) -> str:
    if path is None:
        raise ConfigError(
            "A configuration is needed: --config FILE, whose {} stands for the main network, or --preset with one of "
            f"{', '.join(networks.PRESETS)}.",
            "config_file_missing",
        )
    return read_text(Path(path), "--config", MOST_BYTES)


def _start(loaded: Loaded) -> tuple[int, bool]:
    """The exit code, and whether the node has run."""
    from api.node import checks, without  # they load much; help needs none of it
    from api.node.identities import Mode
    from api.node.start import prepared

    config, own = loaded.config, loaded.own
    output = node_log.output_to(
        encoder=config.logging.log_encoder, file=own.log_file, size=own.log_file_size << 20, files=own.log_files
    )
    with node_log.NodeLog(checks.levels(config), output) as the_log, logs.end(log, "node"):
        logs.begun(log, "node", told(loaded))
        log.info(node_log.clock_sentence())
        mode = Mode(own.smeshing_mode) if own.smeshing_mode else None
        warnings = [*loaded.notes, *filter(None, [without.warning(loaded)])]
        try:
            with prepared(config, now_ns=time.time_ns(), mode=mode, warnings=warnings, log=the_log) as found:
                for text in found.warnings:
                    log.warning(text)
                from api.node.run import run as run_node  # and all services with it: a refusal need not wait for them

                return run_node(replace(found, metrics_host=own.metrics_host)), True
        except KeyboardInterrupt:
            log.info("stopped before it ran")
            return EXIT_DONE, False


def told(loaded: Loaded) -> dict[str, object]:
    """What the log says of the settings: those that were given, secrets left out."""
    found: dict[str, object] = {}
    for setting, attributes in settings_of(Config):
        if setting.path in loaded.sources:
            value: Any = setting.kind.to_file(inner(loaded.config, attributes))
            found[setting.path] = "(not shown)" if setting.path in SECRETS else value
    return found


def help_text() -> str:
    """The flags of a node, by the sections of its file."""
    lines = [
        "usage: smesher node -c FILE [FLAGS]",
        "       smesher node --preset standalone|fastnet|testnet [FLAGS]",
        "       smesher node version",
        "",
        "A flag is stronger than its environment variable (SMESHER_ and its name in capitals), that than the file, and",
        "the file than the preset. 'smesher config explain' tells all settings, also those without a flag.",
    ]
    for group, rows in groups():
        lines += ["", f"{group}:", *(f"  {name:44} {text}" for name, text in rows)]
    return "\n".join(lines)


def groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every flag and its meaning, by the section of the file."""
    from api.config.meanings import meanings

    known = meanings()
    found: dict[str, list[tuple[str, str]]] = {
        GENERAL: [("-c, --config=", "Configuration file: JSON, or TOML where its name ends with .toml.")]
    }
    for setting in (*flags(), *OWN):
        if setting.kind.expected != "nothing":  # that is a key of former releases
            name = setting.shown_flag + ("" if setting.kind.switch else "=")
            text = setting.meaning() if setting.help else known[setting.path]
            found.setdefault(setting.group or GENERAL, []).append((name, text))
    return list(found.items())
