"""post/primitives.json: selection, index packing, proving difficulty, ciphers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from kernels.scan.scalar import encryptor
from protocol.errors import ProtocolError
from protocol.post.proof import (
    LSB_BITS,
    group_key,
    lazy_key,
    pack_indices,
    packed_size,
    proving_difficulty,
    required_bits,
    selection,
    selection_from,
    unpack_indices,
)
from tests.vector_cases.harness import Case, Context, Later, unknown_sections, vectors

SECTIONS = ("selection", "selection_raw", "index_packing", "required_bits", "proving_difficulty", "ciphers")


@vectors("post/primitives.json", variants=False)
def primitives(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, known=SECTIONS)
    for section in SECTIONS:
        for number, entry in enumerate(document[section]):
            yield Case(f"{section} {entry.get('name', number)}", partial(CHECKS[section], entry))


def check_selection(entry: dict[str, Any]) -> None:
    texts = [bytes.fromhex(entry[key]) for key in ("seed", "node_id", "challenge")]
    found = list(selection(entry["k2"], *texts))
    assert found == entry["order"], f"expected {entry['order']}, got {found}"


def check_selection_raw(entry: dict[str, Any]) -> None:
    found = list(selection_from(entry["k2"], bytes.fromhex(entry["stream_seed"])))
    assert found == entry["order"], f"expected {entry['order']}, got {found}"


def check_packing(entry: dict[str, Any]) -> None:
    bits = required_bits(int(entry["num_labels"]))
    assert bits == entry["bits"], f"{bits} bits"
    indices = [int(index) for index in entry["indices"]]
    packed = pack_indices(indices, bits)
    assert packed.hex() == entry["packed"], f"packed {packed.hex()}"
    assert len(packed) == packed_size(bits, len(indices))
    found = unpack_indices(packed, bits, len(indices))
    assert [str(index) for index in found] == entry["unpacked"][: len(indices)]
    assert 8 * len(packed) // bits == entry["items_in_packed"] if bits else True


def check_bits(entry: dict[str, Any]) -> None:
    assert required_bits(int(entry["num_labels"])) == entry["bits"]


def check_difficulty(entry: dict[str, Any]) -> None:
    try:
        found = proving_difficulty(entry["k1"], int(entry["num_labels"]))
    except ProtocolError:
        assert "error" in entry, "refused"
        return
    assert str(found.value) == entry.get("difficulty"), f"got {found.value}"
    assert str(found.msb) == str(entry["msb"]) and str(found.lsb) == str(entry["lsb"])


def check_cipher(entry: dict[str, Any]) -> None:
    challenge, power = bytes.fromhex(entry["challenge"]), int(entry["pow"])
    outer = group_key(challenge, entry["nonce_group"], power)
    lazy = lazy_key(challenge, entry["nonce"], power)
    assert (outer.hex(), lazy.hex()) == (entry["group_key"], entry["lazy_key"])
    label = bytes.fromhex(entry["label"])
    group_out, lazy_out = encryptor(outer)(label), encryptor(lazy)(label)
    assert (group_out.hex(), lazy_out.hex()) == (entry["group_out"], entry["lazy_out"])
    assert group_out[entry["nonce"] % 16] == entry["msb_byte"]
    assert int.from_bytes(lazy_out[:8], "little") & ((1 << LSB_BITS) - 1) == int(entry["lsb"])


CHECKS = {
    "selection": check_selection,
    "selection_raw": check_selection_raw,
    "index_packing": check_packing,
    "required_bits": check_bits,
    "proving_difficulty": check_difficulty,
    "ciphers": check_cipher,
}
