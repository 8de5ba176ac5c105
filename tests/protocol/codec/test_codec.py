"""The codec: integers, limits, laxities, nesting, what an error says, and lists that are one buffer."""

import copy
import operator
import pickle
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, NewType

import numpy as np
import pytest

from protocol.codec.compact import compact
from protocol.codec.declare import (
    Codec,
    CodecError,
    Fault,
    IdList,
    Record,
    boolean,
    byte,
    c8,
    c16,
    c32,
    c64,
    choice,
    codec_of,
    custom,
    encoded_as,
    exactly,
    fixed,
    option,
    record,
    text,
    u16,
    u32,
    u64,
    up_to,
    vector,
)
from protocol.errors import ProtocolError


@record
class Leg(Record):
    """Something small."""

    id: Annotated[bytes, exactly(20)]
    layer: Annotated[int, c32]
    height: Annotated[int, c64]


@record
class Table(Record):
    """One field of each kind."""

    root: Annotated[bytes, exactly(32)]
    signature: Annotated[bytes, exactly(64)]
    legs: Annotated[Sequence[Leg], up_to(10)]
    ids: Annotated[Sequence[Annotated[bytes, exactly(20)]], up_to(5)] = ()
    name: Annotated[str, up_to(5)] = ""
    best: Leg | None = None
    numbers: Annotated[Sequence[Annotated[int, u32]], up_to(7)] = ()
    rows: Annotated[Sequence[Annotated[Sequence[Annotated[bytes, up_to(9)]], up_to(3)]], up_to(2)] = ()
    is_set: bool = False
    pair: Annotated[Sequence[Annotated[int, c16]], exactly(2)] = (1, 2)


LEG = Leg(b"x" * 20, 77, 1 << 40)
TABLE = Table(
    b"r" * 32,
    b"s" * 64,
    (LEG, replace(LEG, layer=78)),
    (b"y" * 20, b"z" * 20),
    "\udcffé",
    LEG,
    (1, 2, 3),
    ((b"a", b""), ()),
    True,
)
ENCODED = Table.codec.encode(TABLE)


def refusal(codec: Codec[Any], data: str, **more: int) -> CodecError:
    with pytest.raises(CodecError) as found:
        codec.decode(bytes.fromhex(data), **more)
    return found.value


# ---- integers ----


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "04"), (63, "fc"), (64, "0101"), (255, "fd03"), (16383, "fdff"), (16384, "02000100")]
    + [(65535, "feff0300"), (2**30 - 1, "feffffff"), (2**30, "0300000040"), (2**32 - 1, "03ffffffff")]
    + [(2**32, "070000000001"), (2**40, "0b000000000001"), (2**48, "0f00000000000001")]
    + [(2**56, "130000000000000001"), (2**64 - 1, "13ffffffffffffffff")],
)
def test_compact_integers(value: int, encoded: str) -> None:
    assert compact(value).hex() == encoded
    for bits, codec in ((8, c8), (16, c16), (32, c32), (64, c64)):
        if value >> bits == 0:
            assert codec.encode(value).hex() == encoded
            assert codec.decode(bytes.fromhex(encoded)) == value
        else:
            with pytest.raises(CodecError, match=f"{value} is not an unsigned integer of {bits} bits"):
                codec.encode(value)


@pytest.mark.parametrize(
    ("encoded", "codec", "reason"),
    [
        ("1500", c64, "out_of_range"),
        ("16000000", c64, "out_of_range"),
        ("03ffffff3f", c64, "out_of_range"),
        ("17010101010101010101", c64, "too_wide"),
        ("070000000001", c32, "too_wide"),
        ("0300000040", c16, "too_wide"),
        ("02000100", c8, "too_wide"),
        ("0104", c8, "out_of_range"),
        ("feffffff", c16, "out_of_range"),
        ("01", c64, "truncated"),
        ("", c64, "truncated"),
        ("0300", c32, "truncated"),
        ("00", u16, "truncated"),
        ("0001", c8, "trailing_bytes"),
    ],
)
def test_integers_that_are_refused(encoded: str, codec: Codec[int], reason: str) -> None:
    assert refusal(codec, encoded).reason == reason


def test_the_widest_form_may_have_leading_zeros_and_is_written_without() -> None:
    for encoded in ("070000004000", "0b000000400000", "13000000400000000000"[:18]):
        assert c64.encode(c64.decode(bytes.fromhex(encoded))).hex() == "0300000040"


def test_a_negative_number_or_one_above_64_bits_has_no_compact_form() -> None:
    for value in (-1, 2**64):
        with pytest.raises(ProtocolError, match="not an unsigned integer of 64 bits"):
            compact(value)


def test_fixed_integers_are_little_endian() -> None:
    assert (byte.encode(200), u16.encode(513), u32.encode(1), u64.encode(2**63)) == (
        b"\xc8",
        b"\x01\x02",
        b"\x01\0\0\0",
        bytes(7) + b"\x80",
    )
    for codec, bits in ((byte, 8), (u16, 16), (u32, 32), (u64, 64)):
        for value in (-1, 1 << bits):
            with pytest.raises(CodecError, match=f"not an unsigned integer of {bits} bits"):
                codec.encode(value)


def test_any_other_tag_means_absent_or_false() -> None:
    for tag in (0, 2, 3, 0x80, 0xFF):
        assert option(c64).decode(bytes((tag,))) is None
        assert boolean.decode(bytes((tag,))) is False
    assert option(c64).decode(b"\x01\x04") == 1
    assert boolean.decode(b"\x01") is True


def test_a_text_may_hold_any_bytes() -> None:
    data = b"\x10\xff\xc3\xa9\x80"
    value = text(9).decode(data)
    assert value == "\udcffé\udc80"
    assert text(9).encode(value) == data


# ---- records ----


def test_a_record_comes_back() -> None:
    assert Table.codec.decode(ENCODED) == TABLE
    assert hash(Table.codec.decode(ENCODED)) == hash(TABLE)
    assert Table.codec.decode(bytearray(ENCODED)) == Table.codec.decode(memoryview(ENCODED)) == TABLE  # type: ignore[arg-type]
    assert Table.codec.read(b"--" + ENCODED + b"--", 2) == (TABLE, len(ENCODED) + 2)


def test_what_is_read_is_an_ordinary_frozen_record() -> None:
    leg = Leg.codec.decode(Leg.codec.encode(LEG))
    assert type(leg) is Leg
    assert repr(leg) == repr(LEG)
    assert copy.deepcopy(leg) == pickle.loads(pickle.dumps(leg)) == LEG
    with pytest.raises(AttributeError):
        leg.layer = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "Table.root: 32 bytes are needed, 0 are left (at byte 0)."),
        (40, "Table.signature: 64 bytes are needed, 8 are left (at byte 32)."),
        (96, "Table.legs: 1 byte is needed, 0 are left (at byte 96)."),
        (98, "Table.legs[0].id: 20 bytes are needed, 1 is left (at byte 97)."),
        (117, "Table.legs[0].layer: 1 byte is needed, 0 are left (at byte 117)."),
        (121, "Table.legs[0].height: 6 bytes are needed, 1 is left (at byte 120)."),
        (130, "Table.legs[1].id: 20 bytes are needed, 4 are left (at byte 126)."),
        (160, "Table.ids[0]: 20 bytes are needed, 4 are left (at byte 156)."),
        (185, "Table.ids[1]: 20 bytes are needed, 9 are left (at byte 176)."),
        (199, "Table.name: 3 bytes are needed, 2 are left (at byte 197)."),
        (219, "Table.best.id: 20 bytes are needed, 18 are left (at byte 201)."),
        (240, "Table.numbers[2]: 4 bytes are needed, 1 is left (at byte 239)."),
    ],
)
def test_an_error_names_type_field_place_and_reason(size: int, expected: str) -> None:
    with pytest.raises(CodecError) as found:
        Table.codec.decode(ENCODED[:size])
    assert str(found.value) == expected
    assert found.value.type_name == "Table"
    assert found.value.reason == "truncated"
    assert found.value.offset is not None and found.value.offset <= size


def test_every_cut_is_an_error_and_every_addition_too() -> None:
    for size in range(len(ENCODED)):
        with pytest.raises(CodecError) as found:
            Table.codec.decode(ENCODED[:size])
        assert found.value.reason == "truncated"
    with pytest.raises(CodecError, match=r"^Table: 1 byte follows the end of the message \(at byte \d+\)\.$"):
        Table.codec.decode(ENCODED + b"\0")


def test_a_place_in_a_list_of_lists() -> None:
    at = ENCODED.index(bytes.fromhex("0808046100"))
    damaged = ENCODED[: at + 2] + b"\x28" + ENCODED[at + 3 :]
    with pytest.raises(CodecError, match=r"^Table\.rows\[0\]\[0\]: 10 elements, at most 9 are allowed \(at byte"):
        Table.codec.decode(damaged)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"legs": (LEG, replace(LEG, layer=1 << 33))}, r"Table.legs\[1\].layer: 8589934592 is not an unsigned"),
        ({"legs": (LEG, replace(LEG, layer=None))}, r"Table.legs\[1\].layer: the value does not fit"),
        ({"legs": (LEG, 7)}, r"Table.legs\[1\]: the value is of type int, expected Leg"),
        ({"legs": (LEG,) * 11}, r"Table.legs: 11 elements, at most 10 are allowed"),
        ({"root": None}, r"Table.root: the value does not fit"),
        ({"root": bytes(31)}, r"Table.root: 31 bytes, expected 32"),
        ({"root": "r" * 32}, r"Table: the value does not fit"),
        ({"ids": (b"1",)}, r"Table.ids\[0\]: 1 bytes, expected 20"),
        ({"ids": IdList(bytes(38), 19)}, r"Table.ids\[0\]: 19 bytes, expected 20"),
        ({"name": "longer"}, r"Table.name: 6 elements, at most 5 are allowed"),
        ({"name": b"bytes"}, r"Table.name: the value does not fit"),
        ({"numbers": (1, -1)}, r"Table.numbers\[1\]: -1 is not an unsigned integer of 32 bits"),
        ({"pair": (1,)}, r"Table.pair: 1 elements, expected 2"),
    ],
)
def test_a_value_that_cannot_be_written(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(CodecError, match=expected):
        Table.codec.encode(replace(TABLE, **change))


def test_a_list_that_promises_more_than_there_is_costs_nothing() -> None:
    error = refusal(vector(fixed(32), 8_000_000), "02127a00" + "00" * 40)
    assert (error.reason, error.field, error.offset) == ("truncated", "[b32]<=8000000[1]", 36)


def test_a_declaration_gives_the_codecs_of_its_fields() -> None:
    assert {name: member.name for name, member in Table.codec.members.items()} == {
        "root": "b32",
        "signature": "b64",
        "legs": "[Leg]<=10",
        "ids": "[b20]<=5",
        "name": "str<=5",
        "best": "?Leg",
        "numbers": "[u32]<=7",
        "rows": "[[bytes<=9]<=3]<=2",
        "is_set": "bool",
        "pair": "[c16;2]",
    }


Name = NewType("Name", bytes)
encoded_as(fixed(3), Name)


def test_a_named_type_is_encoded_in_one_way_everywhere() -> None:
    @record
    class Named(Record):
        name: Name
        other: Name | None
        names: Annotated[tuple[Name | None, ...], up_to(2)]

    value = Named(Name(b"abc"), None, (None, Name(b"xyz")))
    assert Named.codec.encode(value) == b"abc\0\x08\0\1xyz"
    assert Named.codec.decode(b"abc\0\x08\0\1xyz") == value
    for codec, name in ((fixed(3), Name), (c8, NewType("Word", bytes)), (fixed(3), bytes)):
        with pytest.raises(TypeError, match=r"cannot be encoded as|was said before"):
            encoded_as(codec, name)


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        bytes,
        str,
        float,
        Sequence[int],
        int | None,
        Leg | Table,
        Leg | Table | None,
        NewType("Unknown", bytes),
        Annotated[int, "c8"],
        Annotated[int, up_to(8)],
        Annotated[int, exactly(8)],
        Annotated[str, exactly(8)],
        Annotated[str, c8],
        Annotated[bytes, c8],
        Annotated[int, fixed(8)],
        Annotated[int, boolean],
        Annotated[int, c8, c16],
        Annotated[Sequence[int], up_to(3)],
        Annotated[tuple[int, int], up_to(3)],
        Annotated[tuple[Name, ...], up_to(3)],
        Annotated[list[Leg], up_to(3)],
        Annotated[Leg, option(Leg.codec)],
        Annotated[Table, Leg.codec],
        Annotated[Leg | Table, choice({1: Leg})],
        Annotated[int, custom("x", lambda data, at: (1, at), lambda value: b"", like=fixed(1))],
    ],
)
def test_a_field_without_an_encoding_is_refused_where_it_is_declared(annotation: Any) -> None:
    with pytest.raises(TypeError):
        codec_of(annotation)
    with pytest.raises(TypeError, match=r"^Wrong\.second: "):
        record(type("Wrong", (Record,), {"__annotations__": {"first": bool, "second": annotation}}))


def test_a_class_whose_making_does_more_than_setting_fields_is_no_record() -> None:
    with pytest.raises(TypeError, match="no __post_init__"):

        @record
        class Checked(Record):
            first: bool

            def __post_init__(self) -> None:
                assert self.first

    with pytest.raises(TypeError, match="derived from Record alone"):

        @record
        class Longer(Leg):
            more: bool


def test_the_first_use_may_come_from_many_threads() -> None:
    @record
    class Fresh(Record):
        legs: Annotated[Sequence[Leg], up_to(3)] = ()

    data, found = Fresh.codec.encode(Fresh((LEG,))), list[object]()
    threads = [threading.Thread(target=lambda: found.append(Fresh.codec.decode(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Fresh((LEG,))] * 8


# ---- nesting ----


def test_a_level_is_entered_before_its_tag_or_count_is_read() -> None:
    @record
    class Inner(Record):
        best: Leg | None

    @record
    class Outer(Record):
        inner: Annotated[Sequence[Inner], up_to(3)]

    assert Outer.codec.decode(b"\x04\0", nesting=2) == Outer((Inner(None),))
    assert Outer.codec.decode(b"\0", nesting=1) == Outer(())
    error = refusal(Outer.codec, "0400", nesting=1)
    assert (error.reason, error.field, error.offset) == ("nested_too_deep", "Outer.inner[0].best", 1)
    assert refusal(Outer.codec, "00", nesting=0).reason == "nested_too_deep"
    with pytest.raises(CodecError, match="nested too deep"):
        Outer.codec.encode(Outer(()), nesting=0)


def test_levels_are_left_again() -> None:
    @record
    class Side(Record):
        first: Leg | None
        second: Annotated[Sequence[Leg], up_to(3)]
        third: Leg | None

    value = Side(LEG, (LEG, LEG), LEG)
    data = Side.codec.encode(value, nesting=1)
    assert Side.codec.decode(data, nesting=1) == value


# ---- forms of a type's own ----


def test_one_of_several_structs_by_the_byte_before_it() -> None:
    @record
    class Stop(Record):
        pass

    message = choice({0: Stop, 7: Leg})
    assert message.encode(Stop()) == b"\0"
    assert message.decode(b"\x07" + Leg.codec.encode(LEG)) == LEG
    error = refusal(message, "01")
    assert (error.reason, error.found, error.offset) == ("unknown_type", 1, 0)
    with pytest.raises(CodecError, match="the value is of type Table, expected one of Stop, Leg"):
        message.encode(TABLE)


def test_a_custom_form_raises_faults_that_are_given_a_place() -> None:
    def read(data: bytes, at: int) -> tuple[int, int]:
        if data[at] > 9:
            raise Fault("digit", f"{data[at]} is no digit.", at)
        return data[at], at + 1

    digits = vector(custom("digit", read, lambda value: bytes((value,)), like=c8), 9)
    assert digits.decode(b"\x08\x01\x02") == (1, 2)
    assert digits.encode((1, 2)) == b"\x08\x01\x02"
    error = refusal(digits, "08010b")
    assert (error.reason, error.field, error.offset) == ("digit", "[digit]<=9[1]", 2)
    assert refusal(digits, "0801").reason == "truncated"


# ---- lists that are one buffer ----

IDS = (b"aa", b"bb", b"ab")


def test_an_id_list_is_equal_to_the_tuple_and_hashed_like_it() -> None:
    ids = IdList(b"aabbab", 2)
    assert ids == IDS and operator.eq(IDS, ids) and ids == IdList.of(IDS, 2)
    assert hash(ids) == hash(IDS)
    assert {IDS: 1}[ids] == 1  # type: ignore[index]
    assert ids != (b"aa",) and ids != IdList(b"aabbab", 3) and ids != list(IDS)
    assert IdList(b"", 2) == IdList(b"", 3) == ()


def test_an_id_list_is_a_sequence() -> None:
    ids = IdList[bytes].of(IDS, 2)
    assert (len(ids), ids[0], ids[-1], list(reversed(ids))) == (3, b"aa", b"ab", [b"ab", b"bb", b"aa"])
    assert ids[1:] == (b"bb", b"ab") and ids[::-1] == (b"ab", b"bb", b"aa") and ids[2:1] == ()
    assert ids.index(b"ab") == 2
    assert b"bb" in ids and b"ba" not in ids and b"a" not in ids and "aa" not in ids
    assert ids.sorted() == (b"aa", b"ab", b"bb")
    for index in (3, -4):
        with pytest.raises(IndexError):
            ids[index]


def test_an_id_list_is_one_buffer() -> None:
    codec = vector(fixed(32), 1000)
    joined = bytes(range(256)) * 8
    ids = codec.decode(codec.encode(IdList(joined, 32)))
    assert isinstance(ids, IdList)
    assert ids.data == joined
    assert ids.array.shape == (64, 32) and ids.array.tobytes() == joined
    assert not ids.array.flags.writeable and np.shares_memory(ids.array, np.frombuffer(ids.data, np.uint8))
    assert codec.encode(tuple(ids)) == codec.encode(ids)


def test_an_id_list_cannot_be_changed() -> None:
    ids = IdList(b"aabb", 2)
    with pytest.raises(AttributeError):
        ids.data = b""
    with pytest.raises(ValueError, match="no whole number of ids"):
        IdList(b"aab", 2)
    with pytest.raises(ValueError, match="an id of 1 bytes"):
        IdList.of((b"a",), 2)
    assert pickle.loads(pickle.dumps(ids)) == copy.copy(ids) == ids
    assert repr(ids) == "IdList(2 ids of 2 bytes: 6161, 6262)"
