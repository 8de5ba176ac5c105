"""The settings of the PoET server: flags, keys of its configuration file, and what each is for.

Names, letters, groups and defaults are those of the original; the group "Smesher" holds what is ours. Specified in
protocol 02-poet, section 9.1.
"""

from __future__ import annotations

from datetime import UTC, datetime

from api.config import kinds
from api.config.kinds import Kind
from api.config.settings import Setting
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.params.config import networks

APPLICATION, ROUND, REGISTRATION, SERVICE, OURS = (
    "Application Options",
    "Round",
    "Registration",
    "Service",
    "Smesher",
)
GROUPS = (APPLICATION, ROUND, REGISTRATION, SERVICE, OURS)
NETWORKS = tuple(networks.BY_NAME)

INT = kinds.decimal_integer(-(1 << 63), (1 << 63) - 1)
UINT = kinds.decimal_integer(0, (1 << 64) - 1)
PORT = kinds.decimal_integer(0, (1 << 16) - 1)
BITS = kinds.decimal_integer(0, 256)
"""Leading zero bits of a hash of 256; more than that nobody can show."""


def _one(
    name: str,
    field: str,
    group: str,
    kind: Kind,
    help: str,
    default: object = None,
    *,
    short: str = "",
    default_text: str = "",
) -> Setting:
    """A setting; `field` is the original's name of it, which a file may use too."""
    return Setting(name, kind, default, help, name, short, group=group, aliases=(field,), default_text=default_text)


SETTINGS = (
    _one("genesis-time", "Genesis", APPLICATION, kinds.MOMENT, "start of epoch 0, RFC 3339", default_text="now"),
    _one("poetdir", "PoetDir", APPLICATION, kinds.PATH, "where everything of this server lies",
         default_text="poet in the user's cache directory"),
    _one("configfile", "ConfigFile", APPLICATION, kinds.PATH, "file with these settings", short="c"),
    _one("datadir", "DataDir", APPLICATION, kinds.PATH, "rounds in work and the server's key", short="b",
         default_text="data in poetdir"),
    _one("dbdir", "DbDir", APPLICATION, kinds.PATH, "databases of registrations and proofs",
         default_text="db in poetdir"),
    _one("logdir", "LogDir", APPLICATION, kinds.PATH, "log files", default_text="logs in poetdir"),
    _one("debuglog", "DebugLog", APPLICATION, kinds.SWITCH, "log more", False),
    _one("jsonlog", "JSONLog", APPLICATION, kinds.SWITCH, "log as JSON", False),
    _one("maxlogfiles", "MaxLogFiles", APPLICATION, INT, "accepted, unused", 3),
    _one("maxlogfilesize", "MaxLogFileSize", APPLICATION, INT, "accepted, unused", 10),
    _one("config-rpclisten", "ConfigRPCListener", APPLICATION, kinds.TEXT, "gRPC for the operator",
         "localhost:50001"),
    _one("rpclisten", "RawRPCListener", APPLICATION, kinds.TEXT, "gRPC for clients", "localhost:50002", short="r"),
    _one("restlisten", "RawRESTListener", APPLICATION, kinds.TEXT, "HTTP for clients", "localhost:8080", short="w"),
    _one("metrics-port", "MetricsPort", APPLICATION, PORT, "/metrics, on all interfaces", default_text="none"),
    _one("max-grpc-resp-size", "MaxGrpcRespSize", APPLICATION, UINT, "largest answer over HTTP, bytes", 8_388_608),
    _one("cpuprofile", "CPUProfile", APPLICATION, kinds.TEXT, "accepted, unused"),
    _one("profile", "Profile", APPLICATION, kinds.TEXT, "accepted, unused"),
    _one("disable-worker", "DisableWorker", APPLICATION, kinds.SWITCH,
         "register only; every round has an empty proof", False),
    _one("version", "DisplayVersion", APPLICATION, kinds.SWITCH, "print the version and exit", False),
    _one("epoch-duration", "EpochDuration", ROUND, kinds.PLAIN_DURATION, "from one round's start to the next",
         30 * SECOND),
    _one("phase-shift", "PhaseShift", ROUND, kinds.PLAIN_DURATION, "from genesis to the start of round 0", 15 * SECOND),
    _one("cycle-gap", "CycleGap", ROUND, kinds.PLAIN_DURATION, "between the end of a round and the next start",
         10 * SECOND),
    _one("pow-difficulty", "PowDifficulty", REGISTRATION, BITS, "leading zero bits of the proof of work", 0),
    _one("max-round-members", "MaxRoundMembers", REGISTRATION, UINT, "registrations a round", 1 << 32),
    _one("max-submit-batch-size", "MaxSubmitBatchSize", REGISTRATION, INT, "accepted, unused", 1000),
    _one("submit-flush-interval", "SubmitFlushInterval", REGISTRATION, kinds.PLAIN_DURATION,
         "longest wait before a write", 100 * MILLISECOND),
    _one("certifier-url", "URL", REGISTRATION, kinds.TEXT, "where certificates are had"),
    _one("certifier-pubkey", "PubKey", REGISTRATION, kinds.KEY, "the certifier's key, base64"),
    _one("trusted-pub-keys-dir-path", "TrustedKeysDirPath", REGISTRATION, kinds.PATH, "folder of *.key files, base64"),
    _one("lps", "EstimatedLeavesPerSecond", SERVICE, UINT, "leaves a second to plan with", 78_000),
    _one("memory", "MemoryLayers", SERVICE, UINT, "accepted, unused", 26),
    _one("tree-file-buffer", "TreeFileBufferSize", SERVICE, UINT, "accepted, unused", 4096),
    _one("network", "Network", OURS, kinds.one_of(*NETWORKS), f"values of a network: {', '.join(NETWORKS)}"),
    _one("keep-rounds", "KeepRounds", OURS, kinds.decimal_integer(1, (1 << 32) - 1), "proofs to keep, newest first",
         default_text="all"),
    _one("cpu", "Cpu", OURS, kinds.decimal_integer(0, (1 << 16) - 1), "pin the hashing thread to this processor",
         default_text="none"),
    _one("realtime", "Realtime", OURS, kinds.SWITCH, "real-time priority for the hashing thread", False),
    _one("one-process", "OneProcess", OURS, kinds.SWITCH, "registration and worker in one process", False),
)  # fmt: skip

HELP = Setting("help", kinds.SWITCH, False, "print this help and exit", "help", "h")
"""A word of the command line alone."""


def now_ns() -> int:
    """The moment that stands in for an absent genesis, to the millisecond as the reference prints it."""
    return int(datetime.now(UTC).timestamp() * 1000) * 1_000_000
