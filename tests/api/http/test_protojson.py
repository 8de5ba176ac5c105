"""Messages as JSON by their descriptors: what the library of the network writes and reads, and what it refuses."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from api.http import protojson
from api.http.protojson import Malformed, decode, encode
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.pb.spacemesh.v1 import debug_types_pb2
from protocol.pb.spacemesh.v2alpha1 import malfeasance_pb2, reward_pb2, tx_pb2

SUBMIT = api_pb2.SubmitRequest
BYTES = st.binary(max_size=40)
SUBMITS = st.builds(
    SUBMIT,
    nonce=st.integers(0, (1 << 64) - 1),
    pow_params=st.none() | st.builds(api_pb2.PowParams, difficulty=st.integers(0, (1 << 32) - 1), challenge=BYTES),
    prefix=BYTES,
    challenge=BYTES,
    certificate=st.none() | st.builds(SUBMIT.Certificate, data=BYTES, signature=BYTES),
)


@given(SUBMITS)
def test_what_is_written_is_what_the_library_writes_and_is_read_again(message: SUBMIT) -> None:  # type: ignore[valid-type]
    ours = encode(message)
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    named = {name: value for name, value in json.loads(ours).items() if value is not None}
    assert named == theirs, "the library leaves absent messages out, the network's gateways say null"
    assert decode(ours, SUBMIT) == message
    assert decode(json_format.MessageToJson(message, preserving_proto_field_name=True).encode(), SUBMIT) == message


def test_every_field_is_there_in_its_order() -> None:
    info = api_pb2.InfoResponse(service_pubkey=b"\xff")
    info.phase_shift.seconds = 3
    assert encode(info) == b'{"servicePubkey":"/w==","phaseShift":"3s","cycleGap":null,"certifier":null}'
    info.certifier.url = "http://ä<>&"
    assert '"certifier":{"url":"http://ä<>&","pubkey":""}'.encode() in encode(info)


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [(0, 0, "0s"), (5, 0, "5s"), (5, 500_000_000, "5.500s"), (0, 1_000, "0.000001s"), (-1, -1, "-1.000000001s")],
)
def test_durations(seconds: int, nanos: int, text: str) -> None:
    message = api_pb2.SubmitResponse(round_id="1")
    message.round_end.seconds, message.round_end.nanos = seconds, nanos
    written = encode(message)
    assert json.loads(written)["roundEnd"] == text
    assert decode(written, api_pb2.SubmitResponse) == message


@pytest.mark.parametrize(
    ("text", "unix"),
    [
        ("2026-11-25T07:00:00Z", (1_795_590_000, 0)),
        ("2026-11-25T08:00:00.5+01:00", (1_795_590_000, 500_000_000)),
        ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
        ("9999-12-31T23:59:59.999999999Z", (253_402_300_799, 999_999_999)),
    ],
)
def test_times(text: str, unix: tuple[int, int]) -> None:
    found = decode(json.dumps({"deadline": text}).encode(), SUBMIT).deadline
    assert (found.seconds, found.nanos) == unix


@pytest.mark.parametrize(
    "value",
    ["", "now", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+99:99",
     "0001-01-01T00:00:00+23:59", 5, {}, "9" * 5000],
)  # fmt: skip
def test_times_that_are_none(value: object) -> None:
    with pytest.raises(Malformed):
        decode(json.dumps({"deadline": value}).encode(), SUBMIT)


@pytest.mark.parametrize("number", [b"7", b'"7"', b"7.0", b"70e-1", b'"0.7e1"'])
def test_forms_of_a_number(number: bytes) -> None:
    assert decode(b'{"nonce":' + number + b"}", SUBMIT).nonce == 7


@pytest.mark.parametrize(
    "number",
    [b"-1", b"-0", b"1.5", b"1e999999", b"18446744073709551616", b"9" * 5000, b'"' + b"9" * 5000 + b'"', b"true",
     b"[]", b'""', b'" 7"', b'"0x7"', b"1e1000000", b'"1_0"', '"٣"'.encode()],
)  # fmt: skip
def test_numbers_that_are_none_are_refused_whatever_their_length(number: bytes) -> None:
    with pytest.raises(Malformed):
        decode(b'{"nonce":' + number + b"}", SUBMIT)


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"5", b'"a"', b"{", b'{"nonce"', b"\xff", b"\xef\xbb\xbf{}", b'{"nonce":1,"nonce":2}',
     b'{"powParams":{},"pow_params":{}}', b'{"powParams":[]}', b'{"prefix":5}', b'{"prefix":"a"}', b'{"prefix":"+_=="}',
     b'{"prefix":"\\ud800"}', b"[" * 200, b'{"a":' * 200, b"NaN"],
)  # fmt: skip
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body, SUBMIT)


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b"{} and more", b'{"unknown":[{}]}', b'{"nonce":null}'])
def test_what_is_an_empty_message(body: bytes) -> None:
    assert decode(body, SUBMIT) == SUBMIT()


def test_half_of_a_pair_in_a_text_is_refused() -> None:
    with pytest.raises(Malformed, match="invalid value for string field"):
        decode(b'{"roundId":"\\ud800"}', api_pb2.ProofRequest)


def test_enums_lists_and_choices() -> None:
    request = reward_pb2.RewardRequest
    found = decode(b'{"startLayer":5,"coinbase":"sm1","sortOrder":"DESC","limit":"9"}', request)
    assert (found.start_layer, found.coinbase, found.sort_order, found.limit) == (5, "sm1", 1, 9)
    assert decode(b'{"sortOrder":"OF_A_LATER_VERSION"}', request) == request()
    assert decode(b'{"sortOrder":1}', request).sort_order == 1
    with pytest.raises(Malformed, match="already set"):
        decode(b'{"coinbase":"a","smesher":"AA=="}', request)
    listed = tx_pb2.TransactionRequest
    assert list(decode(b'{"txid":["AA==","AQ=="]}', listed).txid) == [b"\0", b"\1"]
    with pytest.raises(Malformed):
        decode(b'{"txid":[null]}', listed)
    assert json.loads(encode(request()))["sortOrder"] == "ASC"
    assert "coinbase" not in json.loads(encode(request())), "a choice that was not made is left out"


def test_fields_from_a_url() -> None:
    message = SUBMIT()
    protojson.set_path(message, "powParams.difficulty", ["7"])
    protojson.set_path(message, "pow_params.challenge", ["AA=="])
    protojson.set_path(message, "unknown.field", ["7"])
    protojson.set_path(message, "certificate", ["{}"])
    assert message == SUBMIT(pow_params=api_pb2.PowParams(difficulty=7, challenge=b"\0"))
    with pytest.raises(Malformed, match="too many values"):
        protojson.set_path(message, "nonce", ["1", "2"])
    with pytest.raises(Malformed):
        protojson.set_path(message, "nonce", ["9" * 5000])
    request = reward_pb2.RewardRequest()
    protojson.set_path(request, "sort_order", ["1"])
    assert request.sort_order == 1


def test_a_type_without_a_form_is_named() -> None:
    with pytest.raises(TypeError, match=r"google.protobuf.Struct.fields is a map"):
        decode(b"{}", struct_pb2.Struct)


def test_a_map_is_written_as_an_object_in_the_order_of_its_names() -> None:
    numbers = debug_types_pb2.NetworkInfoResponse(id="x")
    numbers.stats["b"].bytes_sent = 7
    numbers.stats["a"].bytes_received = 1
    stats = json.loads(encode(numbers))["stats"]
    assert list(stats) == ["a", "b"] and stats["b"]["bytesSent"] == "7"
    texts = malfeasance_pb2.MalfeasanceProof(properties={'a"b': "c"})
    assert json.loads(encode(texts))["properties"] == {'a"b': "c"}
    assert json.loads(encode(malfeasance_pb2.MalfeasanceProof()))["properties"] == {}
