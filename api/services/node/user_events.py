"""What the owner of an identity is told, from what the machines of a node tell of. Specified in protocol 10-api, 3.6.

The network's programs show the text of an event as it is, so each of them says what happened, what follows, and what
there is to do. Kinds, fields and their order are the network's; texts are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from api.services.node.v1 import malfeasance
from node.activation.smeshing import events as smeshing
from node.assembly.parameters import NodeParameters
from node.contract.instants import Instant
from node.malfeasance.machine import Convicted
from node.proposals.builder import ActiveSetMade, ProposalMade, SlotsKnown
from node.proposals.tables import ACTIVE_SETS, OWN_ACTIVE_SETS
from node.store.view import View
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.types.ids import Beacon, EpochId, NodeId

ID_BYTES = 32
NO_CHALLENGE = bytes(32)
"""That of an initial proof."""


class UserEvents:
    """Makes them. Lives in the engine's thread. Mutable: remembers what it has told of a round."""

    def __init__(self, parameters: NodeParameters, now: Callable[[], Instant]) -> None:
        self._time, self._tick_size = parameters.time, parameters.activation.tick_size
        self._now = now
        self._waits: dict[NodeId, EpochId] = {}
        """The publish epoch of whose round each identity was told that it waits for its end."""
        self._sizes: dict[EpochId, int] = {}
        """Of active sets, of the newest epochs."""

    def beacon(self, epoch: EpochId, beacon: Beacon) -> pb.Event:
        """A beacon is known."""
        return self._event(
            f"The beacon of epoch {epoch} is {beacon.hex()}. From it follows in which layers each identity may make "
            "proposals.",
            beacon=pb.EventBeacon(epoch=epoch, beacon=beacon),
        )

    def of(self, event: object, view: View) -> Iterator[pb.Event]:
        """What is told of an event of a machine; nothing of most of them."""
        match event:
            case smeshing.WaitsForRegistration():
                yield from self._waits_for_registration(event)
            case smeshing.RegisteredAt():
                yield from self._registered(event)
            case smeshing.RoundProofTaken(server, round_id, leaf_count):
                ticks = leaf_count // self._tick_size
                yield self._event(
                    f"The proof of round {round_id} of the PoET server {server} is here: {ticks} ticks.",
                    proof_downloaded_from_poet=pb.EventProofDownloadedFromPoet(
                        url=server, round_id=round_id, ticks=ticks
                    ),
                )
            case smeshing.BestProofSelected(identity, server, round_id, leaf_count):
                ticks = leaf_count // self._tick_size
                yield self._event(
                    f"Of all PoET proofs that of round {round_id} of {server} has the most ticks, {ticks}. The next "
                    "activation is built on it.",
                    best_proof_selected=pb.EventBestProofSelected(
                        url=server, round_id=round_id, ticks=ticks, smesher=identity
                    ),
                )
            case smeshing.PostState():
                yield self._post(event)
            case smeshing.ProofNotMade(identity, sentence):
                yield self._event(
                    f"No proof of space. {sentence} Is the PoST service running, and is its data whole?",
                    failure=True,
                    post_complete=pb.EventPostComplete(smesher=identity),
                )
            case smeshing.Published():
                yield from self._published(event)
            case ActiveSetMade(epoch, _, size):
                self._remember(epoch, size)
            case SlotsKnown():
                yield self._eligibilities(event, view)
            case ProposalMade(identity, layer, id):
                yield self._event(
                    f"A proposal for layer {layer} is published. It is rewarded if the layer's block is made of it.",
                    proposal=pb.EventProposal(layer=layer, proposal=id, smesher=identity),
                )
            case Convicted(identity, proof, True):
                yield self._event(
                    "This identity is proven to have broken the rules, and is never rewarded again. The usual cause is "
                    "the same key on two machines. Stop every node that has it, and go on with a new key and new data.",
                    malfeasance=pb.EventMalfeasance(proof=malfeasance.message(identity, proof, with_proof=False)),
                )

    # ---- PoET ----

    def _waits_for_registration(self, event: smeshing.WaitsForRegistration) -> Iterator[pb.Event]:
        publish = event.publish_epoch
        current = max(0, publish - 1)  # the network's word for the epoch in which the round begins
        text = (
            f"The challenge for the activation of epoch {publish} is made when its registration opens. Until then "
            "there is nothing to do."
        )
        waits = pb.EventPoetWaitRound(current=current, publish=publish, smesher=event.identity)
        waits.wait.FromNanoseconds(max(0, event.until - self._now()))
        waits.until.FromNanoseconds(event.until)
        yield self._event(text, poet_wait_round=waits)
        window = pb.EventWaitingForPoETRegistrationWindow(current=current, publish=publish, smesher=event.identity)
        window.round_end.FromNanoseconds(event.until)
        yield self._event(text, waiting_for_poet_registration_window=window)

    def _registered(self, event: smeshing.RegisteredAt) -> Iterator[pb.Event]:
        yield self._event(
            f"The PoET server {event.server} has taken the challenge into its round {event.round_id}.",
            registered_in_poet=pb.EventRegisteredInPoet(
                url=event.server, smesher=event.identity, round_id=event.round_id
            ),
        )
        publish = self._epoch(event.round_end)
        if self._waits.get(event.identity) == publish:
            return  # it waits for the end of all rounds at once
        self._waits[event.identity] = publish
        text = (
            f"The PoET round for the activation of epoch {publish} is under way. Its proof is fetched when it ends; "
            "the node and the PoST service should run then."
        )
        waits = pb.EventPoetWaitProof(publish=publish, target=publish + 1, smesher=event.identity)
        waits.wait.FromNanoseconds(max(0, event.round_end - self._now()))
        waits.until.FromNanoseconds(event.round_end)
        yield self._event(text, poet_wait_proof=waits)
        ends = pb.EventWaitingForPoETRoundEnd(publish=publish, target=publish + 1, smesher=event.identity)
        ends.round_end.FromNanoseconds(event.round_end)
        yield self._event(text, waiting_for_poet_round_end=ends)

    # ---- proofs and what follows ----

    def _post(self, event: smeshing.PostState) -> pb.Event:
        what = "the initial proof of space" if event.challenge == NO_CHALLENGE else "a proof of space"
        if event.is_proving:
            return self._event(
                f"The PoST service makes {what}: it reads all data, perhaps several times. Leave it running.",
                post_start=pb.EventPostStart(challenge=event.challenge, smesher=event.identity),
            )
        return self._event(
            f"The PoST service has made {what}.",
            post_complete=pb.EventPostComplete(challenge=event.challenge, smesher=event.identity),
        )

    def _published(self, event: smeshing.Published) -> Iterator[pb.Event]:
        target = EpochId(event.publish_epoch + 1)
        begins = self._time.start_ns(self._time.first_layer(target))
        for identity in event.identities or (event.identity,):
            published = pb.EventAtxPubished(current=event.publish_epoch, target=target, id=event.atx, smesher=identity)
            published.wait.FromNanoseconds(max(0, begins - self._now()))
            published.until.FromNanoseconds(begins)
            yield self._event(
                f"The activation for epoch {target} is published. It makes the identity eligible from the start of "
                "that epoch.",
                atx_published=published,
            )

    def _eligibilities(self, event: SlotsKnown, view: View) -> pb.Event:
        layers = len(event.slots)
        text = f"In epoch {event.epoch} the identity may make proposals in {layers} layer{'s' if layers != 1 else ''}."
        if not layers:
            text += " That happens to identities with little data; it may be otherwise in the next epoch."
        known = pb.EventEligibilities(
            epoch=event.epoch,
            beacon=event.beacon,
            atx=event.atx,
            active_set_size=self._size(event.epoch, view),
            smesher=event.identity,
        )
        for layer, count in event.slots.items():
            known.eligibilities.add(layer=layer, count=count)
        return self._event(text, eligibilities=known)

    def _remember(self, epoch: EpochId, size: int) -> None:
        self._sizes[epoch] = size
        for old in [one for one in self._sizes if one < epoch - 1]:
            del self._sizes[old]

    def _size(self, epoch: EpochId, view: View) -> int:
        """Activations of the epoch's own active set; by the length of its row where it was made before a restart."""
        if epoch not in self._sizes:
            own = view.get(OWN_ACTIVE_SETS, epoch)
            data = None if own is None else view.read(ACTIVE_SETS, own.hash)
            self._remember(epoch, 0 if data is None else len(data) // ID_BYTES)
        return self._sizes.get(epoch, 0)

    # ---- all ----

    def _epoch(self, moment: int) -> EpochId:
        return self._time.epoch_of(self._time.layer_at(moment))

    def _event(self, text: str, *, failure: bool = False, **details: object) -> pb.Event:
        event = pb.Event(failure=failure, help=text, **details)  # type: ignore[arg-type]
        event.timestamp.FromNanoseconds(self._now())
        return event
