"""Everything that needs a real device, in under five minutes: whoever has a GPU verifies it with one command.

    python -m bench.gpu [--provider SEL] [--markdown docs/benchmarks.md]

For each device: labels of every layout against the CPU's, the autotune, labels a second of a pool with all checks, the
share of the roofline model that this is, and `smesher init` from end to end with a check of what it wrote. Exit code 1
when a label was wrong or a step failed; the figures are then not to be believed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from api.cli import common
from api.cli.output import Output
from bench import gpu_model
from bench.settings import Show, smesher
from kernels.devices import find, opening
from kernels.devices.types import Device
from kernels.errors import KernelError
from kernels.gpu import driver as drivers
from kernels.gpu import engine as gpu_engine
from kernels.gpu import plan as plan_gpu
from kernels.gpu import tune
from kernels.gpu.layout import Layout, Tuning
from kernels.labels import cpu

SECONDS = 270.0
"""For all devices together."""

CHECK_N = 64
CHECK_LABELS = 1024
COMMITMENT = bytes(range(32))
CHECK_START = 2**32 - CHECK_LABELS // 2
"""Labels on both sides of 2^32."""

COMMITMENT_ATX_ID = "22" * 32
VERIFIED = 200
"""Labels of `smesher init` that are recomputed on the CPU."""

SMALL_CARD_BYTES = 256 << 20
"""Lookup memory for the checks of layouts: what a layout computes does not depend on it."""

BEGIN, END = "<!-- python -m bench.gpu: begin -->", "<!-- python -m bench.gpu: end -->"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of everything."""

    scrypt_n: int = 8192
    seconds: float = SECONDS
    """For one device."""
    layouts: int | None = None
    """How many layouts are checked; None: all."""

    @property
    def tune_seconds(self) -> float:
        """Of the autotune."""
        return min(tune.SECONDS, self.seconds * 0.3)

    @property
    def rate_seconds(self) -> float:
        """Of the measurement of labels a second, and about what `smesher init` computes for."""
        return self.seconds * 0.12


@dataclass(slots=True)
class Report:
    """What came out for one device."""

    device: Device
    failures: list[str] = field(default_factory=list)
    layouts_right: int = 0
    layouts_failed: dict[str, str] = field(default_factory=dict)
    trials: list[tune.Trial] = field(default_factory=list)
    best: Tuning | None = None
    labels_per_second: float = 0.0
    busy_share: float | None = None
    """Of the time, that the device computed; None where it does not tell."""
    cpu_share: float | None = None
    """Of one core, that this process used meanwhile, the check of labels included; None where the CPU is the device."""
    model: dict[str, float] = field(default_factory=dict)
    init: dict[str, object] = field(default_factory=dict)
    seconds: float = 0.0


def measure(one: Device, limits: Limits, show: Show) -> Report:
    """All steps on one device; a step that fails is told and the next ones are tried."""
    report, began = Report(one), time.monotonic()
    for step in (_layouts, _tune, _rate, _model, _init):
        try:
            step(report, limits, show)
        except (KernelError, OSError) as error:
            report.failures.append(str(error))
            show(f"[red]failed[/] {error}")
    report.seconds = time.monotonic() - began
    return report


def _layouts(report: Report, limits: Limits, show: Show) -> None:
    """Labels of every layout that the autotune may choose, and their smallest, against the CPU's."""
    numbers = drivers.backend(report.device.backend).Driver(report.device).numbers
    layouts = plan_gpu.candidates(numbers)
    layouts += [one.layout for one in plan_gpu.refinements(numbers, layouts[0])]
    layouts += [plan_gpu.simplest(numbers)]
    right = cpu.LabelEngine(cpu.devices()[0], CHECK_N).labels32(
        [COMMITMENT], np.arange(CHECK_LABELS, dtype=np.uint64) + np.uint64(CHECK_START)
    )
    for layout in list(dict.fromkeys(layouts))[: limits.layouts]:
        wrong = _wrong(report.device, layout, right)
        if wrong:
            report.layouts_failed[layout.describe()] = wrong
            show(f"[red]{layout.describe()}: {wrong}[/]")
        else:
            report.layouts_right += 1
    show(f"layouts: {report.layouts_right} right, {len(report.layouts_failed)} not")
    report.failures += [f"{name}: {reason}" for name, reason in report.layouts_failed.items() if "label" in reason]


def _wrong(one: Device, layout: Layout, right: Any) -> str:
    try:
        engine = gpu_engine.engines(one, CHECK_N, SMALL_CARD_BYTES, Tuning(layout))
    except KernelError as error:
        return str(error)
    try:
        out = np.zeros((CHECK_LABELS, 16), np.uint8)
        candidate = engine[0].labels(COMMITMENT, CHECK_START, CHECK_LABELS, out)
        place = cpu.smallest(right)
        if out.tobytes() != right[:, :16].tobytes():
            return f"{int((out != right[:, :16]).any(axis=1).sum())} wrong labels of {CHECK_LABELS}"
        if (candidate.index, candidate.label32) != (CHECK_START + place, right[place].tobytes()):
            return "the smallest label is wrong"
        picked = engine[0].labels32([COMMITMENT], [CHECK_START + 7 * at for at in range(50)])
        return "" if picked.tobytes() == right[0:350:7].tobytes() else "wrong labels of single indices"
    except KernelError as error:
        return str(error)
    finally:
        for each in engine:
            each.close()


def _tune(report: Report, limits: Limits, show: Show) -> None:
    report.best, report.trials = opening.tuned(report.device, limits.scrypt_n, limits.tune_seconds)
    table = Table("layout", "labels in flight", "labels/s", title="autotune", title_justify="left")
    for trial in report.trials:
        chosen = (trial.layout, trial.share) == (report.best.layout, report.best.share)
        rate = trial.error or f"{trial.labels_per_second:,.0f}"
        table.add_row(trial.layout.describe(), f"{trial.slots:,}", rate, style="bold" if chosen else None)
    show(table)


def _rate(report: Report, limits: Limits, show: Show) -> None:
    """Labels a second of a pool over the device, with the check of its labels."""
    output = Output(json=False)
    with common.open_pool([report.device], limits.scrypt_n, 1, output) as pool:
        batches = pool.run(COMMITMENT, [(0, 1 << 60)])
        warm_until = time.monotonic() + limits.rate_seconds / 3
        for _ in batches:
            if time.monotonic() > warm_until:
                break
        engine: Any = pool.engines[0]
        done, began, used = 0, time.monotonic(), time.process_time()
        busy = getattr(engine, "busy_seconds", None)
        for batch in batches:
            done += len(batch.labels)
            if time.monotonic() - began > limits.rate_seconds:
                break
        seconds = time.monotonic() - began
        report.labels_per_second = done / seconds
        report.cpu_share = (time.process_time() - used) / seconds
        report.busy_share = None if busy is None else (engine.busy_seconds - busy) / seconds
        batches.close()
    if report.device.device_class == "CPU":
        report.cpu_share = None  # the device's own threads are among what this process used
    busy_text = "" if report.busy_share is None else f", device at work {report.busy_share:.1%} of the time"
    used_text = "" if report.cpu_share is None else f", {report.cpu_share:.1%} of a core used"
    show(f"pool: {report.labels_per_second:,.0f} labels/s{busy_text}{used_text}")


def _model(report: Report, limits: Limits, show: Show) -> None:
    """The roofline for the best layout, where the card is one of those with known public peaks."""
    card = card_of(report.device.name)
    if report.best is None or card is None:
        show("roofline: no public peaks are known for this device")
        return
    layout, scale = report.best.layout, 8192 / limits.scrypt_n
    report.model["memory"] = card.gigabytes_a_second * 1e9 / (8192 * 128 * (1 / layout.gap + 1)) * scale
    try:
        from bench import gpu_static

        counted = gpu_static.everything([card.architecture], {"best": layout})[card.architecture, "best"]
        report.model["integer"] = gpu_model.bound(card, counted).integer * scale
    except Exception as error:  # the compiler's packages are not always there
        show(f"roofline: without the integer bound ({str(error).splitlines()[0]})")
    lowest = min(report.model.values())
    report.model["share"] = report.labels_per_second / lowest
    bounds = ", ".join(f"{name} {value:,.0f}" for name, value in report.model.items() if name != "share")
    show(f"roofline (a model): {bounds} labels/s; measured {report.model['share']:.0%} of the lowest")


def card_of(name: str) -> gpu_model.Card | None:
    """The public figures of a card, by its driver's name for it."""
    for title, card in gpu_model.CARDS.items():
        if all(word.lower() in name.lower() for word in title.split()[:2] if word not in ("SXM", "80")):
            return card
    return None


def _init(report: Report, limits: Limits, show: Show) -> None:
    """`smesher init` in a process of its own, then `smesher verify` on the CPU."""
    labels = max(1024, int(report.labels_per_second * limits.rate_seconds))
    selector = selector_of(report.device)
    with tempfile.TemporaryDirectory(prefix="smesher-bench-") as folder:
        data = Path(folder) / "post"
        words = ["init", "--data-dir", str(data), "--num-units", "1", "--labels-per-unit", str(labels)]
        words += ["--scrypt-n", str(limits.scrypt_n), "--commitment-atx-id", COMMITMENT_ATX_ID, "--json"]
        finished = smesher([*words, "--provider", selector])
        last = _last_event(finished.output)
        if finished.code != 0:
            raise KernelError(f"smesher init ended with {finished.code}: {last.get('message', '')}")
        share = min(100.0, 100 * (VERIFIED + 0.5) / labels)
        checked = smesher(["verify", str(data), "--cpu", "--fraction", f"{share:.9f}", "--json"])
        verdict = _last_event(checked.output)
        report.init = {
            "labels": labels,
            "labels_per_second": last.get("labels_per_second", 0.0),
            "verified": verdict.get("labels", 0),
            "valid": verdict.get("valid", False),
        }
    if checked.code != 0:
        report.failures.append(f"smesher verify ended with {checked.code}: labels of smesher init are wrong")
    rate = float(str(report.init["labels_per_second"]))
    show(f"smesher init: {labels:,} labels, {rate:,.0f} labels/s; {report.init['verified']} of them checked on the CPU")


def _last_event(text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def selector_of(one: Device) -> str:
    """What --provider takes for exactly this device."""
    return str(one.id) if one.id is not None else one.place


# -- what is written -------------------------------------------------------------------------------------------------


def markdown(reports: Sequence[Report], limits: Limits) -> str:
    """The section of docs/benchmarks.md."""
    lines = [
        BEGIN,
        "",
        f"Measured on {time.strftime('%Y-%m-%d')} with `python -m bench.gpu`, N = {limits.scrypt_n}.",
        "",
    ]
    lines += ["| device | driver | layouts right | best layout | labels/s | of the model | `smesher init` | CPU |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for one in reports:
        best = "-" if one.best is None else one.best.layout.describe()
        share = f"{one.model['share']:.0%}" if "share" in one.model else "-"
        init = f"{float(str(one.init['labels_per_second'])):,.0f} labels/s" if one.init else "failed"
        layouts = f"{one.layouts_right} of {one.layouts_right + len(one.layouts_failed)}"
        rate = f"{one.labels_per_second:,.0f}"
        used = "-" if one.cpu_share is None else f"{one.cpu_share:.0%} of a core"
        cells = (one.device.name, one.device.driver, layouts, best, rate, share, init, used)
        lines.append(f"| {' | '.join(cells)} |")
        lines += [f"| | | | failed: {failure} | | | | |" for failure in one.failures]
    return "\n".join([*lines, "", END, ""])


def placed(document: str, section: str) -> str:
    """The document with the section in the place of an earlier one, else at its end."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END + "\n")
    if not begin or not end:
        return f"{document.rstrip()}\n\n{section}" if document.strip() else section
    return before + section + after


def as_json(reports: Sequence[Report], limits: Limits) -> dict[str, object]:
    """All figures."""
    return {"machine": platform.platform(), "limits": asdict(limits), "devices": [asdict(one) for one in reports]}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: everything right; 1: wrong labels or a step failed; 3: no device."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--provider", action="append", default=[], metavar="SEL", help="as for smesher (default: all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="for all devices (default 270)")
    parser.add_argument("--scrypt-n", type=int, default=8192, metavar="N")
    parser.add_argument("--layouts", type=int, metavar="K", help="check only the first K layouts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="where the table goes, such as docs/benchmarks.md"
    )
    options = parser.parse_args(argv)
    if not 0 < options.seconds < math.inf:
        parser.error(f"--seconds is {options.seconds}, expected more than 0")
    console = Console()
    cpu.compile_kernels()
    available = find.devices()
    found = find.select(available, options.provider) if options.provider else available
    found = [one for one in found if one.backend != "cpu"]
    if not options.provider and any(one.device_class == "GPU" for one in found):
        found = [one for one in found if one.device_class == "GPU"]
    if not found:
        for reason in find.passed_over():
            console.print(f"{reason.what}: {reason.reason}")
        console.print("no device to measure")
        return 3
    limits = Limits(options.scrypt_n, options.seconds / len(found), options.layouts)
    reports = []
    for one in found:
        console.rule(f"{one.name} (driver {one.driver})", align="left")
        reports.append(measure(one, limits, console.print))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(reports, limits), indent=2) + "\n")
    if options.markdown is not None:
        before = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(placed(before, markdown(reports, limits)))
    console.print(f"{sum(one.seconds for one in reports):.0f} s")
    return 1 if any(one.failures for one in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
