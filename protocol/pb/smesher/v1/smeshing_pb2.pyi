import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_STOPPED: _ClassVar[Phase]
    PHASE_SENDING: _ClassVar[Phase]
    PHASE_FIRST_PROOF: _ClassVar[Phase]
    PHASE_SYNCING: _ClassVar[Phase]
    PHASE_WAITING_FOR_REGISTRATION: _ClassVar[Phase]
    PHASE_POSITIONING: _ClassVar[Phase]
    PHASE_REGISTERING: _ClassVar[Phase]
    PHASE_IN_ROUND: _ClassVar[Phase]
    PHASE_WAITING_FOR_ROUND_PROOF: _ClassVar[Phase]
    PHASE_PROVING: _ClassVar[Phase]
    PHASE_VERIFYING: _ClassVar[Phase]
    PHASE_READY: _ClassVar[Phase]
    PHASE_PUBLISHING: _ClassVar[Phase]
    PHASE_NOT_STARTED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_STOPPED: Phase
PHASE_SENDING: Phase
PHASE_FIRST_PROOF: Phase
PHASE_SYNCING: Phase
PHASE_WAITING_FOR_REGISTRATION: Phase
PHASE_POSITIONING: Phase
PHASE_REGISTERING: Phase
PHASE_IN_ROUND: Phase
PHASE_WAITING_FOR_ROUND_PROOF: Phase
PHASE_PROVING: Phase
PHASE_VERIFYING: Phase
PHASE_READY: Phase
PHASE_PUBLISHING: Phase
PHASE_NOT_STARTED: Phase

class IdentitiesRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, id: _Optional[_Iterable[bytes]] = ...) -> None: ...

class IdentitiesResponse(_message.Message):
    __slots__ = ("now", "identities")
    NOW_FIELD_NUMBER: _ClassVar[int]
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    now: _timestamp_pb2.Timestamp
    identities: _containers.RepeatedCompositeFieldContainer[Identity]
    def __init__(self, now: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., identities: _Optional[_Iterable[_Union[Identity, _Mapping]]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("id", "name", "phase", "reason", "publish_epoch", "timeline", "next", "registrations", "activations", "participation", "happenings")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    PARTICIPATION_FIELD_NUMBER: _ClassVar[int]
    HAPPENINGS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    name: str
    phase: Phase
    reason: str
    publish_epoch: int
    timeline: _containers.RepeatedCompositeFieldContainer[Moment]
    next: Moment
    registrations: _containers.RepeatedCompositeFieldContainer[Registration]
    activations: _containers.RepeatedCompositeFieldContainer[Activation]
    participation: _containers.RepeatedCompositeFieldContainer[Participation]
    happenings: _containers.RepeatedCompositeFieldContainer[Happening]
    def __init__(self, id: _Optional[bytes] = ..., name: _Optional[str] = ..., phase: _Optional[_Union[Phase, str]] = ..., reason: _Optional[str] = ..., publish_epoch: _Optional[int] = ..., timeline: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ..., next: _Optional[_Union[Moment, _Mapping]] = ..., registrations: _Optional[_Iterable[_Union[Registration, _Mapping]]] = ..., activations: _Optional[_Iterable[_Union[Activation, _Mapping]]] = ..., participation: _Optional[_Iterable[_Union[Participation, _Mapping]]] = ..., happenings: _Optional[_Iterable[_Union[Happening, _Mapping]]] = ...) -> None: ...

class Moment(_message.Message):
    __slots__ = ("kind", "at", "is_over")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Moment.Kind]
        KIND_CHALLENGE: _ClassVar[Moment.Kind]
        KIND_POSITIONING_END: _ClassVar[Moment.Kind]
        KIND_ROUND_START: _ClassVar[Moment.Kind]
        KIND_ROUND_END: _ClassVar[Moment.Kind]
        KIND_ROUND_PROOF_END: _ClassVar[Moment.Kind]
        KIND_PUBLICATION: _ClassVar[Moment.Kind]
        KIND_PUBLICATION_END: _ClassVar[Moment.Kind]
    KIND_UNSPECIFIED: Moment.Kind
    KIND_CHALLENGE: Moment.Kind
    KIND_POSITIONING_END: Moment.Kind
    KIND_ROUND_START: Moment.Kind
    KIND_ROUND_END: Moment.Kind
    KIND_ROUND_PROOF_END: Moment.Kind
    KIND_PUBLICATION: Moment.Kind
    KIND_PUBLICATION_END: Moment.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    IS_OVER_FIELD_NUMBER: _ClassVar[int]
    kind: Moment.Kind
    at: _timestamp_pb2.Timestamp
    is_over: bool
    def __init__(self, kind: _Optional[_Union[Moment.Kind, str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_over: _Optional[bool] = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("server", "round_id", "round_end")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    ROUND_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_END_FIELD_NUMBER: _ClassVar[int]
    server: str
    round_id: str
    round_end: _timestamp_pb2.Timestamp
    def __init__(self, server: _Optional[str] = ..., round_id: _Optional[str] = ..., round_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Activation(_message.Message):
    __slots__ = ("id", "publish_epoch", "weight", "num_units")
    ID_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_EPOCH_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    publish_epoch: int
    weight: int
    num_units: int
    def __init__(self, id: _Optional[bytes] = ..., publish_epoch: _Optional[int] = ..., weight: _Optional[int] = ..., num_units: _Optional[int] = ...) -> None: ...

class Participation(_message.Message):
    __slots__ = ("epoch", "is_eligible", "reason", "atx", "slots_known", "slots")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    IS_ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATX_FIELD_NUMBER: _ClassVar[int]
    SLOTS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    is_eligible: bool
    reason: str
    atx: bytes
    slots_known: bool
    slots: _containers.RepeatedCompositeFieldContainer[Slot]
    def __init__(self, epoch: _Optional[int] = ..., is_eligible: _Optional[bool] = ..., reason: _Optional[str] = ..., atx: _Optional[bytes] = ..., slots_known: _Optional[bool] = ..., slots: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("layer", "count", "proposal")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    layer: int
    count: int
    proposal: bytes
    def __init__(self, layer: _Optional[int] = ..., count: _Optional[int] = ..., proposal: _Optional[bytes] = ...) -> None: ...

class Happening(_message.Message):
    __slots__ = ("at", "kind", "is_failure", "sentence")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Happening.Kind]
        KIND_WAITING_FOR_POET_REGISTRATION_WINDOW: _ClassVar[Happening.Kind]
        KIND_POET_CHALLENGE_READY: _ClassVar[Happening.Kind]
        KIND_POET_REGISTERED: _ClassVar[Happening.Kind]
        KIND_POET_NOT_REGISTERED: _ClassVar[Happening.Kind]
        KIND_POET_PROOF_RECEIVED: _ClassVar[Happening.Kind]
        KIND_POET_PROOF_MISSING: _ClassVar[Happening.Kind]
        KIND_NOT_A_MEMBER: _ClassVar[Happening.Kind]
        KIND_BEST_PROOF_SELECTED: _ClassVar[Happening.Kind]
        KIND_GENERATING_POST_PROOF: _ClassVar[Happening.Kind]
        KIND_POST_PROOF_READY: _ClassVar[Happening.Kind]
        KIND_POST_PROOF_FAILED: _ClassVar[Happening.Kind]
        KIND_ATX_BROADCASTED: _ClassVar[Happening.Kind]
        KIND_ATX_NOT_BROADCASTED: _ClassVar[Happening.Kind]
        KIND_RETRYING: _ClassVar[Happening.Kind]
        KIND_ELIGIBLE: _ClassVar[Happening.Kind]
        KIND_PROPOSAL_PUBLISHED: _ClassVar[Happening.Kind]
        KIND_PROPOSAL_BUILD_FAILED: _ClassVar[Happening.Kind]
        KIND_PROPOSAL_PUBLISH_FAILED: _ClassVar[Happening.Kind]
    KIND_UNSPECIFIED: Happening.Kind
    KIND_WAITING_FOR_POET_REGISTRATION_WINDOW: Happening.Kind
    KIND_POET_CHALLENGE_READY: Happening.Kind
    KIND_POET_REGISTERED: Happening.Kind
    KIND_POET_NOT_REGISTERED: Happening.Kind
    KIND_POET_PROOF_RECEIVED: Happening.Kind
    KIND_POET_PROOF_MISSING: Happening.Kind
    KIND_NOT_A_MEMBER: Happening.Kind
    KIND_BEST_PROOF_SELECTED: Happening.Kind
    KIND_GENERATING_POST_PROOF: Happening.Kind
    KIND_POST_PROOF_READY: Happening.Kind
    KIND_POST_PROOF_FAILED: Happening.Kind
    KIND_ATX_BROADCASTED: Happening.Kind
    KIND_ATX_NOT_BROADCASTED: Happening.Kind
    KIND_RETRYING: Happening.Kind
    KIND_ELIGIBLE: Happening.Kind
    KIND_PROPOSAL_PUBLISHED: Happening.Kind
    KIND_PROPOSAL_BUILD_FAILED: Happening.Kind
    KIND_PROPOSAL_PUBLISH_FAILED: Happening.Kind
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    IS_FAILURE_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    kind: Happening.Kind
    is_failure: bool
    sentence: str
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[Happening.Kind, str]] = ..., is_failure: _Optional[bool] = ..., sentence: _Optional[str] = ...) -> None: ...
