from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OperatorStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OperatorStatusResponse(_message.Message):
    __slots__ = ("status",)
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNUSED: _ClassVar[OperatorStatusResponse.Status]
        IDLE: _ClassVar[OperatorStatusResponse.Status]
        PROVING: _ClassVar[OperatorStatusResponse.Status]
    UNUSED: OperatorStatusResponse.Status
    IDLE: OperatorStatusResponse.Status
    PROVING: OperatorStatusResponse.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: OperatorStatusResponse.Status
    def __init__(self, status: _Optional[_Union[OperatorStatusResponse.Status, str]] = ...) -> None: ...
