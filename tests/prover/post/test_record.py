"""smesher.json: read strictly, written in one form, unknown fields kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.errors import MetadataError
from prover.post.record import Record, decode, encode
from prover.post.strict_json import Number


def test_the_text_has_one_form() -> None:
    record = Record(8192, ((3, 1234), (0, 128)), (("Comment", [1, Number("1.0")]),))
    assert encode(record) == (
        '{\n  "ScryptN": 8192,\n  "Durable": {\n    "0": 128,\n    "3": 1234\n  },\n'
        '  "Comment": [\n    1,\n    1.0\n  ]\n}\n'
    )
    assert encode(Record(2)) == '{\n  "ScryptN": 2\n}\n'


@pytest.mark.parametrize(
    "text",
    ['{"ScryptN": 8192}', '{"ScryptN":8192,"BootId":"ab-12","Durable":{}}', b'{"ScryptN":8192}\r\n'],
)
def test_what_is_absent_has_a_default(text: str | bytes) -> None:
    assert decode(text) == Record(8192)


BAD = [
    ("", None),
    ("[]", None),
    ("null", None),
    ("{", None),
    ("{}", "ScryptN"),
    ('{"scryptn": 8192}', "ScryptN"),
    ('{"ScryptN": null}', "ScryptN"),
    ('{"ScryptN": true}', "ScryptN"),
    ('{"ScryptN": 8192.0}', "ScryptN"),
    ('{"ScryptN": 3}', "ScryptN"),
    ('{"ScryptN": 1}', "ScryptN"),
    ('{"ScryptN": -2}', "ScryptN"),
    ('{"ScryptN": "8192"}', "ScryptN"),
    ('{"ScryptN": ' + "2" * 5000 + "}", "ScryptN"),
    ('{"ScryptN": 2, "ScryptN": 2}', "ScryptN"),
    ('{"ScryptN": 2, "Durable": [1]}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"a": 1}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"01": 1}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"-1": 1}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": 1, "1": 1}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": -1}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": true}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": 1e3}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": null}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"1": 18446744073709551616}}', "Durable"),
    ('{"ScryptN": 2, "Durable": {"' + "1" * 5000 + '": 1}}', "Durable"),
]


@pytest.mark.parametrize(("text", "field"), BAD)
def test_an_unclear_record_is_refused_with_file_and_field(text: str, field: str | None) -> None:
    with pytest.raises(MetadataError) as caught:
        decode(text, "/data/smesher.json")
    assert caught.value.field == field
    assert str(caught.value).startswith("/data/smesher.json")
    assert len(str(caught.value)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
records = st.builds(
    Record,
    st.integers(1, 40).map(lambda exponent: 2**exponent),
    st.dictionaries(st.integers(0, 10**9), st.integers(0, 2**64 - 1), max_size=5).map(
        lambda d: tuple(sorted(d.items()))
    ),
    st.lists(
        st.tuples(st.text(max_size=6).filter(lambda k: k not in ("ScryptN", "BootId", "Durable")), json_values),
        max_size=3,
    ).map(tuple),
)


@given(records)
def test_what_is_written_is_read_again(record: Record) -> None:
    text = encode(record)
    assert decode(text) == record
    assert decode(text.encode()) == record
    assert encode(decode(text)) == text


@given(st.text() | st.binary() | json_values.map(lambda value: f'{{"ScryptN": 2, "Durable": {value!r}}}'))
def test_no_text_breaks_the_reader(text: str | bytes) -> None:
    try:
        decode(text)
    except MetadataError:
        pass
