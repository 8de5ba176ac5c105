from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Account(_message.Message):
    __slots__ = ("address", "current", "projected", "template")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    address: str
    current: AccountState
    projected: AccountState
    template: str
    def __init__(self, address: _Optional[str] = ..., current: _Optional[_Union[AccountState, _Mapping]] = ..., projected: _Optional[_Union[AccountState, _Mapping]] = ..., template: _Optional[str] = ...) -> None: ...

class AccountState(_message.Message):
    __slots__ = ("counter", "balance", "layer")
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    counter: int
    balance: int
    layer: int
    def __init__(self, counter: _Optional[int] = ..., balance: _Optional[int] = ..., layer: _Optional[int] = ...) -> None: ...

class AccountRequest(_message.Message):
    __slots__ = ("addresses", "offset", "limit")
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    offset: int
    limit: int
    def __init__(self, addresses: _Optional[_Iterable[str]] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class AccountList(_message.Message):
    __slots__ = ("accounts",)
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ...) -> None: ...
