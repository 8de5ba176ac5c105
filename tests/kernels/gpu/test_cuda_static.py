"""What NVIDIA's compilers make of `labels.cl`: it compiles for every architecture, spills nothing, wastes little.

No graphics card is needed, only the wheels of the extra `cuda-static`; without them these tests skip, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pytest

from bench import gpu_compilers, gpu_model, gpu_static
from bench.gpu_compilers import Compiled, ToolMissing
from bench.gpu_static import ARCHITECTURES, LAYOUTS, Analysis, Counts
from kernels.gpu import plan as plan_gpu
from kernels.gpu.layout import DeviceNumbers, Layout
from kernels.gpu.session import KERNELS

Tool = TypeVar("Tool")

REGISTERS = {
    "A gap 1": 78,
    "A gap 2 free": 108,
    "A gap 4 free": 108,
    "B gap 1": 40,
    "B gap 2 free": 47,
    "B gap 4 free": 47,
}
"""What romix took when it was written. More would mean fewer labels in flight, and that nobody noticed."""

REGISTER_SLACK = 4
"""Compilers differ from version to version."""

CARD = DeviceNumbers("nvidia", 24 << 30, None, 6 << 30, 82, 1024, lane_op=2)

CANDIDATES = [name for name, layout in LAYOUTS.items() if layout in gpu_static.MAY_BE_CHOSEN]
"""What the planner or the autotune may choose on any card; tiles beside, which only change addresses."""

DEFAULTS = ("A gap 1", "A gap 2 free", "A gap 4 free")
"""Without a measurement: the gap is chosen, one label an item."""

CHOSEN = [(architecture, name) for architecture in ARCHITECTURES for name in CANDIDATES]


def tool(get: Callable[[], Tool]) -> Tool:
    """A compiler or disassembler; without it the test is skipped, with the reason in pytest's summary."""
    try:
        return get()
    except ToolMissing as error:
        pytest.skip(f"NOT TESTED: what NVIDIA's compilers make of the CUDA kernels: {error}")


@pytest.fixture(scope="module")
def compiled() -> dict[tuple[str, str], Compiled]:
    """All chosen combinations that the installed compilers know."""
    nvrtcs = tool(gpu_compilers.compilers)
    known = [key for key in CHOSEN if any(key[0] in one.architectures for one in nvrtcs)]

    def one(key: tuple[str, str]) -> Compiled:
        architecture, name = key
        return gpu_compilers.compiler(architecture).compile(architecture, gpu_static.options(LAYOUTS[name]))

    with ThreadPoolExecutor(gpu_static.JOBS) as pool:
        return dict(zip(known, pool.map(one, known)))


def test_every_architecture_gets_machine_code_of_every_kernel_without_spills(
    compiled: dict[tuple[str, str], Compiled],
) -> None:
    assert {architecture for architecture, _ in compiled} >= {"75", "80", "86", "89", "90"}
    for (architecture, name), one in compiled.items():
        assert set(one.resources) == {"romix", *KERNELS}
        for kernel, resources in one.resources.items():
            assert (resources.spill_bytes, resources.stack_bytes) == (0, 0), f"{kernel}, sm_{architecture}, {name}"
            assert resources.registers <= 128, f"{kernel}, sm_{architecture}, {name}"
        most = REGISTERS[name] + REGISTER_SLACK
        assert one.resources["romix"].registers <= most, f"romix, sm_{architecture}, {name}"


def test_the_ptx_is_for_the_architecture_and_uses_no_local_memory(compiled: dict[tuple[str, str], Compiled]) -> None:
    for (architecture, name), one in compiled.items():
        assert re.search(rf"^\.target sm_{architecture}\b", one.ptx, re.MULTILINE)
        assert set(re.findall(r"\.entry (\w+)\(", one.ptx)) == {"romix", *KERNELS}
        assert ".local " not in one.ptx
        shuffles = one.ptx.count("shfl.sync")
        assert (shuffles > 0) == (LAYOUTS[name].lanes > 1)


@pytest.fixture(scope="module")
def counted(compiled: dict[tuple[str, str], Compiled]) -> dict[tuple[str, str], Analysis]:
    """The instructions of all of them."""
    tool(gpu_compilers.disassembler)
    with ThreadPoolExecutor(gpu_static.JOBS) as pool:
        return dict(zip(compiled, pool.map(lambda key: gpu_static.analyse(compiled[key], LAYOUTS[key[1]]), compiled)))


def test_arithmetic_stays_near_the_algorithms_minimum(counted: dict[tuple[str, str], Analysis]) -> None:
    for (architecture, name), analysis in counted.items():
        assert -0.02 < analysis.surplus < gpu_static.MOST_ABOVE_MINIMUM, (
            f"sm_{architecture}, {name}: {analysis.surplus:+.1%}"
        )
        per_mix = 48 if LAYOUTS[name].lanes > 1 else 0
        assert analysis.fill.shuffles == per_mix, f"sm_{architecture}, {name}"
        assert analysis.turn.memory == (2 if per_mix else 8), f"sm_{architecture}, {name}: one row is read a turn"


def test_every_layout_that_may_be_chosen_is_bounded() -> None:
    """A layout that the autotune learns to try comes with its counts: tiles apart, none is missing here."""
    bounded = {LAYOUTS[name] for name in CANDIDATES}
    assert {replace(layout, tile=1) for layout in plan_gpu.candidates(CARD)} == bounded
    assert {LAYOUTS[name] for name in DEFAULTS} == {layout for layout in bounded if layout.lanes == 1}


def test_the_planner_knows_the_cycles_that_were_counted(counted: dict[tuple[str, str], Analysis]) -> None:
    for architecture in {sm for sm, _ in counted}:
        cycles = [
            gpu_model.cycles(counts, architecture)
            for counts in (
                counted[architecture, "A gap 1"].fill,
                counted[architecture, "A gap 1"].turn,
                counted[architecture, "A gap 4 free"].turn,
            )
        ]
        lanes = "32 lanes" if int(architecture) >= 120 else "16 lanes"
        assert plan_gpu.MIX_CYCLES[lanes] == pytest.approx(cycles, rel=0.01), f"sm_{architecture}"


def test_the_planner_chooses_the_layout_that_the_model_expects_to_be_fastest(
    counted: dict[tuple[str, str], Analysis],
) -> None:
    for title, card in gpu_model.CARDS.items():
        rates = {
            name: gpu_model.bound(card, one).lowest for (sm, name), one in counted.items() if sm == card.architecture
        }
        capability = (int(card.architecture[:-1]), int(card.architecture[-1]))
        numbers = replace(
            CARD,
            memory_total=card.gigabytes << 30,
            max_allocation=card.gigabytes << 28,
            compute_units=card.multiprocessors,
            capability=capability,
            clock_hz=card.boost_ghz * 1e9,
            bandwidth=card.gigabytes_a_second * 1e9,
        )
        chosen = plan_gpu.default_layout(numbers, gpu_static.N)
        (name,) = (name for name in DEFAULTS if LAYOUTS[name] == chosen)
        assert rates[name] >= plan_gpu.WORTH_A_LARGER_GAP * max(rates.values()), f"{title}: {rates}"


@pytest.mark.parametrize(
    "layout",
    [
        Layout(rot_mul=8),
        Layout(group=128),
        Layout(group=256, gap=2, free=1),
        Layout(tile=32),
        Layout(lanes=4, lane_op=2, tile=32, group=128),
    ],
    ids=Layout.describe,
)
def test_what_the_autotune_may_try_compiles_without_spills(layout: Layout) -> None:
    tool(gpu_compilers.compilers)
    one = gpu_compilers.compiler("86").compile("86", gpu_static.options(layout))
    assert all(resources.spill_bytes == 0 for resources in one.resources.values())


def test_the_two_parts_compile_apart_as_they_are_built_for_a_card() -> None:
    tool(gpu_compilers.compilers)
    options = gpu_static.options(Layout())
    romix = gpu_compilers.compiler("86").compile("86", (*options, "-DPART=1"))
    others = gpu_compilers.compiler("86").compile("86", (options[0], "-DPART=2"))
    assert (set(romix.resources), set(others.resources)) == ({"romix"}, set(KERNELS))


def test_older_cards_with_the_compiler_of_cuda_12() -> None:
    nvrtcs = tool(gpu_compilers.compilers)
    older = [one for one in nvrtcs if "61" in one.architectures]
    if not older:
        pytest.skip("NOT TESTED: cards before Turing: pip install nvidia-cuda-nvrtc-cu12")
    for architecture in ("61", "70"):
        one = older[0].compile(architecture, gpu_static.options(Layout(gap=2, free=1)))
        assert all(resources.spill_bytes == 0 for resources in one.resources.values())


def test_a_kernel_that_does_not_compile_is_told_in_the_compilers_words() -> None:
    tool(gpu_compilers.compilers)
    with pytest.raises(gpu_static.CompilationFailed, match="expected a"):
        gpu_compilers.compiler("86").compile("86", (), "this is not CUDA")
    with pytest.raises(ToolMissing, match="does not know sm_10"):
        gpu_compilers.compiler("10")


# -- without the wheels

SASS = """
        .section .text.romix,"ax",@progbits
.text.romix:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LOP3.LUT R2, R3, R4, RZ, 0x3c, !PT ;
        /*0020*/                   IMAD.IADD R2, R2, 0x1, R5 ;
        /*0030*/                   SHF.L.W.U32.HI R2, R2, 0x10, R2 ;
        /*0040*/                   LEA.HI R2, R2, R3, R2, 0x7 ;
        /*0050*/                   LEA.HI.X R7, R2, R3, R2, 0x2, P0 ;
        /*0060*/                   IMAD.WIDE.U32 R8, R2, 0x4, R6 ;
        /*0070*/                   IMAD.MOV.U32 R9, RZ, RZ, R2 ;
        /*0080*/                   SHFL.IDX PT, R2, R2, R3, 0x1c1f ;
        /*0090*/              @P0  LDG.E.128 R4, [R8.64] ;
        /*00a0*/                   UIADD3 UR4, UR4, 0x1, URZ ;
FILLER
        /*0200*/              @!P0 BRA `(.L_x_1) ;
        /*0210*/                   EXIT ;
        .section .text.seed,"ax",@progbits
""".replace("FILLER", "\n".join(f"        /*0{100 + i}*/                   IADD3 R2, R2, R3, RZ ;" for i in range(12)))


def test_instructions_of_a_loop_are_sorted_by_pipe_and_purpose() -> None:
    found = gpu_static.loops(*gpu_static.instructions(SASS, "romix"))
    assert len(found) == 1
    counts = gpu_static.count(found[0])
    assert counts == Counts(alu=16, multiply_add=3, shuffles=1, memory=1, other=2, addresses=2, moves=1)
    assert counts.all == 23
    assert counts.arithmetic == 16
    assert counts.times(2).alu == 32
    with pytest.raises(gpu_static.CompilationFailed, match="no kernel best"):
        gpu_static.instructions(SASS, "best")


def test_registers_and_spills_are_read_from_the_assemblers_report() -> None:
    log = """ptxas info    : Compiling entry function 'seed' for 'sm_90'
ptxas         .     8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 96 registers, used 0 barriers
ptxas info    : Compiling entry function 'romix' for 'sm_90'
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 78 registers, used 0 barriers"""
    found = gpu_compilers.resources_of(log)
    assert found == {"seed": gpu_static.Resources(96, 8, 16), "romix": gpu_static.Resources(78, 0, 0)}


def test_the_minimum_is_that_of_the_algorithm() -> None:
    assert gpu_static.MIX_OPERATIONS == 832
    assert gpu_static.minimum_operations(1) == 16384 * 832
    assert gpu_static.minimum_operations(2) == 8192 * 2.5 * 832


def test_the_model_takes_the_lowest_of_three_bounds() -> None:
    mix = Counts(alu=560, multiply_add=281, shuffles=0, memory=8, other=2, addresses=10, moves=2)
    one = Analysis("90", Layout(), gpu_static.Resources(78, 0, 0), mix, mix, 8192.0)
    h200 = gpu_model.bound(gpu_model.CARDS["H200"], one)
    h100 = gpu_model.bound(gpu_model.CARDS["H100 SXM"], one)
    assert (h200.by, h100.by) == ("integer", "memory")
    assert h200.integer == h100.integer == pytest.approx(132 * 4 * 1.98e9 / (2 * 8192 * 1120 / 32))
    assert h100.memory == pytest.approx(3350e9 / (2 << 20))
    assert gpu_model.mi300x().by == "memory"
    starved = gpu_model.Card("90", 132, 1.98, 3350, 1)
    assert gpu_model.bound(starved, one).by == "latency"


def test_without_the_wheels_the_bench_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(gpu_compilers, "_wheels", list)
    gpu_compilers.compilers.cache_clear()
    try:
        result = gpu_static.run(gpu_static.Settings(threads=1), shown.append)
    finally:
        gpu_compilers.compilers.cache_clear()
    assert "pip install nvidia-cuda-nvrtc" in str(result["skipped"])
    assert "not counted" in str(shown[0])
