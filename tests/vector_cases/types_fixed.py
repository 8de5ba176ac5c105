"""Vectors of the 72.56 arithmetic: types/fixed.json, every number compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from protocol.numbers import binomial, fixed
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

_LISTS = (
    "from_int",
    "from_float",
    "unary",
    "binary",
    "div_uint64",
    "div_int64",
    "fraction_from_bytes",
    "internal_lgamma_of_integer",
    "internal_log",
    "internal_exp",
    "bincdf",
    "eligibility_count",
)
_TITLES = ("description", "reference")


def _raw(text: str) -> int:
    return fixed.from_bytes(bytes.fromhex(text))


def _hex(value: int) -> str:
    return fixed.to_bytes(value).hex()


def _answer(compute: Callable[[], Any]) -> Any:
    """The result, or the class of the refusal in the words of the vectors."""
    try:
        return compute()
    except fixed.FixedError as error:
        return {"error": "panic" if error.reason == "zero_division" else "overflow"}


def _same(compute: Callable[[], Any], expected: Any) -> None:
    found = _answer(compute)
    assert found == expected, f"{found}, expected {expected}"


def _signed_word(value: int) -> int:
    return -value | fixed.SIGN if value < 0 else value


def _statements(kind: str, case: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """For each answer in the case, how to compute it."""
    if kind == "from_int":
        return {"bytes": lambda: _hex(fixed.from_int(int(case["value"])))}
    if kind == "from_float":
        return {"bytes": lambda: _hex(fixed.from_float(float(case["value"])))}
    if kind == "unary":
        x = _raw(case["x"])
        return {
            "string": lambda: fixed.text(x),
            "floor": lambda: str(fixed.floor(x)),
            "ceil": lambda: str(fixed.ceil(x)),
            "round": lambda: str(fixed.round_half_away(x)),
            "abs": lambda: _hex(fixed.absolute(x)),
            "neg": lambda: _hex(fixed.neg(x)),
            "float": lambda: fixed.to_float(x),
        }
    if kind == "binary":
        x, y = _raw(case["x"]), _raw(case["y"])
        return {
            "add": lambda: _hex(fixed.add(x, y)),
            "sub": lambda: _hex(fixed.sub(x, y)),
            "mul": lambda: _hex(fixed.mul(x, y)),
            "div": lambda: _hex(fixed.div(x, y)),
            "less": lambda: fixed.less(x, y),
            "greater": lambda: fixed.less(y, x),
            "equal": lambda: x == y,
        }
    if kind in ("div_uint64", "div_int64"):
        return {"bytes": lambda: _hex(fixed.ratio(int(case["p"]), int(case["q"])))}
    if kind == "fraction_from_bytes":
        return {"bytes": lambda: _hex(fixed.fraction_from_bytes(bytes.fromhex(case["input"])))}
    if kind == "internal_lgamma_of_integer":
        x = int(case["x"])
        return {
            "bytes": lambda: _hex(fixed.log_gamma(x)),
            "natural_log_bytes": lambda: _hex(_signed_word(fixed.log_of_integer(x))),
        }
    if kind == "internal_log":
        return {"bytes": lambda: _hex(_signed_word(fixed.log_of_fraction(int(case["x_raw56"]))))}
    if kind == "internal_exp":
        return {"bytes": lambda: _hex(fixed.exp(_raw(case["x"])))}
    if kind == "bincdf":
        return {"bytes": lambda: _hex(binomial.binomial_cdf(case["n"], _raw(case["p"]), case["x"]))}
    probability = fixed.ratio(case["committee"], int(case["total_weight"]))
    draw = fixed.fraction_from_bytes(bytes.fromhex(case["vrf_first_8_bytes"]))
    return {"count": lambda: binomial.eligibility_count(case["n"], probability, draw)}


def _expected(kind: str, name: str, value: Any) -> Any:
    return float(value) if (kind, name) == ("unary", "float") else value


@vectors("types/fixed.json")
def compiled_distribution(document: Any, context: Context) -> Iterator[Case]:
    """The compiled tables, which are made for each processor."""
    from kernels import seats as kernel

    for position, case in enumerate(document["bincdf"]):
        n, p, x = case["n"], _raw(case["p"]), case["x"]
        if not (0 <= x < n and 0 < p < fixed.ONE):
            continue

        def check(n: int = n, p: int = p, x: int = x, expected: Any = case["bytes"]) -> None:
            high, low, fits = kernel.binomial_cdf(n, np.uint64(p), x)
            found = _hex(int(high) << 64 | int(low)) if fits else {"error": "overflow"}
            assert found == expected, f"{found}, expected {expected}"

        yield Case(f"compiled bincdf[{position}]", check)


@vectors("types/fixed.json", variants=False)
def fixed_point(document: Any, context: Context) -> Iterator[Case]:
    for kind in document:
        if kind not in _LISTS:
            if kind not in _TITLES:
                raise NotUnderstood(f"a list named {kind}")
            continue
        for position, case in enumerate(document[kind]):

            def check(kind: str = kind, case: dict[str, Any] = case) -> None:
                statements = _statements(kind, case)
                if kind == "bincdf" and "committee" in case:
                    probability = fixed.ratio(case["committee"], int(case["total_weight"]))
                    assert _hex(probability) == case["p"], f"p is {_hex(probability)}, expected {case['p']}"
                for name, compute in statements.items():
                    _same(compute, _expected(kind, name, case[name]))

            yield Case(f"{kind}[{position}]", check)
