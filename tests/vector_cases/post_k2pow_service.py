"""post/k2pow_service.json: what the reference's k2pow service answered, request after request, and its exit codes.

The requests go in their order to one service over a real port; a search ends just before the first request
that was answered with its result. Exit code 101, a panic, is 2 with us.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from api.cli.main import main
from api.services.k2pow.app import HttpApi
from api.services.k2pow.jobs import LEAST_DIFFICULTY, Failed, Job, Outcome, parse_job
from prover.errors import Interrupted
from prover.post.proof.pow import Search
from tests.support.served import WAIT_S, Reply, Served
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.post_verify import machines

REQUEST_KEYS = {"name", "method", "path", "status", "body_length", "body", "content_type", "allow"}
PANIC = 101


class HeldSearcher:
    """Searches for real, but only when it is told to finish: a recorded search took as long as it did."""

    def __init__(self, emit: Callable[[Job, Outcome], None]) -> None:
        self._emit = emit
        self._jobs: list[Job] = []

    def start(self, job: Job) -> None:
        self._jobs.append(job)

    def stop(self, job: Job) -> None:
        self._jobs.remove(job)

    def close(self) -> None:
        self._jobs.clear()

    def finish(self, wanted: Job) -> None:
        """Finds the solution of the running job."""
        (job,) = self._jobs
        assert job == wanted, f"{wanted} was answered, {job} runs"
        self._jobs.clear()
        search = Search(machines().memory, job.group, job.challenge, job.miner, job.difficulty)
        timer = threading.Timer(WAIT_S, search.stop)
        timer.start()
        try:
            self._emit(job, search.run())
        except Interrupted:
            self._emit(job, Failed(f"nothing was found in {WAIT_S} s"))
        finally:
            timer.cancel()


@vectors("post/k2pow_service.json", variants=False)
def k2pow_service(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    requests = [entry for entry in document["cases"] if "method" in entry]
    replies: list[Reply] = []

    def reply(number: int) -> Reply:
        if not replies:
            replies.extend(replay(requests))
        return replies[number]

    for number, entry in enumerate(requests):
        yield Case(entry["name"], partial(check_request, entry, partial(reply, number)))
    for entry in document["cases"]:
        if "method" not in entry:
            yield Case(" ".join([entry["name"], *entry.get("args", ())]), partial(check_command, entry))


def replay(requests: list[dict[str, Any]]) -> Iterator[Reply]:
    """The answers of ours to all requests in their order."""
    with Served(lambda: HttpApi(HeldSearcher)) as served:
        for entry in requests:
            asked = hardest(entry["path"])
            if asked != entry["path"]:
                found = served.ask(entry["method"], entry["path"])
                assert found.status == 400 and "asks for more than" in found.text, f"ours refuses it: {found}"
            path = asked.split("/")
            if entry["status"] == 200 and len(path) == 6:
                job = parse_job(path[2:])
                if served.call(lambda: served.api.jobs.running) == job:
                    served.api.searcher.finish(job)
            yield served.ask(entry["method"], asked)


def hardest(path: str) -> str:
    """The same job, with the hardest difficulty that ours takes where it refuses the recorded one as impossible.

    The recorded service works on such a job until it is restarted.
    """
    *before, difficulty = path.split("/")
    is_one = len(before) == 5 and re.fullmatch("[0-9a-fA-F]{64}", difficulty)
    if not is_one or int(difficulty, 16) >= LEAST_DIFFICULTY:
        return path
    return "/".join([*before, f"{LEAST_DIFFICULTY:064x}"])


def check_request(entry: dict[str, Any], reply: Callable[[], Reply]) -> None:
    unknown = set(entry) - REQUEST_KEYS
    if unknown:
        raise NotUnderstood(f"unknown fields: {', '.join(sorted(unknown))}")
    found = reply()
    expected = (entry["status"], entry["body_length"], entry.get("content_type"), entry.get("allow"))
    got = (found.status, len(found.body), found.header("content-type"), found.header("allow"))
    assert got == expected, f"status, length of the body, kind, allow: expected {expected}, got {got}: {found.body!r}"
    if "body" in entry:
        assert found.text == entry["body"], f"expected {entry['body']!r}, got {found.text!r}"


def check_command(entry: dict[str, Any]) -> None:
    if set(entry) != {"name", "args", "exit_code"}:
        raise NotUnderstood(f"fields {', '.join(sorted(entry))}")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(["k2pow-service", *entry["args"]])
    expected = 2 if entry["exit_code"] == PANIC else entry["exit_code"]
    assert code == expected, f"expected exit code {expected}, got {code}: {out.getvalue()}"
