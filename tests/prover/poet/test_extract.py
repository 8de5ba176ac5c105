"""A proof drawn from one kept layer is that of the full tree, for every size of the round and of the storeys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.posw import sha256
from protocol.crypto import merkle
from prover.errors import Interrupted
from prover.poet.round import extract, fiat_shamir, labels, layers
from prover.poet.round.prove import ProverConfig, RoundProver

STATEMENT = b"hello world, this is a challenge"
LEAVES = 700
MAINNET_LEAVES = 324 * 3600 * 78_000


@pytest.fixture(scope="module")
def all_labels() -> list[bytes]:
    """Labels of the round by the definition, with nothing of the prover in it."""
    tree = merkle.StreamTree(labels.node_of(STATEMENT))
    found = []
    for index in range(LEAVES):
        found.append(labels.label(STATEMENT, index, tree._slots))
        tree.add(found[-1])
    return found


def expected(all_labels: list[bytes], leaves: int, count: int) -> tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]]:
    """Root, proven leaves and proof nodes by the definition."""
    join = labels.node_of(STATEMENT)
    root = merkle.layers_of(all_labels[:leaves], join)[-1][0]
    indices = fiat_shamir.draw(root, leaves, count)
    return root, tuple(all_labels[index] for index in indices), merkle.prove(all_labels[:leaves], indices, join)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leaves=st.integers(1, LEAVES),
    height=st.integers(0, 12),
    count=st.integers(1, 200),
    chunk_height=st.sampled_from([0, 1, 2, 3, 12]),
    together=st.integers(1, 5),
)
def test_a_regenerated_tree_gives_the_proof_of_the_full_tree(
    leaves: int,
    height: int,
    count: int,
    chunk_height: int,
    together: int,
    all_labels: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("round")
    with mock.patch.multiple(extract, CHUNK_HEIGHT=chunk_height, CHUNKS_TOGETHER=together):
        prover = RoundProver(ProverConfig(directory, kept_height=height, security_param=count, threads=1), STATEMENT)
        proof = prover.run(leaves=leaves)
        assert (proof.root, proof.proven_leaves, proof.proof_nodes) == expected(all_labels, leaves, count)
        # without what is parked at the end the tail is made again
        log = layers.open_log(directory, STATEMENT, height)
        kept = layers.KeptLayer.reopen(directory, log, log.recorded)
        assert extract.extract(kept, leaves, count, threads=2) == proof.merkle_proof
        kept.close()


def test_a_drawing_that_is_told_to_stop(all_labels: list[bytes]) -> None:
    class Nodes:
        height = 0
        statement = STATEMENT

        def read(self, first: int, count: int) -> bytes:
            return b"".join(all_labels[first : first + count])

    stop = extract.StopFlag()
    stop.set()
    with pytest.raises(Interrupted):
        extract.extract(Nodes(), LEAVES, 150, threads=2, stop=stop)


def test_the_kept_layer_follows_the_length_of_the_round() -> None:
    assert layers.kept_height(4_000_000) == 0
    assert layers.kept_height(MAINNET_LEAVES) == 12
    for leaves in (10**7, 10**9, 10**11, 10**12):
        height = layers.kept_height(leaves)
        assert 32 * (leaves >> height) <= layers.KEPT_BYTES
        assert 150 << height <= 150 << 12 or leaves > 10**11, "no proof takes more than that of a mainnet round to draw"


@pytest.mark.parametrize("leaves_per_second", [10_000, 67_000, 78_000, 100_000, 1_000_000])
def test_a_mainnet_round_takes_less_than_two_gibibytes_at_any_rate(leaves_per_second: int) -> None:
    seconds = 324 * 3600
    leaves = seconds * leaves_per_second
    assert layers.disk_bytes(leaves, layers.kept_height(leaves), seconds) < 2 << 30


@pytest.fixture(params=[0, 3, 7])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[layers.KeptLayer]:
    layer = layers.KeptLayer.create(tmp_path, STATEMENT, request.param)
    yield layer
    layer.close()


def test_the_calculated_size_is_that_of_the_files(store: layers.KeptLayer) -> None:
    leaves, checkpoints = 100_000, 37
    nodes = leaves >> store.height
    for first, last in zip(
        np.linspace(0, nodes, checkpoints, dtype=int), np.linspace(0, nodes, checkpoints, dtype=int)[1:]
    ):
        store.append(bytes(32 * (last - first)))
        store.commit()
    written = sum(path.stat().st_size for path in store.directory.iterdir())
    assert written == store.disk_bytes
    calculated = layers.disk_bytes(leaves, store.height, checkpoints)
    assert written <= calculated <= written + 2048


def test_what_is_parked_gives_the_root(all_labels: list[bytes]) -> None:
    """Whatever the number of leaves is: the kept layer is held against it at the end of a round."""
    slots = sha256.new_slots()
    join = labels.node_of(STATEMENT)
    for count in range(1, 70):
        sha256.absorb_nodes(STATEMENT, slots, 0, count - 1, np.frombuffer(all_labels[count - 1], np.uint8))
        assert extract.root_of_slots(STATEMENT, count, slots) == merkle.root_of(all_labels[:count], join)
