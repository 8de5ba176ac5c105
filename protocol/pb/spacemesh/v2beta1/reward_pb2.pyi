from google.api import annotations_pb2 as _annotations_pb2
from protocol.pb.spacemesh.v2beta1 import v2beta1_pb2 as _v2beta1_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reward(_message.Message):
    __slots__ = ("layer", "total", "layer_reward", "coinbase", "smesher")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LAYER_REWARD_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    SMESHER_FIELD_NUMBER: _ClassVar[int]
    layer: int
    total: int
    layer_reward: int
    coinbase: str
    smesher: bytes
    def __init__(self, layer: _Optional[int] = ..., total: _Optional[int] = ..., layer_reward: _Optional[int] = ..., coinbase: _Optional[str] = ..., smesher: _Optional[bytes] = ...) -> None: ...

class RewardRequest(_message.Message):
    __slots__ = ("start_layer", "end_layer", "coinbase", "smesher", "offset", "limit", "sort_order")
    START_LAYER_FIELD_NUMBER: _ClassVar[int]
    END_LAYER_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    SMESHER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    start_layer: int
    end_layer: int
    coinbase: str
    smesher: bytes
    offset: int
    limit: int
    sort_order: _v2beta1_pb2.SortOrder
    def __init__(self, start_layer: _Optional[int] = ..., end_layer: _Optional[int] = ..., coinbase: _Optional[str] = ..., smesher: _Optional[bytes] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ..., sort_order: _Optional[_Union[_v2beta1_pb2.SortOrder, str]] = ...) -> None: ...

class RewardList(_message.Message):
    __slots__ = ("rewards",)
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    rewards: _containers.RepeatedCompositeFieldContainer[Reward]
    def __init__(self, rewards: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ...) -> None: ...

class RewardStreamRequest(_message.Message):
    __slots__ = ("start_layer", "end_layer", "coinbase", "smesher", "watch")
    START_LAYER_FIELD_NUMBER: _ClassVar[int]
    END_LAYER_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    SMESHER_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    start_layer: int
    end_layer: int
    coinbase: str
    smesher: bytes
    watch: bool
    def __init__(self, start_layer: _Optional[int] = ..., end_layer: _Optional[int] = ..., coinbase: _Optional[str] = ..., smesher: _Optional[bytes] = ..., watch: _Optional[bool] = ...) -> None: ...
