from google.api import annotations_pb2 as _annotations_pb2
from protocol.pb.spacemesh.v2beta1 import block_pb2 as _block_pb2
from protocol.pb.spacemesh.v2beta1 import v2beta1_pb2 as _v2beta1_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Layer(_message.Message):
    __slots__ = ("number", "status", "consensus_hash", "state_hash", "cumulative_state_hash", "block")
    class LayerStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LAYER_STATUS_UNSPECIFIED: _ClassVar[Layer.LayerStatus]
        LAYER_STATUS_APPLIED: _ClassVar[Layer.LayerStatus]
        LAYER_STATUS_VERIFIED: _ClassVar[Layer.LayerStatus]
    LAYER_STATUS_UNSPECIFIED: Layer.LayerStatus
    LAYER_STATUS_APPLIED: Layer.LayerStatus
    LAYER_STATUS_VERIFIED: Layer.LayerStatus
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONSENSUS_HASH_FIELD_NUMBER: _ClassVar[int]
    STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    CUMULATIVE_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    number: int
    status: Layer.LayerStatus
    consensus_hash: str
    state_hash: bytes
    cumulative_state_hash: bytes
    block: _block_pb2.Block
    def __init__(self, number: _Optional[int] = ..., status: _Optional[_Union[Layer.LayerStatus, str]] = ..., consensus_hash: _Optional[str] = ..., state_hash: _Optional[bytes] = ..., cumulative_state_hash: _Optional[bytes] = ..., block: _Optional[_Union[_block_pb2.Block, _Mapping]] = ...) -> None: ...

class LayerRequest(_message.Message):
    __slots__ = ("start_layer", "end_layer", "offset", "limit", "sort_order")
    START_LAYER_FIELD_NUMBER: _ClassVar[int]
    END_LAYER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    start_layer: int
    end_layer: int
    offset: int
    limit: int
    sort_order: _v2beta1_pb2.SortOrder
    def __init__(self, start_layer: _Optional[int] = ..., end_layer: _Optional[int] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ..., sort_order: _Optional[_Union[_v2beta1_pb2.SortOrder, str]] = ...) -> None: ...

class LayerList(_message.Message):
    __slots__ = ("layers",)
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedCompositeFieldContainer[Layer]
    def __init__(self, layers: _Optional[_Iterable[_Union[Layer, _Mapping]]] = ...) -> None: ...

class LayerStreamRequest(_message.Message):
    __slots__ = ("start_layer", "end_layer", "watch")
    START_LAYER_FIELD_NUMBER: _ClassVar[int]
    END_LAYER_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    start_layer: int
    end_layer: int
    watch: bool
    def __init__(self, start_layer: _Optional[int] = ..., end_layer: _Optional[int] = ..., watch: _Optional[bool] = ...) -> None: ...
