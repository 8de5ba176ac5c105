import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reachability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REACHABILITY_UNSPECIFIED: _ClassVar[Reachability]
    REACHABILITY_PUBLIC: _ClassVar[Reachability]
    REACHABILITY_PRIVATE: _ClassVar[Reachability]
REACHABILITY_UNSPECIFIED: Reachability
REACHABILITY_PUBLIC: Reachability
REACHABILITY_PRIVATE: Reachability

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("now", "version", "build", "current_layer", "current_epoch", "latest_layer", "applied_layer", "processed_layer", "verified_layer", "is_synced", "is_atx_synced", "sync_reason", "clock_offset", "reachability", "peers", "peer_id", "listens_on", "known_addresses", "databases")
    NOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    CURRENT_LAYER_FIELD_NUMBER: _ClassVar[int]
    CURRENT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LATEST_LAYER_FIELD_NUMBER: _ClassVar[int]
    APPLIED_LAYER_FIELD_NUMBER: _ClassVar[int]
    PROCESSED_LAYER_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_LAYER_FIELD_NUMBER: _ClassVar[int]
    IS_SYNCED_FIELD_NUMBER: _ClassVar[int]
    IS_ATX_SYNCED_FIELD_NUMBER: _ClassVar[int]
    SYNC_REASON_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_FIELD_NUMBER: _ClassVar[int]
    REACHABILITY_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    LISTENS_ON_FIELD_NUMBER: _ClassVar[int]
    KNOWN_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DATABASES_FIELD_NUMBER: _ClassVar[int]
    now: _timestamp_pb2.Timestamp
    version: str
    build: str
    current_layer: int
    current_epoch: int
    latest_layer: int
    applied_layer: int
    processed_layer: int
    verified_layer: int
    is_synced: bool
    is_atx_synced: bool
    sync_reason: str
    clock_offset: _duration_pb2.Duration
    reachability: Reachability
    peers: int
    peer_id: str
    listens_on: _containers.RepeatedScalarFieldContainer[str]
    known_addresses: _containers.RepeatedScalarFieldContainer[str]
    databases: _containers.RepeatedCompositeFieldContainer[Database]
    def __init__(self, now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ..., build: _Optional[str] = ..., current_layer: _Optional[int] = ..., current_epoch: _Optional[int] = ..., latest_layer: _Optional[int] = ..., applied_layer: _Optional[int] = ..., processed_layer: _Optional[int] = ..., verified_layer: _Optional[int] = ..., is_synced: _Optional[bool] = ..., is_atx_synced: _Optional[bool] = ..., sync_reason: _Optional[str] = ..., clock_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reachability: _Optional[_Union[Reachability, str]] = ..., peers: _Optional[int] = ..., peer_id: _Optional[str] = ..., listens_on: _Optional[_Iterable[str]] = ..., known_addresses: _Optional[_Iterable[str]] = ..., databases: _Optional[_Iterable[_Union[Database, _Mapping]]] = ...) -> None: ...

class Database(_message.Message):
    __slots__ = ("name", "size_bytes", "free_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    free_bytes: int
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ...) -> None: ...

class PeersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeersResponse(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    def __init__(self, peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("id", "addresses", "is_outbound", "connected_for", "protocols", "tags", "received_bytes", "sent_bytes", "answered", "failed", "latency")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    IS_OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    id: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    is_outbound: bool
    connected_for: _duration_pb2.Duration
    protocols: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    received_bytes: int
    sent_bytes: int
    answered: int
    failed: int
    latency: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., is_outbound: _Optional[bool] = ..., connected_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., protocols: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., answered: _Optional[int] = ..., failed: _Optional[int] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DevicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "name", "kind", "backend", "memory_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    kind: str
    backend: str
    memory_bytes: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., backend: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("limit", "level", "contains")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    limit: int
    level: str
    contains: str
    def __init__(self, limit: _Optional[int] = ..., level: _Optional[str] = ..., contains: _Optional[str] = ...) -> None: ...

class LogResponse(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LogLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[LogLine, _Mapping]]] = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("at", "level", "logger", "message")
    AT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LOGGER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    level: str
    logger: str
    message: str
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level: _Optional[str] = ..., logger: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
