"""Vectors of addresses: types/address.json, and the JavaScript client's opinion in types/client_addresses.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol.codec.declare import CodecError, c8
from protocol.crypto.hashing import hash32
from protocol.types import address, templates
from protocol.types.ids import Address
from protocol.types.templates import MultisigSpawnArguments
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors

HRPS = ("sm", "stest", "standalone", "x")

_TEMPLATES = {
    "wallet": (templates.WALLET, templates.WalletSpawnArguments),
    "multisig": (templates.MULTISIG, templates.MultisigSpawnArguments),
    "vesting": (templates.VESTING, templates.MultisigSpawnArguments),
    "vault": (templates.VAULT, templates.VaultSpawnArguments),
}
_FIELDS = {
    "PublicKey": ("public_key", bytes.fromhex),
    "Required": ("required", int),
    "PublicKeys": ("public_keys", lambda keys: tuple(bytes.fromhex(key) for key in keys)),
    "Owner": ("owner", bytes.fromhex),
    "TotalAmount": ("total_amount", int),
    "InitialUnlockAmount": ("initial_unlock_amount", int),
    "VestingStart": ("vesting_start", int),
    "VestingEnd": ("vesting_end", int),
}


def spawn_arguments(template: str, values: dict[str, Any]) -> tuple[Any, Any]:
    """The template's address and the record of its spawn arguments, from their fields by the reference's names."""
    at, record = _TEMPLATES[template]
    fields = {_FIELDS[name][0]: _FIELDS[name][1](value) for name, value in values.items() if name != "note"}
    return at, record(**fields)


def _parsed(text: str, hrp: str) -> tuple[bool, str]:
    """The verdict, and the address in hex or the class of the error."""
    try:
        return True, address.from_text(text, hrp).hex()
    except address.AddressError as error:
        return False, error.reason


@vectors("types/address.json", variants=False)
def addresses(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("description", "reference", "strings", "parse", "principals"))
    for position, case in enumerate(document["strings"]):
        for hrp in HRPS:

            def text(case: dict[str, Any] = case, hrp: str = hrp) -> None:
                raw = bytes.fromhex(case["address"])
                assert address.to_text(raw, hrp) == case[hrp], address.to_text(raw, hrp)
                assert address.is_empty(raw) == case["is_empty"]
                if not any(raw[: address.RESERVED]):
                    assert address.from_text(case[hrp], hrp) == raw

            yield Case(f"strings[{position}] {hrp}", text)
    for position, case in enumerate(document["parse"]):

        def parse(case: dict[str, Any] = case) -> None:
            expected = (case["ok"], case["address"] if case["ok"] else case["error"])
            found = _parsed(case["text"], case["network_hrp"])
            assert found == expected, f"{found}, expected {expected}"

        yield Case(f"parse[{position}] {case['name']}", parse)
    for position, case in enumerate(document["principals"]):

        def principal(case: dict[str, Any] = case) -> None:
            template, arguments = spawn_arguments(case["template"], case["args"])
            assert template.hex() == case["template_address"]
            recorded = Address(bytes.fromhex(case["principal"]))
            for hrp in ("sm", "stest", "standalone"):
                assert address.to_text(recorded, hrp) == case[hrp]
            if isinstance(arguments, MultisigSpawnArguments) and len(arguments.public_keys) > templates.MAX_KEYS:
                # the reference hashes what it wrote before it noticed that there are too many; ours refuses
                assert recorded == address.generate(hash32(template, c8.encode(arguments.required)))
                try:
                    found = templates.principal_address(template, arguments)
                except CodecError as error:
                    assert error.reason == "over_limit", str(error)
                    return
                raise AssertionError(f"{found.hex()} for arguments that have no encoding")
            found = templates.principal_address(template, arguments)
            assert found == recorded, found.hex()

        yield Case(f"principals[{position}] {case['template']}", principal)


@vectors("types/client_addresses.json", variants=False)
def client_addresses(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("description", "reference", "addresses", "parse"))
    for position, case in enumerate(document["addresses"]):
        for hrp in HRPS[:3]:

            def text(case: dict[str, Any] = case, hrp: str = hrp) -> None:
                raw = bytes.fromhex(case["address"])
                assert address.to_text(raw, hrp) == case[hrp] == case[f"client_{hrp}"]
                assert address.from_text(case[hrp], hrp).hex() == case[f"client_parse_{hrp}"]

            yield Case(f"addresses[{position}] {hrp}", text)
    for position, case in enumerate(document["parse"]):

        def parse(case: dict[str, Any] = case) -> None:
            found = _parsed(case["text"], case["network_hrp"])
            assert found[0] == case["node_ok"] == case["client_verify"], f"{found}"
            if found[0]:
                assert found[1] == case["client_parse"]

        yield Case(f"parse[{position}] {case['name']}", parse)
