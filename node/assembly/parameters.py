"""All parameters of a node as one value, from the settings of a network; what cannot work together is refused by name.

Protocol 03b-config-and-genesis, sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from node.activation.parameters import ActivationParameters
from node.activation.smeshing.parameters import SmeshingParameters
from node.beacon.parameters import BeaconParameters
from node.blocks.parameters import BlockParameters
from node.bootstrap.parameters import BootstrapParameters
from node.certificates.parameters import CertificateParameters
from node.eligibility.slots import MinimalWeight
from node.fetch.parameters import FetchParameters, ServerParameters
from node.hare.parameters import CommitteeUpgrade, HareParameters, check_versions
from node.ledger.parameters import VmParameters
from node.mesh.mesh import MeshParameters
from node.proposals.parameters import BuilderParameters, ProposalParameters
from node.sync.parameters import SyncParameters
from node.tortoise.parameters import HistoricalWindow, TortoiseParameters
from protocol.numbers.layers import LayerError, NetworkTime
from protocol.params.config import consensus
from protocol.params.config.derived import Contradiction, started
from protocol.params.config.node import Config
from protocol.params.genesis import GenesisError
from protocol.types import address
from protocol.types.ids import BEACON_SIZE, Address, AtxId, Beacon, EpochId, LayerId

from . import catching_up

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeParameters:
    """What all nodes of a network have in common, room by room."""

    genesis_id: bytes
    """20 bytes, the prefix of everything signed."""
    accounts: Mapping[Address, int]
    """With how many smidge the ledger begins."""
    first_beacon: Beacon | None
    """That of the first epoch with proposals, where the network says it from the beginning."""
    time: NetworkTime
    activation: ActivationParameters
    beacon: BeaconParameters
    hare3: HareParameters
    hare4: HareParameters
    confidence: int
    """Layers at the start of an epoch in which the active set of the one before counts."""
    certificates: CertificateParameters
    blocks: BlockParameters
    mesh: MeshParameters
    tortoise: TortoiseParameters
    vm: VmParameters
    bootstrap: BootstrapParameters
    fetch: FetchParameters
    server: ServerParameters
    sync: SyncParameters
    proposals: ProposalParameters
    builder: BuilderParameters
    smeshing: SmeshingParameters

    @property
    def first_epoch(self) -> EpochId:
        """The first epoch with proposals."""
        return self.time.epoch_of(self.time.effective_genesis + 1)


def parameters_of(config: Config, checkpoint_genesis: LayerId | None = None) -> NodeParameters:
    """The parameters that settings come to. checkpoint_genesis: the effective genesis, where a checkpoint moved it.

    Raises Contradiction, which names the settings that cannot work together, each by its path.
    """
    config = started(config)
    genesis = config.genesis.identity
    _named("genesis.genesis-extra-data", genesis.check, GenesisError)
    time = _named("main.layer-duration, main.layers-per-epoch", lambda: _time(config, checkpoint_genesis), LayerError)
    tortoise = _named("tortoise", lambda: _tortoise(config, time), ValueError)
    hare3, hare4 = _hare(config.hare3), _hare(config.hare4)
    main, post = config.main, config.post
    weights = tuple(MinimalWeight(EpochId(one.epoch), one.weight) for one in config.tortoise.minimal_active_set_weight)
    for name, hare in (("hare3", hare3), ("hare4", hare4)):
        _named(name, partial(hare.check, config.tortoise.zdist, time.layer_duration_ns), ValueError)
    found = NodeParameters(
        genesis_id=genesis.genesis_id,
        accounts={_account(text, main.network_hrp): balance for text, balance in genesis.accounts.items()},
        first_beacon=Beacon(genesis.genesis_id[:BEACON_SIZE]) if main.standalone else None,
        time=time,
        activation=ActivationParameters(
            golden_atx=AtxId(genesis.golden_atx),
            tick_size=main.tick_size,
            labels_per_unit=post.labels_per_unit,
            min_num_units=post.min_numunits,
            max_num_units=post.max_numunits,
            k2=post.k2,
            k3=post.k3,
            versions=dict(main.atx_versions),
        ),
        beacon=_beacon(config.beacon),
        hare3=hare3,
        hare4=hare4,
        confidence=config.hare_eligibility.confidence_param,
        certificates=CertificateParameters(
            committee=config.certificate.committee_size,
            threshold=config.certificate.certify_threshold,
            layer_buffer=config.certificate.layer_buffer,
            layers_to_keep=config.certificate.num_layers_to_keep,
        ),
        blocks=BlockParameters(main.block_gas_limit, main.optimistic_filtering_threshold),
        mesh=MeshParameters(time.effective_genesis),
        tortoise=tortoise,
        vm=VmParameters(
            genesis_id=genesis.genesis_id,
            hrp=main.network_hrp,
            first_effective_genesis=time.first_effective_genesis,
            block_gas_limit=main.block_gas_limit,
            effective_genesis=checkpoint_genesis,
        ),
        bootstrap=BootstrapParameters(config.bootstrap.interval_ns, config.bootstrap.version),
        fetch=catching_up.fetch(config.fetch),
        server=catching_up.server(config.fetch),
        sync=catching_up.sync(config),
        proposals=ProposalParameters(
            golden_atx=AtxId(genesis.golden_atx),
            layer_size=main.layer_average_size,
            hdist=tortoise.hdist,
            max_exceptions=tortoise.max_exceptions,
            minimal_weights=weights,
            sync_weight_units=config.beacon.sync_weight_units,
        ),
        builder=BuilderParameters(
            layer_size=main.layer_average_size,
            hdist=tortoise.hdist,
            minimal_weights=weights,
            grade_delay=main.atx_grade_delay_ns,
            good_percent=main.miner_good_atxs_percent,
            window=config.active_set_preparation.window_ns,
            retry_interval=config.active_set_preparation.retry_interval_ns,
            tries=config.active_set_preparation.tries,
            transactions=main.txs_per_proposal,
            gas_limit=main.block_gas_limit,
        ),
        smeshing=SmeshingParameters(
            servers=tuple(server.address for server in main.poet_servers),
            phase_shift=config.poet.phase_shift_ns,
            cycle_gap=config.poet.cycle_gap_ns,
            grace_period=config.poet.grace_period_ns,
            positioning_timeout=config.poet.positioning_atx_selection_timeout_ns,
            poet_retry=config.poet.retry_delay_ns,
            post_valid_delay=main.post_valid_delay_ns,
            regossip_interval=main.regossip_atx_interval_ns,
        ),
    )
    check(found)
    return found


def check(parameters: NodeParameters) -> None:
    """Whether the rooms can work together with these. Raises Contradiction."""
    time, tortoise, beacon = parameters.time, parameters.tortoise, parameters.beacon
    _named(
        "beacon-proposal-duration, beacon-first-voting-round-duration, beacon-voting-round-duration, "
        "beacon-weak-coin-round-duration, beacon-rounds-number",
        lambda: beacon.check(_epoch_ns(time)),
        ValueError,
    )
    if (tortoise.layers_per_epoch, tortoise.effective_genesis) != (time.layers_per_epoch, time.effective_genesis):
        raise Contradiction(
            f"The tortoise counts epochs of {tortoise.layers_per_epoch} layers from {tortoise.effective_genesis} on, "
            f"the clock epochs of {time.layers_per_epoch} from {time.effective_genesis} on."
        )
    least = max(tortoise.hdist, time.layers_per_epoch)
    if tortoise.window_size < least:
        raise Contradiction(
            f"tortoise-window-size is {tortoise.window_size} layers, expected {least} or more: tortoise-hdist, and an "
            "epoch, whose ballots refer to the first ones of it."
        )
    certificates = parameters.certificates
    if not 0 < certificates.threshold <= certificates.committee:
        raise Contradiction(
            f"A certificate needs {certificates.threshold} seats of {certificates.committee} (certificate.committee-"
            "size), expected at least one and no more than there are."
        )
    for name, hare in (("hare3", parameters.hare3), ("hare4", parameters.hare4)):
        if hare.is_enabled and not (hare.committee and hare.leaders and hare.iterations_limit):
            raise Contradiction(
                f"{name} is enabled with committee {hare.committee}, leaders {hare.leaders} and iterations-limit "
                f"{hare.iterations_limit}, expected each above zero."
            )
    _named("hare3, hare4", lambda: check_versions(parameters.hare3, parameters.hare4), ValueError)
    for name, value in (("phase-shift", parameters.smeshing.phase_shift), ("cycle-gap", parameters.smeshing.cycle_gap)):
        if value >= _epoch_ns(time):
            raise Contradiction(f"poet.{name} is {value} ns, expected less than an epoch, {_epoch_ns(time)} ns.")
    if parameters.bootstrap.interval <= 0:
        raise Contradiction(
            f"Bootstrap documents are asked for every {parameters.bootstrap.interval} ns, expected more than zero."
        )
    epochs = [one.epoch for one in parameters.proposals.minimal_weights]
    if epochs != sorted(set(epochs)):
        raise Contradiction(f"tortoise.MinimalActiveSetWeight names the epochs {epochs}, expected ascending ones.")


def _epoch_ns(time: NetworkTime) -> int:
    return time.layers_per_epoch * time.layer_duration_ns


def _time(config: Config, checkpoint_genesis: LayerId | None) -> NetworkTime:
    return NetworkTime(
        config.genesis.time.unix_ns, config.main.layer_duration_ns, config.main.layers_per_epoch, checkpoint_genesis
    )


def _account(text: str, hrp: str) -> Address:
    return _named(f"genesis.accounts: {text}", lambda: address.from_text(text, hrp), address.AddressError)


def _tortoise(config: Config, time: NetworkTime) -> TortoiseParameters:
    of = config.tortoise
    return TortoiseParameters(
        layers_per_epoch=time.layers_per_epoch,
        effective_genesis=time.effective_genesis,
        hdist=of.hdist,
        zdist=of.zdist,
        window_size=of.window_size,
        max_exceptions=of.max_exceptions,
        bad_beacon_delay=of.delay_layers,
        historical_windows=tuple(
            HistoricalWindow(LayerId(one.start), LayerId(one.end), one.window) for one in of.historical_window_size
        ),
    )


def _hare(of: consensus.Hare) -> HareParameters:
    upgrade = of.committee_upgrade
    return HareParameters(
        is_enabled=of.enable,
        enable_layer=LayerId(of.enable_layer),
        disable_layer=LayerId(of.disable_layer),
        topic=of.protocolname,
        committee=of.committee,
        leaders=of.leaders,
        iterations_limit=of.iterations_limit,
        preround_delay=of.preround_delay_ns,
        round_duration=of.round_duration_ns,
        upgrade=None if upgrade is None else CommitteeUpgrade(LayerId(upgrade.layer), upgrade.size),
    )


def _beacon(of: consensus.Beacon) -> BeaconParameters:
    return BeaconParameters(
        kappa=of.kappa,
        q=of.q,
        theta=of.theta,
        rounds=of.rounds_number,
        grace=of.grace_period_duration_ns,
        proposal_duration=of.proposal_duration_ns,
        first_voting_duration=of.first_voting_round_duration_ns,
        voting_duration=of.voting_round_duration_ns,
        weak_coin_duration=of.weak_coin_round_duration_ns,
        votes_limit=of.votes_limit,
        sync_weight_units=of.sync_weight_units,
    )


def _named(settings: str, make: Callable[[], T], refusal: type[Exception]) -> T:
    try:
        return make()
    except refusal as error:
        raise Contradiction(f"{settings}: {error}") from error
