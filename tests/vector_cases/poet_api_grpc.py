"""poet/api_grpc.json: both gRPC listeners, call by call; reflection too."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from api.http import protojson
from api.services.poet.calls import submit_of
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.rpc.api.v1 import api_pb2
from prover.poet.server.registration import Submit
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors
from tests.vector_cases.poet_ours import answer_of_grpc, check_without_odd_members, has_odd_members, proof_as_json
from tests.vector_cases.poet_server import GO_TEXTS, WAIT_S, PlayedServer, configuration, register_all

TOO_LARGE = re.compile(r"eceived message larger than max \(\d+ vs\. \d+\)")


@vectors("poet/api_grpc.json", variants=False)
def grpc_calls(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "configuration", "grpc"))
    fields, entries = document["configuration"], document["grpc"]
    directory = context.temporary("poet")
    config = configuration(fields, directory)
    schedule = config.schedule
    leaves = {}
    for entry in entries:
        if entry["method"].endswith("/Proof") and entry["response"]["code"] == 0:
            answer = api_pb2.ProofResponse()
            answer.ParseFromString(bytes.fromhex(entry["response"]["response_hex"]))
            leaves[int(bytes.fromhex(entry["request"])[2:])] = answer.proof.leaves
    server = PlayedServer(
        config,
        now_ns=schedule.genesis_ns,
        pow_challenge=bytes.fromhex(fields["initial_pow_challenge"]),
        leaves=leaves,
        with_grpc=True,
    )
    others = submits_of_http(context, fields)
    with server:
        for entry in entries:
            if entry["method"].endswith("/Proof") and entry["response"]["code"] == 0:
                register_all(server, others, fields)
                others = []
                server.set_clock(schedule.end(0) + 1)
            prepare_keys(entry, directory / "trusted", fields)
            yield Case(entry["name"], lambda e=entry: play_grpc(server, e, directory))


def prepare_keys(entry: dict[str, Any], directory: Path, fields: dict[str, Any]) -> None:
    """What lay in the directory of trusted keys before a reload, by what the reload answered."""
    if not entry["method"].endswith("/ReloadTrustedKeys") or entry["listener"] != "config":
        return
    path = directory / "o.key"
    if entry["response"]["code"] != 0:
        path.write_text("AAAA")
    elif path.read_text() == "AAAA":
        path.write_text(base64.b64encode(bytes.fromhex(fields["other_key"])).decode())


def play_grpc(server: PlayedServer, entry: dict[str, Any], directory: Path) -> None:
    assert server.grpc is not None
    response = answer_of_grpc(entry)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.ports[entry['listener']]}") as channel:
        if entry["method"] == "reflection.list":
            found = listed_services(channel)
            assert found == response["services"], f"expected {response['services']}, got {found}"
            return
        request = entry["request"]
        described = re.fullmatch(r"<(\d+) bytes>", request)
        data = large_message(int(described[1])) if described else bytes.fromhex(request)
        expected = api_pb2.SubmitResponse()
        if response["code"] == 0 and entry["method"].endswith("/Submit"):
            expected.ParseFromString(bytes.fromhex(response["response_hex"]))
            left = expected.round_end.seconds * 10**9 + expected.round_end.nanos
            server.set_clock(server.config.schedule.end(int(expected.round_id)) - left)
        call = channel.unary_unary(entry["method"])
        try:
            answer, code, message = call(data, timeout=WAIT_S), 0, ""
        except grpc.RpcError as error:
            answer, code, message = b"", error.code().value[0], error.details()
    wanted = response["message"].replace("<dir>", str(directory))
    if too_large := TOO_LARGE.search(wanted):  # the library's own limit, in its words; by the length that is announced
        assert code == response["code"] and too_large[0] in message, f"expected {wanted!r}, got {message!r}"
        return
    assert code == response["code"], f"expected {response['code']}, got {code} {message}"
    if not any(text in wanted for text in GO_TEXTS):
        assert message == wanted, f"expected {wanted!r}, got {message!r}"
    if entry["method"].endswith("/Proof") and code == 0:
        recorded = proof_as_json(bytes.fromhex(response["response_hex"]))
        if has_odd_members(recorded):
            check_without_odd_members(proof_as_json(answer), recorded)
            return
    assert answer.hex() == response["response_hex"], f"expected {response['response_hex']}, got {answer.hex()}"


def large_message(size: int) -> bytes:
    """A submit of exactly so many bytes."""
    message = api_pb2.SubmitRequest(challenge=bytes(size - 5))
    while message.ByteSize() != size:
        message.challenge = bytes(len(message.challenge) + size - message.ByteSize())
    return message.SerializeToString()


def listed_services(channel: Any) -> list[str]:
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    for data in call(iter([request.SerializeToString()]), timeout=WAIT_S):
        response = reflection_pb2.ServerReflectionResponse()
        response.ParseFromString(data)
        return [service.name for service in response.list_services_response.service]
    raise AssertionError("no answer")


def submits_of_http(context: Context, fields: dict[str, Any]) -> list[Submit]:
    """The submits that the HTTP transcript's first round took, where it was recorded from the same server."""
    try:
        document = json.loads(context.path("poet/api_http.json").read_bytes())
    except FileNotFoundError:
        return []
    if document["configuration"] != fields:
        return []
    found = {}
    for entry in document["http"]:
        if entry.get("request", {}).get("path") != "/v1/submit":
            continue
        body, answer = entry["request"]["body"], entry["response"]["body"]
        gave_up = "Grpc-Timeout" in entry["request"]["headers"]  # stored all the same
        if '"roundId":"0"' in answer or gave_up:
            request = submit_of(protojson.decode(body.encode(), api_pb2.SubmitRequest))
            found[request.pubkey] = request
    return list(found.values())
