from google.rpc import status_pb2 as _status_pb2
from protocol.pb.spacemesh.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IsSmeshingResponse(_message.Message):
    __slots__ = ("is_smeshing",)
    IS_SMESHING_FIELD_NUMBER: _ClassVar[int]
    is_smeshing: bool
    def __init__(self, is_smeshing: _Optional[bool] = ...) -> None: ...

class StartSmeshingRequest(_message.Message):
    __slots__ = ("coinbase", "opts")
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    coinbase: _types_pb2.AccountId
    opts: PostSetupOpts
    def __init__(self, coinbase: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ..., opts: _Optional[_Union[PostSetupOpts, _Mapping]] = ...) -> None: ...

class StartSmeshingResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StopSmeshingRequest(_message.Message):
    __slots__ = ("delete_files",)
    DELETE_FILES_FIELD_NUMBER: _ClassVar[int]
    delete_files: bool
    def __init__(self, delete_files: _Optional[bool] = ...) -> None: ...

class StopSmeshingResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SetCoinbaseRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _types_pb2.AccountId
    def __init__(self, id: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ...) -> None: ...

class SetCoinbaseResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SmesherIDsResponse(_message.Message):
    __slots__ = ("public_keys",)
    PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    public_keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, public_keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CoinbaseResponse(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: _types_pb2.AccountId
    def __init__(self, account_id: _Optional[_Union[_types_pb2.AccountId, _Mapping]] = ...) -> None: ...

class PostSetupProvidersRequest(_message.Message):
    __slots__ = ("benchmark",)
    BENCHMARK_FIELD_NUMBER: _ClassVar[int]
    benchmark: bool
    def __init__(self, benchmark: _Optional[bool] = ...) -> None: ...

class PostSetupProvidersResponse(_message.Message):
    __slots__ = ("providers",)
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[PostSetupProvider]
    def __init__(self, providers: _Optional[_Iterable[_Union[PostSetupProvider, _Mapping]]] = ...) -> None: ...

class PostSetupStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: PostSetupStatus
    def __init__(self, status: _Optional[_Union[PostSetupStatus, _Mapping]] = ...) -> None: ...

class PostSetupStatusStreamResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: PostSetupStatus
    def __init__(self, status: _Optional[_Union[PostSetupStatus, _Mapping]] = ...) -> None: ...

class PostConfigResponse(_message.Message):
    __slots__ = ("bits_per_label", "labels_per_unit", "min_num_units", "max_num_units", "k1", "k2")
    BITS_PER_LABEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    MIN_NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAX_NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    K1_FIELD_NUMBER: _ClassVar[int]
    K2_FIELD_NUMBER: _ClassVar[int]
    bits_per_label: int
    labels_per_unit: int
    min_num_units: int
    max_num_units: int
    k1: int
    k2: int
    def __init__(self, bits_per_label: _Optional[int] = ..., labels_per_unit: _Optional[int] = ..., min_num_units: _Optional[int] = ..., max_num_units: _Optional[int] = ..., k1: _Optional[int] = ..., k2: _Optional[int] = ...) -> None: ...

class PostSetupProvider(_message.Message):
    __slots__ = ("id", "model", "device_type", "performance")
    class DeviceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DEVICE_CLASS_CPU: _ClassVar[PostSetupProvider.DeviceType]
        DEVICE_CLASS_GPU: _ClassVar[PostSetupProvider.DeviceType]
    DEVICE_CLASS_CPU: PostSetupProvider.DeviceType
    DEVICE_CLASS_GPU: PostSetupProvider.DeviceType
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    id: int
    model: str
    device_type: PostSetupProvider.DeviceType
    performance: int
    def __init__(self, id: _Optional[int] = ..., model: _Optional[str] = ..., device_type: _Optional[_Union[PostSetupProvider.DeviceType, str]] = ..., performance: _Optional[int] = ...) -> None: ...

class PostSetupOpts(_message.Message):
    __slots__ = ("data_dir", "num_units", "max_file_size", "provider_id", "throttle")
    DATA_DIR_FIELD_NUMBER: _ClassVar[int]
    NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAX_FILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_FIELD_NUMBER: _ClassVar[int]
    data_dir: str
    num_units: int
    max_file_size: int
    provider_id: int
    throttle: bool
    def __init__(self, data_dir: _Optional[str] = ..., num_units: _Optional[int] = ..., max_file_size: _Optional[int] = ..., provider_id: _Optional[int] = ..., throttle: _Optional[bool] = ...) -> None: ...

class PostSetupStatus(_message.Message):
    __slots__ = ("state", "num_labels_written", "opts")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[PostSetupStatus.State]
        STATE_NOT_STARTED: _ClassVar[PostSetupStatus.State]
        STATE_PREPARED: _ClassVar[PostSetupStatus.State]
        STATE_IN_PROGRESS: _ClassVar[PostSetupStatus.State]
        STATE_PAUSED: _ClassVar[PostSetupStatus.State]
        STATE_COMPLETE: _ClassVar[PostSetupStatus.State]
        STATE_ERROR: _ClassVar[PostSetupStatus.State]
    STATE_UNSPECIFIED: PostSetupStatus.State
    STATE_NOT_STARTED: PostSetupStatus.State
    STATE_PREPARED: PostSetupStatus.State
    STATE_IN_PROGRESS: PostSetupStatus.State
    STATE_PAUSED: PostSetupStatus.State
    STATE_COMPLETE: PostSetupStatus.State
    STATE_ERROR: PostSetupStatus.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    NUM_LABELS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    state: PostSetupStatus.State
    num_labels_written: int
    opts: PostSetupOpts
    def __init__(self, state: _Optional[_Union[PostSetupStatus.State, str]] = ..., num_labels_written: _Optional[int] = ..., opts: _Optional[_Union[PostSetupOpts, _Mapping]] = ...) -> None: ...

class SmesherIDResponse(_message.Message):
    __slots__ = ("public_key",)
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    def __init__(self, public_key: _Optional[bytes] = ...) -> None: ...

class MinGasResponse(_message.Message):
    __slots__ = ("mingas",)
    MINGAS_FIELD_NUMBER: _ClassVar[int]
    mingas: _types_pb2.SimpleInt
    def __init__(self, mingas: _Optional[_Union[_types_pb2.SimpleInt, _Mapping]] = ...) -> None: ...

class SetMinGasRequest(_message.Message):
    __slots__ = ("mingas",)
    MINGAS_FIELD_NUMBER: _ClassVar[int]
    mingas: _types_pb2.SimpleInt
    def __init__(self, mingas: _Optional[_Union[_types_pb2.SimpleInt, _Mapping]] = ...) -> None: ...

class SetMinGasResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class EstimatedRewardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EstimatedRewardsResponse(_message.Message):
    __slots__ = ("amount", "num_units")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    amount: _types_pb2.Amount
    num_units: int
    def __init__(self, amount: _Optional[_Union[_types_pb2.Amount, _Mapping]] = ..., num_units: _Optional[int] = ...) -> None: ...
