"""types/crypto.json: keys, signatures, identity files, ECVRF.

Each verdict is asked of every path: libsodium with the exact check, the eight lanes of the variant that this process
uses, and the lanes with tables of known keys; for each entry alone and for all in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kernels.signatures import ecvrf, ed25519, ed25519_sodium
from kernels.signatures.ed25519_curve import SMALL_ORDER, TORSION, compress, decompress, is_canonical
from kernels.signatures.ed25519_keys import KnownKeys
from protocol.crypto import signing, vrf
from protocol.poet import signing as poet_signing
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

Entry = dict[str, Any]
unhex = bytes.fromhex


def same(found: object, expected: object) -> None:
    assert found == expected, f"expected {expected}, got {found}"


@vectors("types/crypto.json")
def crypto(document: Any, context: Context) -> Iterator[Case | Later]:
    checks: dict[str, Callable[[Entry], None]] = {
        "keys": check_key,
        "constants": check_constant,
        "signatures": check_signature,
        "point_encodings": check_point,
        "identity_files": check_identity_file,
        "vrf_prove": check_vrf_prove,
        "vrf_consumers": check_vrf_consumers,
        "vrf_order": check_vrf_order,
    }
    batches: dict[str, Callable[[list[Entry]], None]] = {
        "verify": check_verify,
        "edge_verify": check_edge_verify,
        "vrf_verify": check_vrf_verify,
    }
    yield from unknown_sections(document, known=("description", "reference", *checks, *batches))
    for section, check in checks.items():
        for position, entry in enumerate(document[section]):
            yield Case(f"{section}[{position}] {name_of(entry)}".rstrip(), partial(check, entry))
    for section, check_batch in batches.items():
        for position, entry in enumerate(document[section]):
            yield Case(f"{section}[{position}] {name_of(entry)}".rstrip(), partial(check_batch, [entry]))
        yield Case(f"{section} as one batch", partial(check_batch, document[section]))


def name_of(entry: Entry) -> str:
    return str(entry.get("name", entry.get("case", entry.get("domain", ""))))


def check_key(entry: Entry) -> None:
    signer = signing.Signer(unhex(entry["seed"]))
    same(signer.public_key.hex(), entry["public_key"])
    same(signer.identity_text(), entry["identity_file"])
    same(signing.read_identity(entry["identity_file"]).public_key.hex(), entry["public_key"])


def check_constant(entry: Entry) -> None:
    if entry["name"] == "torsion_points":
        same([point.hex() for point in TORSION], entry["value"])
    elif entry["name"] == "empty_batch_verify":
        same(signing.all_valid(None, [], [], []), entry["value"])
    else:
        raise NotUnderstood(f"a constant {entry['name']}")


def check_signature(entry: Entry) -> None:
    signer = signing.Signer(unhex(entry["seed"]), unhex(entry["prefix"]))
    same(signer.public_key.hex(), entry["public_key"])
    same(signer.sign(entry["domain_byte"], unhex(entry["message"])).hex(), entry["signature"])
    if not entry["domain"].startswith("unassigned"):
        same(signing.Domain[entry["domain"]], entry["domain_byte"])
    check_verify([entry])


def check_verify(entries: list[Entry]) -> None:
    for entry in entries:
        key, message, signature, prefix = (
            unhex(entry[name]) for name in ("public_key", "message", "signature", "prefix")
        )
        same(signing.verify(entry["domain_byte"], key, message, signature, prefix), entry["valid"])
    keys, signatures = columns(entries, "public_key", "signature")
    messages = [
        signing.signed_bytes(entry["domain_byte"], unhex(entry["message"]), unhex(entry["prefix"])) for entry in entries
    ]
    verdicts = [entry["valid"] for entry in entries]
    same(signing.verify_many(None, keys, messages, signatures), verdicts)
    same_in_lanes(keys, messages, signatures, verdicts)


def check_edge_verify(entries: list[Entry]) -> None:
    keys, messages, signatures = columns(entries, "public_key", "message", "signature")
    node = [entry["node"] for entry in entries]
    poet = [entry["go_standard_library"] for entry in entries]
    same([signing.verify(None, *row) for row in zip(keys, messages, signatures)], node)
    same(signing.verify_many(None, keys, messages, signatures), node)
    same(signing.all_valid(None, keys, messages, signatures), all(entry["node_batch"] for entry in entries))
    same([poet_signing.verify(*row) for row in zip(keys, messages, signatures)], poet)
    same(poet_signing.verify_many(keys, messages, signatures), poet)
    same_in_lanes(keys, messages, signatures, node)
    same_in_lanes(keys, messages, signatures, poet, ed25519.GO_STANDARD_LIBRARY)


def same_in_lanes(
    keys: list[bytes], messages: list[bytes], signatures: list[bytes], verdicts: list[bool], rules: int = ed25519.NODE
) -> None:
    same(ed25519.verify_many(keys, messages, signatures, rules=rules).tolist(), verdicts)
    known = KnownKeys(256)
    known.remember(keys)
    same(ed25519.verify_many(keys, messages, signatures, rules=rules, known=known).tolist(), verdicts)


def check_point(entry: Entry) -> None:
    encoding = unhex(entry["encoding"])
    point = decompress(encoding)
    same(point is not None, entry["decodes"])
    same(is_canonical(encoding), entry["canonical"])
    if point is None:
        return
    canonical = compress(point)
    same(canonical.hex(), entry["reencoded"])
    same(canonical in SMALL_ORDER, entry["small_order"])
    if "torsion_free" in entry:
        same(ed25519_sodium.without_torsion(canonical) == canonical, entry["torsion_free"])


def check_identity_file(entry: Entry) -> None:
    if entry["case"] == "created_by_the_node":
        text = signing.Signer(bytes(32)).identity_text()
        same((len(text), text == text.lower()), (entry["length"], entry["lower_case_hex"]))
        same(signing.IDENTITY_FILE_MODE, int(entry["mode"], 8))
        return
    try:
        signer = signing.read_identity(entry["content"].encode())
    except signing.InvalidIdentity as error:
        assert not entry["ok"], f"refused: {error}"
        same(error.reason, entry["error"])
    else:
        assert entry["ok"], f"accepted, expected {entry['error']}"
        same(signer.public_key.hex(), entry["public_key"])


def check_vrf_prove(entry: Entry) -> None:
    seed, public_key, alpha = (unhex(entry[name]) for name in ("seed", "public_key", "alpha"))
    proof = vrf.prove(seed, alpha)
    same(proof.hex(), entry["proof"])
    same(signing.Signer(seed).prove(alpha).hex(), entry["proof"])
    same(vrf.output(proof).hex(), entry["beta"])
    same(vrf.encode_to_curve(public_key, alpha).hex(), entry["H"])
    nonce = int.from_bytes(unhex(entry["nonce_k"]), "little")
    same(ed25519_sodium.multiply_base(nonce).hex(), entry["U"])
    same(ed25519_sodium.multiply(nonce, unhex(entry["H"])).hex(), entry["V"])
    check_vrf_verify([entry])


def check_vrf_verify(entries: list[Entry]) -> None:
    keys, alphas, proofs = columns(entries, "public_key", "alpha", "proof")
    valid = [entry["valid"] for entry in entries]
    same([vrf.verify(*row) for row in zip(keys, alphas, proofs)], valid)
    same(vrf.verify_many(keys, alphas, proofs), valid)
    same(ecvrf.verify_many(keys, alphas, proofs).tolist(), valid)
    known = KnownKeys(256)
    known.remember(keys)
    same(ecvrf.verify_many(keys, alphas, proofs, known=known).tolist(), valid)


def check_vrf_consumers(entry: Entry) -> None:
    proof = unhex(entry["proof"])
    same(vrf.coin_bit(proof), entry["lsb"])
    same(vrf.beacon_proposal(proof).hex(), entry["beacon_proposal"])
    rest = set(entry) - {"proof", "lsb", "beacon_proposal"}
    for key in rest:
        if not key.startswith("eligible_layer_epoch"):
            raise NotUnderstood(f"a consumer {key}")
        epoch, layers_per_epoch = key.removeprefix("eligible_layer_epoch").split("_lpe")
        same(vrf.slot_layer(proof, int(epoch), int(layers_per_epoch)), entry[key])
    assert rest, "no layer stated"


def check_vrf_order(entry: Entry) -> None:
    other = None if entry["b"] is None else unhex(entry["b"])
    same(vrf.compare(unhex(entry["a"]), other), entry["cmp"])


def columns(entries: list[Entry], *names: str) -> list[list[bytes]]:
    return [[unhex(entry[name]) for entry in entries] for name in names]
