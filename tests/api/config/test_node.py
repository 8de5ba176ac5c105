"""A node's configuration: what ours refuses where the reference loses a value, and what people read then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.config.errors import ConfigError
from api.config.load import CommandLine, load, parse_flags
from protocol.numbers.durations import MINUTE, SECOND
from protocol.params import post
from protocol.params.config import networks
from protocol.params.config.derived import Contradiction, started


def refused(text: str | None, *flags: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(text, parse_flags(flags))
    return caught.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"main": {"tick-size": -1}}', ("main.tick-size", "-1", "from 0 to")),
        ('{"main": {"layers-per-epoch": 4294967296}}', ("main.layers-per-epoch", "4294967296", "4294967295")),
        ('{"hare3": {"committee": 65536}}', ("hare3.committee", "65536")),
        ('{"main": {"tick-size": 12.7}}', ("main.tick-size", "12.7", "whole number")),
        ('{"main": {"tick-size": true}}', ("main.tick-size", "True")),
        ('{"main": {"tick-size": ""}}', ("main.tick-size", "''")),
        ('{"main": {"tick-size": "010"}}', ("main.tick-size", "leading zero")),
        ('{"main": {"standalone": ""}}', ("main.standalone", "true or false")),
        ('{"main": {"standalone": 2}}', ("main.standalone", "2")),
        ('{"main": {"layer-duration": "90"}}', ("main.layer-duration", "unit", "1h30m")),
        ('{"main": {"layer-duration": 1.9}}', ("main.layer-duration", "1.9")),
        ('{"main": {"network-hrp": true}}', ("main.network-hrp", "True")),
        ('{"p2p": {"listen": "127.0.0.1:5"}}', ("p2p.listen", "127.0.0.1:5", "/ip4/")),
        ('{"main": 5}', ("main", "section")),
        ('{"genesis": {"genesis-time": "2024-01-01"}}', ("genesis.genesis-time", "zone")),
        ('{"post": {"post-pow-difficulty": "0f"}}', ("post.post-pow-difficulty", "64 hex digits")),
        ('{"main": {"poet-servers": [{"address": "a", "pubkey": "%%"}]}}', ("pubkey", "base64")),
        ('{"main": {"atx-versions": {"2": 3}}}', ("main.atx-versions", "version 3")),
        ('{"main": {"atx-versions": {"1": 2, "5": 1}}}', ("main.atx-versions", "goes back")),
    ],
)
def test_a_value_that_would_be_lost_is_refused_with_its_path(text: str, words: tuple[str, ...]) -> None:
    error = refused(text)
    assert error.reason == "bad_value"
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ('{"main": {"tick-sise": 1}}', "main.tick-sise is no setting. Did you mean tick-size?"),
        ('{"man": {}}', "man is no setting. Did you mean main?"),
        ('{"main": {"tick-sise": null}}', "Did you mean tick-size?"),
        ('{"smeshing": {"smeshing-opts": {"smeshing-opts-numunit": 1}}}', "Did you mean smeshing-opts-numunits?"),
        ('{"main": {"poet-servers": [{"adress": "a"}]}}', "main.poet-servers: adress is no setting"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(text: str, nearest: str) -> None:
    error = refused(text)
    assert error.reason == "unknown_key"
    assert nearest in str(error)


def test_big_numbers_are_exact_and_lists_of_flags_replace_once() -> None:
    config = load('{"main": {"block-gas-limit": 18446744073709551615}}', parse_flags(["--bootnodes=a,b"]))
    assert config.main.block_gas_limit == 2**64 - 1
    assert config.p2p.bootnodes == ("a", "b")
    accounts = load("{}", parse_flags(["-a", "sm1a=5", "-a", "sm1b=6"])).genesis.accounts
    assert dict(accounts) == {"sm1a": 5, "sm1b": 6}


def test_the_order_is_preset_file_environment_flags() -> None:
    text = '{"preset": "fastnet", "main": {"layer-duration": "7s", "tick-size": 5, "txs-per-proposal": 6}}'
    environment = {"SMESHER_TICK_SIZE": "8", "SMESHER_TXS_PER_PROPOSAL": "9", "SMESHER_OTHER": "x", "HOME": "/"}
    config = load(text, parse_flags(["--txs-per-proposal", "10"]), environment)
    assert config.preset == "fastnet"
    assert config.main.layer_duration_ns == 7 * SECOND
    assert (config.main.tick_size, config.main.txs_per_proposal) == (8, 10)
    assert config.hare3 == networks.FASTNET.hare3


def test_toml_says_the_same_as_json() -> None:
    toml = """
        preset = "testnet"
        [main]
        layer-duration = "4m"
        [genesis]
        genesis-time = 2024-01-02T03:04:05Z
    """
    config = load(toml, form="toml")
    assert config.main.layer_duration_ns == 4 * MINUTE
    assert config.genesis.time.seconds == 1_704_164_645
    same = '{"preset":"testnet","main":{"layer-duration":"4m"},"genesis":{"genesis-time":"2024-01-02T03:04:05Z"}}'
    assert load(same) == config
    with pytest.raises(ConfigError, match="no TOML"):
        load("a =", form="toml")


@pytest.mark.parametrize(
    ("flags", "reason", "words"),
    [
        (["--tick-sise=1"], "unknown_flag", "Did you mean --tick-size?"),
        (["--tick-size"], "bad_flag_value", "needs a value"),
        (["--tick-size=x"], "bad_flag_value", "--tick-size is 'x'"),
        (["-z"], "unknown_flag", "no flag -z"),
        (["--poet-server=x"], "deprecated_key", "main.poet-servers"),
        (["--preset=Testnet"], "unknown_preset", "Did you mean testnet?"),
        (["--preset=mainnet"], "unknown_preset", "leave it out"),
    ],
)
def test_flags_are_refused_in_words(flags: list[str], reason: str, words: str) -> None:
    error = refused("{}", *flags)
    assert error.reason == reason
    assert words in str(error)


def test_a_file_is_needed_and_must_be_an_object() -> None:
    assert refused(None).reason == "config_file_missing"
    assert refused("[]").reason == "not_json"
    assert refused('{"main": {"tick-size": NaN}}').reason == "not_json"
    assert refused("[" * 100_000).reason == "not_json"
    assert parse_flags(["--", "--metrics"]) == CommandLine(positional=("--metrics",))


@pytest.mark.parametrize("name", ["MAINNET", "TESTNET", "FASTNET", "STANDALONE"])
def test_every_network_can_start_and_derives_its_values(name: str) -> None:
    config = started(getattr(networks, name))
    assert config.vm.gas_limit == config.main.block_gas_limit
    assert config.vm.genesis_id == config.genesis.identity.genesis_id
    assert config.certificate.certify_threshold == config.certificate.committee_size // 2 + 1
    assert config.tortoise.layer_size == config.main.layer_average_size > 0
    assert config.tortoise.delay_layers > 0
    params = post.network(name)
    assert config.post.labels_per_unit == params.labels_per_unit
    assert config.smeshing.opts.scrypt.n == params.scrypt_n


def test_settings_that_contradict_each_other_do_not_start() -> None:
    slow = replace(networks.FASTNET, hare3=replace(networks.FASTNET.hare3, round_duration_ns=10 * SECOND))
    with pytest.raises(Contradiction, match="tortoise-zdist"):
        started(slow)
    turned = replace(networks.FASTNET, hare3=replace(networks.FASTNET.hare3, disable_layer=0))
    with pytest.raises(Contradiction, match="disable-layer"):
        started(turned)
    deaf = replace(networks.FASTNET, p2p=replace(networks.FASTNET.p2p, enable_tcp_transport=False))
    with pytest.raises(Contradiction, match="no transport"):
        started(deaf)
    relays = replace(networks.FASTNET, p2p=replace(networks.FASTNET.p2p, static_relays=("x",)))
    with pytest.raises(Contradiction, match=r"p2p\.relay"):
        started(relays)


@pytest.mark.parametrize(
    ("section", "changed", "words"),
    [
        ("main", {"layer_duration_ns": 0}, r"main\.layer-duration is 0"),
        ("main", {"layers_per_epoch": 0}, r"main\.layers-per-epoch is 0"),
        ("main", {"data_folder": " "}, r"main\.data-folder is empty"),
        ("main", {"filelock": ""}, r"main\.filelock is empty"),
        ("main", {"standalone": True, "poet_servers": ()}, r"main\.standalone .* main\.poet-servers names 0"),
        ("p2p", {"min_peers": 50}, r"p2p\.min-peers is 50, low-peers 40"),
        ("p2p", {"high_peers": 10}, "high-peers 10"),
        ("post", {"min_numunits": 5, "max_numunits": 4}, "post-min-numunits at most post-max-numunits"),
        ("post", {"k2": 0}, r"post\.post-k2"),
        ("beacon", {"rounds_number": 20}, r"beacon takes 1m28s for its 20 rounds, but an epoch has"),
        ("smeshing", {"start": True, "coinbase": ""}, r"smeshing\.smeshing-coinbase names nobody"),
    ],
)
def test_what_cannot_run_is_refused_by_its_path(section: str, changed: dict[str, object], words: str) -> None:
    part = getattr(networks.FASTNET, section)
    with pytest.raises(Contradiction, match=words):
        started(replace(networks.FASTNET, **{section: replace(part, **changed)}))


def test_a_machine_gives_its_processors_to_proofs() -> None:
    big = networks.for_machine(networks.MAINNET, 16, pow_flags=74)
    assert big.smeshing.proving_opts.threads == 12
    assert big.smeshing.verifying_opts.workers == 8
    assert big.smeshing.verifying_opts.powflags == 74
    assert networks.for_machine(networks.FASTNET, 16).smeshing.proving_opts.threads == 1
