"""Runs every registered check on a folder of vectors, prints a table and writes .vectors.json.

Checks that depend on the label engine run in one process for each CPU variant (KERNELS_FORCE is read before
anything is compiled), and a case passes only where it passes in all of them. A process of its own also means
that an illegal instruction costs one case, not the run: the parent names the case and goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.vector_cases.harness import (
    FILE_CASE,
    Kind,
    Registry,
    Result,
    load,
    load_checks,
    matches,
    reason_of,
    run_file,
)

REPOSITORY = Path(__file__).resolve().parents[2]
REPORT_FILE = ".vectors.json"

FINISHED = (
    "post/labels.json",
    "post/labels_8192.meta.json",
    "post/vrf.json",
    "post/pos.json",
    "post/metadata.json",
    "post/datadir.json",
    "post/primitives.json",
    "post/k2pow.json",
    "post/proofs.json",
    "post/verify.json",
    "post/verify_go.json",
    "post/k2pow_service.json",
    "post/post_service.json",
    "post/cli.json",
    "poet/api_grpc.json",
    "poet/api_http.json",
    "poet/api_misc.json",
    "poet/certificates.json",
    "poet/cli.json",
    "poet/client_certifier.json",
    "poet/client_challenges.json",
    "poet/client_encoding.json",
    "poet/client_http.json",
    "poet/crash.json",
    "poet/fiat_shamir.json",
    "poet/labels.json",
    "poet/membership.json",
    "poet/metrics.json",
    "poet/persisted.json",
    "poet/pow.json",
    "poet/recovery.json",
    "poet/registration_auth.json",
    "poet/round_e2e.json",
    "poet/round_timing.json",
    "poet/tree.json",
    "poet/verify.json",
    "chain/devnet_*.json",
    "chain/devnet_*_tortoise_trace.jsonl",
    "api/checkpoint_devnet_a_100.json",
    "api/checkpoint_devnet_a_110.json",
    "api/grpc_before_genesis.json",
    "api/grpc_before_genesis_observer.json",
    "api/grpc_live_observer.json",
    "api/grpc_live_smesher.json",
    "api/grpc_live_smesher_late.json",
    "api/grpc_malfeasance.json",
    "api/grpc_smeshing_control.json",
    "api/grpc_static_chain_a.json",
    "api/http_live.json",
    "api/http_static_chain_a.json",
    "api/metrics.json",
    "api/node_operation.json",
    "api/storage_schema.json",
    "api/streams_observer.json",
    "api/streams_smesher.json",
    "api/transaction_submits.json",
    "consensus/activation_v1.json",
    "consensus/activation_v2.json",
    "consensus/atx_ids.json",
    "consensus/beacon.json",
    "consensus/beacon_handlers.json",
    "consensus/beacon_runs.json",
    "consensus/bootstrap.json",
    "consensus/weakcoin.json",
    "consensus/block_generator.json",
    "consensus/block_metadata.json",
    "consensus/block_synced.json",
    "consensus/block_tx_order.json",
    "consensus/certifier.json",
    "consensus/mesh.json",
    "consensus/eligibility.json",
    "consensus/proposal_slots.json",
    "consensus/hare3_cluster.json",
    "consensus/proposal_handler.json",
    "consensus/ballot_eligibility.json",
    "consensus/active_set_generator.json",
    "consensus/hare3_core.json",
    "consensus/hare3_handler.json",
    "consensus/hare3_select.json",
    "consensus/hare4_cluster.json",
    "consensus/hare4_core.json",
    "consensus/hare4_handler.json",
    "consensus/hare4_select.json",
    "consensus/malfeasance.json",
    "p2p/identity.json",
    "p2p/fetch_messages.json",
    "p2p/fetch_server.json",
    "p2p/gossip.json",
    "p2p/identify_kad.json",
    "p2p/identity.json",
    "p2p/multiaddr.json",
    "p2p/multistream.json",
    "p2p/noise.json",
    "p2p/peer_backup.json",
    "p2p/quic_cookie.json",
    "p2p/rangesync_messages.json",
    "p2p/rangesync_runs.json",
    "p2p/yamux.json",
    "consensus/nipost_builder.json",
    "tortoise/scenarios/*.json",
    "tortoise/simulation/*.json",
    "tortoise/known_defect/*.json",
    "types/address.json",
    "types/client_addresses.json",
    "types/client_keys.json",
    "types/client_transactions.json",
    "types/clock.json",
    "types/config.json",
    "types/crypto.json",
    "types/economics.json",
    "types/fixed.json",
    "types/ids.json",
    "types/scale.json",
    "types/signed.json",
    "types/wire_atx.json",
    "types/wire_ballot.json",
    "types/wire_beacon.json",
    "types/wire_block.json",
    "types/wire_fetch.json",
    "types/wire_hare.json",
    "types/wire_malfeasance.json",
    "types/wire_poet.json",
    "types/wire_rangesync.json",
    "types/wire_tx.json",
    "vm/layers.json",
    "vm/mempool.json",
    "vm/rewards.json",
    "vm/transactions.json",
    "vm/wallet_files.json",
)
"""Files that must be understood whole: an unknown case, an unreadable file or no case fails the run. A star stands for
any file of a folder."""

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Task:
    """Files whose checks run in one process."""

    files: tuple[str, ...]
    kind: Kind
    variant: str | None = None


Executor = Callable[[Task], Iterable[Result]]


@dataclass(slots=True)
class Row:
    """The outcome for one file below the folder of vectors."""

    file: str
    finished: bool
    passed: int = 0
    failed: int = 0
    not_understood: int = 0
    notes: list[str] = field(default_factory=list)
    """Each failed or not understood case in plain words."""

    @property
    def ok(self) -> bool:
        """Whether this file lets the run succeed."""
        return self.failed == 0 and not (self.finished and self.not_understood)

    def as_json(self) -> dict[str, str | int]:
        """The entry in .vectors.json."""
        return {
            "file": self.file,
            "passed": self.passed,
            "failed": self.failed,
            "not_understood": self.not_understood,
        }


# ---- what to run ----


def vector_files(root: Path, only: str | None = None) -> list[str]:
    """The files below root that are rows, "/" separated, sorted: all but README.md, .bin and archives."""
    files = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name != "README.md" and not name.endswith((".bin", *ARCHIVES)):
                file = (Path(folder) / name).relative_to(root).as_posix()
                if only is None or fnmatchcase(file, only):
                    files.append(file)
    return sorted(files)


def run(
    root: Path,
    registry: Registry,
    *,
    finished: Sequence[str] = FINISHED,
    only: str | None = None,
    variants: Callable[[], Sequence[str]] | None = None,
    execute: Executor | None = None,
    jobs: int = 1,
) -> list[Row]:
    """One row for every file below root, whatever happens in the checks.

    variants names the CPU variants; without it all checks run together on the machine's default. execute runs
    a Task; the default runs it in this process, which cannot force a variant.
    """
    files = vector_files(root, only)
    handled = [file for file in files if registry.of(file)]
    if execute is None:
        execute = _executor_in_process(registry, root)
    tasks, problem = _plan(registry, handled, variants)
    if jobs > 1:
        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(lambda task: list(execute(task)), tasks))
    else:
        # In the main thread, for a check may set signal handlers.
        results = [list(execute(task)) for task in tasks]
    merged = merge(list(zip(tasks, results)))
    rows = []
    for file in files:
        is_finished = matches(file, finished)
        if file not in handled:
            rows.append(_unhandled(root, file, is_finished))
            continue
        outcomes = merged.get(file, [])
        if problem is not None and registry.of(file, "variants"):
            outcomes.append(Result(file, FILE_CASE, "failed", problem))
        rows.append(_row(file, is_finished, outcomes))
    return rows


def _plan(
    registry: Registry, files: list[str], variants: Callable[[], Sequence[str]] | None
) -> tuple[list[Task], str | None]:
    """The tasks for these files, and why there is none for the CPU variants where they cannot be had."""
    if variants is None:
        return ([Task(tuple(files), "all")] if files else []), None
    for_variants = tuple(file for file in files if registry.of(file, "variants"))
    once = tuple(file for file in files if registry.of(file, "once"))
    tasks = [Task(once, "once")] if once else []
    if not for_variants:
        return tasks, None
    try:
        names = list(variants())
    except Exception as error:
        return tasks, f"the CPU variants of this machine cannot be told: {reason_of(error)}"
    if not names:
        return tasks, "no CPU variant of the label engine is supported here"
    return [Task(for_variants, "variants", name) for name in names] + tasks, None


def _executor_in_process(registry: Registry, root: Path) -> Executor:
    def execute(task: Task) -> Iterator[Result]:
        for file in task.files:
            yield from run_file(registry, root, file, kind=task.kind, variant=task.variant)

    return execute


# ---- outcomes ----


def merge(outcomes: Sequence[tuple[Task, Sequence[Result]]]) -> dict[str, list[Result]]:
    """One result a case of each file: passed only where it passed in every task that runs this kind of case.

    A case that one CPU variant reports and another does not has failed there.
    """
    merged: dict[tuple[str, str], list[tuple[Task, Result]]] = {}
    for task, results in outcomes:
        for result in results:
            merged.setdefault((result.file, result.name), []).append((task, result))
    answer: dict[str, list[Result]] = {}
    for (file, name), found in merged.items():
        kinds = {task.kind for task, _ in found}
        answered = [task for task, _ in found]
        missing = [
            task
            for task, _ in outcomes
            if name != FILE_CASE and task.kind in kinds and file in task.files and task not in answered
        ]
        answer.setdefault(file, []).append(_worst(file, name, found, missing))
    return answer


def _worst(file: str, name: str, found: list[tuple[Task, Result]], missing: list[Task]) -> Result:
    for outcome in ("failed", "not_understood"):
        bad = [(task, result) for task, result in found if result.outcome == outcome]
        if bad:
            where = sorted({task.variant for task, _ in bad if task.variant is not None})
            reason = bad[0][1].reason + (f" [{', '.join(where)}]" if where else "")
            return Result(file, name, bad[0][1].outcome, reason)
        if outcome == "failed" and missing:
            where = sorted(str(task.variant or task.kind) for task in missing)
            return Result(file, name, "failed", f"no outcome under {', '.join(where)}")
    return Result(file, name, "passed")


def _row(file: str, finished: bool, results: Sequence[Result]) -> Row:
    count = Counter(result.outcome for result in results)
    row = Row(file, finished, count["passed"], count["failed"], count["not_understood"])
    for result in results:
        if result.outcome != "passed":
            label = "not understood: " if result.outcome == "not_understood" else ""
            row.notes.append(f"{result.name}: {label}{result.reason}")
    if finished and not results:
        row.failed = 1
        row.notes.append(f"{FILE_CASE}: no case in a file that should hold some")
    return row


def _unhandled(root: Path, file: str, finished: bool) -> Row:
    """A file without a check. What is inside is counted so that the table says how much is still to do."""
    try:
        document = load(root / file)
    except Exception as error:
        note = f"{FILE_CASE}: cannot be read: {reason_of(error)}"
        return Row(file, finished, failed=1, notes=[note]) if finished else Row(file, finished, not_understood=1)
    notes = [f"{FILE_CASE}: no check is registered for it"] if finished else []
    return Row(file, finished, not_understood=_entries(document), notes=notes)


def _entries(document: Any) -> int:
    """The number of list entries at the top of a document, at least 1."""
    if isinstance(document, list):
        return max(len(document), 1)
    if isinstance(document, dict):
        return max(sum(len(value) for value in document.values() if isinstance(value, list)), 1)
    return 1


def write_report(path: Path, rows: Iterable[Row]) -> None:
    """Writes the rows as JSON; the file is the old or the new one at every instant."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def show(console: Console, rows: Sequence[Row], problems: Sequence[str]) -> None:
    """The table, and the first failures of each file in plain words."""
    table = Table(show_footer=True)
    table.add_column("file", footer=f"{len(rows)} files", no_wrap=True, overflow="fold")
    for title, total in (
        ("passed", sum(row.passed for row in rows)),
        ("failed", sum(row.failed for row in rows)),
        ("not understood", sum(row.not_understood for row in rows)),
    ):
        table.add_column(title, footer=str(total), justify="right", no_wrap=True)
    for row in rows:
        style = "red" if not row.ok else "green" if row.passed else "dim"
        counts = (row.passed, row.failed, row.not_understood)
        table.add_row(escape(row.file), *(str(count) if count else "·" for count in counts), style=style)
    console.print(table)
    for row in rows:
        if row.ok:
            continue
        for note in row.notes[:SHOWN_FAILURES]:
            console.print(f"[red]✗[/] {escape(f'{row.file}: {note}')}", soft_wrap=True, highlight=False)
        if len(row.notes) > SHOWN_FAILURES:
            console.print(f"  {escape(row.file)}: and {len(row.notes) - SHOWN_FAILURES} more", highlight=False)
    for problem in problems:
        console.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True, highlight=False)
    bad = sum(not row.ok for row in rows)
    if bad or problems:
        console.print(f"[red]Failed[/]: {bad} files with failures or with cases that should be understood.")
    else:
        console.print("[green]All cases of the finished files pass.[/]")


# ---- one process for each variant ----


def executor_in_subprocess(root: Path, command: Sequence[str] | None = None) -> Executor:
    """An Executor that runs each Task in a new Python process, with KERNELS_FORCE set to the task's variant.

    command is what is started (the files are appended); the default is this module.
    """

    def execute(task: Task) -> Iterator[Result]:
        environment = dict(os.environ, PYTHONPATH=_with_repository(os.environ.get("PYTHONPATH")))
        if task.variant is not None:
            environment["KERNELS_FORCE"] = task.variant
        worker = command or (
            sys.executable,
            *("-m", "tests.vector_cases", "--vectors", str(root.resolve()), "--worker", task.kind),
        )
        left = list(task.files)
        skip: dict[str, int] = {}
        while left:
            names = [f"{file}:{skip.get(file, 0)}" for file in left]
            process = subprocess.Popen(
                (*worker, *names), env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            yield from _follow(process, left, skip)

    return execute


def _follow(process: subprocess.Popen[str], left: list[str], skip: dict[str, int]) -> Iterator[Result]:
    """The results of one worker. Takes finished files from left; after a crash, skip says how far it was."""
    running = FILE_CASE
    assert process.stdout is not None, "started with a pipe"
    try:
        for line in process.stdout:
            message = json.loads(line)
            if message["event"] == "case":
                running = message["name"]
            elif message["event"] == "result":
                skip[left[0]] = skip.get(left[0], 0) + 1
                running = FILE_CASE
                yield Result(left[0], message["name"], message["outcome"], message["reason"])
            elif message["event"] == "done":
                left.pop(0)
    except ValueError as error:
        process.kill()
        yield Result(left[0], running, "failed", f"the process of this variant wrote no JSON: {error}")
        left.pop(0)
        return
    except BaseException:
        process.kill()
        raise
    finally:
        process.stdout.close()
        code = process.wait()
    if left:
        yield Result(left[0], running, "failed", f"the process of this variant {_ending(code)}")
        if running == FILE_CASE:
            left.pop(0)  # it did not die in a case: another try would die in the same place
        else:
            skip[left[0]] = skip.get(left[0], 0) + 1


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} before it was done"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _with_repository(python_path: str | None) -> str:
    return os.pathsep.join([str(REPOSITORY), *([python_path] if python_path else [])])


def work(registry: Registry, root: Path, kind: Kind, files: Sequence[str]) -> None:
    """The other side of executor_in_subprocess: runs "FILE:SKIP" arguments, reports JSON lines on stdout."""
    # What checks print must not mix with the report: the report keeps the pipe, prints go to standard error.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def tell(event: str, **fields: str) -> None:
            print(json.dumps({"event": event, **fields}), file=out, flush=True)

        for argument in files:
            file, _, skip = argument.rpartition(":")
            variant = os.environ.get("KERNELS_FORCE") if kind == "variants" else None
            for result in run_file(
                registry,
                root,
                file,
                kind=kind,
                variant=variant,
                skip=int(skip),
                starting=lambda name: tell("case", name=name),
            ):
                tell("result", name=result.name, outcome=result.outcome, reason=result.reason)
            tell("done")


def cpu_variants() -> Sequence[str]:
    """The CPU variants of the label engine that this machine can run."""
    from kernels.vectors.target import supported_variants

    variants: Sequence[str] = supported_variants()
    return variants


# ---- command line ----


def default_root() -> Path:
    """The vectors beside the repository where they are, else the small selection inside."""
    beside = REPOSITORY.parent / "shared" / "vectors"
    return beside if beside.is_dir() else REPOSITORY / "tests" / "vectors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing failed; 1: something did; 2: no such folder or no file in it; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.vector_cases", description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", metavar="DIR", type=Path, default=None, help="folder of vectors")
    parser.add_argument("--json", metavar="FILE", type=Path, default=REPOSITORY / REPORT_FILE, help="the report")
    parser.add_argument("--only", metavar="GLOB", help="only the files whose path below DIR matches")
    parser.add_argument("--worker", choices=("variants", "once", "all"), help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    root: Path = default_root() if options.vectors is None else options.vectors
    if not root.is_dir():
        print(
            f"{root} is not a folder; give one with --vectors DIR (make vectors VECTORS=DIR).",
            file=sys.stderr,
        )
        return 2
    registry = load_checks()
    if options.worker:
        work(registry, root, options.worker, options.files)
        return 0
    if not vector_files(root, options.only):
        wanted = f" that matches {options.only}" if options.only else ""
        print(f"No file of vectors{wanted} below {root}.", file=sys.stderr)
        return 2
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    try:
        with console.status(f"Running the checks on {escape(str(root))} …"):
            rows = run(
                root,
                registry,
                only=options.only,
                variants=cpu_variants,
                execute=executor_in_subprocess(root),
                jobs=os.cpu_count() or 1,
            )
    except KeyboardInterrupt:
        print(f"Interrupted; {options.json} was not written.", file=sys.stderr)
        return 130
    write_report(options.json, rows)
    show(console, rows, registry.problems)
    return 0 if all(row.ok for row in rows) and not registry.problems else 1
