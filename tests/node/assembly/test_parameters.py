"""Parameters of a node from settings: every network gives some, and what cannot work together is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.assembly.parameters import check, parameters_of
from node.tortoise.parameters import HistoricalWindow
from protocol.numbers.durations import HOUR, MINUTE, SECOND
from protocol.numbers.time import Time
from protocol.params.config import networks
from protocol.params.config.consensus import EpochMinimalActiveWeight
from protocol.params.config.derived import Contradiction
from protocol.params.config.node import Config
from protocol.params.config.requests import ServerConfig
from protocol.types.ids import LayerId

SOME_TIME = Time(1_700_000_000, 0)
STANDALONE = replace(networks.STANDALONE, genesis=replace(networks.STANDALONE.genesis, time=SOME_TIME))


def test_the_main_network() -> None:
    found = parameters_of(networks.MAINNET)
    assert found.genesis_id.hex() == "9eebff023abb17ccb775c602daade8ed708f0a50"
    assert found.activation.golden_atx.hex().startswith(found.genesis_id.hex())
    assert (found.time.effective_genesis, found.first_epoch) == (8063, 2)
    assert (found.hare3.committee_for(LayerId(105_719)), found.hare3.committee_for(LayerId(105_720))) == (400, 50)
    assert not found.hare4.is_enabled
    assert (found.certificates.committee, found.certificates.threshold) == (200, 101)
    assert (found.certificates.layer_buffer, found.certificates.layers_to_keep) == (2, 4)
    assert found.beacon.rounds == 0 and found.beacon.length == 0 and found.first_beacon is None
    assert found.tortoise.historical_windows == (HistoricalWindow(LayerId(0), LayerId(30_000), 10_000),)
    assert found.proposals.minimal_weights[0].weight == 1_000_000
    assert (found.builder.good_percent, found.builder.grade_delay) == (90, 30 * MINUTE)
    assert sum(found.accounts.values()) == 150_000_000 * 10**9
    assert found.bootstrap.interval == MINUTE
    assert (found.sync.hare_delay_layers, found.sync.certificate_distance, found.sync.tally_fraction) == (2, 10, 0)
    assert not found.sync.has_mesh_agreement
    assert (found.smeshing.phase_shift, found.smeshing.cycle_gap) == (240 * HOUR, 12 * HOUR)
    assert len(found.smeshing.servers) == 5


@pytest.mark.parametrize("name", networks.BY_NAME)
def test_every_network_has_parameters(name: str) -> None:
    found = parameters_of(networks.BY_NAME[name])
    assert found.tortoise.layers_per_epoch == found.time.layers_per_epoch
    assert (found.first_beacon is None) is (name != "standalone")


def test_a_network_of_one_node_says_its_first_beacon() -> None:
    found = parameters_of(STANDALONE)
    assert found.first_beacon == found.genesis_id[:4] and found.sync.is_standalone


def test_a_checkpoint_moves_the_effective_genesis_but_not_where_subsidies_begin() -> None:
    found = parameters_of(STANDALONE, LayerId(99))
    assert found.time.effective_genesis == found.mesh.effective_genesis == found.tortoise.effective_genesis == 99
    assert found.vm.effective_genesis == 99 and found.vm.first_effective_genesis == 19
    assert found.first_epoch == 10


def changed(section: str, **values: Any) -> Config:
    return replace(STANDALONE, **{section: replace(getattr(STANDALONE, section), **values)})


def test_parts_of_an_epoch_are_taken_as_they_are_set() -> None:
    malfeasance = replace(STANDALONE.syncer.malfeasance_sync, max_epoch_fraction=0.002)
    found = parameters_of(
        changed("syncer", epochendfraction=0.996, tally_votes_frequency=0.004, malfeasance_sync=malfeasance)
    ).sync
    parts = found.epoch_end_fraction, found.tally_fraction, found.malfeasance.max_epoch_fraction
    assert parts == (0.996, 0.004, 0.002)


CANNOT = {
    "a beacon that outlasts its epoch": (changed("beacon", rounds_number=14), "beacon takes"),
    "a window without the distance": (changed("tortoise", hdist=20, window_size=19), "tortoise-window-size"),
    "a window shorter than an epoch": (changed("tortoise", window_size=9), "tortoise-window-size"),
    "hdist below zdist": (changed("tortoise", hdist=1), "zdist"),
    "weights out of order": (
        changed("tortoise", minimal_active_set_weight=(EpochMinimalActiveWeight(4, 1), EpochMinimalActiveWeight(2, 1))),
        "MinimalActiveSetWeight",
    ),
    "a hare that outlasts zdist": (changed("hare3", round_duration_ns=SECOND), "hare3"),
    "a committee of nobody": (changed("hare3", committee=0), "certificate"),
    "a hare without leaders": (changed("hare3", leaders=0), "hare3 is enabled"),
    "two hares in a layer": (changed("hare4", enable=True, preround_delay_ns=0, round_duration_ns=1), "hare3, hare4"),
    "a round that begins after its epoch": (changed("poet", phase_shift_ns=MINUTE), "phase-shift"),
    "a gap as long as an epoch": (changed("poet", cycle_gap_ns=MINUTE), "cycle-gap"),
    "a server that answers nobody": (
        changed("fetch", servers={"hs/1": ServerConfig(10, 0, SECOND)}),
        "fetch.servers.hs/1",
    ),
    "batches of nothing": (changed("fetch", batchsize=0), "fetch.batchsize"),
    "batches that peers do not read": (changed("fetch", batchsize=101), "fetch.batchsize"),
    "activations that are asked for one by none": (changed("fetch", getatxsconcurrency=0), "fetch.getatxsconcurrency"),
    "batches of no activations": (
        changed("syncer", atx_sync=replace(STANDALONE.syncer.atx_sync, atxs_batch=0)),
        "syncer.atx-sync.atxs-batch",
    ),
    "lists of nobody": (
        changed("syncer", malfeasance_sync=replace(STANDALONE.syncer.malfeasance_sync, malfeasance_id_peers=0)),
        "syncer.malfeasance-sync.malfeasance-id-peers",
    ),
    "questions without a pause": (
        changed("syncer", malfeasance_sync=replace(STANDALONE.syncer.malfeasance_sync, retry_interval_ns=0)),
        "syncer.malfeasance-sync.retry-interval",
    ),
    "more than a whole epoch": (changed("syncer", epochendfraction=1.5), "epochendfraction"),
    "a sync without end": (changed("syncer", interval_ns=0), "syncer.interval"),
    "an address of another network": (changed("main", network_hrp="sm"), "genesis.accounts"),
    "no extra data": (changed("genesis", extra_data=""), "genesis-extra-data"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_work_together_is_refused_by_name(name: str) -> None:
    config, word = CANNOT[name]
    if name == "an address of another network":
        account = next(iter(networks.DEFAULT.genesis.accounts))
        config = replace(config, genesis=replace(config.genesis, accounts={account: 1}))
    with pytest.raises(Contradiction) as refused:
        parameters_of(config)
    assert word in str(refused.value), refused.value


def test_parameters_that_come_from_nowhere_are_checked_too() -> None:
    found = parameters_of(STANDALONE)
    check(found)
    apart = replace(found, tortoise=replace(found.tortoise, layers_per_epoch=9))
    silent = replace(found, bootstrap=replace(found.bootstrap, interval=0))
    for one in (apart, silent):
        with pytest.raises(Contradiction):
            check(one)
