"""What holds for every record that is declared, whichever it is: round trips, and what damaged bytes come to."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import types as bench_types
from protocol.codec.composites import Struct
from protocol.codec.declare import NESTING, Codec, CodecError, Record, array, option, record
from protocol.types.ballots import Vote, Votes
from protocol.types.ids import BallotId, BlockId, LayerId
from protocol.types.poet import MerkleProof, PoetProof
from tests.fuzz.__main__ import main
from tests.fuzz.declared import declared, modules
from tests.fuzz.run import Found, Tally, check, compare, fuzz
from tests.fuzz.samples import sample
from tests.fuzz.slow import SlowDecoder

NAMES = sorted(declared())


@record
class Deep(Record):
    """Two levels."""

    votes: Votes | None


class DrawnSource:
    """Values that hypothesis chooses and makes smaller."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        found: int = self._draw(st.integers(low, high))
        return found

    def raw(self, size: int) -> bytes:
        # hypothesis spends its budget better on structure than on the bytes of keys
        unit: bytes = self._draw(st.binary(min_size=min(size, 4), max_size=min(size, 4)))
        return (unit * 20)[:size] if size <= 80 else unit * (size // 4) + unit[: size % 4]


def test_every_kind_of_record_is_found() -> None:
    assert len(NAMES) > 90
    for name in ("ballots.Ballot", "activation_v2.ActivationTxV2", "rangesync.MESSAGE", "poet.PoetProofMessage"):
        assert name in NAMES


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_what_is_written_is_read(name: str, data: st.DataObject) -> None:
    codec: Codec[Any] = declared()[name]
    value = sample(codec, DrawnSource(data.draw))
    encoded = codec.encode(value)
    decoded = codec.decode(encoded)
    assert decoded == value
    assert hash(decoded) == hash(value)
    assert codec.encode(decoded) == encoded
    assert codec.read(b"\xa5" + encoded + b"\x5a", 1) == (value, 1 + len(encoded))
    assert SlowDecoder(encoded, NESTING).whole(codec) == value


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_record_and_every_field_says_what_it_is(module: ModuleType) -> None:
    assert module.__file__ is not None
    for declared_class in ast.parse(Path(module.__file__).read_text()).body:
        if not isinstance(declared_class, ast.ClassDef) or "record" not in map(
            ast.unparse, declared_class.decorator_list
        ):
            continue
        assert ast.get_docstring(declared_class), declared_class.name
        for statement, following in zip(declared_class.body, [*declared_class.body[1:], None]):
            if isinstance(statement, ast.AnnAssign):
                said = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert said, f"{declared_class.name}.{ast.unparse(statement.target)}"


def levels(codec: Codec[Any]) -> int:
    """The levels of nesting that values of a codec can have."""
    if isinstance(codec, Struct):
        return max((levels(member) for member in codec.members.values()), default=0)
    inner = getattr(codec, "inner", None)
    if inner is not None:
        return levels(inner) + isinstance(inner, Struct)
    return max((levels(choice) for choice in getattr(codec, "options", {}).values()), default=0)


def test_no_record_comes_near_the_limit_of_nesting() -> None:
    assert max(levels(codec) for codec in declared().values()) == 2 < NESTING
    assert levels(option(Deep.codec)) == levels(array(Deep.codec, 2)) == 3


# ---- damaged bytes ----


def test_damaged_bytes_give_the_codecs_error_or_a_value() -> None:
    tally = fuzz(cases=12_000, seed=20_240_714)
    assert tally.cases > 12_000
    assert tally.accepted > 1_000
    for reason in ("truncated", "over_limit", "out_of_range", "too_wide", "trailing_bytes", "unknown_type"):
        assert tally.refused[reason] > 10, reason


@given(data=st.binary(max_size=400), name=st.sampled_from(NAMES))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_what_the_slow_decoder_gives(data: bytes, name: str) -> None:
    compare(name, declared()[name], data)


class _Careless(Codec[int]):
    """A decoder with the faults that the loop looks for, chosen by the first byte."""

    def decode(self, data: bytes, nesting: int = NESTING) -> int:
        if not data:
            raise KeyError("first")
        if data[0] == 1:
            return len(bytes(1 << 20))
        return data[0]

    def encode(self, value: int, nesting: int = NESTING) -> bytes:
        return bytes((value & 0x7F,))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "KeyError: 'first'"),
        (b"\x01", "bytes of memory for 1"),
        (b"\x80", "another value than its own encoding 00"),
    ],
)
def test_the_loop_finds_what_it_looks_for(data: bytes, expected: str) -> None:
    with pytest.raises(Found, match=expected):
        check("careless", _Careless("careless"), data, Tally(), measured=True)


def test_the_loop_can_be_started_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cases", "300", "--seed", "7", "--only", "hare.Hare4"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("seed 7\n") and "accepted" in output and "memory for a byte" in output
    for wrong in (["--cases", "0"], ["--only", "nothing"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2


def test_types_load_without_what_is_slow_to_load() -> None:
    modules = ", ".join(f"protocol.types.{path.stem}" for path in Path("protocol/types").glob("[a-z]*.py"))
    code = f"import sys, {modules}; print([name for name in ('numba', 'numpy', 'nacl') if name in sys.modules])"
    root = Path(__file__).resolve().parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_error_of_another_kind_is_never_the_codecs() -> None:
    with pytest.raises(TypeError):
        declared()["ballots.Ballot"].decode(None)  # type: ignore[arg-type]
    assert not issubclass(CodecError, ValueError)


def test_the_longest_lists_take_memory_in_proportion_to_their_bytes() -> None:
    votes = Votes(
        BallotId(bytes(20)), (Vote(BlockId(bytes(20)), LayerId(0), 0),) * 10_000, (), (LayerId(16_383),) * 10_000
    )
    longest: dict[str, bytes] = {
        "ballots.Votes": Votes.codec.encode(votes),
        "poet.PoetProof": PoetProof.codec.encode(PoetProof(MerkleProof(b"", (b"",) * 150, (b"x",) * 5_400), 0)),
        "fetch.REQUESTS": b"\x02\x00\x01\x00" + bytes(33 * 16_384),
        "activation.EpochActiveSet": b"\0\x02\x00\x01\x00" + bytes(32 * 16_384),
    }
    factors = {}
    for name, data in longest.items():
        tally = Tally()
        declared()[name].reader()
        check(name, declared()[name], data, tally, measured=True)
        assert tally.accepted == 1
        factors[name] = tally.worst_factor
    assert factors["activation.EpochActiveSet"] < 1.1, "ids are one slice"
    assert all(0.9 < factor < 20 for factor in factors.values()), factors


def test_the_bench_measures_each_object_and_its_baseline() -> None:
    measured = {subject.name: bench_types.measure(subject, 1e-6) for subject in bench_types.subjects()}
    for name, figures in measured.items():
        for figure in ("bytes", "decode_us", "encode_us", "json_loads_us"):
            assert (figures[figure] or 0) > 0, f"{name}: {figure}"
    assert measured["block"]["bytes"] == pytest.approx(8_400, rel=0.02)
    assert measured["100,000 ids"]["id_us"] is None
