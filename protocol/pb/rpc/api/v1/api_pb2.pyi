import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PowParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PowParamsResponse(_message.Message):
    __slots__ = ("pow_params",)
    POW_PARAMS_FIELD_NUMBER: _ClassVar[int]
    pow_params: PowParams
    def __init__(self, pow_params: _Optional[_Union[PowParams, _Mapping]] = ...) -> None: ...

class PowParams(_message.Message):
    __slots__ = ("difficulty", "challenge")
    DIFFICULTY_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    difficulty: int
    challenge: bytes
    def __init__(self, difficulty: _Optional[int] = ..., challenge: _Optional[bytes] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("nonce", "pow_params", "prefix", "challenge", "pubkey", "signature", "deadline", "certificate", "certificate_pubkey_hint")
    class Certificate(_message.Message):
        __slots__ = ("data", "signature")
        DATA_FIELD_NUMBER: _ClassVar[int]
        SIGNATURE_FIELD_NUMBER: _ClassVar[int]
        data: bytes
        signature: bytes
        def __init__(self, data: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
    NONCE_FIELD_NUMBER: _ClassVar[int]
    POW_PARAMS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    PUBKEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PUBKEY_HINT_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    pow_params: PowParams
    prefix: bytes
    challenge: bytes
    pubkey: bytes
    signature: bytes
    deadline: _timestamp_pb2.Timestamp
    certificate: SubmitRequest.Certificate
    certificate_pubkey_hint: bytes
    def __init__(self, nonce: _Optional[int] = ..., pow_params: _Optional[_Union[PowParams, _Mapping]] = ..., prefix: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., pubkey: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate: _Optional[_Union[SubmitRequest.Certificate, _Mapping]] = ..., certificate_pubkey_hint: _Optional[bytes] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("round_id", "round_end")
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_END_FIELD_NUMBER: _ClassVar[int]
    round_id: str
    round_end: _duration_pb2.Duration
    def __init__(self, round_id: _Optional[str] = ..., round_end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("service_pubkey", "phase_shift", "cycle_gap", "certifier")
    class Cerifier(_message.Message):
        __slots__ = ("url", "pubkey")
        URL_FIELD_NUMBER: _ClassVar[int]
        PUBKEY_FIELD_NUMBER: _ClassVar[int]
        url: str
        pubkey: bytes
        def __init__(self, url: _Optional[str] = ..., pubkey: _Optional[bytes] = ...) -> None: ...
    SERVICE_PUBKEY_FIELD_NUMBER: _ClassVar[int]
    PHASE_SHIFT_FIELD_NUMBER: _ClassVar[int]
    CYCLE_GAP_FIELD_NUMBER: _ClassVar[int]
    CERTIFIER_FIELD_NUMBER: _ClassVar[int]
    service_pubkey: bytes
    phase_shift: _duration_pb2.Duration
    cycle_gap: _duration_pb2.Duration
    certifier: InfoResponse.Cerifier
    def __init__(self, service_pubkey: _Optional[bytes] = ..., phase_shift: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cycle_gap: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., certifier: _Optional[_Union[InfoResponse.Cerifier, _Mapping]] = ...) -> None: ...

class MembershipProof(_message.Message):
    __slots__ = ("index", "root", "proof")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    index: int
    root: bytes
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, index: _Optional[int] = ..., root: _Optional[bytes] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class MerkleProof(_message.Message):
    __slots__ = ("root", "proven_leaves", "proof_nodes")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PROVEN_LEAVES_FIELD_NUMBER: _ClassVar[int]
    PROOF_NODES_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    proven_leaves: _containers.RepeatedScalarFieldContainer[bytes]
    proof_nodes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, root: _Optional[bytes] = ..., proven_leaves: _Optional[_Iterable[bytes]] = ..., proof_nodes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PoetProof(_message.Message):
    __slots__ = ("proof", "members", "leaves")
    PROOF_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    proof: MerkleProof
    members: _containers.RepeatedScalarFieldContainer[bytes]
    leaves: int
    def __init__(self, proof: _Optional[_Union[MerkleProof, _Mapping]] = ..., members: _Optional[_Iterable[bytes]] = ..., leaves: _Optional[int] = ...) -> None: ...

class ProofRequest(_message.Message):
    __slots__ = ("round_id",)
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    round_id: str
    def __init__(self, round_id: _Optional[str] = ...) -> None: ...

class ProofResponse(_message.Message):
    __slots__ = ("proof", "pubkey")
    PROOF_FIELD_NUMBER: _ClassVar[int]
    PUBKEY_FIELD_NUMBER: _ClassVar[int]
    proof: PoetProof
    pubkey: bytes
    def __init__(self, proof: _Optional[_Union[PoetProof, _Mapping]] = ..., pubkey: _Optional[bytes] = ...) -> None: ...
