"""The configuration of a certifier: files of three formats, the environment above them, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.config.files import parse, parse_yaml
from api.edge.errors import UsageError
from api.edge.listen import Address
from api.services.certifier.config import Config, Limits, from_fields, load
from kernels.labels.cpu import usable_cores

SEED = bytes(range(32))
EXAMPLE = """\
# the example of the original
listen: "127.0.0.1:8080"
signing_key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
certificate_expiration: 2w
post_cfg:
  k1: 26
  k2: 37
  pow_difficulty: "000dfb23b0979b4b000000000000000000000000000000000000000000000000"

init_cfg:
  min_num_units: 4
  max_num_units: 99999
  labels_per_unit: 4294967296
  scrypt:
    n: 8192
    r: 1
    p: 1

metrics: '127.0.0.1:9090'   # for Prometheus
randomx_mode: Fast

limits:
  # How many requests can be processed in parallel.
  max_concurrent_requests: 4
  max_pending_requests: 1000
  max_body_size: 2048
"""


def plain() -> dict[str, Any]:
    """The least that a configuration must have."""
    return {
        "listen": "127.0.0.1:0",
        "signing_key": base64.b64encode(SEED).decode(),
        "post_cfg": {"k1": 12, "k2": 4, "pow_difficulty": "ff" * 32},
        "init_cfg": {
            "min_num_units": 2,
            "max_num_units": 4,
            "labels_per_unit": 128,
            "scrypt": {"n": 2, "r": 1, "p": 1},
        },
        "limits": {"max_pending_requests": 10},
    }


def config(change: Callable[[dict[str, Any]], object] = lambda fields: None, **environ: str) -> Config:
    fields = plain()
    change(fields)
    return from_fields(fields, environ, "config.yml")


def test_the_example_of_the_original(tmp_path: Path) -> None:
    path = tmp_path / "certifier.yml"
    path.write_text(EXAMPLE)
    loaded = load(path, {})
    assert loaded.listen == Address("127.0.0.1", 8080) and loaded.metrics == Address("127.0.0.1", 9090)
    assert loaded.signing_key == SEED and loaded.expiration_s == 14 * 86_400
    assert loaded.full_randomx and loaded.limits == Limits(4, 1000, 2048)
    assert (loaded.params.k1, loaded.params.k2, loaded.params.scrypt_n) == (26, 37, 8192)
    assert (loaded.params.min_num_units, loaded.params.max_num_units) == (4, 99_999)
    assert loaded.params.labels_per_unit == 1 << 32 and loaded.params.pow_difficulty[:4].hex() == "000dfb23"
    assert loaded.notes == ()
    assert base64.b64encode(SEED).decode() not in repr(loaded) and str(SEED) not in repr(loaded)


def test_what_is_left_out() -> None:
    loaded = config()
    assert loaded.expiration_s is None and loaded.metrics is None and not loaded.full_randomx
    assert loaded.limits == Limits(usable_cores(), 10, 1024)


def test_json_and_toml_mean_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(plain()))
    assert load(path, {}) == config()
    lines = ['listen = "127.0.0.1:0"', f'signing_key = "{base64.b64encode(SEED).decode()}"', "[post_cfg]"]
    lines += ["k1 = 12", "k2 = 4", f'pow_difficulty = "{"ff" * 32}"', "[init_cfg]", "min_num_units = 2"]
    lines += ["max_num_units = 4", "labels_per_unit = 128", "[init_cfg.scrypt]", "n = 2", "r = 1", "p = 1"]
    lines += ["[limits]", "max_pending_requests = 10"]
    path = tmp_path / "config.toml"
    path.write_text("\n".join(lines))
    assert load(path, {}) == config()


def test_the_environment_stands_above_the_file() -> None:
    other = base64.b64encode(bytes(32)).decode()
    loaded = config(
        CERTIFIER_LISTEN="[::1]:1",
        CERTIFIER_SIGNING_KEY=other,
        CERTIFIER_LIMITS__MAX_PENDING_REQUESTS="7",
        CERTIFIER_INIT_CFG__SCRYPT__N="4",
        CERTIFIER_METRICS="",
        CERTIFIER_CONFIG_PATH="elsewhere.yml",
        CERTIFIER_PORT="tcp://10.0.0.1:80",
    )
    assert loaded.listen == Address("::1", 1) and loaded.signing_key == bytes(32)
    assert loaded.limits.max_pending_requests == 7 and loaded.params.scrypt_n == 4 and loaded.metrics is None
    with pytest.raises(UsageError, match="The environment variable CERTIFIER_POST_CFG__K1 is 'many'"):
        config(CERTIFIER_POST_CFG__K1="many")


def test_unknown_fields_are_refused_and_variables_told() -> None:
    with pytest.raises(UsageError, match=r"config.yml: randomx_mod is no setting. Did you mean randomx_mode\?"):
        config(lambda fields: fields.update(randomx_mod="Fast"))
    with pytest.raises(UsageError, match=r"limits.max_body is no setting. Did you mean max_body_size\?"):
        config(lambda fields: fields["limits"].update(max_body=1))
    assert config(CERTIFIER_PORT="tcp://10.0.0.1:80").notes == (), "a container's runtime sets such variables"
    (note,) = config(CERTIFIER_LIMITS__MAX_PENDING_REQUEST="7").notes
    assert "Did you mean CERTIFIER_LIMITS__MAX_PENDING_REQUESTS?" in note


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(UsageError, match=r"listen and metrics are both '127\.0\.0\.1:9'"):
        config(lambda fields: fields.update(listen="127.0.0.1:9", metrics="127.0.0.1:9"))


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2w", 1_209_600),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("1d 12h", 129_600),
        ("1d+12h", 129_600),
        ("90", 90),
        ("2 weeks", 1_209_600),
        ("1Year", 31_536_000),
        ("1mon", 2_592_000),
        ("10min", 600),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert config(lambda fields: fields.update(certificate_expiration=text)).expiration_s == seconds


def drop(fields: dict[str, Any], dotted: str) -> None:
    *sections, name = dotted.split(".")
    for section in sections:
        fields = fields[section]
    del fields[name]


@pytest.mark.parametrize(
    "dotted",
    [
        "listen",
        "signing_key",
        "post_cfg",
        "post_cfg.k1",
        "post_cfg.pow_difficulty",
        "init_cfg.min_num_units",
        "init_cfg.scrypt",
        "init_cfg.scrypt.p",
        "limits",
        "limits.max_pending_requests",
    ],
)
def test_a_missing_field_is_named(dotted: str) -> None:
    with pytest.raises(UsageError, match=rf"the field {dotted}[.\w]* is missing.*CERTIFIER_{dotted.upper()[:4]}"):
        config(lambda fields: drop(fields, dotted))


@pytest.mark.parametrize(
    "dotted, value, facts",
    [
        ("listen", "8080", "listen is '8080', expected an address and a port"),
        ("listen", "127.0.0.1:x", "the port is 'x'"),
        ("signing_key", "!!", "it is not base64"),
        ("signing_key", "AAAA", "it is the base64 of 3 bytes"),
        ("certificate_expiration", "soon", "certificate_expiration is 'soon'"),
        ("certificate_expiration", "2x", "certificate_expiration is '2x'"),
        ("certificate_expiration", "0s", "more than nothing"),
        ("certificate_expiration", "9999y", "at most 1000 years"),
        ("post_cfg.k1", 0, "post_cfg.k1 is 0, expected a whole number from 1"),
        ("post_cfg.k2", -1, "post_cfg.k2 is -1"),
        ("post_cfg.k2", 1.5, "post_cfg.k2 is 1.5"),
        ("post_cfg.k2", True, "post_cfg.k2 is True"),
        ("post_cfg.k1", 1 << 32, "from 1 to 4294967295"),
        ("post_cfg.pow_difficulty", "00", "expected 64 hex digits"),
        ("post_cfg", 5, "post_cfg is 5, expected a section with settings"),
        ("post_cfg.k1", {"a": 1}, "post_cfg.k1 is {'a': 1}, expected a whole number"),
        ("post_cfg.k1", "9" * 5000, "post_cfg.k1 is '999"),
        ("init_cfg.min_num_units", 5, "expected at most max_num_units = 4"),
        ("init_cfg.scrypt.n", 3, "scrypt"),
        ("init_cfg.scrypt.r", 8, "init_cfg.scrypt.r is 8, expected a whole number from 1 to 1"),
        ("randomx_mode", "slow", "randomx_mode is 'slow', expected Fast or Light"),
        ("metrics", "x", "metrics is 'x'"),
        ("limits.max_pending_requests", 0, "from 1"),
    ],
)
def test_a_bad_value_is_named(dotted: str, value: object, facts: str) -> None:
    def change(fields: dict[str, Any]) -> None:
        *sections, name = dotted.split(".")
        for section in sections:
            fields = fields[section]
        fields[name] = value

    with pytest.raises(UsageError) as caught:
        config(change)
    assert facts in str(caught.value) and str(caught.value).startswith("config.yml: ")


def test_a_secret_is_never_shown() -> None:
    secret = base64.b64encode(b"s" * 33).decode()
    with pytest.raises(UsageError) as caught:
        config(lambda fields: fields.update(signing_key=secret))
    assert secret not in str(caught.value)


# -- files ---------------------------------------------------------------------------------------------------


def test_what_yaml_may_hold() -> None:
    text = "---\n\n# a comment\na: 1 # one\n'b c': \"x # y\\u00e9\"\nd: 'it''s'\ne:\n    f: g:h\n    i: ~\nj:\nk: a#b\n"
    assert parse_yaml(text) == {
        "a": "1",
        "b c": "x # yé",
        "d": "it's",
        "e": {"f": "g:h", "i": None},
        "j": None,
        "k": "a#b",
    }
    assert parse_yaml("") == parse_yaml("# nothing\n") == {}


@pytest.mark.parametrize(
    "text, facts",
    [
        ("a: 1\na: 2", "line 2: a is there twice"),
        ("a:\n\tb: 1", "line 2: found character '\\t'"),
        ("a: 1\n  b: 2", "line 2: mapping values are not allowed here"),
        ("  a: 1\nb: 2", "line 2:"),
        ("- a", "line 1: a list stands where a single value is expected"),
        ("a: [1, 2]", "line 1: a list stands where a single value is expected"),
        ("a: &x 1\nb: *x", "line 2: aliases are not used here"),
        ("[a]: 1", "line 1: a name is expected before the colon"),
        ('a: "open', "line 1: found unexpected end of stream"),
        ('a: "x" y', "line 1:"),
        ('a: "\\q"', "line 1: found unknown escape character 'q'"),
        ("just words", "expected a name, a colon and a value"),
        ("a:1", "expected a name, a colon and a value"),
        ("a: 1\n---\nb: 2", "line 2:"),
    ],
)
def test_yaml_that_is_refused(text: str, facts: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_yaml(text)
    assert facts in str(caught.value)


@given(st.text(), st.sampled_from([".yml", ".json", ".toml", ".ini"]))
def test_any_text_is_a_mapping_or_refused(text: str, suffix: str) -> None:
    try:
        assert isinstance(parse(text, suffix), dict)
    except ValueError as error:
        assert str(error)


NAMES = st.text(st.sampled_from("abc_"), min_size=1, max_size=5)
VALUES = st.one_of(st.none(), st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20))
TREES = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=12)


@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_what_is_written_as_yaml_is_read_back(tree: dict[str, Any]) -> None:
    def lines(mapping: dict[str, Any], indent: int) -> list[str]:
        found = []
        for name, value in mapping.items():
            if isinstance(value, dict):
                found += [f"{' ' * indent}{name}:", *lines(value, indent + 2)]
            else:
                found.append(f"{' ' * indent}{name}: {'~' if value is None else json.dumps(value, ensure_ascii=False)}")
        return found

    assert parse_yaml("\n".join(lines(tree, 0))) == tree


@pytest.mark.parametrize(
    "name, content, facts",
    [
        ("missing.yml", None, "cannot be read: there is no such file"),
        ("config.ini", b"", "expected .yml, .yaml, .json, .toml"),
        ("config.yml", b"\xff\xfe\xff", "no UTF-8 text"),
        ("config.json", b"[1]", "expected an object"),
        ("config.json", b"[" * 100_000, "nested too deeply"),
        ("config.toml", b"a = ", "cannot be read"),
        ("config.toml", b"a = " + b"[" * 100_000, "nested too deeply"),
        ("config.yml", b"\n".join(b" " * i + b"a:" for i in range(1200)), "nested too deeply"),
        ("config.yml", b"a: 1\n" * 300_000, "more than 1048576 bytes"),
        ("folder.yml", b"folder", "is a directory, expected a file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, facts: str) -> None:
    path = tmp_path / name
    if content == b"folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(path, {})
    assert facts in str(caught.value) and name in str(caught.value)
