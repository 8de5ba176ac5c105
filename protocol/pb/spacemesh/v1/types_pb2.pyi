from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SimpleInt(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class SimpleString(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class Amount(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class AccountId(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class TransactionId(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    def __init__(self, id: _Optional[bytes] = ...) -> None: ...

class ActivationId(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    def __init__(self, id: _Optional[bytes] = ...) -> None: ...

class SmesherId(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    def __init__(self, id: _Optional[bytes] = ...) -> None: ...

class Activation(_message.Message):
    __slots__ = ("id", "layer", "smesher_id", "coinbase", "prev_atx", "num_units", "sequence", "previous_atxs")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SMESHER_ID_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    PREV_ATX_FIELD_NUMBER: _ClassVar[int]
    NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ATXS_FIELD_NUMBER: _ClassVar[int]
    id: ActivationId
    layer: LayerNumber
    smesher_id: SmesherId
    coinbase: AccountId
    prev_atx: ActivationId
    num_units: int
    sequence: int
    previous_atxs: _containers.RepeatedCompositeFieldContainer[ActivationId]
    def __init__(self, id: _Optional[_Union[ActivationId, _Mapping]] = ..., layer: _Optional[_Union[LayerNumber, _Mapping]] = ..., smesher_id: _Optional[_Union[SmesherId, _Mapping]] = ..., coinbase: _Optional[_Union[AccountId, _Mapping]] = ..., prev_atx: _Optional[_Union[ActivationId, _Mapping]] = ..., num_units: _Optional[int] = ..., sequence: _Optional[int] = ..., previous_atxs: _Optional[_Iterable[_Union[ActivationId, _Mapping]]] = ...) -> None: ...

class Transaction(_message.Message):
    __slots__ = ("id", "principal", "template", "method", "nonce", "limits", "max_gas", "gas_price", "max_spend", "raw")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MAX_GAS_FIELD_NUMBER: _ClassVar[int]
    GAS_PRICE_FIELD_NUMBER: _ClassVar[int]
    MAX_SPEND_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    principal: AccountId
    template: AccountId
    method: int
    nonce: Nonce
    limits: LayerLimits
    max_gas: int
    gas_price: int
    max_spend: int
    raw: bytes
    def __init__(self, id: _Optional[bytes] = ..., principal: _Optional[_Union[AccountId, _Mapping]] = ..., template: _Optional[_Union[AccountId, _Mapping]] = ..., method: _Optional[int] = ..., nonce: _Optional[_Union[Nonce, _Mapping]] = ..., limits: _Optional[_Union[LayerLimits, _Mapping]] = ..., max_gas: _Optional[int] = ..., gas_price: _Optional[int] = ..., max_spend: _Optional[int] = ..., raw: _Optional[bytes] = ...) -> None: ...

class LayerLimits(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...

class Nonce(_message.Message):
    __slots__ = ("counter", "bitfield")
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    BITFIELD_FIELD_NUMBER: _ClassVar[int]
    counter: int
    bitfield: int
    def __init__(self, counter: _Optional[int] = ..., bitfield: _Optional[int] = ...) -> None: ...

class MeshTransaction(_message.Message):
    __slots__ = ("transaction", "layer_id")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    LAYER_ID_FIELD_NUMBER: _ClassVar[int]
    transaction: Transaction
    layer_id: LayerNumber
    def __init__(self, transaction: _Optional[_Union[Transaction, _Mapping]] = ..., layer_id: _Optional[_Union[LayerNumber, _Mapping]] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("layer", "total", "layer_reward", "layer_computed", "coinbase", "smesher")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LAYER_REWARD_FIELD_NUMBER: _ClassVar[int]
    LAYER_COMPUTED_FIELD_NUMBER: _ClassVar[int]
    COINBASE_FIELD_NUMBER: _ClassVar[int]
    SMESHER_FIELD_NUMBER: _ClassVar[int]
    layer: LayerNumber
    total: Amount
    layer_reward: Amount
    layer_computed: LayerNumber
    coinbase: AccountId
    smesher: SmesherId
    def __init__(self, layer: _Optional[_Union[LayerNumber, _Mapping]] = ..., total: _Optional[_Union[Amount, _Mapping]] = ..., layer_reward: _Optional[_Union[Amount, _Mapping]] = ..., layer_computed: _Optional[_Union[LayerNumber, _Mapping]] = ..., coinbase: _Optional[_Union[AccountId, _Mapping]] = ..., smesher: _Optional[_Union[SmesherId, _Mapping]] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("id", "transactions", "activation_id", "smesher_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_ID_FIELD_NUMBER: _ClassVar[int]
    SMESHER_ID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    transactions: _containers.RepeatedCompositeFieldContainer[Transaction]
    activation_id: ActivationId
    smesher_id: SmesherId
    def __init__(self, id: _Optional[bytes] = ..., transactions: _Optional[_Iterable[_Union[Transaction, _Mapping]]] = ..., activation_id: _Optional[_Union[ActivationId, _Mapping]] = ..., smesher_id: _Optional[_Union[SmesherId, _Mapping]] = ...) -> None: ...

class Layer(_message.Message):
    __slots__ = ("number", "status", "hash", "blocks", "activations", "root_state_hash")
    class LayerStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LAYER_STATUS_UNSPECIFIED: _ClassVar[Layer.LayerStatus]
        LAYER_STATUS_APPROVED: _ClassVar[Layer.LayerStatus]
        LAYER_STATUS_CONFIRMED: _ClassVar[Layer.LayerStatus]
        LAYER_STATUS_APPLIED: _ClassVar[Layer.LayerStatus]
    LAYER_STATUS_UNSPECIFIED: Layer.LayerStatus
    LAYER_STATUS_APPROVED: Layer.LayerStatus
    LAYER_STATUS_CONFIRMED: Layer.LayerStatus
    LAYER_STATUS_APPLIED: Layer.LayerStatus
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    ROOT_STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    number: LayerNumber
    status: Layer.LayerStatus
    hash: bytes
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    activations: _containers.RepeatedCompositeFieldContainer[Activation]
    root_state_hash: bytes
    def __init__(self, number: _Optional[_Union[LayerNumber, _Mapping]] = ..., status: _Optional[_Union[Layer.LayerStatus, str]] = ..., hash: _Optional[bytes] = ..., blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., activations: _Optional[_Iterable[_Union[Activation, _Mapping]]] = ..., root_state_hash: _Optional[bytes] = ...) -> None: ...

class LayerNumber(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class EpochNumber(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class MalfeasanceProof(_message.Message):
    __slots__ = ("smesher_id", "layer", "kind", "debug_info", "proof")
    class MalfeasanceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MALFEASANCE_UNSPECIFIED: _ClassVar[MalfeasanceProof.MalfeasanceType]
        MALFEASANCE_ATX: _ClassVar[MalfeasanceProof.MalfeasanceType]
        MALFEASANCE_BALLOT: _ClassVar[MalfeasanceProof.MalfeasanceType]
        MALFEASANCE_HARE: _ClassVar[MalfeasanceProof.MalfeasanceType]
        MALFEASANCE_POST_INDEX: _ClassVar[MalfeasanceProof.MalfeasanceType]
        MALFEASANCE_INCORRECT_PREV_ATX: _ClassVar[MalfeasanceProof.MalfeasanceType]
    MALFEASANCE_UNSPECIFIED: MalfeasanceProof.MalfeasanceType
    MALFEASANCE_ATX: MalfeasanceProof.MalfeasanceType
    MALFEASANCE_BALLOT: MalfeasanceProof.MalfeasanceType
    MALFEASANCE_HARE: MalfeasanceProof.MalfeasanceType
    MALFEASANCE_POST_INDEX: MalfeasanceProof.MalfeasanceType
    MALFEASANCE_INCORRECT_PREV_ATX: MalfeasanceProof.MalfeasanceType
    SMESHER_ID_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEBUG_INFO_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    smesher_id: SmesherId
    layer: LayerNumber
    kind: MalfeasanceProof.MalfeasanceType
    debug_info: str
    proof: bytes
    def __init__(self, smesher_id: _Optional[_Union[SmesherId, _Mapping]] = ..., layer: _Optional[_Union[LayerNumber, _Mapping]] = ..., kind: _Optional[_Union[MalfeasanceProof.MalfeasanceType, str]] = ..., debug_info: _Optional[str] = ..., proof: _Optional[bytes] = ...) -> None: ...
