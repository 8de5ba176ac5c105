"""postdata_metadata.json: what is read, refused and written. Protocol 01-post, section 3.1."""

import base64
import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prover.errors import DataError, MetadataError
from prover.post.metadata import FILE_NAME, PostMetadata, decode, encode
from prover.post.strict_json import MAX_DEPTH, Members, Number

NODE = bytes(range(32))
ATX = bytes(range(100, 132))
FIELDS: dict[str, Any] = {
    "NodeId": base64.b64encode(NODE).decode(),
    "CommitmentAtxId": base64.b64encode(ATX).decode(),
    "LabelsPerUnit": 256,
    "NumUnits": 2,
    "MaxFileSize": 4096,
}
PLAIN = PostMetadata(NODE, ATX, 256, 2, 4096)


def text(more: str = "", /, **fields: Any) -> str:
    """An object of the required fields, some replaced or added; `more` is JSON text put before the brace."""
    return json.dumps({**FIELDS, **fields})[:-1] + more + "}"


def refusal(source: str | bytes) -> MetadataError:
    with pytest.raises(MetadataError) as caught:
        decode(source, "/data/" + FILE_NAME)
    error = caught.value
    assert isinstance(error, DataError) and error.exit_code == 1
    assert error.file == "/data/" + FILE_NAME
    assert str(error).startswith(error.file) and error.reason in str(error)
    assert len(str(error)) < 500, "values are shortened"
    assert error.field is None or f"field {error.field}" in str(error)
    return error


# ---- read --------------------------------------------------------------------------------------------------


def test_the_go_form_is_read_and_written() -> None:
    go = (
        '{\n\t"NodeId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",\n'
        '\t"CommitmentAtxId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",\n\t"LabelsPerUnit": 128,\n'
        '\t"NumUnits": 2,\n\t"MaxFileSize": 4294967296,\n\t"Nonce": 153,\n'
        '\t"NonceValue": "0101fa29082cf033a95c44fb6278ede6"\n}'
    )
    metadata = decode(go)
    nonce_value = bytes.fromhex("0101fa29082cf033a95c44fb6278ede6")
    assert metadata == PostMetadata(bytes(32), bytes(32), 128, 2, 2**32, 153, nonce_value)
    assert metadata.num_labels == 256
    assert encode(metadata) == go
    assert decode(go.replace("\n", "\r\n").encode()) == metadata


def test_nulls_of_the_rust_form_mean_absent() -> None:
    assert decode(text(Nonce=None, NonceValue=None, LastPosition=None)) == PLAIN


def test_all_optional_fields() -> None:
    full = decode(text(Nonce=2**64 - 1, NonceValue="00" * 15 + "Ab", LastPosition=512))
    assert (full.nonce, full.nonce_value, full.last_position) == (2**64 - 1, bytes(15) + b"\xab", 512)


def test_the_array_form_of_post_rs() -> None:
    values = [*FIELDS.values(), 7, 9]
    assert decode(json.dumps(values)) == PostMetadata(NODE, ATX, 256, 2, 4096, 7, None, 9)
    assert decode(json.dumps([*FIELDS.values(), None, None])) == PLAIN
    for wrong in (values[:5], values[:6], [*values, 1], []):
        assert refusal(json.dumps(wrong)).field is None


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase, lambda key: key.replace("s", "\u017f")])
def test_keys_in_any_case(change: Any) -> None:
    assert decode(json.dumps({change(key): value for key, value in FIELDS.items()})) == PLAIN
    assert decode(text(**{change("Nonce"): 5, change("LastPosition"): 6})).nonce == 5


ID_FORMS = [
    FIELDS["NodeId"].rstrip("="),
    FIELDS["NodeId"][:20] + "\n" + FIELDS["NodeId"][20:],
    FIELDS["NodeId"][:20] + "\r\n" + FIELDS["NodeId"][20:] + "\r\n",
    FIELDS["NodeId"][:-2] + "9=",
    list(NODE),
]


@pytest.mark.parametrize("form", ID_FORMS)
def test_forms_of_an_id_that_one_reader_takes(form: Any) -> None:
    assert decode(text(NodeId=form)) == PLAIN
    assert encode(decode(text(NodeId=form))) == encode(PLAIN)


BAD_IDS: list[tuple[Any, str]] = [
    (None, "null"),
    (5, "5"),
    (True, "true"),
    ({}, "object"),
    ("", "0 bytes"),
    ("AA==", "1 bytes"),
    (base64.b64encode(bytes(31)).decode(), "31 bytes"),
    (base64.b64encode(bytes(33)).decode(), "33 bytes"),
    ("__________________________________________8=", "not standard base64"),
    (NODE.hex(), "hex"),
    ("AAAA A", "not standard base64"),
    ("A" * 41, "not standard base64"),
    ("\u0661" * 44, "not standard base64"),
    (list(NODE[:31]), "31 bytes"),
    ([*NODE[:31], 256], "byte values"),
    ([*NODE[:31], -1], "byte values"),
    ([*NODE[:31], None], "byte values"),
    ([*NODE[:31], True], "byte values"),
    ([*NODE[:31], 1.0], "byte values"),
    ([*NODE[:31], [0]], "byte values"),
    ("A" * 100_000, "75000 bytes"),
]


@pytest.mark.parametrize("field", ["NodeId", "CommitmentAtxId"])
@pytest.mark.parametrize(("value", "found"), BAD_IDS)
def test_a_bad_id_is_named(field: str, value: Any, found: str) -> None:
    error = refusal(text(**{field: value}))
    assert error.field == field
    assert found in error.reason and "expected 32 bytes in standard base64" in error.reason


NOT_INTEGERS = [
    '"5"',
    "5.0",
    "1e3",
    "1E3",
    "-1",
    "-0",
    "true",
    "[]",
    "{}",
    "18446744073709551616",
    "1" + "0" * 5000,
]


@pytest.mark.parametrize("field", ["LabelsPerUnit", "NumUnits", "MaxFileSize", "Nonce", "LastPosition"])
@pytest.mark.parametrize("value", NOT_INTEGERS)
def test_a_number_is_a_plain_integer_in_range(field: str, value: str) -> None:
    rest = {key: kept for key, kept in FIELDS.items() if key != field}
    error = refusal(json.dumps(rest)[:-1] + f', "{field}": {value}}}')
    assert error.field == field and "expected an integer from 0" in error.reason


def test_the_ranges_end_where_the_types_end() -> None:
    largest = decode(text(LabelsPerUnit=2**64 - 1, NumUnits=2**32 - 1, MaxFileSize=2**64 - 1))
    assert largest.num_labels == (2**64 - 1) * (2**32 - 1)
    assert decode(text(LabelsPerUnit=0, NumUnits=0, MaxFileSize=0)).num_labels == 0
    assert refusal(text(NumUnits=2**32)).field == "NumUnits"


@pytest.mark.parametrize("field", FIELDS)
def test_a_required_field_is_there_and_not_null(field: str) -> None:
    missing = refusal(json.dumps({key: value for key, value in FIELDS.items() if key != field}))
    assert missing.field == field and "missing" in missing.reason
    null = refusal(text(**{field: None}))
    assert null.field == field and "null" in null.reason


NONCE_VALUES = [
    ("0001", "0001" + "00" * 14),
    ("ff" * 20, "ff" * 16),
    ("00" * 16, "00" * 16),
    ("00AABBCCDDEEFF000102030405060708", "00aabbccddeeff000102030405060708"),
    ("", None),
    ("abc", None),
    ("zz", None),
    ("00 11", None),
    ("AAECAw==", None),
    (12, None),
    ([], None),
    (None, None),
]


@pytest.mark.parametrize(("value", "expected"), NONCE_VALUES)
def test_the_nonce_value_is_sixteen_bytes_or_absent(value: Any, expected: str | None) -> None:
    found = decode(text(Nonce=1, NonceValue=value)).nonce_value
    assert (found.hex() if found is not None else None) == expected


# ---- one value a field -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [', "NumUnits": 2', ', "numunits": 2', ', "numunits": 2, "NUMUNITS": 2'])
def test_the_same_value_twice_is_one_value(more: str) -> None:
    assert decode(text(more)) == PLAIN


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (', "NumUnits": 9', "NumUnits"),
        (', "numunits": 9', "NumUnits"),
        (', "numunits": null', "NumUnits"),
        (', "numunits": "2"', "NumUnits"),
        (', "Nonce": 1, "Nonce": null', "Nonce"),
        (', "Nonce": 1, "nonce": 2', "Nonce"),
        (', "NonceValue": "00", "noncevalue": "01"', "NonceValue"),
        (f', "NODEID": "{FIELDS["CommitmentAtxId"]}"', "NodeId"),
    ],
)
def test_two_values_for_a_field_are_refused(more: str, field: str) -> None:
    assert refusal(text(more)).field == field


NOBODY_READS = [
    # Go refuses the missing padding, post-rs each of the others.
    text(NodeId=FIELDS["NodeId"].rstrip("="), CommitmentAtxId=list(ATX)),
    text(', "NumUnits": 2', NodeId=FIELDS["NodeId"].rstrip("=")),
    text(NodeId=FIELDS["NodeId"].rstrip("=")[:-1] + "9"),
    text(NodeId="\n" + FIELDS["NodeId"].rstrip("=")),
    text(NodeId=FIELDS["NodeId"].rstrip("=")).replace("NumUnits", "numunits"),
    text(', "nonce": 1', NodeId=FIELDS["NodeId"].rstrip("=")),
    # Go refuses a nonce value that is no hex, or an array instead of an object.
    text(NonceValue="zz").replace("NumUnits", "numunits"),
    json.dumps([list(NODE), *list(FIELDS.values())[1:], None, None]),
]


@pytest.mark.parametrize("source", NOBODY_READS)
def test_leniencies_of_different_readers_do_not_add_up(source: str) -> None:
    error = refusal(source)
    assert "post-rs" in error.reason and "Go library" in error.reason


# ---- not JSON ----------------------------------------------------------------------------------------------

NOT_JSON: list[str | bytes] = [
    "",
    " \r\n",
    "hello",
    "\0" * 257,
    "{",
    text()[:-20],
    text() + "x",
    text() + text(),
    "\ufeff" + text(),
    "// c\n" + text(),
    text().replace("}", "/* c */}"),
    text().replace('"', "'"),
    text().replace("}", ",}"),
    text(', "Foo": NaN'),
    text(', "Foo": -Infinity'),
    text().replace("256", "NaN"),
    text(', "Foo": 01'),
    text(', "Foo": .5'),
    text(', "Foo": "\t"'),
    text(', "Foo": "\udc80"'),
    text().encode("utf-16"),
    b"\xff\xfe" + text().encode(),
    text().encode() + b"\x80",
    b"\xef\xbb\xbf" + text().encode(),
]


@pytest.mark.parametrize("source", NOT_JSON)
def test_what_is_not_json_is_refused_as_a_whole(source: str | bytes) -> None:
    assert refusal(source).field is None


def test_what_an_editor_did_is_told_in_words_for_people() -> None:
    for marked in ("\ufeff" + text(), b"\xef\xbb\xbf" + text().encode(), "\ufeff"):
        reason = refusal(marked).reason
        assert "begins with a byte order mark" in reason and "save it as UTF-8 without one" in reason
    assert refusal(text().encode("utf-16")).reason == refusal(b"\xfe\xff\0{").reason
    assert "is UTF-16, expected UTF-8" in refusal(text().encode("utf-16")).reason


@pytest.mark.parametrize("source", ["null", "5", '"x"', "true", "1e999", "[]"])
def test_json_that_is_no_object_is_refused(source: str) -> None:
    assert refusal(source).field is None


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"a":['])
def test_deep_nesting_is_refused_not_fatal(opening: str) -> None:
    assert "nested" in refusal(opening * 100_000).reason
    assert "nested" in refusal(text(f', "Foo": {"[" * 5000}{"]" * 5000}')).reason


# ---- written -----------------------------------------------------------------------------------------------


def test_unknown_fields_are_kept_as_they_were() -> None:
    more = (
        ', "Foo": 1, "Bar": {"x": [1, {}, []]}, "f": 1.0, "e": 1e3, "z": -0, "big": 1' + "0" * 5000 + ', "Foo": null,'
        ' "twice": {"a": 1, "a": 2}, "s": "<\\u2028\\ud800\\u0001\\n\u00e9>"'
    )
    metadata = decode(text(more, Nonce=3))
    assert metadata.unknown[:3] == (("Foo", 1), ("Bar", {"x": [1, {}, []]}), ("f", Number("1.0")))
    assert ("twice", Members((("a", 1), ("a", 2)))) in metadata.unknown
    assert encode(metadata) == (
        encode(decode(text(Nonce=3)))[:-2] + ',\n\t"Foo": 1,\n\t"Bar": {\n\t\t"x": [\n\t\t\t1,\n\t\t\t{},\n\t\t\t[]\n'
        '\t\t]\n\t},\n\t"f": 1.0,\n\t"e": 1e3,\n\t"z": -0,\n\t"big": 1' + "0" * 5000 + ',\n\t"Foo": null,\n'
        '\t"twice": {\n\t\t"a": 1,\n\t\t"a": 2\n\t},\n\t"s": "\\u003c\\u2028\\ud800\\u0001'
        '\\n\u00e9\\u003e"\n}'
    )


def test_the_deepest_nesting_that_is_read_is_written_again() -> None:
    depth = MAX_DEPTH - 1
    metadata = decode(text(f', "Foo": {"[" * depth}{"]" * depth}, "Bar": [[]{", []" * 1000}]'))
    assert decode(encode(metadata)) == metadata


def test_only_known_values_are_written() -> None:
    with pytest.raises(TypeError):
        encode(PostMetadata(NODE, ATX, 1, 1, 16, unknown=(("Foo", object()),)))
    with pytest.raises(ValueError):
        encode(PostMetadata(NODE, ATX, 1, 1, 16, unknown=(("Foo", float("nan")),)))


def test_the_error_survives_copying() -> None:
    error = refusal("{}")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.file, twin.field, twin.reason, str(twin)) == (
            error.file,
            error.field,
            error.reason,
            str(error),
        )


# ---- properties --------------------------------------------------------------------------------------------

u64 = st.integers(0, 2**64 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from([Number("1.0"), Number("-0")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KNOWN = {*map(str.lower, FIELDS), "nonce", "noncevalue", "lastposition"}
unknown_fields = st.lists(
    st.tuples(st.text(max_size=8).filter(lambda key: key.lower() not in KNOWN), json_values), max_size=3
)
metadatas = st.builds(
    PostMetadata,
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    u64,
    st.integers(0, 2**32 - 1),
    u64,
    st.none() | u64,
    st.none() | st.binary(min_size=16, max_size=16),
    st.none() | u64,
    unknown_fields.map(tuple),
)


@given(metadatas)
def test_what_is_written_is_read_again(metadata: PostMetadata) -> None:
    written = encode(metadata)
    assert decode(written) == metadata
    assert decode(written.encode()) == metadata
    assert encode(decode(written)) == written
    json.loads(written)


@given(st.text() | st.binary())
def test_no_text_breaks_the_reader(source: str | bytes) -> None:
    try:
        decode(source)
    except MetadataError:
        pass


fragments = st.sampled_from(
    [
        *(f'"{name}":' for name in (*FIELDS, "Nonce", "NonceValue", "LastPosition", "nonce", "NODEID", "x")),
        *(json.dumps(value) for value in FIELDS.values()),
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            "null",
            "true",
            "NaN",
            "1e5",
            "-1",
            '"',
            "\\",
            "\\u",
            '"00"',
            " ",
            "\ud800",
            "\0",
        ),
    ]
)


@given(st.lists(fragments, max_size=30).map("".join))
def test_no_pieces_of_metadata_break_the_reader(source: str) -> None:
    try:
        decode(source)
    except MetadataError:
        pass


@given(st.dictionaries(st.sampled_from([*FIELDS, "Nonce", "NonceValue", "LastPosition", "nodeid"]), json_values))
def test_no_value_breaks_the_reader(fields: dict[str, Any]) -> None:
    plain = {key: value for key, value in fields.items() if "Number" not in repr(value)}
    try:
        metadata = decode(json.dumps({**FIELDS, **plain}))
    except MetadataError:
        return
    assert decode(encode(metadata)) == metadata


@given(metadatas, st.data())
@example(PLAIN, None)
def test_every_cut_is_refused(metadata: PostMetadata, data: st.DataObject | None) -> None:
    written = encode(metadata)
    cut = data.draw(st.integers(0, len(written) - 1)) if data is not None else 0
    refusal(written[:cut])
