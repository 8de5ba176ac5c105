from protocol.pb.spacemesh.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_LEVEL_UNSPECIFIED: _ClassVar[LogLevel]
    LOG_LEVEL_DEBUG: _ClassVar[LogLevel]
    LOG_LEVEL_INFO: _ClassVar[LogLevel]
    LOG_LEVEL_WARN: _ClassVar[LogLevel]
    LOG_LEVEL_ERROR: _ClassVar[LogLevel]
    LOG_LEVEL_DPANIC: _ClassVar[LogLevel]
    LOG_LEVEL_PANIC: _ClassVar[LogLevel]
    LOG_LEVEL_FATAL: _ClassVar[LogLevel]
LOG_LEVEL_UNSPECIFIED: LogLevel
LOG_LEVEL_DEBUG: LogLevel
LOG_LEVEL_INFO: LogLevel
LOG_LEVEL_WARN: LogLevel
LOG_LEVEL_ERROR: LogLevel
LOG_LEVEL_DPANIC: LogLevel
LOG_LEVEL_PANIC: LogLevel
LOG_LEVEL_FATAL: LogLevel

class EchoRequest(_message.Message):
    __slots__ = ("msg",)
    MSG_FIELD_NUMBER: _ClassVar[int]
    msg: _types_pb2.SimpleString
    def __init__(self, msg: _Optional[_Union[_types_pb2.SimpleString, _Mapping]] = ...) -> None: ...

class EchoResponse(_message.Message):
    __slots__ = ("msg",)
    MSG_FIELD_NUMBER: _ClassVar[int]
    msg: _types_pb2.SimpleString
    def __init__(self, msg: _Optional[_Union[_types_pb2.SimpleString, _Mapping]] = ...) -> None: ...

class VersionResponse(_message.Message):
    __slots__ = ("version_string",)
    VERSION_STRING_FIELD_NUMBER: _ClassVar[int]
    version_string: _types_pb2.SimpleString
    def __init__(self, version_string: _Optional[_Union[_types_pb2.SimpleString, _Mapping]] = ...) -> None: ...

class BuildResponse(_message.Message):
    __slots__ = ("build_string",)
    BUILD_STRING_FIELD_NUMBER: _ClassVar[int]
    build_string: _types_pb2.SimpleString
    def __init__(self, build_string: _Optional[_Union[_types_pb2.SimpleString, _Mapping]] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("connected_peers", "is_synced", "synced_layer", "top_layer", "verified_layer")
    CONNECTED_PEERS_FIELD_NUMBER: _ClassVar[int]
    IS_SYNCED_FIELD_NUMBER: _ClassVar[int]
    SYNCED_LAYER_FIELD_NUMBER: _ClassVar[int]
    TOP_LAYER_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_LAYER_FIELD_NUMBER: _ClassVar[int]
    connected_peers: int
    is_synced: bool
    synced_layer: _types_pb2.LayerNumber
    top_layer: _types_pb2.LayerNumber
    verified_layer: _types_pb2.LayerNumber
    def __init__(self, connected_peers: _Optional[int] = ..., is_synced: _Optional[bool] = ..., synced_layer: _Optional[_Union[_types_pb2.LayerNumber, _Mapping]] = ..., top_layer: _Optional[_Union[_types_pb2.LayerNumber, _Mapping]] = ..., verified_layer: _Optional[_Union[_types_pb2.LayerNumber, _Mapping]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: NodeStatus
    def __init__(self, status: _Optional[_Union[NodeStatus, _Mapping]] = ...) -> None: ...

class StatusStreamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusStreamResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: NodeStatus
    def __init__(self, status: _Optional[_Union[NodeStatus, _Mapping]] = ...) -> None: ...

class NodeError(_message.Message):
    __slots__ = ("level", "module", "msg", "stack_trace")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    MSG_FIELD_NUMBER: _ClassVar[int]
    STACK_TRACE_FIELD_NUMBER: _ClassVar[int]
    level: LogLevel
    module: str
    msg: str
    stack_trace: str
    def __init__(self, level: _Optional[_Union[LogLevel, str]] = ..., module: _Optional[str] = ..., msg: _Optional[str] = ..., stack_trace: _Optional[str] = ...) -> None: ...

class ErrorStreamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ErrorStreamResponse(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: NodeError
    def __init__(self, error: _Optional[_Union[NodeError, _Mapping]] = ...) -> None: ...

class NodeInfoResponse(_message.Message):
    __slots__ = ("hrp", "first_genesis", "effective_genesis", "epoch_size")
    HRP_FIELD_NUMBER: _ClassVar[int]
    FIRST_GENESIS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_GENESIS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    hrp: str
    first_genesis: int
    effective_genesis: int
    epoch_size: int
    def __init__(self, hrp: _Optional[str] = ..., first_genesis: _Optional[int] = ..., effective_genesis: _Optional[int] = ..., epoch_size: _Optional[int] = ...) -> None: ...
