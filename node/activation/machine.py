"""The machine of activations: which of them are taken, what is kept of them, who is told.

| state of a message | kept |
|---|---|
| waits: `judge_v1`, `judge_v2` say for what | nothing |
| taken | rows (`tables`), columns in memory (`columns`), the followers are told |
| taken, and contradicts others of its smesher | the same, and malfeasance is reported |

The memory follows from the rows and is read at start. Protocol 04-activation-beacon-eligibility, section 4.
"""

from __future__ import annotations

from collections.abc import Callable

from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.ports import Keys
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ignore, reject
from node.store.view import View
from protocol.codec.declare import CodecError
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import ActivationTxV1, publish_epoch_of, version_of
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.fetch import Hint
from protocol.types.ids import EpochId

from .columns import AtxColumns
from .judge_v1 import JudgeV1, StageV1
from .judge_v2 import JudgeV2, StageV2
from .memory import Followers, Memory
from .parameters import ActivationParameters
from .surroundings import Positions, Surroundings

TOPIC = "ax1"


class ActivationMachine(Machine):
    """The activations of one network."""

    name = "activation"
    topics = (TOPIC,)
    hints = (Hint.ATX,)
    signs = True

    def __init__(
        self,
        parameters: ActivationParameters,
        time: NetworkTime,
        keys: Keys,
        columns: AtxColumns,
        followers: Followers,
        choose: Positions,
        is_synced: Callable[[], bool],
        first_epoch: Callable[[View], EpochId],
    ) -> None:
        """is_synced: whether all activations of the past are here; first_epoch: the first one that is read at start,
        by what was applied."""
        self._parameters = parameters
        self._memory = Memory(columns, followers)
        surroundings = Surroundings(parameters, time, keys, self._memory, choose)
        self._v1, self._v2 = JudgeV1(surroundings), JudgeV2(surroundings)
        self._is_synced = is_synced
        self._first_epoch = first_epoch

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says."""
        self._memory.load(view, self._first_epoch(view))
        return NOTHING

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        if message.origin is Origin.GOSSIP and not self._is_synced():
            return Judged(ignore("not_synced"))
        try:
            version = version_of(publish_epoch_of(message.data), self._parameters.versions)
            codec = ActivationTxV1.codec if version == 1 else ActivationTxV2.codec
            atx = codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        id = atx.id()
        if message.expected not in (None, id):
            return Judged(reject("wrong_hash", f"The ATX is {id.hex()}, asked for was another."))
        return self._v1.admit(atx, id) if isinstance(atx, ActivationTxV1) else self._v2.admit(atx, id, view)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        stage = ticket.memo
        if isinstance(stage, StageV1):
            return self._v1.proceed(stage, found, ticket.message, view, now)
        assert isinstance(stage, StageV2)
        return self._v2.proceed(stage, found, ticket.message, view, now)
