"""post/verify.json.gz and post/verify_go.json: verdicts on valid and tampered proofs; post/k2pow.json: RandomX."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from functools import partial
from typing import Any

from kernels import randomx
from protocol.errors import ProtocolError
from protocol.post.proof import RANDOMX_KEY, Proof, ProofMetadata, pow_input, scale_pow_difficulty
from prover.post.proof import verify
from prover.post.proof.pow import search
from prover.post.proof.verify import Claim, Mode, Verdict, VerifyParams
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.post_support import engine


@functools.cache
def machines() -> randomx.MachinePool:
    """Light RandomX under the network's key."""
    return randomx.MachinePool(randomx.Memory(RANDOMX_KEY))


@functools.cache
def pow_hash(data: bytes) -> bytes:
    """The hash, remembered: many cases tamper with the same proof."""
    return machines().hash(data)


@vectors("post/verify.json", variants=False)
def verdicts(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        yield Case(entry["name"], partial(check_verdict, entry))


def check_verdict(entry: dict[str, Any]) -> None:
    proof = Proof(entry["proof"]["nonce"], bytes.fromhex(entry["proof"]["indices"]), int(entry["proof"]["pow"]))
    metadata = metadata_of(entry["metadata"])
    init, cfg = entry["init"], entry["cfg"]
    if (init["r"], init["p"]) != (1, 1):
        raise NotUnderstood("r or p other than 1")
    params = VerifyParams(
        k1=cfg["k1"],
        k2=cfg["k2"],
        pow_difficulty=bytes.fromhex(cfg["pow_difficulty"]),
        min_num_units=init["min_num_units"],
        max_num_units=init["max_num_units"],
        labels_per_unit=int(init["labels_per_unit"]),
        scrypt_n=init["n"],
    )
    modes = [(mode_of(result, params, metadata), result) for result in entry["results"]]
    claims = [Claim(proof, metadata, mode) for mode, _ in modes]
    found = verify.check_many(claims, params, engine(params.scrypt_n), pow_hash)
    for verdict, (_, result) in zip(found, modes, strict=True):
        compare(verdict, result)
        alone = verify.check(
            Claim(proof, metadata, mode_of(result, params, metadata)), params, engine(params.scrypt_n), pow_hash
        )
        assert alone == verdict


def metadata_of(fields: dict[str, Any]) -> ProofMetadata:
    return ProofMetadata(
        bytes.fromhex(fields["node_id"]),
        bytes.fromhex(fields["commitment_atx_id"]),
        bytes.fromhex(fields["challenge"]),
        fields["num_units"],
    )


def mode_of(result: dict[str, Any], params: VerifyParams, metadata: ProofMetadata) -> Mode:
    if result["mode"] == "all":
        return Mode.all(params.k2)
    if result["mode"] == "one":
        return Mode.one(result["index"], params.k2)
    if result["mode"] == "subset":
        return Mode.subset(result["k3"], bytes.fromhex(result["seed"]), params.k2, metadata)
    raise NotUnderstood(f"mode {result['mode']!r}")


def compare(verdict: Verdict, result: dict[str, Any]) -> None:
    error = result.get("error") or {}
    name = "Ok" if verdict.valid else "InvalidIndex" if verdict.position is not None else "Invalid"
    assert name == result["result"], f"{result}: got {verdict}"
    if verdict.failure is not None:
        assert verdict.failure.value == error["class"], f"{result}: got {verdict}"
        assert verdict.diagnosis, "no word for people"
    if verdict.position is not None:
        assert verdict.position == result["index_id"], f"{result}: got {verdict}"
        expected = (int(error["index"]), error["label"])
        assert (verdict.label_index, (verdict.label or b"").hex()) == expected, f"{result}: got {verdict}"
        value = error["msb"] if error["class"] == "InvalidMsb" else error["lsb"]
        assert verdict.cipher_value == int(value), f"{result}: got {verdict}"


@vectors("post/verify_go.json", variants=False)
def verdicts_of_go(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=("cases",))
    for entry in document["cases"]:
        yield Case(entry["name"], partial(check_go, entry))


def check_go(entry: dict[str, Any]) -> None:
    """Go gives the failing index, and an error for everything else."""
    params = VerifyParams(
        k1=entry["k1"],
        k2=entry["k2"],
        pow_difficulty=bytes.fromhex(entry["pow_difficulty"]),
        min_num_units=entry["min_num_units"],
        max_num_units=entry["max_num_units"],
        labels_per_unit=int(entry["labels_per_unit"]),
        scrypt_n=entry["n"],
    )
    proof = Proof(entry["nonce"], bytes.fromhex(entry["indices"]), int(entry["pow"]))
    metadata = metadata_of(entry)
    try:
        verify.check_input(proof, metadata)
        mode = mode_of(entry, params, metadata)
        verdict = verify.check(Claim(proof, metadata, mode), params, engine(params.scrypt_n), pow_hash)
    except ProtocolError:
        assert not entry["valid"], "refused"
        assert "invalid_index" not in entry, "refused, expected a failing index"
        return
    assert verdict.valid == entry["valid"], f"got {verdict}"
    expected = next((entry[key] for key in ("invalid_index", "index_id") if key in entry), None)
    if not entry["valid"]:
        assert verdict.position == expected, f"expected {expected}, got {verdict}"


@vectors("post/k2pow.json", variants=False)
def k2pow(document: Any, context: Context) -> Iterator[Case | Later]:
    described = ("cache_key_ascii", "flags_light", "full_mode_checked")
    lists = ("hashes", "solutions", "verify", "difficulty_scaling", "search_determinism")
    yield from unknown_sections(document, known=(*described, *lists))
    yield Case("cache key", lambda: _equal(RANDOMX_KEY.decode(), document["cache_key_ascii"]))
    for entry in document["hashes"]:
        yield Case(f"hash {entry['name']}", partial(check_hash, entry))
    for entry in document["solutions"]:
        yield Case(f"solution {entry['name']}", partial(check_solution, entry))
    for entry in document["verify"]:
        yield Case(f"verify {entry['name']}", partial(check_pow, entry))
    for number, entry in enumerate(document["difficulty_scaling"]):
        yield Case(f"scaling {number}", partial(check_scaling, entry))
    solutions = {entry["name"]: entry for entry in document["solutions"]}
    for entry in document["search_determinism"]:
        yield Case(f"search {entry['name']}", partial(check_search, entry, solutions.get(entry["name"])))


def _equal(found: object, expected: object) -> None:
    assert found == expected, f"expected {expected}, got {found}"


def check_hash(entry: dict[str, Any]) -> None:
    _equal(pow_hash(bytes.fromhex(entry["input"])).hex(), entry["hash"])


def _input(entry: dict[str, Any], power: int) -> bytes:
    challenge = bytes.fromhex(entry["challenge8"]) + bytes(24)
    return pow_input(power, entry["nonce_group"], challenge, bytes.fromhex(entry["node_id"]))


def check_solution(entry: dict[str, Any]) -> None:
    scaled = scale_pow_difficulty(bytes.fromhex(entry["pow_difficulty"]), entry["num_units"])
    _equal(scaled.hex(), entry["scaled_difficulty"])
    data = _input(entry, int(entry["lowest_pow"]))
    _equal(data.hex(), entry["input"])
    hashed = pow_hash(data)
    _equal(hashed.hex(), entry["hash"])
    assert hashed < scaled


def check_pow(entry: dict[str, Any]) -> None:
    hashed = pow_hash(_input(entry, int(entry["pow"])))
    _equal(hashed < bytes.fromhex(entry["difficulty"]), entry["valid"])


def check_scaling(entry: dict[str, Any]) -> None:
    try:
        found = scale_pow_difficulty(bytes.fromhex(entry["difficulty"]), entry["num_units"]).hex()
    except ProtocolError:
        assert entry.get("scaled") is None, "refused"
        return
    _equal(found, entry["scaled"])


def check_search(entry: dict[str, Any], solution: dict[str, Any] | None) -> None:
    """Ours gives the lowest solution for any number of threads."""
    _equal(entry["reference_one_thread"], entry["lowest"])
    if solution is None:
        raise NotUnderstood("no solution of that name")
    challenge = bytes.fromhex(solution["challenge8"]) + bytes(24)
    found = search(
        machines().memory,
        solution["nonce_group"],
        challenge,
        bytes.fromhex(solution["node_id"]),
        bytes.fromhex(solution["scaled_difficulty"]),
        threads=2,
    )
    _equal(str(found), entry["lowest"])
