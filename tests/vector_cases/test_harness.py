"""The runner of vector-driven checks itself, on small made-up folders."""

import gzip
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.vector_cases import runner
from tests.vector_cases.harness import (
    Case,
    Context,
    Later,
    NotUnderstood,
    Registry,
    Result,
    load_checks,
    unknown_sections,
)
from tests.vector_cases.runner import (
    Row,
    Task,
    executor_in_subprocess,
    merge,
    run,
    show,
    vector_files,
    write_report,
)

FINISHED = ("area/sums.json",)


def sums(document: Any, context: Context) -> Iterator[Case | Later]:
    """A check as an author would write it: a + b == sum, and operations of a later piece of work."""
    yield from unknown_sections(document, known=("sums",), later=("products",))
    for entry in document["sums"]:
        yield Case(entry["name"], partial(add, entry))


def add(entry: dict[str, Any]) -> None:
    if not isinstance(entry["a"], int):
        raise NotUnderstood("a is no integer")
    assert entry["a"] + entry["b"] == entry["sum"], f"expected {entry['sum']}, got {entry['a'] + entry['b']}"


def registry_with(function: Any = sums, pattern: str = "area/sums.json", **options: bool) -> Registry:
    registry = Registry()
    registry.vectors(pattern, **options)(function)
    return registry


def folder(root: Path, **files: Any) -> Path:
    """Writes area/NAME.json for each keyword."""
    (root / "area").mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        text = document if isinstance(document, str) else json.dumps(document)
        (root / "area" / f"{name}.json").write_text(text)
    return root


GOOD = {"name": "one and two", "a": 1, "b": 2, "sum": 3}
BAD = {"name": "two and two", "a": 2, "b": 2, "sum": 5}
STRANGE = {"name": "letters", "a": "x", "b": 2, "sum": 5}


def only_row(root: Path, registry: Registry) -> Row:
    (row,) = run(root, registry, finished=FINISHED)
    return row


def counts(row: Row) -> tuple[int, int, int]:
    return row.passed, row.failed, row.not_understood


def test_cases_that_hold_are_counted_and_later_ones_are_not(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": [GOOD, GOOD], "products": [1, 2, 3]}), registry_with())
    assert counts(row) == (2, 0, 0)
    assert row.ok


def test_a_failing_case_is_named_with_its_reason(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": [BAD, GOOD]}), registry_with())
    assert counts(row) == (1, 1, 0)
    assert row.notes[0].startswith("two and two: expected 5, got 4")


def test_what_is_not_understood_fails_a_finished_file(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": [STRANGE, GOOD]}), registry_with())
    assert counts(row) == (1, 0, 1)
    assert not row.ok
    unfinished = run(tmp_path, registry_with(), finished=())
    assert unfinished[0].ok


def test_an_unknown_section_counts_each_of_its_entries(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": [GOOD], "roots": [1, 2]}), registry_with())
    assert counts(row) == (1, 0, 2)


@pytest.mark.parametrize("text", ["", "{", '{"sums": [', "\xff"])
def test_broken_json_in_a_finished_file_is_one_failure(tmp_path: Path, text: str) -> None:
    for registry in (registry_with(), Registry()):
        row = only_row(folder(tmp_path, sums=text), registry)
        assert counts(row) == (0, 1, 0)
        assert "cannot be read" in row.notes[0]


def test_a_finished_file_without_a_case_fails(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": []}), registry_with())
    assert counts(row) == (0, 1, 0)


def test_a_finished_file_without_a_check_fails_and_an_absent_one_does_not(tmp_path: Path) -> None:
    assert not only_row(folder(tmp_path, sums={"sums": [GOOD]}), Registry()).ok
    assert all(row.ok for row in run(folder(tmp_path / "other", else_={}), Registry(), finished=FINISHED))


def test_a_check_that_stops_keeps_the_cases_before(tmp_path: Path) -> None:
    row = only_row(folder(tmp_path, sums={"sums": [GOOD, {"a": 1}, GOOD]}), registry_with())
    assert counts(row) == (1, 1, 0)
    assert "stopped after 1 cases" in row.notes[0] and "KeyError" in row.notes[0]


def test_files_of_other_areas_are_counted_but_do_not_fail(tmp_path: Path) -> None:
    folder(tmp_path, many={"a": [1, 2], "b": [3], "c": 4}, one={"c": 4}, broken="{", alist=[1, 2, 3, 4])
    rows = run(tmp_path, Registry(), finished=FINISHED)
    assert {row.file: row.not_understood for row in rows} == {
        "area/many.json": 3,
        "area/one.json": 1,
        "area/broken.json": 1,
        "area/alist.json": 4,
    }
    assert all(row.ok for row in rows)


def test_readmes_data_and_archives_are_no_rows(tmp_path: Path) -> None:
    folder(tmp_path, sums={})
    for name in ("README.md", "area/README.md", "area/x.bin", "area/x.tar.gz", "area/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert vector_files(tmp_path) == ["area/notes.txt", "area/sums.json"]
    assert vector_files(tmp_path, "*/sums*") == ["area/sums.json"]


def test_gz_and_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "area").mkdir()
    (tmp_path / "area/sums.json.gz").write_bytes(gzip.compress(json.dumps({"sums": [GOOD]}).encode()))
    (tmp_path / "area/lines.jsonl.gz").write_bytes(gzip.compress(b"[1]\n\n[2]\n"))
    rows = {row.file: row for row in run(tmp_path, registry_with(), finished=FINISHED)}
    assert counts(rows["area/sums.json.gz"]) == (1, 0, 0)
    assert counts(rows["area/lines.jsonl.gz"]) == (0, 0, 2)


def test_archives_are_opened_below_the_root(tmp_path: Path) -> None:
    root, scratch = folder(tmp_path / "root", sums={}), tmp_path / "scratch"
    scratch.mkdir()

    def pack(name: str, member: str) -> None:
        with tarfile.open(root / name, "w:gz") as archive:
            info = tarfile.TarInfo(member)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))

    pack("good.tar.gz", "top/data.bin")
    pack("bad.tar.gz", "../data.bin")
    context = Context(root, scratch)
    assert (context.archive("good.tar.gz") / "data.bin").read_bytes() == b"abc"
    assert context.archive("good.tar.gz") == context.archive("good.tar.gz")
    assert context.archive("good.tar.gz", fresh=True) != context.archive("good.tar.gz")
    with pytest.raises(NotUnderstood, match="neither a plain file"):
        context.archive("bad.tar.gz")
    with pytest.raises(FileNotFoundError, match="absent"):
        context.archive("absent.tar.gz")


def test_a_case_passes_only_where_every_variant_agrees() -> None:
    plain, fast, once = (Task(("f",), "variants", name) for name in ("portable", "avx2", "avx512"))
    pure = Task(("f",), "once")
    merged = merge(
        [
            (plain, [Result("f", "a", "passed"), Result("f", "b", "passed"), Result("f", "c", "passed")]),
            (
                fast,
                [Result("f", "a", "passed"), Result("f", "b", "failed", "wrong"), Result("f", "c", "passed")],
            ),
            (once, [Result("f", "a", "passed"), Result("f", "b", "failed", "wrong")]),
            (pure, [Result("f", "d", "not_understood", "new")]),
        ]
    )
    assert merged == {
        "f": [
            Result("f", "a", "passed"),
            Result("f", "b", "failed", "wrong [avx2, avx512]"),
            Result("f", "c", "failed", "no outcome under avx512"),
            Result("f", "d", "not_understood", "new"),
        ]
    }


def test_checks_are_planned_for_each_variant_or_once(tmp_path: Path) -> None:
    folder(tmp_path, sums={"sums": [GOOD]})
    for variants, expected in ((True, [("variants", "x"), ("variants", "y")]), (False, [("once", None)])):
        planned: list[Task] = []

        def execute(task: Task, planned: list[Task] = planned) -> list[Result]:
            planned.append(task)
            return [Result("area/sums.json", "case", "passed")]

        (row,) = run(
            tmp_path,
            registry_with(variants=variants),
            finished=FINISHED,
            variants=lambda: ("x", "y"),
            execute=execute,
        )
        assert [(task.kind, task.variant) for task in planned] == expected
        assert counts(row) == (1, 0, 0)


def test_variants_that_cannot_be_told_are_a_failure_of_the_files_that_need_them(tmp_path: Path) -> None:
    def variants() -> tuple[str, ...]:
        raise ImportError("no engine")

    (row,) = run(folder(tmp_path, sums={"sums": [GOOD]}), registry_with(), finished=FINISHED, variants=variants)
    assert counts(row) == (0, 1, 0)
    assert "no engine" in row.notes[0]


WORKER = """
import json, os, sys
force = os.environ["KERNELS_FORCE"]
for argument in sys.argv[1:]:
    file, _, skip = argument.rpartition(":")
    for name in ["a", "b", "c"][int(skip):]:
        print(json.dumps({"event": "case", "name": name}), flush=True)
        if (file, name) == ("first", "b"):
            os.abort()
        print(json.dumps({"event": "result", "name": name, "outcome": "passed", "reason": force}), flush=True)
    print(json.dumps({"event": "done"}), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_dies_costs_one_case(tmp_path: Path) -> None:
    execute = executor_in_subprocess(tmp_path, (sys.executable, "-c", WORKER))
    results = list(execute(Task(("first", "second"), "variants", "avx2")))
    assert [(result.file, result.name, result.outcome) for result in results] == [
        ("first", "a", "passed"),
        ("first", "b", "failed"),
        ("first", "c", "passed"),
        ("second", "a", "passed"),
        ("second", "b", "passed"),
        ("second", "c", "passed"),
    ]
    assert "SIGABRT" in results[1].reason
    assert results[0].reason == "avx2"


def test_a_process_that_never_starts_its_work_does_not_hang_the_run(tmp_path: Path) -> None:
    for script in ("raise SystemExit(7)", "print('no json')"):
        results = list(executor_in_subprocess(tmp_path, (sys.executable, "-c", script))(Task(("a", "b"), "once")))
        assert [(result.file, result.outcome) for result in results] == [("a", "failed"), ("b", "failed")]


def test_the_report_is_written_when_cases_fail_and_says_so(tmp_path: Path) -> None:
    rows = run(folder(tmp_path / "root", sums={"sums": [BAD, GOOD]}), registry_with(), finished=FINISHED)
    report = tmp_path / "report.json"
    write_report(report, rows)
    assert json.loads(report.read_text()) == [{"file": "area/sums.json", "passed": 1, "failed": 1, "not_understood": 0}]
    assert os.listdir(tmp_path) in (["root", "report.json"], ["report.json", "root"])
    console = Console(file=io.StringIO(), width=120)
    show(console, rows, ["a module cannot be imported"])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "two and two: expected 5, got 4" in text and "a module cannot be imported" in text


def test_the_command_lists_unknown_files_without_failing(tmp_path: Path) -> None:
    root, report = folder(tmp_path / "root", sums={"sums": [BAD, GOOD]}), tmp_path / "report.json"
    assert runner.main(["--vectors", str(root), "--json", str(report)]) == int(bool(load_checks().problems))
    assert json.loads(report.read_text()) == [{"file": "area/sums.json", "passed": 0, "failed": 0, "not_understood": 2}]


def test_the_command_fails_on_a_finished_file_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "root/post").mkdir(parents=True)
    (tmp_path / "root/post/metadata.json").write_text("{")
    report = tmp_path / "report.json"
    assert runner.main(["--vectors", str(tmp_path / "root"), "--json", str(report)]) == 1
    assert json.loads(report.read_text()) == [
        {"file": "post/metadata.json", "passed": 0, "failed": 1, "not_understood": 0}
    ]


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    empty = tmp_path / "empty"
    empty.mkdir()
    for root, words in ((tmp_path / "absent", "not a folder"), (empty, "No file of vectors")):
        assert runner.main(["--vectors", str(root), "--json", str(report)]) == 2
        assert words in capsys.readouterr().err
    assert not report.exists()
