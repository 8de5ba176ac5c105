"""What the compilers make of the CUDA kernels, counted without a graphics card: registers, spills, instructions.

NVRTC (`gpu_compilers`) compiles `labels.cl` to PTX and to the machine code of each architecture;
nvdisasm, from its own, shows the instructions of the two loops in which all the time goes. `gpu_model` turns the
counts into bounds on labels/s. Nothing here is measured. Alone: `python -m bench.gpu_static`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.gpu_compilers import CompilationFailed, Compiled, Resources, ToolMissing, compiler, compilers, disassembler
from bench.settings import Settings, Show
from kernels.gpu import cuda
from kernels.gpu import plan as plan_gpu
from kernels.gpu.layout import DeviceNumbers, Layout

N = 8192
JOBS = 2
"""Compilations at a time."""

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
"""Turing, A100, GeForce 30, GeForce 40, H100 and H200, B200, GeForce 50; older ones with the wheel of CUDA 12."""

LAYOUTS: Mapping[str, Layout] = {
    "A gap 1": Layout(),
    "A gap 2": Layout(gap=2),
    "A gap 2 free": Layout(gap=2, free=1),
    "A gap 4 free": Layout(gap=4, free=1),
    "A x2 gap 1": Layout(ilv=2),
    "B gap 1": Layout(lanes=4, lane_op=2),
    "B gap 2": Layout(lanes=4, lane_op=2, gap=2),
    "B gap 2 free": Layout(lanes=4, lane_op=2, gap=2, free=1),
    "B gap 4 free": Layout(lanes=4, lane_op=2, gap=4, free=1),
    "B x2 gap 1": Layout(lanes=4, lane_op=2, ilv=2),
}
"""A: one label an item. B: four items a label. "x2": two labels interleaved; "free": labels do not wait for others."""

MAY_BE_CHOSEN = frozenset(
    replace(layout, tile=1)
    for layout in plan_gpu.candidates(DeviceNumbers("nvidia", 1 << 30, None, 1 << 28, 1, 1024, lane_op=2))
)
"""What planner and autotune try on an NVIDIA card; tiles only change addresses. The others are counted to compare."""

MOST_ABOVE_MINIMUM = 0.10
"""Bound on the arithmetic of those, as a part of the algorithm's minimum."""

CHACHA_OPERATIONS = 4 * 8 * 4 * 3
"""One ChaCha20/8: four double rounds of eight quarter rounds; each of its four steps adds, xors and rotates."""

MIX_OPERATIONS = 2 * (CHACHA_OPERATIONS + 16 + 16)
"""One block mix: two cores, with 16 exclusive-ors before and 16 additions after each."""


def options(layout: Layout) -> tuple[str, ...]:
    """The compiler's options for all kernels in one program."""
    return (cuda.STANDARD, *(f"-D{name}={value}" for name, value in layout.options(N).items()))


def minimum_operations(gap: int, scrypt_n: int = N) -> float:
    """32-bit operations that a label takes at least: the mixes of both halves, and of recomputed rows on average.

    The exclusive-ors with the rows are not counted: a three-input instruction does them on the way.
    """
    return scrypt_n * (2 + (gap - 1) / 2) * MIX_OPERATIONS


# -- instructions

MULTIPLY_ADD = frozenset({"IMAD", "FFMA", "HFMA2", "FMUL", "FADD", "IMUL"})
"""Names of what runs on the multiply-add pipe."""

MEMORY = frozenset({"LDG", "STG", "LDS", "STS", "LDL", "STL", "LDC", "LDCU", "LD", "ST", "S2R", "S2UR", "CS2R"})
CONTROL = frozenset({"BRA", "BSSY", "BSYNC", "CALL", "RET", "EXIT", "NOP", "WARPSYNC", "BREAK", "YIELD", "VOTE"})
ADDRESS = re.compile(r"IMAD\.WIDE|IMAD\.X|IMAD\.64|LEA(?!\.HI(?!\.X))|IADD3\.X|IADD3?\.64|VIADD\.64")
"""Additions with 64-bit results or carries: only addresses are that wide. A plain LEA.HI is a rotation and an addition
of the algorithm in one."""

MOVE = re.compile(r"U?MOV|IMAD\.MOV|IMAD\.SHL|HFMA2|C?SEL|FSEL|ISETP|PLOP3|P2R|R2P|PRMT")
"""Copies, constants, selections and comparisons."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions of one warp in one pass of a loop."""

    alu: int
    """On the integer pipe."""
    multiply_add: int
    """On the multiply-add pipe, which does additions too."""
    shuffles: int
    memory: int
    other: int
    """Branches, votes, and what runs on the uniform pipe."""
    addresses: int
    """Of those on the two pipes: for addresses."""
    moves: int
    """Of those on the two pipes: copies, selections, comparisons."""

    @property
    def all(self) -> int:
        """What the scheduler issues."""
        return self.alu + self.multiply_add + self.shuffles + self.memory + self.other

    @property
    def arithmetic(self) -> int:
        """What is left for the algorithm: additions, exclusive-ors, rotations."""
        return self.alu + self.multiply_add - self.addresses - self.moves

    def times(self, factor: int) -> Counts:
        """As many passes."""
        return Counts(*(factor * getattr(self, name) for name in self.__slots__))


def count(instructions: Iterable[str]) -> Counts:
    """Sorts instructions by pipe and purpose."""
    pipes: Counter[str] = Counter()
    for instruction in instructions:
        words = instruction.split()
        full = words[1] if words[0].startswith("@") else words[0]
        name = full.split(".")[0]
        if name == "SHFL":
            pipes["shuffles"] += 1
        elif name in MEMORY:
            pipes["memory"] += 1
        elif name in CONTROL or name.startswith("U"):
            pipes["other"] += 1
        else:
            pipes["multiply_add" if name in MULTIPLY_ADD else "alu"] += 1
            if MOVE.match(full):
                pipes["moves"] += 1
            elif ADDRESS.match(full):
                pipes["addresses"] += 1
    return Counts(*(pipes[name] for name in Counts.__slots__))


def instructions(assembly: str, kernel: str) -> tuple[list[str], dict[str, int]]:
    """The instructions of a kernel in nvdisasm's text, and the places of its labels."""
    code: list[str] = []
    labels: dict[str, int] = {}
    match = re.search(rf"\.text\.{kernel}:(.*?)(?=\n\s*\.section|\Z)", assembly, re.DOTALL)
    if match is None:
        raise CompilationFailed(f"the disassembly has no kernel {kernel}")
    for line in match.group(1).splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label.group(1)] = len(code)
        elif instruction := re.match(r"\s+/\*[0-9a-f]+\*/\s+(.*?);", line):
            code.append(instruction.group(1).strip())
    return code, labels


SHORTEST_LOOP = 20
"""Instructions; shorter ones are not block mixes."""


def loops(code: Sequence[str], labels: Mapping[str, int]) -> list[list[str]]:
    """Bodies of the loops, in the order of the branches that close them.

    Where several branches go back to one place it is one loop, counted with all its ways: rather too much.
    """
    ends: dict[int, int] = {}
    for place, instruction in enumerate(code):
        branch = re.search(r"\bBRA\S*\s.*?(\.L_x_\d+)", instruction)
        if branch is not None:
            start = labels.get(branch.group(1))
            if start is not None and start <= place - SHORTEST_LOOP:
                ends[start] = place
    return [list(code[start : end + 1]) for start, end in ends.items()]


# -- one layout on one architecture


@dataclass(frozen=True, slots=True)
class Analysis:
    """romix of one layout on one architecture."""

    architecture: str
    layout: Layout
    resources: Resources
    fill: Counts
    """One block mix of the first half."""
    turn: Counts
    """One turn of the second half."""
    turns: float
    """Turns of the second half."""

    def per_label(self, what: str) -> float:
        """Instructions of a kind that one label takes, as if each of its lanes did its own."""
        share = self.layout.lanes / self.layout.labels
        return (N * float(getattr(self.fill, what)) + self.turns * float(getattr(self.turn, what))) * share

    @property
    def surplus(self) -> float:
        """Arithmetic above the algorithm's minimum, as a part of it."""
        return self.per_label("arithmetic") / minimum_operations(self.layout.gap) - 1


FREE_SLACK = 1.01
"""Free labels end at different times; a warp turns for the one with the most rows to recompute."""


def analyse(compiled: Compiled, layout: Layout) -> Analysis:
    """Counts the loops of romix. Raises `ToolMissing`, `CompilationFailed`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "labels.cubin")
        file.write_bytes(compiled.cubin)
        done = subprocess.run([disassembler(), "-c", file], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilationFailed(f"nvdisasm: {done.stderr.strip()}")
    found = loops(*instructions(done.stdout, "romix"))
    fill = count(found[0])
    if layout.gap == 1:
        turn, turns = count(found[1]), float(N)
    elif layout.free:
        turn, turns = count(found[2]), N * (1 + (layout.gap - 1) / 2) * FREE_SLACK
    else:  # a step mixes once, and as often again as the unluckiest label of the warp needs: nearly always gap - 1
        turn, turns = fill.times(layout.gap), float(N)
    return Analysis(compiled.architecture, layout, compiled.resources["romix"], fill, turn, turns)


def everything(architectures: Sequence[str], layouts: Mapping[str, Layout]) -> dict[tuple[str, str], Analysis]:
    """All combinations, `JOBS` at a time."""

    def one(architecture: str, layout: Layout) -> Analysis:
        return analyse(compiler(architecture).compile(architecture, options(layout)), layout)

    with ThreadPoolExecutor(JOBS) as pool:
        jobs = {
            (architecture, name): pool.submit(one, architecture, layout)
            for architecture in architectures
            for name, layout in layouts.items()
        }
        return {key: job.result() for key, job in jobs.items()}


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Counts all layouts on all architectures, prints the tables, and the model that they feed."""
    from bench import gpu_model

    try:
        known = [one for one in ARCHITECTURES if any(one in nvrtc.architectures for nvrtc in compilers())]
        versions = [nvrtc.version for nvrtc in compilers()]
        disassembler()
    except ToolMissing as error:
        show(f"[yellow]not counted: {error}[/]")
        return {"skipped": str(error)}
    analyses = everything(known, LAYOUTS)
    show(table(analyses))
    bounds = gpu_model.run(analyses, show)
    return {
        "nvrtc": versions,
        "minimum_operations": {gap: minimum_operations(gap) for gap in (1, 2, 4)},
        "layouts": [row(name, one) for (_, name), one in analyses.items()],
        "model": bounds,
    }


def row(name: str, one: Analysis) -> dict[str, object]:
    """One analysis for the JSON file."""
    return {
        "architecture": one.architecture,
        "layout": name,
        "registers": one.resources.registers,
        "spill_bytes": one.resources.spill_bytes,
        "fill": {part: getattr(one.fill, part) for part in Counts.__slots__},
        "turn": {part: getattr(one.turn, part) for part in Counts.__slots__},
        "turns": one.turns,
        **{
            f"{what}_a_label": one.per_label(what)
            for what in ("arithmetic", "addresses", "moves", "shuffles", "memory")
        },
        "above_minimum": one.surplus,
        "may_be_chosen": one.layout in MAY_BE_CHOSEN,
    }


def table(analyses: Mapping[tuple[str, str], Analysis]) -> Table:
    """A line for each layout and architecture."""
    result = Table(
        title="romix by layout and architecture (dim: never chosen): instructions of a warp; per label in millions",
        title_justify="left",
    )
    for heading in (
        "sm",
        "layout",
        "registers",
        "spilled",
        "fill: alu, mad, shfl, mem, all",
        "turn",
        "arithmetic",
        "above minimum",
        "addresses",
        "moves",
        "shuffles",
    ):
        result.add_column(heading, justify="left" if heading == "layout" else "right")
    for (architecture, name), one in analyses.items():
        loops_shown = [f"{c.alu} {c.multiply_add} {c.shuffles} {c.memory} {c.all}" for c in (one.fill, one.turn)]
        result.add_row(
            architecture,
            name,
            str(one.resources.registers),
            str(one.resources.spill_bytes),
            *loops_shown,
            f"{one.per_label('arithmetic') / 1e6:.2f}",
            f"{one.surplus:+.1%}",
            *(f"{one.per_label(what) / 1e6:.2f}" for what in ("addresses", "moves", "shuffles")),
            style=None if one.layout in MAY_BE_CHOSEN else "dim",
        )
    return result


if __name__ == "__main__":
    run(Settings(threads=1), Console(width=200).print)
