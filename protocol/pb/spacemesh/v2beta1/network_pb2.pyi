import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NetworkInfoResponse(_message.Message):
    __slots__ = ("genesis_time", "layer_duration", "genesis_id", "hrp", "effective_genesis_layer", "layers_per_epoch", "labels_per_unit")
    GENESIS_TIME_FIELD_NUMBER: _ClassVar[int]
    LAYER_DURATION_FIELD_NUMBER: _ClassVar[int]
    GENESIS_ID_FIELD_NUMBER: _ClassVar[int]
    HRP_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_GENESIS_LAYER_FIELD_NUMBER: _ClassVar[int]
    LAYERS_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LABELS_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    genesis_time: _timestamp_pb2.Timestamp
    layer_duration: _duration_pb2.Duration
    genesis_id: bytes
    hrp: str
    effective_genesis_layer: int
    layers_per_epoch: int
    labels_per_unit: int
    def __init__(self, genesis_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., layer_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., genesis_id: _Optional[bytes] = ..., hrp: _Optional[str] = ..., effective_genesis_layer: _Optional[int] = ..., layers_per_epoch: _Optional[int] = ..., labels_per_unit: _Optional[int] = ...) -> None: ...

class NetworkInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
