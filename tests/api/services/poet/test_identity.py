"""Keys at the start of a server: halves that belong together, and no certifier for whom anybody can sign."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from api.services.poet import identity
from api.services.poet.config import ConfigError, load
from kernels.signatures.ed25519_curve import TORSION
from prover.errors import DataError
from prover.poet.server.records import STATE_FILE, encode_server_state

FULL = crypto_sign_seed_keypair(bytes(range(32)))[1]


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_key_whose_halves_do_not_belong_together_is_refused(tmp_path: Path, place: int) -> None:
    config = load([f"--poetdir={tmp_path}"], {})
    config.datadir.mkdir(parents=True)
    damaged = bytearray(FULL)
    damaged[place] ^= 1
    file = config.datadir / STATE_FILE
    file.write_bytes(encode_server_state(bytes(damaged)))
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="does not belong to its seed"):
        identity.load_key(config)
    assert file.read_bytes() == before


def test_a_right_key_is_kept_and_a_new_one_is_made(tmp_path: Path) -> None:
    config = load([f"--poetdir={tmp_path}"], {})
    config.datadir.mkdir(parents=True)
    made = identity.load_key(config)
    assert crypto_sign_seed_keypair(made[:32])[1] == made and identity.load_key(config) == made


SMALL = [*TORSION, (2**255 - 19).to_bytes(32, "little"), (2**255 - 18).to_bytes(32, "little"), b"\xff" * 31 + b"\x7f"]


@pytest.mark.parametrize("key", SMALL[:-1], ids=bytes.hex)
def test_a_key_of_small_order_certifies_nobody(tmp_path: Path, key: bytes) -> None:
    text = base64.b64encode(key).decode()
    with pytest.raises(ConfigError, match="small order"):
        identity.load_trusted(load([f"--poetdir={tmp_path}", f"--certifier-pubkey={text}"], {}))
    (tmp_path / "a.key").write_text(text)
    with pytest.raises(ConfigError, match="small order"):
        identity.load_trusted(load([f"--poetdir={tmp_path}", f"--trusted-pub-keys-dir-path={tmp_path}"], {}))
    with pytest.raises(DataError, match="small order"):
        identity.read_trusted(tmp_path)


def test_other_keys_are_taken() -> None:
    assert not identity.is_of_small_order(FULL[32:]) and not identity.is_of_small_order(SMALL[-1])
