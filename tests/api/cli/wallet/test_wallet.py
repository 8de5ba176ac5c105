"""`smesher wallet` and `smesher tx` as a coin holder uses them, with good input and bad."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from api.wallet import files, phrase
from api.wallet.secret import Secret
from tests.support.cli import ENTRY, ROOT, Result, environment, smesher

WORDS = "film theme cheese broken kingdom destroy inch ready wear inspire shove pudding"
ADDRESS = "sm1qqqqqqz9rf583slhn38g6q6a562ctltv9fv5w8q2gdz9k"
OTHER = "sm1qqqqqqygmz2nnr7ush67yx7g4mmksm979m3a0xcphk3pt"
PASSWORD = "correct horse"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMESHER_WALLET_PASSWORD", raising=False)
    (tmp_path / "words").write_text(WORDS + "\n")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return tmp_path


@pytest.fixture
def wallet(folder: Path) -> Path:
    result = smesher(
        "wallet", "import", "--mnemonic-file", "words", "--password-file", "password", "--accounts", "3", "--out", "w"
    )
    assert result.code == 0, result.text
    return folder / "w"


def done(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.text
    return result.events[-1]


def refused(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result.text
    assert "Traceback" not in result.text
    for word in words:
        assert word in result.text, result.text
    assert WORDS not in result.text
    assert PASSWORD not in result.text


# Wallets


def test_an_imported_wallet_shows_its_addresses(wallet: Path) -> None:
    shown = done(smesher("wallet", "show", "w", "--password-file", "password", "--json"))
    assert [account["address"] for account in shown["accounts"]][:2] == [ADDRESS, OTHER]
    assert "mnemonic" not in shown
    assert stat.S_IMODE(wallet.stat().st_mode) == 0o600
    table = smesher("wallet", "show", "w", "--password-file", "password", "--network", "testnet")
    assert "stest1qqqqqqz9rf583slhn38g6q6a562ctltv9fv5w8qha56t0" in table.out
    assert WORDS not in table.text


def test_secrets_are_shown_on_request_only(wallet: Path) -> None:
    shown = done(smesher("wallet", "show", "w", "--password-file", "password", "--json", "--show-secrets"))
    assert shown["mnemonic"] == WORDS
    assert shown["accounts"][0]["secret_key"].startswith("cd85df73aa3bc31d")


def test_the_password_comes_from_the_environment_too(wallet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMESHER_WALLET_PASSWORD", PASSWORD)
    assert smesher("wallet", "show", "w").code == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", "w"], 2, ["--password-file"]),
        (["show", "none", "--password-file", "password"], 2, ["there is no such file"]),
        (["show", "words", "--password-file", "password"], 1, ["no wallet file"]),
        (["show", "w", "--password-file", "none"], 2, ["there is no such file"]),
        (["show", "w", "--password-file", "words"], 1, ["password", "damaged"]),
        (["import", "--password-file", "password"], 2, ["--mnemonic-file"]),
        (["import", "--mnemonic-file", "words", "--password-file", "password", "--out", "w"], 2, ["not overwritten"]),
        (["import", "--mnemonic-file", "w", "--password-file", "password"], 2, ["Word 1"]),
        (["import", "--mnemonic-file", "words", "--password-file", "password", "--accounts", "129"], 2, ["129"]),
        (["create", "--password-file", "password"], 2, ["--show-secrets"]),
        (["create", "--json", "--password-file", "password"], 2, ["--show-secrets"]),
        (["add", "w", "--out", "w", "--password-file", "password"], 2, ["not overwritten"]),
        (["address", "multisig"], 2, ["--key"]),
        (["address", "multisig", "--key", "11" * 32], 2, ["--required"]),
        (["address", "multisig", "--key", "11" * 32, "--required", "2"], 2, ["2 signatures", "1 keys"]),
        (["address", "multisig", "--key", "11" * 32, "--key", "11" * 32, "--required", "1"], 2, ["twice"]),
        (["address", "wallet", "--key", "xyz"], 2, ["64 hex digits"]),
        (["address", "vault", "--owner", ADDRESS], 2, ["--total"]),
        (["address", "vault", "--owner", ADDRESS, "--total", "1.5"], 2, ["smidge are whole"]),
        (["address", "vault", "--owner", ADDRESS[:-1] + "q", "--total", "1SMH"], 2, [ADDRESS[:8]]),
        (["address", "vault", "--owner", ADDRESS, "--total", "1", "--vesting-end", "5"], 2, ["before its start"]),
        (["nosuch"], 2, ["nosuch"]),
        ([], 2, ["WORD"]),
    ],
)
def test_bad_input_is_explained(wallet: Path, words: list[str], code: int, says: list[str]) -> None:
    before = sorted(os.listdir(wallet.parent))
    refused(smesher("wallet", *words), code, *says)
    assert sorted(os.listdir(wallet.parent)) == before


def test_an_empty_password_is_warned_of(folder: Path) -> None:
    (folder / "empty").write_text("\n")
    result = smesher("wallet", "import", "--mnemonic-file", "words", "--password-file", "empty", "--out", "w")
    assert result.code == 0
    assert "password is empty" in result.err


def test_an_account_is_added_in_a_new_file(wallet: Path) -> None:
    before = wallet.read_bytes()
    added = done(smesher("wallet", "add", "w", "--out", "w2", "--password-file", "password", "--json"))
    assert len(added["accounts"]) == 4
    assert wallet.read_bytes() == before
    again = files.unlock((wallet.parent / "w2").read_bytes(), Secret(PASSWORD))
    assert [key.path[-2:] for key in again.keys] == ["0'", "1'", "2'", "3'"]


def test_a_created_wallet_can_be_printed_for_a_script(folder: Path) -> None:
    made = done(smesher("wallet", "create", "--json", "--show-secrets", "--password-file", "password", "--words", "12"))
    assert len(made["mnemonic"].split()) == 12
    path = folder / made["file"]
    assert re.fullmatch(r"wallet_main_wallet_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z\.json", path.name)
    opened = files.unlock(path.read_bytes(), Secret(PASSWORD))
    assert opened.phrase == phrase.check(made["mnemonic"])


class Terminal:
    """A person at a terminal: what the program shows, and answers to it."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.shown = ""
        self.child = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM="xterm"),
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(slave)

    def wait_for(self, text: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.shown[-500:]}"
            ready, _, _ = select.select([self.master], [], [], 1)
            if ready:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                assert data, f"ended without {text!r}: {self.shown[-500:]}"
                self.shown += data.decode("utf-8", "replace")

    def answer(self, prompt: str, text: str) -> None:
        self.wait_for(prompt)
        self.shown = self.shown.split(prompt, 1)[1]
        os.write(self.master, text.encode() + b"\n")

    def end(self) -> int:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.shown += data.decode("utf-8", "replace")
        os.close(self.master)
        return self.child.wait(60)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty on Windows")
def test_a_person_writes_the_phrase_down(folder: Path) -> None:
    person = Terminal("wallet", "create", "--words", "12", "--out", "mine")
    person.answer("New password: ", "secret")
    person.answer("The same again: ", "secret")
    person.wait_for("Press Enter")
    listed = dict(re.findall(r"(\d+)\. (\w+)", person.shown))
    assert len(listed) == 12
    person.answer("Press Enter", "")
    for _ in range(3):
        person.wait_for("Word ")
        while not (asked := re.search(r"Word (\d+): $", person.shown)):
            person.wait_for(": ")
        person.answer(asked[0], listed[asked[1]])
    assert person.end() == 0
    assert not set(listed.values()) <= set(person.shown.split())
    opened = files.unlock((folder / "mine").read_bytes(), Secret("secret"))
    assert opened.phrase.text() == " ".join(listed[str(n)] for n in range(1, 13))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty on Windows")
def test_a_person_is_shown_what_is_signed_and_may_decline(wallet: Path) -> None:
    person = Terminal("tx", "spend", "--wallet", "w", "--to", OTHER, "--amount", "1.5SMH", "--nonce", "7")
    person.answer("Password: ", PASSWORD)
    person.wait_for("Sign this for mainnet? [y/N] ")
    for word in (OTHER, "1.5 SMH (1500000000 smidge)", "mainnet", ADDRESS):
        assert word in person.shown, person.shown
    person.answer("[y/N] ", "n")
    assert person.end() == 1
    assert "not signed" in person.shown


# Transactions


def _sign(*words: str, account: int = 1) -> dict[str, Any]:
    return done(
        smesher(
            "tx", *words, "--wallet", "w", "--password-file", "password", "--account", str(account), "--yes", "--json"
        )
    )


def _decode(raw: str, *words: str) -> dict[str, Any]:
    return done(smesher("tx", "decode", raw, *words, "--json"))


def test_a_spawn_and_a_spend_are_signed_and_explained(wallet: Path) -> None:
    spawned = _sign("spawn", "--nonce", "0")
    explained = _decode(spawned["raw"])
    assert explained["signatures_valid"] is True
    assert (explained["principal"], explained["spawns"]) == (ADDRESS, ADDRESS)
    assert explained["id"] == spawned["id"]
    spent = _sign("spend", "--nonce", "1", "--to", OTHER, "--amount", "1.5SMH", "--gas-price", "2")
    explained = _decode(spent["raw"])
    assert (explained["destination"], explained["amount"], explained["gas_price"]) == (OTHER, 1_500_000_000, 2)
    assert explained["signatures_valid"] is None
    done(smesher("wallet", "address", "wallet", "--key", _key(1), "--out", "me", "--json"))
    assert _decode(spent["raw"], "--principal", "me")["signatures_valid"] is True


def _key(account: int) -> str:
    shown = done(smesher("wallet", "show", "w", "--password-file", "password", "--json"))
    key: str = shown["accounts"][account - 1]["public_key"]
    return key


def _multisig(template: str, required: int, out: str) -> str:
    keys = [word for account in (1, 2, 3) for word in ("--key", _key(account))]
    made = done(smesher("wallet", "address", template, *keys, "--required", str(required), "--out", out, "--json"))
    address: str = made["address"]
    return address


def test_several_people_sign_one_after_another(wallet: Path) -> None:
    address = _multisig("multisig", 2, "m")
    words = ("spend", "--principal", "m", "--nonce", "3", "--to", OTHER, "--amount", "5SMH")
    first = _sign(*words, "--out", "p1", account=3)
    assert first["missing"] == 1
    assert "raw" not in first
    second = _sign("sign", "p1", "--out", "raw", account=1)
    explained = _decode("@raw", "--principal", "m")
    assert (explained["principal"], explained["signatures_valid"]) == (address, True)
    assert second["raw"] + "\n" == (wallet.parent / "raw").read_text()
    # the same by copies that are joined
    _sign(*words, "--out", "p2", account=1)
    joined = done(smesher("tx", "combine", "p1", "p2", "--json"))
    assert joined["raw"] == second["raw"]


def test_a_vault_is_spawned_and_drained_by_its_owner(wallet: Path) -> None:
    owner = _multisig("vesting", 1, "v")
    vault = done(
        smesher("wallet", "address", "vault", "--owner", owner, "--total", "1000SMH", "--out", "vault", "--json")
    )
    assert vault["arguments"]["initial_unlock_amount"] == 250 * 10**9
    spawned = _sign("spawn", "--principal", "v", "--target", "vault", "--nonce", "1", account=2)
    assert spawned["transaction"]["spawns"] == vault["address"]
    drained = _sign(
        "drain", "--principal", "v", "--vault", vault["address"], "--to", OTHER, "--amount", "1SMH", "--nonce", "2"
    )
    explained = _decode(drained["raw"], "--principal", "v")
    assert (explained["method"], explained["vault"]) == ("drain vault", vault["address"])
    assert explained["signatures_valid"] is True


def test_decode_gives_the_reason_and_exit_code_1(wallet: Path) -> None:
    raw = _sign("spawn", "--nonce", "0")["raw"]
    broken = raw[:-2] + ("00" if raw[-2:] != "00" else "01")
    for text, reason in ((broken, "not valid"), ("ff", "malformed"), ("00" * 1025, "overflows tx limit")):
        result = smesher("tx", "decode", text)
        refused(result, 1, "invalid", reason)
    other = smesher("tx", "decode", raw, "--network", "testnet")
    refused(other, 1, "not valid for this account on this network")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["spend", "--nonce", "1", "--to", "sm1bad", "--amount", "1"], 2, ["sm1bad"]),
        (["spend", "--nonce", "1", "--to", ADDRESS.replace("sm1", "stest1"), "--amount", "1"], 2, ["stest1"]),
        (
            ["spend", "--nonce", "1", "--to", "stest1qqqqqqz9rf583slhn38g6q6a562ctltv9fv5w8qha56t0", "--amount", "1"],
            2,
            ["stest", "sm"],
        ),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount=-1SMH"], 2, ["negative"]),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount", "2400000001SMH"], 2, ["above the supply"]),
        (["spend", "--nonce", "-1", "--to", OTHER, "--amount", "1"], 2, ["--nonce", "'-1'"]),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount", "1", "--gas-price", "0"], 2, ["gas price is 0"]),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount", "1", "--account", "9"], 2, ["3 accounts"]),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount", "1", "--network", "standalone"], 2, ["--genesis-id"]),
        (
            ["spend", "--nonce", "1", "--to", OTHER, "--amount", "1", "--principal", "none"],
            2,
            ["there is no such file"],
        ),
        (["spend", "--nonce", "1", "--to", OTHER, "--amount", "1", "--principal", "words"], 2, ["no JSON"]),
        (["drain", "--vault", OTHER, "--nonce", "1", "--to", OTHER, "--amount", "1"], 2, ["vesting"]),
        (["sign", "words"], 2, ["no JSON"]),
    ],
)
def test_what_cannot_be_signed_is_explained(wallet: Path, words: list[str], code: int, says: list[str]) -> None:
    given = ["--wallet", "w", "--password-file", "password", "--yes"]
    if "--account" in words:
        given = [word for word in given if word != "--account"]
    refused(smesher("tx", *words, *given), code, *says)


def test_nothing_is_signed_without_somebody_who_agrees(wallet: Path) -> None:
    result = smesher(
        "tx", "spend", "--wallet", "w", "--password-file", "password", "--nonce", "1", "--to", OTHER, "--amount", "1"
    )
    refused(result, 2, "--yes")


def test_a_hardware_key_is_listed_and_does_not_sign(wallet: Path) -> None:
    opened = files.unlock(wallet.read_bytes(), Secret(PASSWORD))
    from dataclasses import replace

    hardware = replace(opened, keys=(replace(opened.keys[0], secret=None, key_type=1), *opened.keys[1:]))
    (wallet.parent / "ledger").write_text(files.lock(hardware, Secret(PASSWORD)))
    shown = smesher("wallet", "show", "ledger", "--password-file", "password")
    assert "hardware" in shown.out
    result = smesher("tx", "spawn", "--nonce", "0", "--wallet", "ledger", "--password-file", "password", "--yes")
    refused(result, 1, "hardware key")


def test_a_partial_transaction_that_was_tampered_with_is_refused(wallet: Path) -> None:
    _multisig("multisig", 2, "m")
    _sign("spend", "--principal", "m", "--nonce", "3", "--to", OTHER, "--amount", "5SMH", "--out", "p1")
    partial = json.loads(Path("p1").read_text())
    for change, says in (
        ({"unsigned": partial["unsigned"][:-2] + "04"}, "not valid"),
        ({"genesis_id": "11" * 20}, "not valid"),
        ({"unsigned": "00" + "11" * 40}, "another account"),
        ({"signatures": {"7": "00" * 64}}, "place of a key"),
        ({"kind": "x"}, "no partial transaction"),
    ):
        Path("p").write_text(json.dumps({**partial, **change}))
        result = smesher("tx", "sign", "p", "--wallet", "w", "--password-file", "password", "--account", "2", "--yes")
        assert result.code in (1, 2), result.text
        assert says in result.text, result.text


def test_what_is_asked_is_shown_whatever_the_output_is_for(wallet: Path) -> None:
    """With --yes in words, as JSON an event; the output in words is the transaction alone."""
    words = ("tx", "spend", "--wallet", "w", "--password-file", "password", "--nonce", "1", "--to", OTHER)
    told = smesher(*words, "--amount", "1SMH", "--yes").ok()
    assert re.fullmatch("[0-9a-f]+\n", told.out)
    for fact in (OTHER, "1 SMH (1000000000 smidge)", "9eebff023abb17ccb775c602daade8ed708f0a50", "fee"):
        assert fact in told.err
    events = smesher(*words, "--amount", "1SMH", "--yes", "--json").ok()
    (review,) = events.named("review")
    assert review["transaction"]["destination"] == OTHER and review["concerns"] == []
    assert review["transaction"] == {
        name: value for name, value in events.last["transaction"].items() if name not in ("id", "signatures_valid")
    }


@pytest.mark.parametrize(
    ("more", "concern"),
    [
        (["--amount", "5"], "has no unit, so it is 0.000000005 SMH (5 smidge)"),
        (["--amount", "0SMH"], "The amount is 0"),
        (["--amount", "100smidge"], "is more than the amount"),
        (["--amount", "3000000SMH"], "of all coins"),
        (["--amount", "1SMH", "--gas-price", "5000"], "The gas price is 5000"),
        (["--amount", "1SMH", "--nonce", "5000000"], "The nonce is 5000000"),
        (["--amount", "1SMH", "--to", ADDRESS], "the sender itself"),
        (["--amount", "1SMH", "--to", "sm1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg56ypy7"], "address of a template"),
    ],
)
def test_what_hardly_anybody_can_mean_is_looked_at_again(wallet: Path, more: list[str], concern: str) -> None:
    words = ["tx", "spend", "--wallet", "w", "--password-file", "password", "--nonce", "1", "--to", OTHER]
    assert concern in smesher(*words, *more, "--yes").ok().err
    (review,) = smesher(*words, *more, "--yes", "--json").ok().named("review")
    assert len(review["concerns"]) >= 1 and any(concern in one for one in review["concerns"])


def test_a_concern_is_a_question_of_its_own(wallet: Path) -> None:
    words = ("tx", "spend", "--wallet", "w", "--password-file", "password", "--nonce", "1", "--to", OTHER)
    person = Terminal(*words, "--amount", "5")
    person.answer("Sign this for mainnet? [y/N] ", "y")
    person.answer("Is that meant? [y/N] ", "n")
    assert person.end() == 1 and "not signed" in person.shown


def test_what_we_would_reject_ourselves_is_never_signed(wallet: Path) -> None:
    """Bytes after the arguments, a method that does not exist: no node would take them, whoever signs."""
    words = ("tx", "spend", "--wallet", "w", "--password-file", "password", "--to", OTHER, "--amount", "1SMH", "--yes")
    refused(smesher(*words, "--nonce", "1", "--gas-price", str(10**17)), 1, "not signed", "The fee is above all coins")
    _multisig("multisig", 2, "m")
    _sign("spend", "--principal", "m", "--nonce", "3", "--to", OTHER, "--amount", "5SMH", "--out", "p1")
    partial = json.loads(Path("p1").read_text())
    for unsigned in (partial["unsigned"] + "00", partial["unsigned"][:50] + "fc" + partial["unsigned"][52:]):
        Path("p").write_text(json.dumps({**partial, "unsigned": unsigned, "signatures": {}}))
        result = smesher("tx", "sign", "p", "--wallet", "w", "--password-file", "password", "--account", "2", "--yes")
        refused(result, 1, "not signed", "no node would take it")


def test_every_field_of_a_partial_transaction_is_checked(wallet: Path) -> None:
    _multisig("multisig", 2, "m")
    _sign("spend", "--principal", "m", "--nonce", "3", "--to", OTHER, "--amount", "5SMH", "--out", "p1")
    partial = json.loads(Path("p1").read_text())
    account = partial["account"]
    arguments = account["arguments"]
    for change, says in (
        ({"genesis_id": ""}, "genesis_id has 0 bytes, expected 20"),
        ({"genesis_id": partial["genesis_id"] + partial["unsigned"][:2]}, "genesis_id has 21 bytes"),
        ({"genesis_id": 5}, "no text of hex digits"),
        ({"genesis_id": "11" * 20, "signatures": {}}, "is of the network with the genesis id 1111"),
        ({"unsigned": ["00"]}, "no text of hex digits"),
        ({"signatures": []}, "signatures is no object"),
        ({"signatures": {"9" * 5000: ""}}, "place of a key"),
        ({"signatures": {"0": None}}, "no text of hex digits"),
        ({"account": None}, "no JSON object"),
        ({"account": {**account, "template": []}}, "template is []"),
        ({"account": {**account, "template": {"a": 1}}}, "template is {'a': 1}"),
        ({"account": {**account, "address": 5}}, "address is 5, expected a text"),
        ({"account": {**account, "arguments": []}}, "arguments of a multisig"),
        ({"account": {**account, "arguments": {**arguments, "required": True}}}, "required is True"),
        ({"account": {**account, "arguments": {**arguments, "required": 1 << 4000}}}, "a number of 4001 bits"),
        ({"account": {**account, "arguments": {**arguments, "public_keys": {}}}}, "public_keys is no list"),
        ({"account": {**account, "arguments": {**arguments, "public_keys": [5]}}}, "expected 64 hex digits"),
    ):
        Path("p").write_text(json.dumps({**partial, **change}))
        result = smesher("tx", "sign", "p", "--wallet", "w", "--password-file", "password", "--account", "2", "--yes")
        assert result.code in (1, 2) and "Traceback" not in result.text, result.text
        assert says in result.text, result.text


def test_a_genesis_id_that_is_not_the_networks(wallet: Path) -> None:
    words = ("tx", "spawn", "--nonce", "0", "--wallet", "w", "--password-file", "password", "--yes")
    refused(smesher(*words, "--genesis-id", "11" * 20), 2, "mainnet has 9eebff02")
    smesher(*words, "--network", "standalone", "--genesis-id", "11" * 20).ok()


def test_no_accounts_are_refused(folder: Path) -> None:
    for count in ("0", "129", "-1", "9" * 5000):
        words = ("wallet", "import", "--mnemonic-file", "words", "--password-file", "password", "--accounts", count)
        refused(smesher(*words, "--out", "w"), 2, "--accounts")
    assert not (folder / "w").exists()


def test_a_mark_in_a_password_file_is_no_part_of_the_password(folder: Path) -> None:
    (folder / "marked").write_bytes(b"\xef\xbb\xbf" + PASSWORD.encode() + b"\r\n")
    words = ("wallet", "import", "--mnemonic-file", "words", "--password-file", "marked", "--out", "w")
    smesher(*words).ok()
    smesher("wallet", "show", "w", "--password-file", "password").ok()


def test_a_password_file_that_others_can_read_is_told(wallet: Path) -> None:
    os.chmod("password", 0o644)
    assert (
        "other users can read password: chmod 600 password"
        in smesher("wallet", "show", "w", "--password-file", "password").ok().err
    )
    os.chmod("password", 0o600)
    assert "other users" not in smesher("wallet", "show", "w", "--password-file", "password").ok().err


def test_a_narrow_terminal_cuts_no_address(wallet: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", ENTRY, "wallet", "show", "w", "--password-file", "password"],
        capture_output=True,
        text=True,
        env=environment(COLUMNS="40"),
        check=True,
    )
    assert ADDRESS in child.stdout


def test_help_names_every_word_and_starts_fast() -> None:
    for command, words in (("wallet", ["create", "import", "show", "add", "address"]), ("tx", ["spawn", "decode"])):
        shown = smesher(command, "--help")
        assert shown.code == 0
        assert all(word in shown.out for word in words)
    child = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", ENTRY, "tx", "decode", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=True,
    )
    assert not re.search(r"\bnumba\b", child.stderr)
