"""Random requests to the services of smeshing: a short run of `tests.fuzz.node_smeshing`."""

from __future__ import annotations

from tests.fuzz import node_smeshing


def test_every_method_answers_or_refuses() -> None:
    answered = {name.rpartition(".")[2]: count for name, count, _ in node_smeshing.calls(60, seed=5)}
    assert answered["PostConfig"] == answered["PostStates"] == 60 and answered["SetCoinbase"] > 0
    assert answered["MinGas"] == 0, "nobody serves it any more"


def test_starts_in_odd_folders_are_refused_and_in_good_ones_begin() -> None:
    ((_, answered, _),) = node_smeshing.calls(400, seed=1, only="StartSmeshing")
    assert 0 < answered < 100


def test_services_that_say_anything_cost_a_call_or_a_stream() -> None:
    proofs, _ = node_smeshing.dialogues(1000, seed=2)
    assert proofs > 0


def test_the_same_over_a_socket() -> None:
    taken, _ = node_smeshing.sockets(100, seed=3)
    assert taken >= 100
