"""The networks: the built-in defaults and what each network changes in them.

The fast and the standalone network stand on the defaults; the main and the test network are complete of themselves,
so they leave at zero what the reference's literals leave at zero. Protocol 03b-config-and-genesis, section 4.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from protocol.numbers.durations import HOUR, MAX_DURATION, MILLISECOND, MINUTE, SECOND
from protocol.params import post
from protocol.params.genesis import read_time

from .consensus import (
    ActiveSetPreparation,
    Beacon,
    Certificate,
    CommitteeUpgrade,
    EpochMinimalActiveWeight,
    HareEligibility,
    Poet,
    Post,
    Tortoise,
    WindowSizeInterval,
)
from .declare import NOTHING
from .ledger import MAINNET_ACCOUNTS
from .logs import Logging
from .network import Bootstrap
from .node import Config
from .services import Api, DbQueryCacheSizes, Genesis, Main, PoetServer

CPU_PROVIDER = (1 << 32) - 1
"""The number by which a configuration names the processor as the device for labels."""

_NO_CACHE = DbQueryCacheSizes(0, 0, 0)


def _post(params: post.PostParams) -> Post:
    return Post(
        min_numunits=params.min_num_units,
        max_numunits=params.max_num_units,
        labels_per_unit=params.labels_per_unit,
        k1=params.k1,
        k2=params.k2,
        k3=params.k3,
        pow_difficulty=params.pow_difficulty,
    )


def _poet_server(address: str, pubkey: str) -> PoetServer:
    return PoetServer(address, base64.b64decode(pubkey))


def _bootnode(number: int, peer: str) -> str:
    return f"/dns4/mainnet-bootnode-{number}.spacemesh.network/tcp/5000/p2p/{peer}"


_BASE = Config()

DEFAULT = replace(
    _BASE,
    genesis=Genesis(
        accounts=MappingProxyType(
            {
                "standalone1qqqqqqq88tmmasqcarfwx706gl0k48aq0f4gx3qgrl5v8": 10**17,
                "standalone1qqqqqqqmx9x30sz69yzljxxs6uhj76vfvs8mksc3g5e5n": 10**17,
            }
        )
    ),
)
"""What stands behind the fast and the standalone network; no network of its own."""

MAINNET = replace(
    _BASE,
    main=Main(
        profiler_name="",
        layer_duration_ns=5 * MINUTE,
        layer_average_size=50,
        layers_per_epoch=4032,
        txs_per_proposal=700,
        block_gas_limit=100_107_000,
        tick_size=9_331_200,
        db_size_metering_interval_ns=0,
        db_vacuum_state=21,
        db_query_cache_sizes=_NO_CACHE,
        prune_activesets_from=12,
        regossip_atx_interval_ns=2 * HOUR,
        atx_grade_delay_ns=30 * MINUTE,
        post_valid_delay_ns=MAX_DURATION,
        poet_servers=(
            _poet_server("https://mainnet-poet-0.spacemesh.network", "cFnqCS5oER7GOX576oPtahlxB/1y95aDibdK7RHQFVg="),
            _poet_server("https://mainnet-poet-1.spacemesh.network", "Qh1efxY4YhoYBEXKPTiHJ/a7n1GsllRSyweQKO3j7m0="),
            _poet_server("https://poet-110.spacemesh.network", "8Qqgid+37eyY7ik+EA47Nd5TrQjXolbv2Mdgir243No="),
            _poet_server("https://poet-111.spacemesh.network", "caIV0Ym59L3RqbVAL6UrCPwr+z+lwe2TBj57QWnAgtM="),
            _poet_server("https://poet-112.spacemesh.network", "5p/mPvmqhwdvf8U0GVrNq/9IN/HmZj5hCkFLAN04g1E="),
        ),
    ),
    genesis=Genesis(
        read_time("2023-07-14T08:00:00Z"),
        "00000000000000000001a6bc150307b5c1998045752b3c87eccf3c013036f3cc",
        MAINNET_ACCOUNTS,
    ),
    tortoise=Tortoise(
        zdist=2,
        window_size=4032,
        historical_window_size=(WindowSizeInterval(0, 30_000, 10_000),),
        max_exceptions=1000,
        delay_layers=4032,
        minimal_active_set_weight=(EpochMinimalActiveWeight(0, 1_000_000),),
        layer_size=0,
    ),
    p2p=replace(
        _BASE.p2p,
        bootnodes=(
            _bootnode(0, "12D3KooWPStnitMbLyWAGr32gHmPr538mT658Thp6zTUujZt3LRf"),
            _bootnode(2, "12D3KooWAsMgXLpyGdsRNjHBF3FaXwnXhyMEqWQYBXUpvCHNzFNK"),
            _bootnode(4, "12D3KooWRcTWDHzptnhJn5h6CtwnokzzMaDLcXv6oM9CxQEXd5FL"),
            _bootnode(6, "12D3KooWRS47KAs3ZLkBtE2AqjJCwxRYqZKmyLkvombJJdrca8Hz"),
            _bootnode(8, "12D3KooWFYv99aGbtXnZQy6UZxyf72NpkWJp3K4HS8Py35WhKtzE"),
            _bootnode(10, "12D3KooWHK5m83sNj2eNMJMGAngcS9gBja27ho83t79Q2CD4iRjQ"),
            _bootnode(12, "12D3KooWG4gk8GtMsAjYxHtbNC7oEoBTMRLbLDpKgSQMQkYBFRsw"),
            _bootnode(14, "12D3KooWRkZMjGNrQfRyeKQC9U58cUwAfyQMtjNsupixkBFag8AY"),
            _bootnode(16, "12D3KooWDAFRuFrMNgVQMDy8cgD71GLtPyYyfQzFxMZr2yUBgjHK"),
            _bootnode(18, "12D3KooWMJmdfwxDctuGGoTYJD8Wj9jubQBbPfrgrzzXaQ1RTKE6"),
        ),
    ),
    hare3=replace(
        _BASE.hare3,
        enable=True,
        enable_layer=35_117,
        committee=400,
        committee_upgrade=CommitteeUpgrade(105_720, 50),
    ),
    hare_eligibility=HareEligibility(200),
    certificate=Certificate(committee_size=200),
    beacon=Beacon(
        rounds_number=0,
        grace_period_duration_ns=10 * MINUTE,
        proposal_duration_ns=4 * MINUTE,
        first_voting_round_duration_ns=30 * MINUTE,
        voting_round_duration_ns=4 * MINUTE,
        weak_coin_round_duration_ns=4 * MINUTE,
    ),
    vm=replace(_BASE.vm, gas_limit=0),
    post=_post(post.MAINNET),
    poet=Poet(
        phase_shift_ns=240 * HOUR,
        cycle_gap_ns=12 * HOUR,
        grace_period_ns=HOUR,
        request_timeout_ns=1100 * SECOND,
        retry_delay_ns=10 * SECOND,
        positioning_atx_selection_timeout_ns=50 * MINUTE,
    ),
    smeshing=replace(_BASE.smeshing, proving_opts=replace(_BASE.smeshing.proving_opts, nonces=288)),
    logging=Logging(trtl="warn", mesh="warn"),
    bootstrap=Bootstrap(url="https://bootstrap.spacemesh.network/mainnet"),
    syncer=replace(
        _BASE.syncer,
        interval_ns=MINUTE,
        epochendfraction=0.8,
        hare_delay_layers=0,
        sync_cert_distance=0,
        tally_votes_frequency=0.0,
        maxstaleduration_ns=HOUR,
        gossipduration_ns=50 * SECOND,
        disable_mesh_agreement=True,
        out_of_sync_threshold=36,
    ),
    active_set_preparation=ActiveSetPreparation(60 * MINUTE, MINUTE, 20),
)
"""The main network."""

TESTNET = replace(
    _BASE,
    preset="testnet",
    main=Main(
        data_folder="~/spacemesh-testnet",
        profiler_name="",
        layer_duration_ns=5 * MINUTE,
        layer_average_size=50,
        layers_per_epoch=288,
        txs_per_proposal=700,
        block_gas_limit=100_107_000,
        tick_size=666_514,
        db_query_cache_sizes=_NO_CACHE,
        network_hrp="stest",
        regossip_atx_interval_ns=HOUR,
        atx_grade_delay_ns=30 * MINUTE,
        post_valid_delay_ns=0,
    ),
    genesis=Genesis(
        read_time("2023-09-13T18:00:00Z"),
        "0000000000000000000000c76c58ebac180989673fd6d237b40e66ed5c976ec3",
        NOTHING,
    ),
    tortoise=Tortoise(
        zdist=2,
        window_size=10_000,
        max_exceptions=1000,
        delay_layers=4032,
        minimal_active_set_weight=(EpochMinimalActiveWeight(0, 10_000),),
        layer_size=0,
    ),
    # an empty protocol name is what the network has
    hare3=replace(_BASE.hare3, enable=True, enable_layer=7366, protocolname=""),
    hare_eligibility=HareEligibility(20),
    certificate=Certificate(committee_size=200),
    beacon=replace(MAINNET.beacon, rounds_number=20),
    vm=replace(_BASE.vm, gas_limit=0),
    post=_post(post.TESTNET),
    poet=Poet(
        phase_shift_ns=12 * HOUR,
        cycle_gap_ns=2 * HOUR,
        grace_period_ns=10 * MINUTE,
        request_timeout_ns=550 * SECOND,
        retry_delay_ns=5 * SECOND,
    ),
    smeshing=replace(
        _BASE.smeshing,
        opts=replace(_BASE.smeshing.opts, provider=CPU_PROVIDER),
        proving_opts=replace(_BASE.smeshing.proving_opts, nonces=288),
    ),
    bootstrap=Bootstrap(url="https://bootstrap.spacemesh.network/testnet06"),
    syncer=replace(MAINNET.syncer, epochendfraction=0.5, disable_mesh_agreement=False, out_of_sync_threshold=10),
    active_set_preparation=ActiveSetPreparation(10 * MINUTE, MINUTE, 5),
)
"""The public test network."""

_SHORT_BEACON = Beacon(
    rounds_number=4,
    grace_period_duration_ns=30 * SECOND,
    proposal_duration_ns=2 * SECOND,
    first_voting_round_duration_ns=10 * SECOND,
    voting_round_duration_ns=2 * SECOND,
    weak_coin_round_duration_ns=2 * SECOND,
    sync_weight_units=10,
)
_SHORT_POET = Poet(
    phase_shift_ns=30 * SECOND,
    cycle_gap_ns=30 * SECOND,
    grace_period_ns=10 * SECOND,
    request_timeout_ns=12 * SECOND,
    retry_delay_ns=SECOND,
    positioning_atx_selection_timeout_ns=8 * SECOND,
    info_cache_ttl_ns=MINUTE,
    pow_params_cache_ttl_ns=10 * SECOND,
    retry_max=3,
)

FASTNET = replace(
    _BASE,
    main=Main(
        layer_duration_ns=15 * SECOND,
        layer_average_size=50,
        layers_per_epoch=4,
        db_prune_interval_ns=MINUTE,
        network_hrp="stest",
        miner_good_atxs_percent=50,
        regossip_atx_interval_ns=30 * SECOND,
        atx_grade_delay_ns=SECOND,
    ),
    genesis=Genesis(extra_data="fastnet"),
    tortoise=Tortoise(hdist=4, zdist=2, delay_layers=2),
    p2p=replace(_BASE.p2p, min_peers=10),
    hare3=replace(
        _BASE.hare3,
        enable=True,
        leaders=10,
        iterations_limit=2,
        preround_delay_ns=3 * SECOND,
        round_duration_ns=700 * MILLISECOND,
    ),
    hare_eligibility=HareEligibility(2),
    beacon=_SHORT_BEACON,
    post=_post(post.FASTNET),
    poet=_SHORT_POET,
    smeshing=replace(
        _BASE.smeshing,
        coinbase="stest1qqqqqqp3qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqql50dsa",
        opts=replace(
            _BASE.smeshing.opts,
            provider=CPU_PROVIDER,
            scrypt=replace(_BASE.smeshing.opts.scrypt, n=post.FASTNET.scrypt_n),
            compute_batch_size=post.FASTNET.compute_batch_size,
        ),
        proving_opts=replace(_BASE.smeshing.proving_opts, randomx_mode="light"),
    ),
    fetch=replace(_BASE.fetch, request_timeout_ns=2 * SECOND),
    syncer=replace(
        _BASE.syncer,
        interval_ns=5 * SECOND,
        gossipduration_ns=10 * SECOND,
        atx_sync=replace(
            _BASE.syncer.atx_sync,
            epoch_info_request_interval_ns=SECOND,
            epoch_info_peers=10,
            requests_limit=100,
        ),
        malfeasance_sync=replace(_BASE.syncer.malfeasance_sync, id_request_interval_ns=20 * SECOND),
    ),
)
"""The network of system tests, an epoch a minute; its genesis time must be given."""

STANDALONE = replace(
    _BASE,
    main=Main(
        data_folder="/tmp/spacemesh",
        filelock="/tmp/spacemesh/LOCK",
        standalone=True,
        layer_duration_ns=6 * SECOND,
        layer_average_size=50,
        layers_per_epoch=10,
        poet_servers=(PoetServer("http://127.0.0.1:10010"),),
        network_hrp="standalone",
    ),
    genesis=Genesis(extra_data="standalone"),
    tortoise=Tortoise(hdist=2, zdist=2),
    p2p=replace(
        _BASE.p2p,
        disable_natport=True,
        listen=("/ip4/0.0.0.0/tcp/17513",),
        advertise_address=("/ip4/0.0.0.0/tcp/17513",),
    ),
    api=Api(grpc_public_listener="0.0.0.0:10092", grpc_private_listener="127.0.0.1:10093"),
    hare3=replace(_BASE.hare3, enable=True, preround_delay_ns=SECOND, round_duration_ns=100 * MILLISECOND),
    hare_eligibility=HareEligibility(2),
    beacon=_SHORT_BEACON,
    time=replace(_BASE.time, peersync=replace(_BASE.time.peersync, disable=True)),
    post=_post(post.STANDALONE),
    poet=replace(_SHORT_POET, grace_period_ns=12 * SECOND),
    smeshing=replace(
        _BASE.smeshing,
        start=True,
        coinbase="standalone1qqqqqqp3qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqvqtwcg",
        opts=replace(_BASE.smeshing.opts, datadir="/tmp/spacemesh", numunits=1, provider=CPU_PROVIDER, throttle=True),
        proving_opts=replace(_BASE.smeshing.proving_opts, randomx_mode="light"),
    ),
    syncer=replace(_BASE.syncer, interval_ns=3 * SECOND),
)
"""A network of one node; its genesis time must be given."""

PRESETS: Mapping[str, Config] = MappingProxyType({"testnet": TESTNET, "fastnet": FASTNET, "standalone": STANDALONE})
"""What a configuration may name as its preset. The main network is none: it is where a configuration begins."""

BY_NAME: Mapping[str, Config] = MappingProxyType({"mainnet": MAINNET, **PRESETS})
"""Every network by its name."""


def for_machine(config: Config, processors: int, pow_flags: int | None = None) -> Config:
    """A network's configuration with the threads that a machine of so many processors gives to proofs.

    pow_flags: the RandomX flags that fit its processor; None leaves them.
    """
    smeshing = config.smeshing
    proving = smeshing.proving_opts
    if proving.nonces == MAINNET.smeshing.proving_opts.nonces:  # the small networks prove with one thread
        proving = replace(proving, threads=max(1, processors * 3 // 4))
    verifying = replace(smeshing.verifying_opts, workers=max(1, processors // 2))
    if pow_flags is not None:
        verifying = replace(verifying, powflags=pow_flags)
    return replace(config, smeshing=replace(smeshing, proving_opts=proving, verifying_opts=verifying))
