from protocol.pb.spacemesh.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AccountDataFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCOUNT_DATA_FLAG_UNSPECIFIED: _ClassVar[AccountDataFlag]
    ACCOUNT_DATA_FLAG_TRANSACTION_RECEIPT: _ClassVar[AccountDataFlag]
    ACCOUNT_DATA_FLAG_REWARD: _ClassVar[AccountDataFlag]
    ACCOUNT_DATA_FLAG_ACCOUNT: _ClassVar[AccountDataFlag]

class GlobalStateDataFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GLOBAL_STATE_DATA_FLAG_UNSPECIFIED: _ClassVar[GlobalStateDataFlag]
    GLOBAL_STATE_DATA_FLAG_TRANSACTION_RECEIPT: _ClassVar[GlobalStateDataFlag]
    GLOBAL_STATE_DATA_FLAG_REWARD: _ClassVar[GlobalStateDataFlag]
    GLOBAL_STATE_DATA_FLAG_ACCOUNT: _ClassVar[GlobalStateDataFlag]
    GLOBAL_STATE_DATA_FLAG_GLOBAL_STATE_HASH: _ClassVar[GlobalStateDataFlag]
ACCOUNT_DATA_FLAG_UNSPECIFIED: AccountDataFlag
ACCOUNT_DATA_FLAG_TRANSACTION_RECEIPT: AccountDataFlag
ACCOUNT_DATA_FLAG_REWARD: AccountDataFlag
ACCOUNT_DATA_FLAG_ACCOUNT: AccountDataFlag
GLOBAL_STATE_DATA_FLAG_UNSPECIFIED: GlobalStateDataFlag
GLOBAL_STATE_DATA_FLAG_TRANSACTION_RECEIPT: GlobalStateDataFlag
GLOBAL_STATE_DATA_FLAG_REWARD: GlobalStateDataFlag
GLOBAL_STATE_DATA_FLAG_ACCOUNT: GlobalStateDataFlag
GLOBAL_STATE_DATA_FLAG_GLOBAL_STATE_HASH: GlobalStateDataFlag

class AccountState(_message.Message):
    __slots__ = ("counter", "balance")
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    counter: int
    balance: _types_pb2.Amount
    def __init__(self, counter: _Optional[int] = ..., balance: _Optional[_Union[_types_pb2.Amount, _Mapping]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("account_id", "state_current", "state_projected")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    STATE_PROJECTED_FIELD_NUMBER: _ClassVar[int]
    account_id: _types_pb2.AccountId
    state_current: AccountState
    state_projected: AccountState
    def __init__(self, account_id: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ..., state_current: _Optional[_Union[AccountState, _Mapping]] = ..., state_projected: _Optional[_Union[AccountState, _Mapping]] = ...) -> None: ...

class AccountRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: _types_pb2.AccountId
    def __init__(self, account_id: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ...) -> None: ...

class AccountResponse(_message.Message):
    __slots__ = ("account_wrapper",)
    ACCOUNT_WRAPPER_FIELD_NUMBER: _ClassVar[int]
    account_wrapper: Account
    def __init__(self, account_wrapper: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class AccountDataFilter(_message.Message):
    __slots__ = ("account_id", "account_data_flags")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_DATA_FLAGS_FIELD_NUMBER: _ClassVar[int]
    account_id: _types_pb2.AccountId
    account_data_flags: int
    def __init__(self, account_id: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ..., account_data_flags: _Optional[int] = ...) -> None: ...

class AccountDataStreamRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: AccountDataFilter
    def __init__(self, filter: _Optional[_Union[AccountDataFilter, _Mapping]] = ...) -> None: ...

class AccountDataStreamResponse(_message.Message):
    __slots__ = ("datum",)
    DATUM_FIELD_NUMBER: _ClassVar[int]
    datum: AccountData
    def __init__(self, datum: _Optional[_Union[AccountData, _Mapping]] = ...) -> None: ...

class AccountDataQueryRequest(_message.Message):
    __slots__ = ("filter", "max_results", "offset")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    filter: AccountDataFilter
    max_results: int
    offset: int
    def __init__(self, filter: _Optional[_Union[AccountDataFilter, _Mapping]] = ..., max_results: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TransactionReceipt(_message.Message):
    __slots__ = ("id", "result", "gas_used", "fee", "layer", "index", "svm_data")
    class TransactionResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TRANSACTION_RESULT_UNSPECIFIED: _ClassVar[TransactionReceipt.TransactionResult]
        TRANSACTION_RESULT_EXECUTED: _ClassVar[TransactionReceipt.TransactionResult]
        TRANSACTION_RESULT_BAD_COUNTER: _ClassVar[TransactionReceipt.TransactionResult]
        TRANSACTION_RESULT_RUNTIME_EXCEPTION: _ClassVar[TransactionReceipt.TransactionResult]
        TRANSACTION_RESULT_INSUFFICIENT_GAS: _ClassVar[TransactionReceipt.TransactionResult]
        TRANSACTION_RESULT_INSUFFICIENT_FUNDS: _ClassVar[TransactionReceipt.TransactionResult]
    TRANSACTION_RESULT_UNSPECIFIED: TransactionReceipt.TransactionResult
    TRANSACTION_RESULT_EXECUTED: TransactionReceipt.TransactionResult
    TRANSACTION_RESULT_BAD_COUNTER: TransactionReceipt.TransactionResult
    TRANSACTION_RESULT_RUNTIME_EXCEPTION: TransactionReceipt.TransactionResult
    TRANSACTION_RESULT_INSUFFICIENT_GAS: TransactionReceipt.TransactionResult
    TRANSACTION_RESULT_INSUFFICIENT_FUNDS: TransactionReceipt.TransactionResult
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    GAS_USED_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SVM_DATA_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.TransactionId
    result: TransactionReceipt.TransactionResult
    gas_used: int
    fee: _types_pb2.Amount
    layer: _types_pb2.LayerNumber
    index: int
    svm_data: bytes
    def __init__(self, id: _Optional[_Union[_types_pb2.TransactionId, _Mapping]] = ..., result: _Optional[_Union[TransactionReceipt.TransactionResult, str]] = ..., gas_used: _Optional[int] = ..., fee: _Optional[_Union[_types_pb2.Amount, _Mapping]] = ..., layer: _Optional[_Union[_types_pb2.LayerNumber, _Mapping]] = ..., index: _Optional[int] = ..., svm_data: _Optional[bytes] = ...) -> None: ...

class AccountData(_message.Message):
    __slots__ = ("reward", "receipt", "account_wrapper")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_WRAPPER_FIELD_NUMBER: _ClassVar[int]
    reward: _types_pb2.Reward
    receipt: TransactionReceipt
    account_wrapper: Account
    def __init__(self, reward: _Optional[_Union[_types_pb2.Reward, _Mapping]] = ..., receipt: _Optional[_Union[TransactionReceipt, _Mapping]] = ..., account_wrapper: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class AccountDataQueryResponse(_message.Message):
    __slots__ = ("total_results", "account_item")
    TOTAL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ITEM_FIELD_NUMBER: _ClassVar[int]
    total_results: int
    account_item: _containers.RepeatedCompositeFieldContainer[AccountData]
    def __init__(self, total_results: _Optional[int] = ..., account_item: _Optional[_Iterable[_Union[AccountData, _Mapping]]] = ...) -> None: ...

class GlobalStateHash(_message.Message):
    __slots__ = ("root_hash", "layer")
    ROOT_HASH_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    root_hash: bytes
    layer: _types_pb2.LayerNumber
    def __init__(self, root_hash: _Optional[bytes] = ..., layer: _Optional[_Union[_types_pb2.LayerNumber, _Mapping]] = ...) -> None: ...

class GlobalStateHashRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GlobalStateHashResponse(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: GlobalStateHash
    def __init__(self, response: _Optional[_Union[GlobalStateHash, _Mapping]] = ...) -> None: ...

class GlobalStateStreamRequest(_message.Message):
    __slots__ = ("global_state_data_flags",)
    GLOBAL_STATE_DATA_FLAGS_FIELD_NUMBER: _ClassVar[int]
    global_state_data_flags: int
    def __init__(self, global_state_data_flags: _Optional[int] = ...) -> None: ...

class GlobalStateData(_message.Message):
    __slots__ = ("reward", "receipt", "account_wrapper", "global_state")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_WRAPPER_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STATE_FIELD_NUMBER: _ClassVar[int]
    reward: _types_pb2.Reward
    receipt: TransactionReceipt
    account_wrapper: Account
    global_state: GlobalStateHash
    def __init__(self, reward: _Optional[_Union[_types_pb2.Reward, _Mapping]] = ..., receipt: _Optional[_Union[TransactionReceipt, _Mapping]] = ..., account_wrapper: _Optional[_Union[Account, _Mapping]] = ..., global_state: _Optional[_Union[GlobalStateHash, _Mapping]] = ...) -> None: ...

class GlobalStateStreamResponse(_message.Message):
    __slots__ = ("datum",)
    DATUM_FIELD_NUMBER: _ClassVar[int]
    datum: GlobalStateData
    def __init__(self, datum: _Optional[_Union[GlobalStateData, _Mapping]] = ...) -> None: ...

class SmesherRewardStreamRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.SmesherId
    def __init__(self, id: _Optional[_Union[_types_pb2.SmesherId, _Mapping]] = ...) -> None: ...

class SmesherRewardStreamResponse(_message.Message):
    __slots__ = ("reward",)
    REWARD_FIELD_NUMBER: _ClassVar[int]
    reward: _types_pb2.Reward
    def __init__(self, reward: _Optional[_Union[_types_pb2.Reward, _Mapping]] = ...) -> None: ...

class SmesherDataQueryRequest(_message.Message):
    __slots__ = ("smesher_id", "max_results", "offset")
    SMESHER_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    smesher_id: _types_pb2.SmesherId
    max_results: int
    offset: int
    def __init__(self, smesher_id: _Optional[_Union[_types_pb2.SmesherId, _Mapping]] = ..., max_results: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class SmesherDataQueryResponse(_message.Message):
    __slots__ = ("total_results", "rewards")
    TOTAL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    total_results: int
    rewards: _containers.RepeatedCompositeFieldContainer[_types_pb2.Reward]
    def __init__(self, total_results: _Optional[int] = ..., rewards: _Optional[_Iterable[_Union[_types_pb2.Reward, _Mapping]]] = ...) -> None: ...

class AppEvent(_message.Message):
    __slots__ = ("transaction_id", "message")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    transaction_id: _types_pb2.TransactionId
    message: str
    def __init__(self, transaction_id: _Optional[_Union[_types_pb2.TransactionId, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class AppEventStreamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AppEventStreamResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: AppEvent
    def __init__(self, event: _Optional[_Union[AppEvent, _Mapping]] = ...) -> None: ...
