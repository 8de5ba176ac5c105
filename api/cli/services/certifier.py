"""`smesher certifier`: certifies nodes that hold a valid proof, so that PoET servers let them in."""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
from pathlib import Path

from api.cli import common
from api.cli.output import Output
from api.edge import logging as logs

GENERATE_KEYS = "generate-keys"
EPILOG = """\
Configuration (YAML, JSON or TOML, by the extension of the name):
  listen: "127.0.0.1:8080"
  signing_key: "<secret_key of generate-keys>"
  certificate_expiration: 2w        # leave it out for certificates that never expire
  post_cfg:
    k1: 26
    k2: 37
    pow_difficulty: "000dfb23b0979b4b000000000000000000000000000000000000000000000000"
  init_cfg:
    min_num_units: 4
    max_num_units: 99999
    labels_per_unit: 4294967296
    scrypt:
      n: 8192
      r: 1
      p: 1
  metrics: "127.0.0.1:9090"         # leave it out for none
  randomx_mode: Light               # or Fast: 2,080 MiB, about ten times quicker
  limits:
    max_concurrent_requests: 4      # default: processors
    max_pending_requests: 1000
    max_body_size: 1024
Each field can be set as CERTIFIER_<FIELD>, those of a section as CERTIFIER_<SECTION>__<FIELD>.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=(GENERATE_KEYS,),
        metavar=GENERATE_KEYS,
        help="print a new pair of keys as JSON and exit",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=common.path,
        metavar="FILE",
        help="the configuration (default: CERTIFIER_CONFIG_PATH, else config.yml)",
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    parser.epilog = EPILOG


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serves until told to stop. Exit code 143 after SIGTERM, 130 after SIGINT."""
    if arguments.action == GENERATE_KEYS:
        return _generate_keys(output)
    from api.services.certifier import app, config

    path = arguments.config or Path(os.environ.get(config.PATH_VARIABLE) or config.DEFAULT_PATH)
    loaded = config.load(path, os.environ)
    common.compile_kernels(output)

    log = logging.getLogger("certifier")

    def ready(running: app.Ready) -> None:
        logs.begun(log, "certifier", config.described(loaded))
        key = base64.b64encode(running.public_key).decode()
        output.event(
            "serving", address=loaded.listen.host, port=running.port, metrics=running.metrics_port, pub_key=key
        )
        output.say(f"[bold green]serving[/]  {loaded.listen.host} port {running.port}, public key {key}")

    with logs.end(log, "certifier"):
        return app.run(loaded, ready)


def _generate_keys(output: Output) -> int:
    """A pair of keys from the system's random source: on standard output only, nothing is written."""
    from prover.post import identity

    made = identity.generate()
    fields = {
        "public_key": base64.b64encode(made.node_id).decode(),
        "secret_key": base64.b64encode(made.seed).decode(),
    }
    if output.json:
        output.event("done", **fields)
    else:
        print(json.dumps(fields, indent=2))
    return 0
